import numpy as np
import pytest
import torch
from scipy import ndimage, signal
from streams import Additive, Identity, Reference, Waves, held, noise

from lightning_mm.classical.methods import METHODS
from lightning_mm.magnification.engine import Dynamic, Engine, Static, Temporal, stream
from lightning_mm.magnification.frames import from_levels, levels, to_frame, to_frames, to_tensor
from lightning_mm.magnification.learned import Learned
from lightning_mm.magnification.motions import make_plan
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.temporal import FilterSpec, design, streaming

MODES = {"first": Static, "fourth": None, "dynamic": Dynamic}


def small(encoder="linear"):
    torch.manual_seed(0)
    return Magnifier(MagnifierConfig(encoder, (1, 1, 1), 4, decoder_depth=1, decoder_channels=4)).eval()


def temporal(spec=None, fps=30.0, frames=None):
    return Temporal(streaming(design(spec or FilterSpec("butterworth", 3.0, 6.0), fps, frames)))


def static(frames, number):
    return Static(levels([frames[number]])) if number else Static()


@pytest.mark.parametrize("encoder", ["linear", "residual", "linear_single"])
@pytest.mark.parametrize("number", [0, 3, None])
@pytest.mark.parametrize("batch", [1, 4])
def test_engine_equals_the_two_frame_forward(encoder, number, batch):
    magnifier, frames = small(encoder), noise(6)
    motion = Dynamic() if number is None else static(frames, number)
    outputs = list(stream(Engine(Learned(magnifier), motion, 20.0), frames, batch))
    assert len(outputs) == 6
    for t, output in enumerate(outputs):
        before = frames[max(t - 1, 0) if number is None else number]
        with torch.no_grad():
            expected = magnifier(to_tensor(before), to_tensor(frames[t]), 20.0)
        expected = (expected[0].clamp(-1, 1).permute(1, 2, 0).numpy() + 1) * 127.5
        assert np.abs(output - expected).max() <= 0.5 + 1e-2
    assert np.abs(outputs[2].astype(int) - outputs[1]).max() > 5


def test_conversion_is_exact_both_ways_and_clamps():
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    tensor = to_tensor(ramp)
    assert tensor.shape == (1, 3, 16, 16)
    assert (tensor.min(), tensor.max()) == (-1, 1)
    assert np.array_equal(to_frame(tensor), ramp)
    assert np.array_equal(np.unique(to_frame(5 * tensor))[[0, -1]], [0, 255])


def test_sixteen_bits_pass_through_exactly():
    ramp = np.arange(65536, dtype=np.uint16).repeat(3).reshape(256, 256, 3)
    tensor = from_levels(levels([ramp]))
    assert (tensor.min(), tensor.max()) == (-1, 1)
    assert np.array_equal(to_frames(tensor, like=ramp)[0], ramp)
    frames = noise(5, dtype=np.uint16)
    outputs = list(stream(Engine(Identity(), temporal(), 5.0), frames))
    for output, frame in zip(outputs, frames, strict=True):
        assert output.dtype == np.uint16
        assert np.array_equal(output, frame)


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("motion", ["static", "reference", "dynamic", "temporal", "frames", "zero_phase"])
def test_every_frame_is_encoded_once_and_comes_out_in_order(batch, motion):
    frames = noise(9)
    method = Additive(frame_linear=motion == "frames")
    method.render = lambda encoded, change, alpha: encoded.carrier
    zero = FilterSpec("fir", 3.0, 6.0, taps=5, zero_phase=True)
    made = {
        "static": Static,
        "reference": lambda: Static(levels([frames[4]])),
        "dynamic": Dynamic,
        "temporal": temporal,
        "frames": temporal,
        "zero_phase": lambda: temporal(zero),
    }[motion]()
    outputs = list(stream(Engine(method, made, 5.0), frames, batch))
    assert len(outputs) == 9
    assert all(np.array_equal(a, b) for a, b in zip(outputs, frames, strict=True))
    # The reference is a frame more, and so is each that stands for what comes after the end.
    assert method.encoded == 9 + {"reference": 1, "zero_phase": 2}.get(motion, 0)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("number", [0, 2, None])
def test_the_right_frame_is_the_reference(batch, number):
    frames = noise(5)
    motion = Dynamic() if number is None else static(frames, number)
    outputs = list(stream(Engine(Reference(), motion, 5.0), frames, batch))
    for t, output in enumerate(outputs):
        assert np.array_equal(output, frames[max(t - 1, 0) if number is None else number])


@pytest.mark.parametrize("motion", [Static, Dynamic, temporal])
def test_frames_are_pulled_one_at_a_time(motion):
    pulled = given = 0

    def frames():
        nonlocal pulled
        for frame in noise(8):
            pulled += 1
            assert pulled - given <= 1, "read ahead of what was given out"
            yield frame

    for _ in stream(Engine(Identity(), motion(), 5.0), frames()):
        given += 1
        assert pulled == given
    assert given == 8


