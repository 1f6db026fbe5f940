import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from streams import Additive, Identity, Reference, Waves, held, noise, steps, write

import lightning_mm.magnification.command as command
import lightning_mm.magnification.methods as methods
from lightning_mm.classical.methods import METHODS
from lightning_mm.cli import main
from lightning_mm.errors import EXIT_PARTIAL, InputError
from lightning_mm.machine import pick_device
from lightning_mm.magnification.command import magnify
from lightning_mm.magnification.engine import Engine, Static, Temporal, stream
from lightning_mm.magnification.frames import levels
from lightning_mm.magnification.learned import Learned
from lightning_mm.magnification.summary import held_bytes
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.temporal import FilterSpec, design, streaming
from lightning_mm.video.colour import Colour
from lightning_mm.video.opening import open_clip

DATA = Path(__file__).parents[2].parent / "shared" / "data"
CONFIG = MagnifierConfig(encoder_channels=4, decoder_depth=1, decoder_channels=4)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def magnifier():
    torch.manual_seed(0)
    return Magnifier(CONFIG).eval()


@pytest.fixture
def checkpoint(tmp_path, magnifier):
    path = tmp_path / "model.ckpt"
    state = {f"magnifier.{name}": value for name, value in magnifier.state_dict().items()}
    torch.save({"hyper_parameters": {"arch": CONFIG.to_dict()}, "state_dict": state}, path)
    return path


def test_command_writes_a_clip_like_the_input(tmp_path, checkpoint, capsys):
    clip = write(tmp_path / "in.mp4", steps(9), Fraction(30000, 1001))
    done = magnify(clip, tmp_path / "out.mp4", checkpoint, alpha=3.0, device="cpu")
    result = open_clip(tmp_path / "out.mp4")
    assert (result.width, result.height, result.fps, len(list(result))) == (32, 16, Fraction(30000, 1001), 9)
    assert (done.frames, done.width, done.height, done.device, done.output) == (9, 32, 16, "cpu", tmp_path / "out.mp4")
    assert done.seconds > 0
    assert done.frames_per_second > 0
    assert done.warnings == ()
    printed = capsys.readouterr()
    assert printed.err == ""  # no bar where there is no terminal
    assert printed.out.count("\n") == 1
    assert "out.mp4: 9 frames of 32 x 16" in printed.out
    assert sorted(os.listdir(tmp_path)) == ["in.mp4", "model.ckpt", "out.mp4"]


def test_command_equals_the_network(tmp_path, checkpoint, magnifier):
    frames = noise(4)
    (tmp_path / "in").mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "in" / f"{index}.png")
    magnify(tmp_path / "in", tmp_path / "out", checkpoint, alpha=4.0, reference=2, device="cpu")
    expected = stream(Engine(Learned(magnifier), Static(levels([frames[2]])), 4.0), frames)
    for got, wanted in zip(open_clip(tmp_path / "out"), expected, strict=True):
        assert np.abs(got.astype(int) - wanted).max() <= 1  # channels-last kernels may round the last bit otherwise


@pytest.mark.parametrize(("mode", "reference"), [("static", 5), ("dynamic", 0)])
def test_command_passes_mode_and_reference(tmp_path, monkeypatch, mode, reference):
    monkeypatch.setattr(command, "make_method", lambda *options: Reference())
    clip = write(tmp_path / "in.mp4", steps(9))
    magnify(clip, tmp_path / "out.mp4", Path("any"), mode=mode, reference=reference, device="cpu")
    for t, frame in enumerate(open_clip(tmp_path / "out.mp4")):
        wanted = 20 * (reference if mode == "static" else max(t - 1, 0))
        assert frame.mean() == pytest.approx(wanted, abs=3)


def test_command_takes_the_proposed_model_that_ships_unless_told(tmp_path, monkeypatch):
    asked = []
    load = methods.load_magnifier
    monkeypatch.setattr(methods, "load_magnifier", lambda source: asked.append(source) or load("tiny"))
    clip = write(tmp_path / "in.mp4", steps(2))
    magnify(clip, tmp_path / "a.mp4", device="cpu")
    magnify(clip, tmp_path / "b.mp4", weights="baseline", device="cpu")
    assert asked == ["proposed", "baseline"]


