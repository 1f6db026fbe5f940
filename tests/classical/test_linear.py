"""Linear Eulerian magnification against what a shifted sinusoid must become."""

import math

import pytest
import torch

from lightning_mm.classical.linear import LinearEulerian, magnify_linear

SIZE = 256


def wave(shift, wavelength=128.0, size=SIZE, amplitude=0.5, axis=-1):
    """A sinusoid moved by ``shift`` px along an axis, (1, 3, size, size)."""
    phase = 2.0 * math.pi * (torch.arange(size, dtype=torch.float64) - shift) / wavelength
    line = (amplitude * torch.cos(phase)).float()
    return (line if axis == -1 else line[:, None]).expand(1, 3, size, size).contiguous()


def measured_shift(image, wavelength=128.0, axis=-1):
    """Displacement in px of a sinusoid, from its phase over the inner half."""
    line = image[0, 0].mean(dim=0 if axis == -1 else 1).double()
    position = torch.arange(line.numel(), dtype=torch.float64)
    inner = slice(line.numel() // 4, 3 * line.numel() // 4)  # a whole number of periods
    angle = 2.0 * math.pi * position[inner] / wavelength
    return math.atan2((line[inner] * angle.sin()).sum(), (line[inner] * angle.cos()).sum()) / (2 * math.pi) * wavelength


def image(seed, size=64, batch=1):
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def factor(*values):
    return torch.tensor(values)


def test_the_measure_finds_a_shift():
    assert measured_shift(wave(1.25)) == pytest.approx(1.25, abs=1e-4)


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("alpha", [2.0, 3.0, 4.0])
def test_a_small_shift_of_a_slow_wave_is_magnified(alpha, axis):
    magnified = magnify_linear(wave(0.0, axis=axis), wave(0.4, axis=axis), factor(alpha))
    assert measured_shift(magnified, axis=axis) == pytest.approx(0.4 * alpha, rel=0.02)


def test_the_slower_the_wave_the_nearer_to_exact():
    errors = []
    for wavelength in (8.0, 16.0, 32.0, 64.0, 128.0):
        magnified = magnify_linear(wave(0.0, wavelength), wave(0.2, wavelength), factor(4.0))
        errors.append(abs(measured_shift(magnified, wavelength) - 0.8))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 4 * errors[-1]


def test_a_factor_of_one_returns_frame_b_exactly():
    a, b = image(0), image(1)
    assert torch.equal(magnify_linear(a, b, factor(1.0)), b)


def test_frames_that_are_the_same_stay_the_same_at_any_factor():
    a = image(0)
    assert torch.equal(magnify_linear(a, a, factor(50.0)), a)


def test_a_change_of_colour_everywhere_is_not_amplified():
    a = image(0) * 0.5
    b = a + torch.tensor([0.2, -0.1, 0.05]).view(1, 3, 1, 1)
    torch.testing.assert_close(magnify_linear(a, b, factor(30.0)), b, rtol=0, atol=1e-5)


def test_the_finest_band_is_not_amplified():
    a = torch.zeros(1, 3, 64, 64)
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    b = a + 0.1 * (-1.0) ** (x + y)  # the low-pass filter takes it out whole
    torch.testing.assert_close(magnify_linear(a, b, factor(20.0)), b, rtol=0, atol=1e-5)


def test_each_image_has_its_own_factor():
    a, b = image(0, batch=3), image(1, batch=3) * 0.1 + image(0, batch=3) * 0.9
    alpha = factor(1.0, 2.0, 8.0)
    together = magnify_linear(a, b, alpha)
    for index in range(3):
        alone = magnify_linear(a[index : index + 1], b[index : index + 1], alpha[index : index + 1])
        torch.testing.assert_close(together[index : index + 1], alone, rtol=0, atol=1e-6)
    assert not torch.equal(together[2:], magnify_linear(a, b, factor(1.0, 2.0, 2.0))[2:])


@pytest.mark.parametrize("size", [(64, 64), (33, 57), (11, 90), (12, 12)])
@pytest.mark.parametrize("alpha", [1.0, 10.0, 1000.0])
def test_any_size_and_factor_gives_finite_pixels_in_range(size, alpha):
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 3, *size, generator=generator) * 2 - 1 for _ in range(2))
    magnified = magnify_linear(a, b, factor(alpha, alpha))
    assert magnified.shape == a.shape
    assert magnified.isfinite().all()
    assert magnified.abs().max() <= 1.0


def test_the_factor_of_fast_motion_is_capped():
    a, b = wave(0.0, 8.0, size=128), wave(0.3, 8.0, size=128)
    added = [(magnify_linear(a * 0.1, b * 0.1, factor(alpha)) - b * 0.1).abs().max().item() for alpha in (2.0, 3.0)]
    # At a factor of 2 the bands of such short waves are below the cutoff, where the original adds little or nothing.
    assert added[0] < 0.4 * added[1]


def test_a_change_of_the_frame_is_a_change_of_the_signal():
    method = LinearEulerian()
    a, b = image(0), image(1)
    encoded = method.encode(b)
    (change,) = method.encode_change(b - a)
    assert torch.equal(change, method.difference(method.encode(a).signal, encoded.signal)[0])
    output = method.render(encoded, (change,), 5.0)
    assert output.abs().max() > 1.0, "it is not clamped"
    torch.testing.assert_close(output.clamp(-1.0, 1.0), magnify_linear(a, b, factor(5.0)))


@pytest.mark.parametrize("wavelength", [64.0, 128.0])
def test_a_factor_of_zero_stops_slow_waves_and_one_of_minus_one_turns_them_round(wavelength):
    a, b = wave(0.0, wavelength), wave(0.4, wavelength)
    assert measured_shift(magnify_linear(a, b, factor(0.0)), wavelength) == pytest.approx(0.0, abs=0.02)
    assert measured_shift(magnify_linear(a, b, factor(0.5)), wavelength) == pytest.approx(0.2, abs=0.02)
    assert -0.42 < measured_shift(magnify_linear(a, b, factor(-1.0)), wavelength) < -0.25


def test_negative_factors_are_capped_as_positive_ones_are():
    a, b = wave(0.0, 8.0, size=128) * 0.1, wave(0.3, 8.0, size=128) * 0.1
    added = [(magnify_linear(a, b, factor(1.0 + excess)) - b).abs().max().item() for excess in (-1.5, -200.0, 200.0)]
    assert added[0] < 0.05 * added[1]
    assert added[1] == pytest.approx(added[2], rel=1e-3)