@pytest.mark.parametrize(
    "motion",
    [
        Static,
        Dynamic,
        temporal,
        lambda: temporal(FilterSpec("fir", 3.0, 6.0, taps=9)),
        lambda: temporal(FilterSpec("fir", 3.0, 6.0, taps=9, zero_phase=True)),
        lambda: temporal(FilterSpec("iir", 3.0, 6.0)),
    ],
)
@pytest.mark.parametrize("encoder", ["linear", "residual"])
def test_memory_does_not_grow_with_the_clip(motion, encoder):
    frame = noise(1, 16, 16)[0]
    made = motion()
    engine = Engine(Learned(small(encoder)), made, 5.0)
    sizes = []
    for t in range(60):
        engine.push([np.roll(frame, t, axis=1)])
        sizes.append(held(made))
    assert 0 < sizes[15] == sizes[59]


@pytest.mark.parametrize("motion", [Static, Dynamic, lambda: temporal(FilterSpec("fir", 3.0, 6.0, 5, 1, True))])
def test_what_is_begun_can_be_waited_for_later(motion):
    frames = noise(9)
    expected = list(stream(Engine(Learned(small()), motion(), 5.0), frames, 2))
    engine = Engine(Learned(small()), motion(), 5.0)
    begun = [engine.begin(frames[n : n + 2]) for n in range(0, 9, 2)]
    found = [frame for one in begun for frame in one.frames()] + engine.flush()
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("motion", [Static, Dynamic, temporal])
def test_cuda_equals_cpu(batch, motion):
    frames = noise(10, 40, 60)
    expected = stream(Engine(Learned(small()), motion(), 5.0), frames)
    found = stream(Engine(Learned(small().cuda()), motion(), 5.0, "cuda"), frames, batch)
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(found, expected, strict=True))


def test_what_was_held_back_is_given_once():
    engine = Engine(Identity(), temporal(FilterSpec("fir", 3.0, 6.0, 5, 1, True)), 5.0)
    frames = noise(4)
    given = engine.push(frames) + engine.flush()
    assert len(given) == 4
    assert engine.flush() == []


def test_inference_mode_does_not_leak_to_the_consumer():
    for _ in stream(Engine(Learned(small()), Static(), 5.0), noise(2)):
        assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("motion", [Static, Dynamic, lambda: temporal(FilterSpec("fir", 3.0, 6.0, 9, 1, True))])
def test_short_clips(count, motion):
    frames = noise(count)
    for encoder in ("linear", "residual"):
        outputs = list(stream(Engine(Learned(small(encoder)), motion(), 5.0), frames, 2))
        assert [output.shape for output in outputs] == [frame.shape for frame in frames]
    assert list(stream(Engine(Identity(), motion(), 5.0), [], 2)) == []


SPECS = {
    "butterworth": FilterSpec("butterworth", 3.0, 6.0, order=2),
    "iir": FilterSpec("iir", 2.0, 8.0),
    "fir": FilterSpec("fir", 3.0, 6.0, taps=15),
    "zero_phase": FilterSpec("fir", 3.0, 6.0, taps=15, zero_phase=True),
}


def offline(values, made):
    """A whole series filtered by SciPy in double precision, at rest on its first value."""
    change = values - values[:1]
    if made.spec.zero_phase:
        # Before the start and behind the end, the series stands still.
        return ndimage.convolve1d(change, made.weights, axis=0, mode="nearest")
    if made.spec.kind == "iir":
        fast, slow = (signal.lfilter([r], [1.0, r - 1.0], change, axis=0) for r in sorted(made.rates, reverse=True))
        return (fast - slow) / made.raw_gain
    if made.spec.kind == "butterworth":
        return signal.sosfilt(made.sos, change, axis=0)
    return signal.lfilter(made.weights, [1.0], change, axis=0)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("frame_linear", [False, True])
@pytest.mark.parametrize("batch", [1, 4])
def test_temporal_equals_scipy(name, frame_linear, batch):
    frames = noise(40, 3, 4, dtype=np.uint16)
    made = design(SPECS[name], 30.0, 40)
    engine = Engine(Additive(frame_linear), Temporal(streaming(made)), 1.3)
    outputs = np.stack(list(stream(engine, frames, batch))).astype(float)
    values = np.stack(frames).astype(float)
    expected = np.clip(values + 0.3 * offline(values, made), 0, 65535)
    assert np.abs(offline(values, made)).max() > 10000
    assert np.abs(outputs - expected).max() < 1.0


