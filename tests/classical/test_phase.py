"""Phase-based magnification against textures and gratings moved by exact amounts."""

import math

import pytest
import torch

from lightning_mm.classical.phase import PhaseBased
from lightning_mm.classical.shared import magnify_pair
from lightning_mm.classical.steerable import HALF_OCTAVE, OCTAVE

# Measured: 0.934 to 0.973 with half-octave bands, 0.875 to 0.942 with octave bands.
RANGES = [(PhaseBased(), 0.92, 0.985), (PhaseBased(OCTAVE), 0.86, 0.96)]
MOTIONS = [(0.05, 2.0), (0.05, 40.0), (0.2, 10.0), (0.2, 40.0), (0.5, 4.0), (1.0, 2.0), (1.0, 10.0)]


@pytest.mark.parametrize(("method", "low", "high"), RANGES, ids=["half octave", "octave"])
@pytest.mark.parametrize(("motion", "alpha"), MOTIONS)
def test_textures_move_alpha_times_as_far(texture, gain, method, low, high, motion, alpha):
    assert low < gain(method, texture(1, angle=0.4), motion, alpha) < high


@pytest.mark.parametrize("blur", [0.0, 3.0])
def test_textures_move_as_far_with_and_without_blur(texture, gain, blur):
    assert 0.85 < gain(PhaseBased(blur=blur), texture(2), 0.2, 10.0) < 0.985


@pytest.mark.parametrize("wavelength", [2.2, 2.8, 4.0, 8.0, 15.0])
@pytest.mark.parametrize("angle", [0.0, 0.7, -1.2])
def test_gratings_move_alpha_times_as_far_up_to_the_highest_frequencies(grating, grating_shift, wavelength, angle):
    a, b = grating(0.0, wavelength, angle), grating(0.1, wavelength, angle)
    moved = grating_shift(magnify_pair(PhaseBased(), a, b, 8.0), wavelength, angle)
    assert moved == pytest.approx(0.8, rel=0.06)


def test_the_output_is_near_the_truth(texture):
    moving = texture(3)
    output = magnify_pair(PhaseBased(), moving.frame(0.0), moving.frame(0.2), 5.0)
    truth, unmoved = moving.frame(1.0), moving.frame(0.2)
    errors = [(image - truth)[..., 20:-20, 20:-20].square().mean() for image in (output, unmoved)]
    assert errors[0] < 0.03 * errors[1]


def test_half_octave_bands_are_nearer_to_the_truth_than_octave_bands(texture):
    moving = texture(4)
    a, b, truth = (moving.frame(shift) for shift in (0.0, 0.2, 4.0))
    half, whole = (magnify_pair(PhaseBased(layout), a, b, 20.0) - truth for layout in (HALF_OCTAVE, OCTAVE))
    assert half.square().mean() < 0.8 * whole.square().mean()


def test_phase_differences_lie_between_minus_pi_and_pi(noise_frames):
    method = PhaseBased()
    a, b = (method.encode(noise_frames(seed, 1, 3, 40, 56)).signal for seed in (0, 1))
    differences = torch.cat([change.flatten() for change in method.difference(a, b)])
    assert differences.abs().max() <= math.pi
    assert differences.abs().max() > 3.0
    assert not differences.is_complex()
    back = torch.cat([change.flatten() for change in method.difference(b, a)])
    torch.testing.assert_close(back, -differences, rtol=0, atol=1e-4)


def test_nothing_is_seen_where_there_is_nothing():
    method = PhaseBased()
    a = method.encode(torch.full((1, 3, 32, 32), 0.3))
    assert all(torch.equal(change, torch.zeros_like(change)) for change in method.difference(a.signal, a.signal))


def test_what_moves_out_at_one_side_does_not_come_in_at_the_other(grating):
    a, b = (torch.zeros(1, 3, 48, 96) for _ in range(2))
    a[..., -16:], b[..., -16:] = (grating(shift, 6.0, size=(48, 96))[..., -16:] for shift in (0.0, 0.3))
    added = magnify_pair(PhaseBased(), a, b, 10.0) - b
    assert added[..., -16:].abs().max() > 0.3
    assert added[..., :24].abs().max() < 0.02
