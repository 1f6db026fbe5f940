"""What all classical methods have in common."""

import random

import pytest
import torch

from lightning_mm.classical.methods import METHODS
from lightning_mm.classical.shared import luma, magnify_pair, weighted_blur

NAMES = sorted(METHODS)
SMALLEST = {"linear": 15, "phase": 8, "riesz": 8}


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def method(name):
    return METHODS[name]()


def test_which_they_are():
    assert NAMES == ["linear", "phase", "riesz"]
    assert {name: (make().frame_linear, make().wraps) for name, make in METHODS.items()} == {
        "linear": (True, False),
        "phase": (False, True),
        "riesz": (False, True),
    }


@pytest.mark.parametrize("angle", [0.0, 1.0, 2.5, 4.0])
def test_motion_goes_on_in_its_direction(method, texture, gain, angle):
    assert 1.0 < 2.0 * gain(method, texture(0, angle=angle), 0.3, 2.0) < 2.0


def test_attenuation_slows_motion_and_a_negative_factor_turns_it_round(name, method, texture):
    moving = texture(1)
    a, b = moving.frame(0.0), moving.frame(0.3)
    shifts = [moving.moved(magnify_pair(method, a, b, alpha), 0.3) for alpha in (-1.0, 0.0, 0.5, 1.0, 2.0)]
    assert shifts == sorted(shifts)
    assert shifts[3] == pytest.approx(0.3, abs=1e-3)
    # Linear Eulerian magnification does not touch the finest band, which says most about where such textures are.
    most = {"linear": (0.25, 0.27, 0.29), "phase": (-0.2, 0.04, 0.18), "riesz": (-0.05, 0.12, 0.22)}
    backwards, stopped, halved = most[name]
    assert shifts[0] < backwards
    assert shifts[1] < stopped
    assert shifts[2] < halved


def test_a_factor_of_one_gives_the_frame_back(method, noise_frames):
    a, b = noise_frames(0, 2, 3, 33, 48), noise_frames(1, 2, 3, 33, 48)
    assert torch.equal(magnify_pair(method, a, b, 1.0), b)


def test_frames_that_are_the_same_stay_the_same(method, noise_frames):
    a = noise_frames(0, 1, 3, 40, 31)
    torch.testing.assert_close(magnify_pair(method, a, a, 50.0), a, rtol=0, atol=2e-5)


def test_a_change_of_brightness_everywhere_is_not_amplified(method, texture):
    a = 0.5 * texture(2, size=64).frame(0.0)
    b = a + 0.1
    torch.testing.assert_close(magnify_pair(method, a, b, 20.0), b, rtol=0, atol=2e-4)


@pytest.mark.parametrize("level", [-1.0, 0.0, 1.0])
def test_flat_frames_stay_flat(method, level):
    a = torch.full((1, 3, 24, 40), level)
    torch.testing.assert_close(magnify_pair(method, a, a, 100.0), a, rtol=0, atol=1e-5)


def test_any_size_works_and_frames_without_bands_stay_as_they_are(name, method, noise_frames):
    drawn = random.Random(0)
    sizes = [(1, 1), (1, 40), (40, 1), (2, 2), (7, 7), (7, 40), (8, 8), (15, 15), (16, 17), (40, 40)]
    sizes += [(drawn.randint(1, 40), drawn.randint(1, 40)) for _ in range(30)]
    for number, size in enumerate(sizes):
        a, b = noise_frames(number, 1, 3, *size), noise_frames(number + 100, 1, 3, *size)
        reference, current = method.encode(a), method.encode(b)
        assert current.size == size
        output = method.render(current, method.difference(reference.signal, current.signal), 300.0)
        assert output.shape == b.shape
        assert output.isfinite().all(), size
        assert torch.equal(output, b) == (min(size) < SMALLEST[name]), size


def test_each_image_of_a_batch_has_its_own_factor(method, texture):
    batch = [texture(seed, size=48) for seed in range(3)]
    a, b = (torch.cat([one.frame(shift) for one in batch]) for shift in (0.0, 0.2))
    alpha = torch.tensor([2.0, 30.0, 1.0])
    together = magnify_pair(method, a, b, alpha)
    for one in range(3):
        alone = magnify_pair(method, a[one : one + 1], b[one : one + 1], float(alpha[one]))
        torch.testing.assert_close(together[one : one + 1], alone, rtol=0, atol=1e-4)
    assert not torch.allclose(together[1:2], magnify_pair(method, a[1:2], b[1:2], 2.0), atol=0.01)


