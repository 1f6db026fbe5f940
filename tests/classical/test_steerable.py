"""The steerable pyramid against pyrtools, and against what its filters must add up to."""

import math
import warnings

import numpy as np
import pytest
import torch

from lightning_mm.classical.steerable import HALF_OCTAVE, OCTAVE, SteerablePyramid, steerable_pyramid

CPU = torch.device("cpu")


def depth_of(size):
    return int(math.log2(min(size))) - 2


def image(size, seed=0):
    """Noise (H, W) float64 without the highest frequency of even sides, which no one-sided filter can take."""
    spectrum = np.fft.fft2(np.random.default_rng(seed).normal(size=size))
    spectrum[np.abs(np.fft.fftfreq(size[0])) == 0.5] = 0.0
    spectrum[:, np.abs(np.fft.fftfreq(size[1])) == 0.5] = 0.0
    return np.fft.ifft2(spectrum).real


def analysed(size, layout):
    pixels = image(size)
    pyramid = SteerablePyramid(size, depth_of(size), layout, CPU)
    return pixels, pyramid, pyramid.analyse(torch.from_numpy(pixels).float())


@pytest.fixture(scope="module")
def pyrtools():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("pyrtools", reason="pyrtools is not installed")


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (128, 80)])
def test_octave_bands_are_those_of_pyrtools(pyrtools, size):
    pixels, pyramid, coefficients = analysed(size, OCTAVE)
    theirs = pyrtools.pyramids.SteerablePyramidFreq(pixels, height=depth_of(size), order=3, is_complex=True)
    compared = 0
    for band, values in zip(pyramid.bands, coefficients, strict=True):
        if band.level == 0:
            continue
        mine = np.zeros(size, complex)
        mine[band.box] = np.fft.fft2(values.numpy(), norm="forward")
        found = theirs.pyr_coeffs[band.level - 1, band.orientation]
        # Their complex bands carry a factor of two, and (-i)^order.
        spectrum = np.fft.fftshift(np.fft.fft2(found)) / pixels.size / (2.0 * (-1j) ** 3)
        top, left = (whole // 2 - part // 2 for whole, part in zip(size, spectrum.shape, strict=True))
        box = (slice(top, top + spectrum.shape[0]), slice(left, left + spectrum.shape[1]))
        # They interpolate their filters in tables: at their steepest the difference is 8e-4 of the largest value.
        assert np.abs(mine[box] - spectrum).max() < 2e-3 * np.abs(spectrum).max()
        assert np.linalg.norm(mine) == pytest.approx(np.linalg.norm(spectrum), rel=3e-4)
        compared += 1
    assert compared == 4 * depth_of(size)


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (128, 80)])
def test_octave_bands_rebuild_what_those_of_pyrtools_do(pyrtools, size):
    pixels, pyramid, coefficients = analysed(size, OCTAVE)
    theirs = pyrtools.pyramids.SteerablePyramidFreq(pixels, height=depth_of(size), order=3, is_complex=True)
    expected = theirs.recon_pyr(levels=["residual_highpass", *range(depth_of(size))])
    np.testing.assert_allclose(pyramid.synthesise(coefficients).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("layout", [OCTAVE, HALF_OCTAVE])
@pytest.mark.parametrize("size", [(64, 64), (48, 90), (63, 95), (61, 67), (8, 8), (9, 40), (15, 8)])
def test_bands_and_the_low_pass_rest_rebuild_the_image(size, layout):
    pixels, pyramid, coefficients = analysed(size, layout)
    y, x = (2.0 * np.fft.fftfreq(side) for side in size)
    radius = np.log2(np.maximum(np.hypot(y[:, None], x), 1e-9))
    rest = 1.0
    for number in range(round(depth_of(size) / layout.octaves) + 1):
        slope = np.clip((radius + number * layout.octaves) / layout.transition, -1.0, 0.0)
        rest = rest * np.sin(0.5 * math.pi * slope) ** 2
    expected = pixels - np.fft.ifft2(np.fft.fft2(pixels) * rest).real
    assert 1e-3 < np.abs(pixels - expected).max() < 3.0
    np.testing.assert_allclose(pyramid.synthesise(coefficients).numpy(), expected, atol=5e-6)


@pytest.mark.parametrize(("layout", "most"), [(OCTAVE, 6.0), (HALF_OCTAVE, 10.5)])
def test_bands_have_few_coefficients(layout, most):
    pixels, _, coefficients = analysed((128, 128), layout)
    assert sum(values.numel() for values in coefficients) < most * pixels.size


@pytest.mark.parametrize("wavelength", [2.5, 6.0, 16.0])
@pytest.mark.parametrize("orientation", [0, 3, 6])
def test_the_phase_of_a_grating_moves_with_it(wavelength, orientation):
    angle = math.pi * orientation / HALF_OCTAVE.orientations
    y, x = np.mgrid[:96, :96]
    window = np.outer(np.hanning(96), np.hanning(96))

    def coefficients(shift):
        along = x * math.cos(angle) + y * math.sin(angle) - shift
        grating = window * np.cos(2.0 * math.pi * along / wavelength)
        return pyramid.analyse(torch.from_numpy(grating).float())

    pyramid = steerable_pyramid((96, 96), 4, HALF_OCTAVE, CPU)
    before, after = coefficients(0.0), coefficients(0.3)
    strongest = max(range(len(before)), key=lambda number: before[number].abs().max())
    assert pyramid.bands[strongest].orientation == orientation
    a, b = before[strongest], after[strongest]
    seen = a.abs() > 0.5 * a.abs().max()
    assert seen.sum() >= 4
    moved = (b * a.conj())[seen].angle()
    torch.testing.assert_close(moved, torch.full_like(moved, -2.0 * math.pi * 0.3 / wavelength), rtol=0.02, atol=0)


def test_a_pyramid_is_made_once_and_can_be_used_outside_of_inference():
    with torch.inference_mode():
        pyramid = steerable_pyramid((16, 24), 2, OCTAVE, CPU)
    assert steerable_pyramid((16, 24), 2, OCTAVE, CPU) is pyramid
    pixels = torch.rand(16, 24, requires_grad=True)
    pyramid.synthesise(pyramid.analyse(pixels)).square().sum().backward()
    assert pixels.grad is not None
    assert pixels.grad.isfinite().all()


@pytest.mark.parametrize("depth", [0, -2])
def test_without_depth_there_are_no_bands(depth):
    assert SteerablePyramid((4, 4), depth, OCTAVE, CPU).bands == []
