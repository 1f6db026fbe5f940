import os
import weakref
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import lightning_mm.video.magnify as command
from lightning_mm.errors import InputError
from lightning_mm.models import Magnifier, MagnifierConfig, Representation
from lightning_mm.video.clip import open_clip
from lightning_mm.video.colour import Colour
from lightning_mm.video.magnify import magnify, pick_device, stream, stream_tensors, to_frame, to_tensor
from lightning_mm.video.writer import ClipWriter

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


class Identity(nn.Module):
    """Gives every frame back, and counts."""

    def __init__(self):
        super().__init__()
        self.encoded = 0

    def encode(self, frame):
        self.encoded += 1
        return Representation(frame, frame)

    def manipulate(self, shape_a, shape_b, alpha):
        return shape_b

    def decode(self, texture, shape, size=None):
        return texture


class Reference(Identity):
    """Gives the frame back that it compares with."""

    def manipulate(self, shape_a, shape_b, alpha):
        return shape_a

    def decode(self, texture, shape, size=None):
        return shape


def noise(count, height=18, width=26, seed=0):
    return list(np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8))


def steps(count, height=16, width=32):
    """Flat frames, each recognisable after compression."""
    return [np.full((height, width, 3), 20 * i, np.uint8) for i in range(count)]


def write(path, frames, fps=Fraction(25), **options):
    with ClipWriter(path, frames[0].shape[1], frames[0].shape[0], fps, **options) as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.mark.parametrize("encoder", ["linear", "residual", "linear_single"])
@pytest.mark.parametrize(("mode", "reference"), [("static", 0), ("static", 3), ("dynamic", 0)])
def test_stream_equals_the_two_frame_forward(encoder, mode, reference):
    torch.manual_seed(0)
    magnifier = Magnifier(MagnifierConfig(encoder, (1, 1, 1), 4, decoder_depth=1, decoder_channels=4)).eval()
    frames = [to_tensor(frame) for frame in noise(6)]
    anchor = frames[reference] if reference else None
    outputs = list(stream_tensors(magnifier, frames, 20.0, mode, reference, anchor))
    assert len(outputs) == 6
    for t, output in enumerate(outputs):
        before = frames[reference] if mode == "static" else frames[max(t - 1, 0)]
        with torch.no_grad():
            expected = magnifier(before, frames[t], 20.0)
        assert output.shape == (1, 3, 18, 26)
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert (outputs[2] - outputs[1]).abs().max() > 0.01


def test_eight_bit_stream_is_the_rounded_stream(magnifier):
    frames = noise(3)
    exact = stream_tensors(magnifier, [to_tensor(f) for f in frames], 3.0)
    for got, wanted in zip(stream(magnifier, frames, 3.0), exact, strict=True):
        assert got.shape == (18, 26, 3)
        assert got.dtype == np.uint8
        levels = (wanted[0].clamp(-1, 1).permute(1, 2, 0) + 1) * 127.5
        assert np.abs(got - levels.numpy()).max() <= 0.5 + 1e-4


def test_conversion_is_exact_both_ways_and_clamps():
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    tensor = to_tensor(ramp)
    assert tensor.shape == (1, 3, 16, 16)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    assert np.array_equal(to_frame(tensor), ramp)
    assert np.array_equal(np.unique(to_frame(5 * tensor))[[0, -1]], [0, 255])


@pytest.mark.parametrize(("mode", "reference"), [("static", 0), ("static", 4), ("dynamic", 0)])
def test_every_frame_is_encoded_once(mode, reference):
    magnifier, frames = Identity(), noise(9)
    outputs = list(stream(magnifier, frames, 5.0, mode, reference, frames[reference] if reference else None))
    assert all(np.array_equal(a, b) for a, b in zip(outputs, frames, strict=True))
    assert magnifier.encoded == 9


@pytest.mark.parametrize(("mode", "reference"), [("static", 0), ("static", 2), ("dynamic", 0)])
def test_the_right_frame_is_the_reference(mode, reference):
    frames = noise(5)
    outputs = list(stream(Reference(), frames, 5.0, mode, reference, frames[reference] if reference else None))
    for t, output in enumerate(outputs):
        assert np.array_equal(output, frames[reference] if mode == "static" else frames[max(t - 1, 0)])


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_frames_are_pulled_one_at_a_time(mode):
    pulled = given = 0

    def frames():
        nonlocal pulled
        for frame in noise(8):
            pulled += 1
            assert pulled - given <= 1, "read ahead of what was given out"
            yield frame

    for _ in stream(Identity(), frames(), 5.0, mode):
        given += 1
        assert pulled == given
    assert given == 8


