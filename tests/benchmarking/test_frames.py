"""Speed per frame: whose turn it is, what is left out, statistics against numpy and scipy, the command end to end."""

import csv
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from lightning_mm import timing
from lightning_mm.benchmarking import frames_writing, turns
from lightning_mm.benchmarking.frame_speed import FrameSpeed, Measured
from lightning_mm.benchmarking.frames import measure_frames, measure_resolution
from lightning_mm.benchmarking.paired import paired_ratio
from lightning_mm.benchmarking.paper_speed import PAPER_SPEEDS
from lightning_mm.benchmarking.resolutions import STANDARD, Resolution, largest_real_time, parse_resolutions
from lightning_mm.benchmarking.turns import MAX_ROUNDS, MIN_ROUNDS, interleaved
from lightning_mm.cli import main
from lightning_mm.errors import InputError
from lightning_mm.latency import per_frame
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.models.magnifier import padded_size
from lightning_mm.timing import Summary
from lightning_mm.weights import load_magnifier

CPU = torch.device("cpu")
SMALL, LARGE = Resolution("32x24", 32, 24), Resolution("64x48", 64, 48)
A, B, C = ("a", 1), ("b", 1), ("c", 2)


def blocks(seconds, order):
    def block(key):
        def one():
            order.append(key)
            return {"passed": seconds[key], "processor": 2 * seconds[key]}

        return one

    return {key: block(key) for key in seconds}


def test_turns_are_taken_until_the_slowest_has_no_time_left():
    order = []
    found = interleaved(blocks({A: 0.1, B: 1.0, C: 0.5}, order), seconds=5.5)
    assert order == [A, B, C] * 5
    assert {key: len(values) for key, values in found.items()} == {A: 5, B: 5, C: 5}
    assert found[B] == [{"passed": 1.0, "processor": 2.0}] * 5


def test_the_least_number_of_rounds_is_done_whatever_it_takes():
    order = []
    interleaved(blocks({A: 9.0, B: 1.0}, order), seconds=1.0)
    assert order == [A, B] * MIN_ROUNDS


def test_the_number_of_rounds_is_bounded():
    assert len(interleaved(blocks({A: 0.0}, []), seconds=1e9)[A]) == MAX_ROUNDS
    assert interleaved({}, seconds=1.0) == {}


@pytest.fixture
def ticking(monkeypatch):
    """A clock that only work moves: a list with the time, in seconds."""
    now = [0.0]
    monkeypatch.setattr(turns, "clock", lambda device: now[0])
    monkeypatch.setattr(turns, "time", SimpleNamespace(process_time=lambda: 3.0 * now[0]))
    return now


def test_seconds_are_per_frame_and_of_both_clocks(ticking):
    def work(seconds):
        def one():
            ticking[0] += seconds

        return one

    fast, slow = measure_resolution({A: work(0.01), B: work(0.4)}, SMALL, CPU, 4.1, {})
    assert (fast.frames, slow.frames) == (10, 1)  # so many that a block takes a tenth of a second
    assert fast.seconds.raw == pytest.approx([0.01] * 10)
    assert slow.seconds.raw == pytest.approx([0.4] * 10)
    assert slow.processor.raw == pytest.approx([1.2] * 10)
    assert fast.fps == pytest.approx(100.0)


def test_what_is_too_slow_is_left_out_with_the_reason_and_not_tried_again(ticking):
    tried = []

    def work(key, seconds):
        def one():
            tried.append(key)
            ticking[0] += seconds

        return one

    left = {}
    slow, slow_two = ("slow", 1), ("slow", 2)
    all_work = {A: work(A, 0.1), slow: work(slow, 2.0), slow_two: work(slow_two, 3.0)}
    found = measure_resolution(all_work, SMALL, CPU, 4.0, left)
    assert found[0].seconds is not None
    assert [result.seconds for result in found[1:]] == [None, None]
    assert [result.fps for result in found[1:]] == [None, None]
    assert found[1].reason == "at 32x24 one frame took 2.0 s, so that 3 do not fit into 4 s"
    assert found[2].reason == found[1].reason
    assert tried.count(slow) == 2  # one to settle, one that counts
    assert slow_two not in tried
    tried.clear()
    again = measure_resolution(all_work, LARGE, CPU, 4.0, left)
    assert set(tried) == {A}
    assert again[1].reason == found[1].reason


