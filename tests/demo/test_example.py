"""The example moves as it says: exact places of its beam, and what measuring finds in its frames."""

import numpy as np
import pytest
from scipy.ndimage import shift

from lightning_mm.demo.example import AMPLITUDE, FPS, FREQUENCY, Beam
from lightning_mm.measuring.tracking import PointTracker


def test_rows_move_by_the_square_of_their_height():
    profile = Beam((100, 120)).profile()
    assert profile[:10] == pytest.approx(1.0)
    assert profile[95:] == pytest.approx(0.0)
    assert np.all(np.diff(profile) <= 0.0)
    # Between foot and tip a cantilever's share is the square: half-way up it is a quarter.
    assert np.interp(52.0, np.arange(100), profile) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("moved", [0.1, 0.4, 1.0, -3.0])
def test_the_beam_is_shifted_and_the_wall_is_not(moved):
    beam = Beam((64, 160))
    still, after = beam.exact(0.0), beam.exact(moved)
    row = 3  # above the tip
    assert after[row] == pytest.approx(still[row], abs=1e-3)
    assert after[:, :50] == pytest.approx(still[:, :50], abs=1e-6)
    inside = slice(73, 87)
    spline = shift(still[20], (moved * beam.profile()[20], 0.0), order=5, mode="nearest")
    assert after[20][inside] == pytest.approx(spline[inside], abs=0.3)
    assert np.abs(after[20][inside] - still[20][inside]).max() > 1.0


def test_measuring_finds_the_displacement_that_was_given():
    beam = Beam((240, 320), seed=3)
    points = np.array([[160.0, 50.0], [160.0, 120.0], [60.0, 120.0]])
    tracker = PointTracker(beam.frame(0.0), points)
    found = tracker(beam.frame(0.8))
    assert found[2] == pytest.approx((0.0, 0.0), abs=0.02)
    for point, moved in zip(points[:2], found, strict=False):
        rows = slice(round(point[1]) - 15, round(point[1]) + 16)
        assert moved[0] == pytest.approx(0.8 * beam.profile()[rows].mean(), rel=0.08)
        assert moved[1] == pytest.approx(0.0, abs=0.02)


def test_the_clip_is_what_it_is_said_to_be(loaded):
    assert (loaded.frames, loaded.first.shape, loaded.clip.fps) == (60, (96, 128, 3), FPS)
    band = loaded.analysis().suggestion
    assert band.frequency == pytest.approx(FREQUENCY, abs=0.05)
    assert band.low < FREQUENCY < band.high
    assert 0.1 * AMPLITUDE < band.amplitude < AMPLITUDE
