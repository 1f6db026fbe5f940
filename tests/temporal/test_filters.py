import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d
from scipy.signal import butter, lfilter, sosfilt

from lightning_mm.temporal import FilterSpec, design, streaming

KINDS = {
    "fir": FilterSpec("fir", 4.0, 8.0, taps=21),
    "zero phase": FilterSpec("fir", 4.0, 8.0, taps=21, zero_phase=True),
    "butterworth": FilterSpec("butterworth", 4.0, 8.0),
    "butterworth 3": FilterSpec("butterworth", 4.0, 8.0, order=3),
    "iir": FilterSpec("iir", 4.0, 8.0),
}
CAUSAL = [name for name, spec in KINDS.items() if not spec.zero_phase]
every_kind = pytest.mark.parametrize("spec", KINDS.values(), ids=KINDS)


def run(spec, signal, fps=60.0, dtype=torch.float32):
    """Filter (T, N) float64, one call for each time step."""
    filtered = streaming(design(spec, fps))
    steps = torch.from_numpy(signal).to(dtype)
    return np.stack([filtered((step,))[0].double().numpy() for step in steps])


def reference(spec, signal, fps):
    """SciPy's answer in float64 to (T, N), for a clip that was at rest before."""
    change = signal - signal[0]
    found = design(spec, fps)
    if spec.kind == "fir":
        return lfilter(found.weights, [1.0], change, axis=0)
    if spec.kind == "butterworth":
        return sosfilt(butter(spec.order, [spec.low, spec.high], "bandpass", output="sos", fs=fps), change, axis=0)
    slow, fast = (1.0 - np.exp(-2.0 * np.pi * edge / fps) for edge in (spec.low, spec.high))
    passes = [lfilter([r], [1.0, r - 1.0], change, axis=0) for r in (slow, fast)]
    return (passes[1] - passes[0]) / found.raw_gain


def motion(steps, seed=0):
    """A random walk with noise on it and an offset: everything that a filter is not asked for, too."""
    random = np.random.default_rng(seed)
    walk = np.cumsum(random.normal(size=(steps, 3)), axis=0)
    return 0.1 * walk + random.normal(size=(steps, 3)) + np.array([0.0, 5.0, -100.0])


@pytest.mark.parametrize(
    ("low", "high", "fps"),
    [(4.0, 8.0, 60.0), (0.05, 0.1, 240.0), (0.01, 1.0, 30.0), (74.0, 78.0, 1900.0), (1.0, 59.0, 120.0)],
)
@pytest.mark.parametrize(("kind", "order"), [("fir", 1), ("butterworth", 1), ("butterworth", 4), ("iir", 1)])
def test_equals_scipy(kind, order, low, high, fps):
    spec = FilterSpec(kind, low, high, taps=33 if kind == "fir" else None, order=order)
    signal = motion(700)
    expected = reference(spec, signal.astype(np.float32).astype(np.float64), fps)
    scale = np.abs(expected).max()
    exact = run(spec, signal.astype(np.float32).astype(np.float64), fps, torch.float64)
    assert np.abs(exact - expected).max() < 1e-9 * scale
    assert np.abs(run(spec, signal, fps) - expected).max() < 1e-4 * scale


@pytest.mark.parametrize("order", [1, 2, 4])
def test_float32_is_enough_far_below_the_frame_rate(order):
    """A slow band at a high rate, for long: direct forms lose the signal here, by a hundredth of it and more."""
    spec = FilterSpec("butterworth", 0.05, 0.1, order=order)
    time = np.arange(4800)[:, None] / 240.0
    signal = np.sin(2.0 * np.pi * 0.07 * time) + 2.0 * np.sin(2.0 * np.pi * 0.002 * time)
    expected = reference(spec, signal, 240.0)
    assert np.abs(run(spec, signal, 240.0) - expected).max() < 1e-4 * np.abs(expected).max()