def test_colours_pass_through(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "make_method", lambda *options: Identity())
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (250, 200, 20)]
    frames = [np.full((16, 32, 3), colour, np.uint8) for colour in colours]
    for name, colour in (("a", Colour(1)), ("b", Colour(1, full_range=True)), ("c", Colour(6)), ("d", Colour(6, True))):
        clip = write(tmp_path / f"in_{name}.mp4", frames, colour=colour)
        magnify(clip, tmp_path / f"out_{name}.mkv", Path("any"), device="cpu")
        result = open_clip(tmp_path / f"out_{name}.mkv")
        assert result.colour == colour
        for got, wanted in zip(result, colours, strict=True):
            assert np.abs(got.astype(int) - wanted).max() <= 6  # two generations of 8-bit YUV


def test_side_by_side_is_exactly_twice_as_wide(tmp_path, monkeypatch):
    class Negative(Identity):
        def render(self, encoded, change, alpha):
            return -encoded.carrier

    monkeypatch.setattr(command, "make_method", lambda *options: Negative())
    clip = write(tmp_path / "in.mp4", steps(6))
    done = magnify(clip, tmp_path / "out.mp4", Path("any"), side_by_side=True, device="cpu")
    result = open_clip(tmp_path / "out.mp4")
    assert (result.width, result.height, done.width) == (64, 16, 64)
    for t, frame in enumerate(result):
        assert frame[:, 4:28].mean() == pytest.approx(20 * t, abs=4)
        assert frame[:, 36:60].mean() == pytest.approx(255 - 20 * t, abs=4)


def test_slice_picture_is_written_beside_the_output(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "make_method", lambda *options: Identity())
    clip = write(tmp_path / "in.mp4", steps(6))
    done = magnify(clip, tmp_path / "out.mp4", Path("any"), slice="y=8", device="cpu")
    assert done.slice_image == tmp_path / "out_slice.png"
    with Image.open(done.slice_image) as image:
        assert image.width % 6 == 0
    done = magnify(clip, tmp_path / "b.mp4", Path("any"), slice="x=8", slice_image=tmp_path / "s.png", device="cpu")
    assert done.slice_image == tmp_path / "s.png"
    assert sorted(os.listdir(tmp_path)) == ["b.mp4", "in.mp4", "out.mp4", "out_slice.png", "s.png"]


def test_sound_is_copied_unless_the_rate_changes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "make_method", lambda *options: Identity())
    clip = tmp_path / "in.mkv"
    with av.open(str(clip), "w") as container:
        video, sound = container.add_stream("libx264", rate=25), container.add_stream("pcm_s16le", rate=8000)
        video.width, video.height, video.pix_fmt, sound.layout = 32, 16, "yuv420p", "mono"
        for t in range(25):
            frame = av.VideoFrame(32, 16, "yuv420p")
            frame.pts = t
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        samples = av.AudioFrame.from_ndarray(np.arange(8000, dtype=np.int16)[None], format="s16", layout="mono")
        samples.sample_rate = 8000
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    magnify(clip, tmp_path / "same.mov", Path("any"), device="cpu")
    assert open_clip(tmp_path / "same.mov").has_audio
    assert capsys.readouterr().err == ""
    done = magnify(clip, tmp_path / "fast.mov", Path("any"), output_fps=250, device="cpu")
    result = open_clip(tmp_path / "fast.mov")
    assert (result.fps, result.has_audio) == (250, False)
    assert "warning: " in (error := capsys.readouterr().err)
    assert "the sound is left out" in error
    assert len(done.warnings) == 1


def test_warnings(tmp_path, checkpoint, capsys):
    whole = write(tmp_path / "whole.mkv", noise(40, 16, 32))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    done = magnify(cut, tmp_path / "out.mp4", checkpoint, alpha=150, device="cpu")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(done.warnings) == 2
    assert lines[0].startswith("warning: alpha = 150 is beyond what networks are trained for")
    assert "cut.mkv: damaged or cut short" in lines[1]
    assert 5 < done.frames < 35