def test_a_first_frame_that_compiles_does_not_count(ticking):
    calls = []

    def work():
        calls.append(1)
        ticking[0] += 60.0 if len(calls) == 1 else 0.2

    (found,) = measure_resolution({A: work}, SMALL, CPU, 2.0, {})
    assert max(found.seconds.raw) == pytest.approx(0.2)


def test_a_lack_of_memory_leaves_out_and_another_fault_does_not_hide(ticking):
    def full():
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    def broken():
        raise RuntimeError("shapes do not match")

    assert measure_resolution({A: full}, SMALL, CPU, 1.0, {})[0].reason == "at 32x24 out of memory"
    with pytest.raises(RuntimeError, match="shapes"):
        measure_resolution({A: broken}, SMALL, CPU, 1.0, {})


@pytest.mark.parametrize("number", [1, 2, 3, 5, 6, 9, 25, 50])
def test_the_ratios_interval_is_that_of_order_statistics(number):
    rng = np.random.default_rng(number)
    ours, theirs = rng.lognormal(size=(2, number))
    found = paired_ratio(theirs, ours)
    ratios = np.sort(theirs / ours)
    assert found.median == pytest.approx(np.median(ratios))
    rank = max(0, int(stats.binom.ppf(0.025, number, 0.5)) - 1)
    while 1 - 2 * stats.binom.cdf(rank + 1, number, 0.5) >= 0.95:
        rank += 1
    assert (found.lower, found.upper) == (ratios[rank], ratios[number - 1 - rank])
    assert found.confidence == pytest.approx(max(0.0, 1 - 2 * stats.binom.cdf(rank, number, 0.5)))
    assert (found.confidence >= 0.95) == (number >= 6)
    assert found.raw == pytest.approx(theirs / ours)


def test_the_interval_holds_the_median_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        found = paired_ratio(rng.lognormal(0.7, 0.5, 12), np.ones(12))
        held += found.lower <= math.exp(0.7) <= found.upper
    assert held / 1000 == pytest.approx(found.confidence, abs=0.025)


def rates(*values):
    return dict(zip(STANDARD, values, strict=False))


@pytest.mark.parametrize(
    ("fps", "name", "bounded"),
    [
        (rates(100.0, 60.0, 30.0, 23.9), "480p", True),
        (rates(100.0, 24.0), "360p", False),
        (rates(100.0, 60.0, None, None), "360p", False),
        (rates(100.0, None, 23.0), "240p", True),
        (rates(23.0, 25.0, 10.0), "360p", True),
        (rates(10.0, 5.0), None, True),
        (rates(None), None, False),
        ({}, None, False),
    ],
)
def test_the_largest_resolution_in_real_time(fps, name, bounded):
    found = largest_real_time(fps)
    assert (found.resolution and found.resolution.name, found.bounded) == (name, bounded)
    assert (name or "measured") in found.text


def test_the_papers_speed_ups_are_those_that_it_prints():
    assert [round(row.ratio, 2) for row in PAPER_SPEEDS[1:]] == [2.73, 2.72, 2.71]


def test_resolutions_are_16_to_9_and_sorted_by_pixels():
    found = parse_resolutions(["1080p", "240p", "100x50", "854x480"])
    assert [(r.name, r.width, r.height) for r in found] == [
        ("100x50", 100, 50), ("240p", 426, 240), ("854x480", 854, 480), ("1080p", 1920, 1080),
    ]  # fmt: skip
    assert all(abs(r.width / r.height - 16 / 9) < 0.01 for r in STANDARD)
    padded = [r.width for r in STANDARD if padded_size(r.width, MagnifierConfig.proposed()) != r.width]
    assert padded == [426, 854]


