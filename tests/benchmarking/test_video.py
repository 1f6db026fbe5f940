"""The benchmark of video: what is asked for, what the numbers are made of, the command end to end."""

import json

import numpy as np
import pytest
import torch

from lightning_mm.benchmarking import video
from lightning_mm.benchmarking.resolutions import Resolution
from lightning_mm.benchmarking.video import FromFile, Measured, Setup, VideoSpeed, measure_video, shaking
from lightning_mm.benchmarking.video_writing import HEAD, markdown_text, rows
from lightning_mm.cli import main
from lightning_mm.errors import InputError
from lightning_mm.inference.folding import FoldedUpsample
from lightning_mm.timing import Summary

SMALL = Resolution("32x24", 32, 24)


def test_setups_are_read():
    assert Setup.parse("tiny") == Setup("tiny", "eager", "float32")
    assert Setup.parse("baseline:plain") == Setup("baseline", "plain", "float32")
    assert Setup.parse("runs/a/best.ckpt:openvino:half") == Setup("runs/a/best.ckpt", "openvino", "half")
    assert Setup("tiny", "openvino", "half").name == "tiny, openvino, half"


@pytest.mark.parametrize("text", ["", ":eager", "tiny:fast", "tiny:eager:int8", "tiny:eager:half:more", "tiny:"])
def test_bad_setups_are_refused(text):
    with pytest.raises(InputError, match=r"must be WEIGHTS\[:BACKEND\[:PRECISION\]\]") as caught:
        Setup.parse(text)
    assert f"'{text}'" in str(caught.value)


def test_plain_is_the_network_as_it_was_trained():
    def folded(setup):
        return any(isinstance(module, FoldedUpsample) for module in setup.load(torch.device("cpu")).modules())

    assert not folded(Setup("tiny", "plain"))
    assert folded(Setup("tiny"))


def test_what_is_done_once_does_not_count():
    found = FromFile(frames=(8, 32), seconds=(5.0, 8.0), peak_bytes=(400, 412))
    assert found.fps == 8.0
    assert found.growth == pytest.approx(1.03)
    assert FromFile((8, 32), (5.0, 5.0), (1, 1)).fps is None


def test_the_clip_shakes():
    first, second, third = shaking(Resolution("700x20", 700, 20), 3)
    assert first.shape == (20, 700, 3)
    assert np.array_equal(first, third)
    assert np.array_equal(first[:, 1:], second[:, :-1])
    assert not np.array_equal(first, second)


def test_every_setup_is_measured_beside_the_reference(monkeypatch):
    asked = []

    def file(setup, resolution, device, frames):
        asked.append((setup.name, resolution.name, frames))
        return FromFile((3, frames), (1.0, 2.0), (10, 10))

    monkeypatch.setattr(video, "from_file", file)
    reference = Setup("tiny", "plain")
    speed = measure_video([Setup("tiny")], reference, [SMALL], torch.device("cpu"), 0.2, 9)
    assert [result.setup for result in speed.results] == [reference, Setup("tiny")]
    assert asked == [("tiny, eager", "32x24", 9)]  # plain is no backend of magnify
    plain, eager = speed.results
    assert plain.ratio is None
    assert plain.file is None
    assert eager.ratio.raw == tuple(a / b for a, b in zip(plain.seconds.raw, eager.seconds.raw, strict=True))


def test_memory_is_that_of_the_magnification_alone():
    """Whatever this process holds, here half a gigabyte more than the other needs."""
    held = np.ones(10**9, np.uint8)
    found = video.from_file(Setup("tiny"), SMALL, torch.device("cpu"), 8)
    assert 100e6 < found.peak_bytes[0] < 900e6
    assert held[-1] == 1


def test_table():
    seconds = Summary.of([0.1, 0.1, 0.2])
    file = FromFile((3, 9), (1.0, 2.0), (10**9, 102 * 10**7))
    results = [
        Measured(Setup("tiny"), SMALL, seconds, None, file),
        Measured(Setup("proposed"), SMALL, None, None, None, "out of memory"),
    ]
    about = {"device": "cpu", "processor": "P", "threads": 2, "cores": 2, "torch": "2", "load_before": 0.1}
    speed = VideoSpeed(about, Setup("baseline", "plain"), results)
    first, second = rows(speed)
    assert dict(zip(HEAD, first, strict=True)) == {
        "frames": "32x24 (32 x 24)",
        "network": "tiny, eager",
        "network alone [FPS]": "10.0 (6.67 to 10.0)",
        "times as fast": "",
        "file to file [FPS]": "6.00",
        "memory [MB]": "1000",
        "longer clip": "+2.0 %",
    }
    assert second[2] == "left out"
    assert "proposed, eager left out at 32x24: out of memory" in markdown_text(speed)


def test_command(tmp_path, capsys):
    arguments = ["--setups", "[tiny]", "--reference", "tiny:plain", "--resolutions", "[32x24]", "--seconds", "0.1"]
    files = ["--json", str(tmp_path / "speed.json"), "--markdown", str(tmp_path / "speed.md")]
    assert main(["benchmark", "video", *arguments, "--frames", "8", "--threads", "1", *files]) == 0
    told = json.loads((tmp_path / "speed.json").read_text())
    assert told["reference"] == "tiny, plain"
    plain, eager = told["results"]
    assert plain["file"] is None
    assert eager["file"]["frames"] == [3, 8]
    assert 100e6 < eager["file"]["peak_bytes"][0] < 5e9
    assert (tmp_path / "speed.md").read_text().strip() in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--setups", "[]"], "setups = []: must be one or more"),
        (["--setups", "[tiny,tiny]"], "each once"),
        (["--frames", "3"], "frames = 3: must be at least 8"),
        (["--seconds", "0"], "seconds = 0: must be a number > 0"),
        (["--threads", "0"], "threads = 0: must be >= 1"),
        (["--resolutions", "[10p]"], "resolutions: '10p'"),
    ],
)
def test_bad_arguments_are_one_line(arguments, reason, capsys):
    assert main(["benchmark", "video", *arguments]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