@every_kind
@pytest.mark.parametrize("frequency", [1.0, 4.0, 6.0, 8.0, 17.0])
def test_sines_come_out_as_the_response_says(spec, frequency):
    found = design(spec, 60.0)
    steps = np.arange(480)
    signal = np.cos(2.0 * np.pi * frequency * steps / 60.0)[:, None]
    out = run(spec, signal)[:, 0]
    settled = slice(240, 480)  # a whole number of periods
    wave = np.exp(-2j * np.pi * frequency * (steps[settled] - found.delay) / 60.0)
    measured = 2.0 * np.mean(out[settled] * wave)
    # What went before is the first value, 1, which a filter with a gain at 0 Hz shows as a constant; the mean has none.
    assert abs(measured - found.response(frequency)) < 2e-4
    if spec.zero_phase and 4.0 <= frequency <= 8.0:
        assert abs(np.angle(measured)) < 1e-3


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.uint8, torch.int16])
def test_nothing_moves_nothing_comes_out(spec, dtype):
    filtered = streaming(design(spec, 60.0))
    sample = torch.arange(0, 200, 7).to(dtype)
    for _ in range(50):
        (out,) = filtered((sample,))
        assert out.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert torch.equal(out, torch.zeros_like(out))


def test_a_gain_at_0_hertz_does_not_show_the_picture():
    spec = FilterSpec("fir", 1.0, 9.0, taps=3)
    assert design(spec, 20.0).gain(0.0) > 0.9
    signal = np.full((20, 1), 0.7)
    signal[10:] += 0.1
    out = run(spec, signal, 20.0, torch.float64)
    assert (out[:10] == 0.0).all()
    assert out[-1] == pytest.approx(0.1 * design(spec, 20.0).gain(0.0))


@pytest.mark.parametrize("steps", [3, 9, 10, 11, 40])
@pytest.mark.parametrize("taps", [3, 21])
def test_zero_phase_with_the_last_sample_repeated_is_a_convolution_that_rests_at_both_ends(steps, taps):
    spec = FilterSpec("fir", 4.0, 8.0, taps=taps, zero_phase=True)
    found = design(spec, 60.0)
    signal = motion(steps)
    out = run(spec, np.concatenate((signal, np.repeat(signal[-1:], found.delay, axis=0))), dtype=torch.float64)
    aligned = out[found.delay :]
    expected = convolve1d(signal - signal[0], found.weights, axis=0, mode="nearest")
    assert aligned.shape == signal.shape
    np.testing.assert_allclose(aligned, expected, atol=1e-10)


@pytest.mark.parametrize("name", CAUSAL)
def test_causal_filters_do_not_wait(name):
    """A change of the last sample changes the last output, and none before it."""
    signal = motion(30)
    other = signal.copy()
    other[-1] += 1.0
    change = run(KINDS[name], other, dtype=torch.float64) - run(KINDS[name], signal, dtype=torch.float64)
    assert (change[:-1] == 0.0).all()
    assert (np.abs(change[-1]) > 1e-4).all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.uint16])
@every_kind
def test_frames_of_integers_give_what_floating_point_gives(spec, dtype):
    frames = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (60, 1, 3, 5, 7)))
    whole, floating = streaming(design(spec, 60.0)), streaming(design(spec, 60.0))
    for frame in frames:
        (found,), (expected,) = whole((frame.to(dtype),)), floating((frame.float(),))
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-4)


def test_large_frames_are_converted_in_blocks(monkeypatch):
    frames = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (25, 1, 3, 7, 9), dtype=np.uint8))
    outs = []
    for block in (2**18, 21, 64, 1):
        monkeypatch.setattr("lightning_mm.temporal.filters._CPU_BLOCK", block)
        filtered = streaming(design(KINDS["fir"], 60.0))
        outs.append(torch.stack([filtered((frame,))[0] for frame in frames]))
    for out in outs[1:]:
        torch.testing.assert_close(out, outs[0], rtol=0.0, atol=1e-4)


@every_kind
def test_several_tensors_of_any_shape_are_filtered_each_for_itself(spec):
    shapes = [(1, 3, 8, 6), (2, 5), (1,), ()]
    generator = torch.Generator().manual_seed(0)
    steps = [[torch.randn(shape, generator=generator) for shape in shapes] for _ in range(30)]
    together = streaming(design(spec, 60.0))
    alone = [streaming(design(spec, 60.0)) for _ in shapes]
    for step in steps:
        outs = together(step)
        assert [out.shape for out in outs] == [tensor.shape for tensor in step]
        for out, single, tensor in zip(outs, alone, step, strict=True):
            torch.testing.assert_close(out, single([tensor])[0], rtol=0.0, atol=0.0)


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_memory_formats_change_nothing_and_are_kept(spec, dtype):
    frames = torch.from_numpy(np.random.default_rng(2).integers(0, 256, (30, 1, 3, 6, 4), dtype=np.uint8)).to(dtype)
    plain, last, mixed = (streaming(design(spec, 60.0)) for _ in range(3))
    for number, frame in enumerate(frames):
        channels_last = frame.contiguous(memory_format=torch.channels_last)
        (expected,) = plain((frame,))
        (out,) = last((channels_last,))
        assert out.is_contiguous(memory_format=torch.channels_last)
        (other,) = mixed((channels_last if number % 2 else frame,))
        for found in (out, other):
            torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-4)


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
def test_samples_are_left_alone_and_outputs_are_the_callers(spec, dtype):
    signal = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (40, 11))).to(dtype)
    careful, careless = streaming(design(spec, 60.0)), streaming(design(spec, 60.0))
    for step in signal:
        (expected,) = careful((step.clone(),))
        sample = step.clone()
        (out,) = careless((sample,))
        assert torch.equal(sample, step)
        assert torch.equal(out, expected)
        out.fill_(1e6)
        sample.fill_(99)