@pytest.mark.parametrize("names", [[], ["1081p"], ["0x3"], ["x"], ["240"], ["240p", "426x240"], ["-1x4"]])
def test_what_is_no_resolution_is_refused(names):
    with pytest.raises(InputError, match="resolutions"):
        parse_resolutions(names)


@pytest.mark.parametrize("encodes", [1, 2])
def test_a_frame_is_what_the_network_makes_of_a_pair_and_is_encoded_as_often_as_said(encodes, monkeypatch):
    magnifier, counted = load_magnifier("tiny"), []
    a, b = torch.rand(2, 1, 3, 26, 30)
    with torch.inference_mode():
        expected = magnifier(a, b, 10.0)
        encode = Magnifier.encode
        monkeypatch.setattr(Magnifier, "encode", lambda self, frame: counted.append(1) or encode(self, frame))
        work = per_frame(magnifier, a, b, encodes)
        work()
        counted.clear()
        assert torch.equal(work(), expected)
        assert len(counted) == encodes


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(turns, "WARM_UP", 1)
    monkeypatch.setattr(turns, "MAX_ROUNDS", 3)
    monkeypatch.setattr(timing, "MAX_CALLS", 2)


def test_options_reach_the_networks_and_are_undone(quick, monkeypatch):
    seen = []
    decode = Magnifier.decode

    def spy(self, texture, shape, size):
        out = decode(self, texture, shape, size)
        benchmark = torch.backends.cudnn.benchmark
        seen.append((out.dtype, shape.dtype, torch.get_num_threads(), torch.is_inference_mode_enabled(), benchmark))
        return out

    monkeypatch.setattr(Magnifier, "decode", spy)
    before = torch.get_num_threads(), torch.backends.cudnn.benchmark
    found = measure_frames(["tiny"], [SMALL], CPU, 5.0, "bf16", False, False, 2)
    assert set(seen) == {(torch.bfloat16, torch.float32, 2, True, True)}
    assert (torch.get_num_threads(), torch.backends.cudnn.benchmark) == before
    assert found.setup["precision"] == "bf16"
    assert (found.setup["threads"], found.setup["channels_last"]) == (2, False)
    assert found.reference is None