BAD = {
    "alpha_nan": ({"alpha": float("nan")}, "alpha = nan: must be a number from 0 to 10000"),
    "alpha_inf": ({"alpha": float("inf")}, "alpha = inf: must be"),
    "alpha_huge": ({"alpha": 1e300}, "must be a number from 0 to 10000"),
    "alpha_negative": ({"alpha": -1.0}, "alpha = -1: must be >= 0; .*--inverse true"),
    "mode": ({"mode": "both"}, "mode = 'both': must be one of static, dynamic, temporal"),
    "reference_negative": ({"reference": -1}, "reference = -1"),
    "reference_beyond": ({"reference": 9}, "reference = 9: the clip has 9 frames, numbered 0 to 8"),
    "reference_dynamic": ({"reference": 1, "mode": "dynamic"}, "static mode only"),
    "fps": ({"fps": 0.0}, "fps = 0.0"),
    "band_static": ({"band": "4,8", "mode": "static"}, "temporal mode only"),
    "band_nyquist": ({"band": "4,13"}, "HIGH is not below the Nyquist frequency"),
    "taps_long": ({"band": "4,8", "taps": 11}, "longer than the clip of 9 frames"),
    "response_static": ({"response": Path("r.html")}, "response = 'r.html': is of a temporal filter"),
    "response_suffix": ({"response": Path("r.png"), "band": "4,8"}, "must be the name of an .html file"),
    "preset": ({"preset": "piano"}, "--preset piano: must be one of crane"),
    "start": ({"start": 9.0}, "start = 9"),
    "end": ({"start": 0.2, "end": 0.1}, "end = 0.1: must be after start = 0.2"),
    "crop": ({"crop": "0,0,99,9"}, r"crop = '0,0,99,9': must lie inside the frame of 32 x 16"),
    "roi": ({"roi": "1,2,3"}, "roi = '1,2,3': must be X,Y,WIDTH,HEIGHT"),
    "scale": ({"scale": 0.0}, "scale = 0"),
    "mask": ({"mask": Path("no.png")}, "mask = 'no.png': not a readable image"),
    "output_fps": ({"output_fps": -1.0}, "output_fps = -1"),
    "meta": ({"device": "meta"}, "device = 'meta': not available here"),
    "codec": ({"codec": "av1"}, "codec = 'av1': must be h264, or ffv1"),
    "crf": ({"crf": 99}, "crf = 99"),
    "batch": ({"batch": 0}, "batch = 0: must be at least 1"),
    "tile": ({"tile": 10}, "tile = 10: must be at least 64"),
    "method": ({"method": "magic"}, "method = 'magic': must be one of learned, linear, phase, riesz"),
    "method_weights": ({"method": "phase"}, "weights = .*: goes with method = learned, here method = phase"),
    "method_tile": ({"method": "phase", "weights": None, "tile": 128}, "tile = 128: goes with method = learned"),
    "backend": ({"backend": "magic"}, "backend = 'magic': must be one of eager"),
    "slice_form": ({"slice": "210"}, "slice = '210'"),
    "slice_range": ({"slice": "y=16"}, "rows 0 to 15"),
    "slice_image": ({"slice_image": Path("s.png")}, "slice_image = 's.png': needs a slice"),
    "device": ({"device": "toaster"}, "device = 'toaster': not available here"),
    "weights_name": ({"weights": "large"}, "weights = 'large': no weights of that name; accepted: proposed, baseline"),
    "weights_missing": ({"weights": Path("no.ckpt")}, r"no\.ckpt: no such checkpoint"),
    "input_missing": ({"input": Path("no.mp4")}, r"no\.mp4: no such file"),
    "input_text": ({"input": "text.mp4"}, r"text\.mp4: not a readable video"),
    "output_suffix": ({"output": Path("out.xyz")}, r"out\.xyz: cannot write"),
    "output_exists": ({"output": "text.mp4"}, r"text\.mp4: exists already"),
    "output_is_input": ({"output": "in.mp4", "overwrite": True}, "the output is the input itself"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, checkpoint, case, capsys):
    options, reason = BAD[case]
    write(tmp_path / "in.mp4", steps(9))
    (tmp_path / "text.mp4").write_text("no video\n" * 99)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    arguments = {
        "input": tmp_path / "in.mp4",
        "output": tmp_path / "out.mp4",
        "weights": checkpoint,
        "device": "cpu",
    }
    arguments |= {k: tmp_path / v if k in ("input", "output") else v for k, v in options.items()}
    with pytest.raises(InputError, match=reason) as caught:
        magnify(**arguments)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (KeyboardInterrupt, KeyboardInterrupt, None),
        (torch.OutOfMemoryError, InputError, "32 x 16 do not fit in the memory"),
    ],
)
def test_interruption_leaves_nothing(tmp_path, monkeypatch, error, raised, message):
    class Failing(Identity):
        def encode(self, frames):
            if self.encoded == 4:
                raise error
            return super().encode(frames)

    monkeypatch.setattr(command, "make_method", lambda *options: Failing())
    clip = write(tmp_path / "in.mp4", steps(9))
    with pytest.raises(raised, match=message):
        magnify(clip, tmp_path / "out.mp4", Path("any"), slice="y=3", device="cpu")
    assert os.listdir(tmp_path) == ["in.mp4"]