def held(thing, seen):
    """Bytes of all tensors that an object leads to, each storage once."""
    if id(thing) in seen:
        return 0
    seen[id(thing)] = thing
    if isinstance(thing, torch.Tensor):
        storage = thing.untyped_storage()
        new = storage.data_ptr() not in seen
        seen[storage.data_ptr()] = storage
        return storage.nbytes() if new else 0
    if isinstance(thing, dict):
        return sum(held(value, seen) for value in thing.values())
    if isinstance(thing, list | tuple):
        return sum(held(value, seen) for value in thing)
    return held(vars(thing), seen) if type(thing).__module__.startswith("lightning_mm") else 0


@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8])
def test_memory_is_as_stated_and_does_not_grow(spec, dtype):
    filtered = streaming(design(spec, 60.0))
    sample = [torch.zeros(1, 3, 40, 30, dtype=dtype), torch.zeros(500, dtype=dtype)]
    early = 0
    for number in range(500):
        filtered(sample)
        if number == 9:
            early = held(filtered, {})
    assert held(filtered, {}) == early
    stated = filtered.memory(sum(tensor.nbytes for tensor in sample), sample[0].itemsize)
    weights = 2 * 2 * filtered.design.taps * (8 if dtype == torch.float64 else 4)
    assert early == pytest.approx(stated + weights, abs=1)


def test_8_bit_history_takes_a_quarter_of_float32s():
    filtered = streaming(design(FilterSpec("fir", 4.0, 8.0, taps=101), 60.0))
    assert filtered.memory(1000, itemsize=1) == 101 * 1000 + 4000
    assert filtered.memory(4000) == 101 * 4000 + 4000


@every_kind
def test_after_a_reset_another_clip_begins(spec):
    filtered, fresh = streaming(design(spec, 60.0)), streaming(design(spec, 60.0))
    for step in torch.randn(25, 4, generator=torch.Generator().manual_seed(0)):
        filtered((step,))
    filtered.reset()
    for step in torch.randn(25, 2, 3, generator=torch.Generator().manual_seed(1)):
        assert torch.equal(filtered((step,))[0], fresh((step,))[0])


@every_kind
def test_a_sample_unlike_the_first_is_refused(spec):
    filtered = streaming(design(spec, 60.0))
    filtered((torch.zeros(2, 3),))
    for wrong in (torch.zeros(3, 2), torch.zeros(2, 3, dtype=torch.float64), torch.zeros(1, 3)):
        with pytest.raises(ValueError, match=r"the filter began with \(2, 3\) torch.float32 on cpu"):
            filtered((wrong,))
    with pytest.raises(ValueError, match="zip"):
        filtered((torch.zeros(2, 3), torch.zeros(2, 3)))


@every_kind
def test_works_in_and_out_of_inference_mode_and_takes_no_gradients(spec):
    steps = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    expected, mixed = streaming(design(spec, 60.0)), streaming(design(spec, 60.0))
    for number, step in enumerate(steps):
        with torch.inference_mode(number % 2 == 0):
            (out,) = mixed((step.clone().requires_grad_(number % 2 == 1),))
        assert not out.requires_grad
        assert torch.equal(out, expected((step,))[0])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@every_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_devices_agree(spec, dtype):
    frames = torch.from_numpy(np.random.default_rng(4).integers(0, 256, (60, 1, 3, 33, 21), dtype=np.uint8)).to(dtype)
    here, there = streaming(design(spec, 60.0)), streaming(design(spec, 60.0))
    for frame in frames:
        torch.testing.assert_close(there((frame.cuda(),))[0].cpu(), here((frame,))[0], rtol=0.0, atol=1e-3)