def test_the_command_measures_prints_and_writes(quick, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files = ["--json=out/s.json", "--csv=out/s.csv", "--markdown=out/s.md"]
    args = ["--weights", "[tiny,baseline]", "--resolutions", "[40x26,32x24]", "--seconds=30", *files]
    assert main(["benchmark", "frames", *args]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    told = json.loads((tmp_path / "out/s.json").read_text())
    assert told["reference"] == "baseline"
    keys = [(r["network"], r["encodes"], r["resolution"]["name"]) for r in told["results"]]
    sizes = ("32x24", "40x26")
    assert keys == [(n, e, size) for size in sizes for e in (1, 2) for n in ("tiny", "baseline")]
    for result in told["results"]:
        raw = result["seconds"]["raw"]
        assert len(raw) == 3
        assert result["fps"] == pytest.approx(1 / np.median(raw))
        assert result["fps_quartiles"] == pytest.approx([1 / q for q in np.percentile(raw, (75, 25))])
        assert min(result["processor"]["raw"]) > 0.0
        assert result["reason"] is None
    for number in range(0, 8, 2):
        tiny, baseline = told["results"][number : number + 2]
        ratios = np.array(baseline["seconds"]["raw"]) / np.array(tiny["seconds"]["raw"])
        assert tiny["ratio"]["median"] == pytest.approx(np.median(ratios))
        assert baseline["ratio"] is None
    assert told["networks"]["baseline"]["params"] == 966_979
    assert told["setup"]["batch_size"] == 1
    rows = list(csv.DictReader((tmp_path / "out/s.csv").read_text().splitlines()))
    assert [float(row["fps"]) for row in rows] == pytest.approx([r["fps"] for r in told["results"]])
    assert float(rows[0]["ratio"]) == pytest.approx(told["results"][0]["ratio"]["median"])
    assert float(rows[0]["processor_ratio"]) == pytest.approx(told["results"][0]["processor_ratio"]["median"])
    markdown = (tmp_path / "out/s.md").read_text()
    for text in ("| 32x24 (32 x 24) | 1 |", "RTX 3090", "25.7", "own GPUs", "reading, converting, copying and writing"):
        assert text in markdown
    for text in ("largest resolution with at least 24 FPS", "RTX 2080 Super", "966,979 parameters"):
        assert text in out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["s.csv", "s.json", "s.md"]


def test_a_network_that_was_left_out_shows_no_number(capsys):
    reason = "at 64x48 one frame took 9.0 s, so that 3 do not fit into 20 s"
    results = [
        Measured(name, encodes, size, Summary.of([0.02, 0.05, 0.04]), None, 1)
        if (name, size) != ("slow", LARGE)
        else Measured(name, encodes, size, None, reason=reason)
        for size in (SMALL, LARGE)
        for encodes in (1, 2)
        for name in ("quick", "slow")
    ]
    setup = {"device": "GPU", "processor": "P", "threads": 1, "cores": 2, "torch": "2", "precision": "fp16"}
    setup |= {"channels_last": True, "compile": True, "load_before": None, "load_after": None}
    told = {"params": 1, "paper_gflops": 2.0}
    speed = FrameSpeed(setup, {"quick": told, "slow": told}, results)
    assert speed.largest("slow", 1).text == "32x24, none larger measured"
    assert speed.ratio(speed.of("quick", 1, LARGE)) is None
    assert speed.ratio(speed.of("quick", 1, SMALL), "processor") is None
    tables = frames_writing.tables(speed)
    assert tables["frames per second"][0][-1] == "quick / slow"
    assert tables["frames per second"][3] == ["64x48 (64 x 48)", "1", "25.0 (22.2 to 33.3)", "left out", ""]
    frames_writing.print_frames(speed)
    out = " ".join(capsys.readouterr().out.split())
    assert f"Left out: slow, {reason}; not measured: 64x48 with 1 encode, 64x48 with 2 encodes." in out
    assert "decoder fp16, channels_last, compiled, batch 1" in out
    assert "busy" not in out
    assert "interval for it of at least 75% confidence" in out
    assert "processor time" not in out, "of which there is none on a GPU"
    setup["load_before"] = 1.5
    assert any("load 1.5 on 2 cores" in line for line in frames_writing.notes(speed))
    assert list(csv.DictReader(frames_writing.csv_text(speed).splitlines()))[5]["left_out"] == reason


BAD = {
    "unknown weights": (["--weights=[huge]"], "'huge'"),
    "no weights": (["--weights=[]"], "weights = []"),
    "weights twice": (["--weights=[tiny,tiny]"], "each once"),
    "resolution": (["--resolutions=[99p]"], "'99p'"),
    "no time": (["--seconds=0"], "seconds = 0"),
    "endless": (["--seconds=.inf"], "seconds = inf"),
    "no threads": (["--threads=0"], "threads = 0"),
    "precision": (["--precision=int8"], "precision"),
    "tf32 on a processor": (["--precision=tf32", "--device=cpu"], "needs a CUDA device"),
    "device": (["--device=quantum"], "quantum"),
    "folder for a file": (["--markdown=."], "--markdown .: is a directory"),
    "stray": (["stray"], "stray"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_options_are_refused(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    args, said = BAD[name]
    assert main(["benchmark", "frames", "--resolutions=[32x24]", *args]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert said in err
    assert list(tmp_path.iterdir()) == []