def test_pick_device():
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="device = 'cuda'"):
            pick_device("cuda")


@pytest.mark.gpu
def test_cuda_equals_cpu(tmp_path, checkpoint):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    (tmp_path / "in").mkdir()
    for index, frame in enumerate(noise(4)):
        Image.fromarray(frame).save(tmp_path / "in" / f"{index}.png")
    for device in ("cpu", "cuda"):
        magnify(tmp_path / "in", tmp_path / device, checkpoint, alpha=4.0, device=device)
    for a, b in zip(open_clip(tmp_path / "cpu"), open_clip(tmp_path / "cuda"), strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1


def test_real_footage(tmp_path, checkpoint):
    cats = DATA / "clips" / "cats"
    if not cats.is_dir():
        pytest.skip("the development clips are not here")
    (tmp_path / "in").mkdir()
    for index in (1, 2):
        with Image.open(cats / f"{index:04d}.png") as image:
            image.resize((91, 76)).save(tmp_path / "in" / f"{index}.png")
    done = magnify(tmp_path / "in", tmp_path / "out.mp4", checkpoint, alpha=10, slice="x=45", device="cpu")
    clip = open_clip(tmp_path / "out.mp4")
    assert (done.frames, clip.width, clip.height) == (2, 91, 76)


def read(path):
    return list(open_clip(path))


def test_region_leaves_the_rest_as_it_is(tmp_path, monkeypatch):
    class Black(Identity):
        def render(self, encoded, change, alpha):
            assert encoded.size == (90 - 1, 30 + 39 + 39)
            return torch.full_like(encoded.carrier, -1.0)

    monkeypatch.setattr(command, "make_method", lambda *options: Black())
    frames = noise(3, 90, 160)
    magnify(write(tmp_path / "in", frames), tmp_path / "out", roi="60,40,30,16", device="cpu")
    for frame, result in zip(frames, read(tmp_path / "out"), strict=True):
        assert not result[40:56, 60:90].any()
        result[33:63, 53:97] = frame[33:63, 53:97]
        assert np.array_equal(result, frame)


def test_crop_scale_and_time(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "make_method", lambda *options: Identity())
    frames = noise(25, 40, 60)
    done = magnify(
        write(tmp_path / "in", frames), tmp_path / "out", crop="10,4,20,30", start=0.2, end=0.6, device="cpu"
    )
    assert (done.frames, done.width, done.height) == (10, 20, 30)
    for frame, result in zip(frames[5:15], read(tmp_path / "out"), strict=True):
        assert np.array_equal(result, frame[4:34, 10:30])
    done = magnify(tmp_path / "in", tmp_path / "half", scale=0.5, device="cpu")
    assert (done.frames, done.width, done.height) == (25, 30, 20)


@pytest.mark.parametrize("zero_phase", [False, True])
def test_temporal_mode_magnifies_the_band_and_nothing_else(tmp_path, monkeypatch, zero_phase, capsys):
    """5 Hz at 100 Hz is inside the band, 20 Hz outside; the frames carry grey levels that go up and down."""
    monkeypatch.setattr(command, "make_method", lambda *options: Additive(frame_linear=True))
    t = np.arange(300) / 100.0
    moved = {hertz: 2000 * np.sin(2 * np.pi * hertz * t) for hertz in (5, 20)}
    frames = [np.full((4, 6, 3), round(30000 + value), np.uint16) for value in moved[5] + moved[20]]
    done = magnify(
        write(tmp_path / "in", frames), tmp_path / "out", alpha=4, band="4,6", fps=100,
        zero_phase=zero_phase, response=tmp_path / "filter.html", device="cpu",
    )  # fmt: skip
    values = np.array([frame.mean() for frame in read(tmp_path / "out")])[150:250]
    for hertz in (5, 20):
        # The filter's own response says what comes out, with the delay of its window where it has one.
        response = 1.0 + 3.0 * done.filter.response([float(hertz)])[0]
        expected = 2000 * (response * np.exp(2j * np.pi * hertz * t[150:250])).imag
        wave = np.exp(-2j * np.pi * hertz * t[150:250])
        assert abs(((values - expected) * wave).mean()) < 5
    assert abs(1.0 + 3.0 * done.filter.response([5.0])[0]) > 3.9
    assert abs(3.0 * done.filter.response([20.0])[0]) < 0.02
    printed = capsys.readouterr().out
    assert "alpha = 4 within 4 to 6 Hz (fir" in printed
    assert "gain" in printed
    assert "4 to 6 Hz" in (tmp_path / "filter.html").read_text()


def test_the_true_rate_is_for_bands_and_the_files_own_for_playing(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "make_method", lambda *options: Identity())
    clip = write(tmp_path / "in.mp4", steps(9), Fraction(50))
    done = magnify(clip, tmp_path / "out.mp4", band="30,40", filter="butterworth", fps=250, device="cpu")
    assert (done.fps, done.filter.fps) == (50, 250)
    with pytest.raises(InputError, match=r"HIGH is not below the Nyquist frequency; .* 25 Hz"):
        magnify(clip, tmp_path / "no.mp4", band="30,40", device="cpu")


def test_lossless_sixteen_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "make_method", lambda *options: Identity())
    frames = noise(3, dtype=np.uint16)
    magnify(write(tmp_path / "in", frames), tmp_path / "out.mkv", codec="ffv1", device="cpu")
    for frame, result in zip(frames, read(tmp_path / "out.mkv"), strict=True):
        assert np.array_equal(frame, result)