@pytest.mark.parametrize("name", SPECS)
def test_filters_and_linear_encoders_change_places(name):
    """Filtering frames in front of the encoder is filtering shapes behind it."""
    torch.manual_seed(0)
    frames = [np.clip(f.astype(int) // 4 + 90, 0, 255).astype(np.uint8) for f in noise(24)]
    results = []
    for before in (True, False):
        method = Learned(small())
        assert method.frame_linear
        method.frame_linear = before
        engine = Engine(method, Temporal(streaming(design(SPECS[name], 30.0, 24))), 3.0)
        results.append(np.stack(list(stream(engine, frames))).astype(int))
    assert np.abs(results[0] - results[1]).max() <= 1
    assert np.abs(results[0][1:] - results[0][:-1]).max() > 2


def test_alpha_one_gives_back_what_the_network_makes_of_the_frame_in_every_mode():
    magnifier, frames = small(), noise(8)
    with torch.no_grad():
        plain = [to_frame(magnifier(to_tensor(frame), to_tensor(frame), 1.0)) for frame in frames]
    for motion in (Static(), Dynamic(), temporal()):
        outputs = stream(Engine(Learned(magnifier), motion, 1.0), frames)
        assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(outputs, plain, strict=True))


@pytest.mark.parametrize("alpha", [0.0, 0.25, -3.0])
def test_attenuation_goes_the_way_back(alpha):
    """Below 1, what is amplified is the change from the current frame to the reference, 1 - alpha times."""
    magnifier = small()
    a, b = (to_tensor(frame) for frame in noise(2))
    method = Learned(magnifier)
    with torch.inference_mode():
        before, encoded = method.encode(a), method.encode(b)
        got = method.render(encoded, method.difference(before.signal, encoded.signal), alpha)
        back = method.difference(encoded.signal, before.signal)
        expected = method.render(encoded, back, 2.0 - alpha)
        plain = method.render(encoded, back, 1.0)
    torch.testing.assert_close(got, expected)
    assert (got - plain).abs().max() > 0.01


def test_alphas_below_and_above_one_share_a_batch():
    magnifier = small()
    frames = torch.cat([to_tensor(frame) for frame in noise(4)])
    method = Learned(magnifier)
    alphas = torch.tensor([0.0, 1.0, 3.0, -2.0])
    with torch.inference_mode():
        before, encoded = method.encode(frames.flip(0)), method.encode(frames)
        change = method.difference(before.signal, encoded.signal)
        together = method.render(encoded, change, alphas)
        for n, alpha in enumerate(alphas.tolist()):
            one, other = method.encode(frames[n : n + 1]), method.encode(frames.flip(0)[n : n + 1])
            alone = method.render(one, method.difference(other.signal, one.signal), alpha)
            torch.testing.assert_close(together[n : n + 1], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 3), (7, 5), (13, 40), (33, 17), (40, 40)])
@pytest.mark.parametrize("encoder", ["linear", "residual", "linear_single"])
def test_sizes(size, encoder):
    frames = noise(5, *size)
    for motion in (Static(), Dynamic(), temporal()):
        outputs = list(stream(Engine(Learned(small(encoder)), motion, 7.0), frames, 2))
        assert [output.shape for output in outputs] == [(*size, 3)] * 5


@pytest.mark.parametrize("name", ["linear", "phase", "riesz"])
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (7, 40), (8, 8), (40, 33)])
def test_sizes_of_classical_methods(name, size):
    """Too small for a pyramid, frames come out as they are."""
    frames = noise(5, *size)
    for motion in (Static(), Dynamic(), temporal()):
        outputs = list(stream(Engine(METHODS[name](), motion, 7.0), frames, 2))
        assert [output.shape for output in outputs] == [(*size, 3)] * 5
        if min(size) < 8:
            assert all(np.array_equal(output, frame) for output, frame in zip(outputs, frames, strict=True))


@pytest.mark.parametrize("allocate", ["gpu", "processor"])
def test_tiles_are_taken_when_memory_runs_out(capsys, allocate):
    magnifier, frames = small(), noise(3, 150, 200)
    whole = list(stream(Engine(Learned(magnifier), Static(), 9.0), frames))
    method = Learned(magnifier)
    decode = magnifier.decode

    def limited(texture, shape, size=None):
        if shape.shape[-1] > 90:
            if allocate == "processor":
                torch.empty(10**16)  # the message is the system's own
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(texture, shape, size)

    magnifier.decode = limited
    tiled = list(stream(Engine(method, Static(), 9.0), frames))
    assert method.tile == 100
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(tiled, whole, strict=True))
    assert capsys.readouterr().err.count("warning: ") == 1
    magnifier.decode = lambda *arguments: (_ for _ in ()).throw(torch.OutOfMemoryError("out of memory"))
    with pytest.raises(torch.OutOfMemoryError):
        next(iter(stream(Engine(Learned(magnifier), Static(), 9.0), frames)))


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    magnifier = small()
    magnifier.decode = lambda *arguments: (_ for _ in ()).throw(RuntimeError("a fault"))
    with pytest.raises(RuntimeError, match="a fault"):
        list(stream(Engine(Learned(magnifier), Static(), 9.0), noise(1)))


def test_waves_measure_what_they_show():
    waves = Waves()
    for moved in ((0.0, 0.0), (0.013, -0.4), (1.7, 2.1)):
        assert waves.displacement(waves.frame(*moved)) == pytest.approx(moved, abs=2e-5)


def test_plans_make_motions():
    assert isinstance(make_plan().motion(None), Static)
    assert isinstance(make_plan(mode="dynamic").motion(None), Dynamic)
    plan = make_plan(band="3,6")
    made, _ = plan.design(30.0, 90)
    assert isinstance(plan.motion(made), Temporal)