def test_one_reference_serves_a_batch(method, texture):
    moving = texture(0, size=48)
    a, b = moving.frame(0.0), torch.cat([moving.frame(0.1), moving.frame(0.2)])
    reference, current = method.encode(a), method.encode(b)
    once = method.render(current, method.difference(reference.signal, current.signal), 5.0).clamp(-1.0, 1.0)
    torch.testing.assert_close(once, magnify_pair(method, a.expand(2, -1, -1, -1), b, 5.0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["phase", "riesz"], indirect=True)
def test_phase_methods_leave_chroma_where_it_is(method, noise_frames):
    a, b = noise_frames(0, 1, 3, 40, 40), noise_frames(1, 1, 3, 40, 40)
    reference, current = method.encode(a), method.encode(b)
    added = method.render(current, method.difference(reference.signal, current.signal), 8.0) - b
    assert added.abs().max() > 0.1
    torch.testing.assert_close(added, added.mean(dim=1, keepdim=True).expand_as(added), rtol=0, atol=1e-5)
    # A change of colour that luma does not see is no motion.
    coloured = a + torch.tensor([0.114, 0.0, -0.299]).view(1, 3, 1, 1) * noise_frames(2, 1, 1, 40, 40)
    torch.testing.assert_close(magnify_pair(method, a, coloured, 5.0), coloured.clamp(-1.0, 1.0), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["phase", "riesz"], indirect=True)
@pytest.mark.parametrize("blur", [-1.0, float("nan"), float("inf")])
def test_what_is_no_blur_is_refused(method, blur):
    with pytest.raises(ValueError, match=f"blur = {blur}: must be a number of samples >= 0"):
        type(method)(blur=blur)


@pytest.mark.parametrize("name", ["phase", "riesz"], indirect=True)
def test_blur_spreads_phase_changes(method, noise_frames):
    a = noise_frames(0, 1, 3, 40, 40)
    b = a + 0.05 * noise_frames(1, 1, 3, 40, 40)
    outputs = [magnify_pair(type(method)(blur=blur), a, b, 3.0) for blur in (0.0, 1.0, 3.0)]
    added = [(output - b).abs().mean() for output in outputs]
    assert all(output.isfinite().all() for output in outputs)
    assert added[0] > added[1] > added[2] > 0.0, "phases of noise cancel out"


def test_luma_is_that_of_bt601():
    frames = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]]).view(4, 3, 1, 1)
    torch.testing.assert_close(luma(frames).flatten(), torch.tensor([0.299, 0.587, 0.114, 1.0]))


@pytest.mark.parametrize("sigma", [(0.7, 0.7), (2.0, 0.5), (1.0, 0.0), (5.0, 3.0)])
def test_the_blur_is_the_weighted_mean_of_scipy(sigma, noise_frames):
    from scipy.ndimage import gaussian_filter

    values, weights = noise_frames(0, 2, 2, 20, 13), noise_frames(1, 2, 1, 20, 13).abs()
    radius = tuple(int(-(-2.0 * deviation // 1)) for deviation in sigma)

    def blurred(image):
        return gaussian_filter(image.double().numpy(), sigma, mode="constant", radius=radius, axes=(-2, -1))

    expected = torch.from_numpy(blurred(values * weights) / blurred(weights))
    torch.testing.assert_close(weighted_blur(values, weights, sigma).double(), expected, rtol=1e-4, atol=1e-5)


def test_nothing_to_weigh_is_nothing():
    values, weights = torch.ones(1, 1, 5, 5), torch.zeros(1, 1, 5, 5)
    assert torch.equal(weighted_blur(values, weights, (1.0, 1.0)), torch.zeros(1, 1, 5, 5))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_finds_the_same(method, texture):
    moving = texture(0)
    a, b = moving.frame(0.0), moving.frame(0.2)
    there = magnify_pair(method, a.cuda(), b.cuda(), torch.tensor([10.0], device="cuda"))
    torch.testing.assert_close(there.cpu(), magnify_pair(method, a, b, 10.0), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("name", "tolerance", "stilled"), [("phase", 0.1, 0.1), ("riesz", 0.3, 0.5)])
def test_sums_of_small_differences_follow_a_long_way(name, tolerance, stilled, grating, grating_shift, gathered):
    method, wavelength, step, steps = METHODS[name](), 8.0, 0.25, 24
    encoded = [method.encode(grating(step * number, wavelength)) for number in range(steps + 1)]
    total = gathered(method, encoded)
    way = step * steps  # three quarters of a wavelength
    stopped = method.render(encoded[-1], total, 0.0)
    assert grating_shift(stopped, wavelength) == pytest.approx(0.0, abs=stilled)
    further = method.render(encoded[-1], total, 1.25)
    assert grating_shift(further, wavelength) == pytest.approx(1.25 * way - wavelength, abs=tolerance)
    at_once = method.render(encoded[-1], method.difference(encoded[0].signal, encoded[-1].signal), 1.25)
    assert grating_shift(at_once, wavelength) == pytest.approx(way - 0.25 * 2.0 - wavelength, abs=tolerance)