def test_slices_and_side_by_side_wait_for_delayed_frames(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "make_method", lambda *options: Identity())
    frames = noise(12)
    options = {"band": "3,6", "taps": 7, "zero_phase": True, "side_by_side": True, "batch": 5, "device": "cpu"}
    magnify(write(tmp_path / "in", frames), tmp_path / "out", slice="y=8", **options)
    for frame, result in zip(frames, read(tmp_path / "out"), strict=True):
        assert np.array_equal(result, np.concatenate((frame, frame), axis=1))


@pytest.mark.parametrize("method", ["linear", "phase", "riesz"])
def test_classical_methods_magnify_what_moves(tmp_path, method):
    """A vibration of 0.2 px at 3 Hz, 5 times: the displacement read off the output, fitted at 3 Hz."""
    waves, t = Waves(), np.arange(40) / 30.0
    moved = 0.2 * np.sin(2 * np.pi * 3.0 * t)
    write(tmp_path / "in", [waves.frame(x) for x in moved])
    magnify(tmp_path / "in", tmp_path / "out", alpha=5, method=method, device="cpu")
    found = np.array([waves.displacement(frame)[0] for frame in read(tmp_path / "out")])
    gain = found @ moved / (moved @ moved)
    # Linear magnification stays behind: it caps what short waves would break under. Riesz loses the finest waves.
    low, high = {"linear": (1.5, 5.0), "phase": (4.5, 5.2), "riesz": (3.5, 5.2)}[method]
    assert low < gain < high


def test_a_clip_cut_short_is_magnified_and_the_exit_code_says_so(tmp_path, checkpoint, capsys):
    whole = write(tmp_path / "whole.mkv", noise(40, 16, 32))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    arguments = ["magnify", str(cut), str(tmp_path / "out.mp4"), "--weights", str(checkpoint), "--device", "cpu"]
    assert main(arguments) == EXIT_PARTIAL
    printed = capsys.readouterr()
    assert "cut.mkv: damaged or cut short" in printed.err
    assert printed.err.splitlines()[-1].endswith("out.mp4 holds the part of the input that could be read")
    assert 5 < len(read(tmp_path / "out.mp4")) < 35


def test_killed_leaves_nothing_under_the_name(tmp_path, checkpoint):
    """Killed in the middle of writing, with no chance to tidy up."""
    write(tmp_path / "in.mkv", noise(200, 64, 96))
    arguments = ["magnify", "in.mkv", "out.mp4", "--weights", str(checkpoint), "--device", "cpu"]
    process = subprocess.Popen([sys.executable, "-m", "lightning_mm", *arguments], cwd=tmp_path)
    deadline = time.monotonic() + 120.0
    while not list(tmp_path.glob(".out.*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "out.mp4").exists()
    assert len(list(tmp_path.glob(".out.*"))) == 1


@pytest.mark.parametrize("name", ["linear", "phase", "riesz"])
def test_what_a_filter_keeps_is_known_beforehand(name):
    """Against what it does keep: window, delayed frames and the signal to compare with, found by weighing them."""
    height, width = 96, 128
    made = design(FilterSpec("fir", 2.0, 4.0, taps=21, zero_phase=True), 25.0)
    method = METHODS[name]()
    motion = Temporal(streaming(made))
    engine = Engine(method, motion, 2.0)
    for frame in noise(25, height, width):
        engine.push([frame])
    told = held_bytes(method, made, height * width, 1, torch.device("cpu"))
    assert 0.7 * held(motion) < told < 1.3 * held(motion)