@pytest.mark.parametrize("mode", ["static", "dynamic"])
def test_only_the_shape_to_compare_with_is_kept(mode):
    shapes, textures = [], []

    class Watched(Identity):
        def encode(self, frame):
            # The shape to compare with, and what the loop still names: the frame that this one replaces.
            assert sum(shape() is not None for shape in shapes) <= 2
            assert sum(texture() is not None for texture in textures) <= 1
            representation = Representation(frame.clone(), frame.clone())
            textures.append(weakref.ref(representation.texture))
            shapes.append(weakref.ref(representation.shape))
            return representation

    assert len(list(stream(Watched(), iter(noise(12)), 5.0, mode))) == 12
    assert len(shapes) == 12


def test_inference_mode_does_not_leak_to_the_consumer(magnifier):
    for _ in stream(magnifier, noise(2), 5.0):
        assert not torch.is_inference_mode_enabled()


def test_reference_frame_must_come_along():
    with pytest.raises(ValueError, match="reference = 2"):
        next(stream(Identity(), noise(3), 5.0, "static", 2))


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
    expected = stream(magnifier, frames, 4.0, "static", 2, frames[2])
    for got, wanted in zip(open_clip(tmp_path / "out"), expected, strict=True):
        assert np.abs(got.astype(int) - wanted).max() <= 1  # channels-last kernels may round the last bit otherwise


@pytest.mark.parametrize(("mode", "reference"), [("static", 5), ("dynamic", 0)])
def test_command_passes_mode_and_reference(tmp_path, monkeypatch, mode, reference):
    monkeypatch.setattr(command, "load_magnifier", lambda path: Reference())
    clip = write(tmp_path / "in.mp4", steps(9))
    magnify(clip, tmp_path / "out.mp4", Path("any"), mode=mode, reference=reference, device="cpu")
    for t, frame in enumerate(open_clip(tmp_path / "out.mp4")):
        wanted = 20 * (reference if mode == "static" else max(t - 1, 0))
        assert frame.mean() == pytest.approx(wanted, abs=3)


def test_command_takes_the_proposed_model_that_ships_unless_told(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(command, "load_magnifier", lambda source: asked.append(source) or Identity())
    clip = write(tmp_path / "in.mp4", steps(2))
    magnify(clip, tmp_path / "a.mp4", device="cpu")
    magnify(clip, tmp_path / "b.mp4", weights="tiny", device="cpu")
    assert asked == ["proposed", "tiny"]


def test_colours_pass_through(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "load_magnifier", lambda path: Identity())
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
        def decode(self, texture, shape, size=None):
            return -texture

    monkeypatch.setattr(command, "load_magnifier", lambda path: Negative())
    clip = write(tmp_path / "in.mp4", steps(6))
    done = magnify(clip, tmp_path / "out.mp4", Path("any"), side_by_side=True, device="cpu")
    result = open_clip(tmp_path / "out.mp4")
    assert (result.width, result.height, done.width) == (64, 16, 64)
    for t, frame in enumerate(result):
        assert frame[:, 4:28].mean() == pytest.approx(20 * t, abs=4)
        assert frame[:, 36:60].mean() == pytest.approx(255 - 20 * t, abs=4)


def test_slice_picture_is_written_beside_the_output(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "load_magnifier", lambda path: Identity())
    clip = write(tmp_path / "in.mp4", steps(6))
    done = magnify(clip, tmp_path / "out.mp4", Path("any"), slice="y=8", device="cpu")
    assert done.slice_image == tmp_path / "out_slice.png"
    with Image.open(done.slice_image) as image:
        assert image.width % 6 == 0
    done = magnify(clip, tmp_path / "b.mp4", Path("any"), slice="x=8", slice_image=tmp_path / "s.png", device="cpu")
    assert done.slice_image == tmp_path / "s.png"
    assert sorted(os.listdir(tmp_path)) == ["b.mp4", "in.mp4", "out.mp4", "out_slice.png", "s.png"]


def test_sound_is_copied_unless_the_rate_changes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "load_magnifier", lambda path: Identity())
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
    done = magnify(clip, tmp_path / "fast.mov", Path("any"), fps=250, device="cpu")
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
    "alpha_nan": ({"alpha": float("nan")}, "alpha = nan: must be a finite number >= 0"),
    "alpha_inf": ({"alpha": float("inf")}, "alpha = inf: must be"),
    "alpha_negative": ({"alpha": -1.0}, "alpha = -1.0: must be"),
    "mode": ({"mode": "both"}, "mode = 'both': must be static or dynamic"),
    "reference_negative": ({"reference": -1}, "reference = -1"),
    "reference_beyond": ({"reference": 9}, r"reference = 9: .*in\.mp4 has 9 frames, numbered 0 to 8"),
    "reference_dynamic": ({"reference": 1, "mode": "dynamic"}, "static mode only"),
    "fps": ({"fps": 0.0}, "fps = 0.0"),
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
        def encode(self, frame):
            if self.encoded == 4:
                raise error
            return super().encode(frame)

    monkeypatch.setattr(command, "load_magnifier", lambda path: Failing())
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
