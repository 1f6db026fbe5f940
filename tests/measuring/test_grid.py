import numpy as np
import pytest

pytest.importorskip("cv2", reason="OpenCV (extra 'measure') is not installed")
from lightning_mm.errors import InputError
from lightning_mm.measuring.grid import LOST, GridTracker, grid_points
from lightning_mm.measuring.tracking import FLAT


def test_columns_and_rows():
    points = grid_points("4x2", (10, 20, 40, 20))
    np.testing.assert_allclose(points[:4], [(14.5, 24.5), (24.5, 24.5), (34.5, 24.5), (44.5, 24.5)])
    np.testing.assert_allclose(points[4:, 1], 34.5)


@pytest.mark.parametrize("step", [1, 7, 16, 500])
def test_a_step_keeps_within_the_region(step):
    points = grid_points(str(step), (10, 20, 40, 20))
    assert ((points >= (10, 20)) & (points <= (49, 39))).all()
    columns, rows = np.unique(points[:, 0]), np.unique(points[:, 1])
    assert len(columns) == max(1, 40 // step)
    assert len(rows) == max(1, 20 // step)
    np.testing.assert_allclose(np.diff(columns), step)
    # As far from the left as from the right.
    assert points[:, 0].min() - 10 == pytest.approx(49 - points[:, 0].max())


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        ("", "COLUMNSxROWS"),
        ("0", "COLUMNSxROWS"),
        ("3x0", "COLUMNSxROWS"),
        ("-4", "COLUMNSxROWS"),
        ("3x4x5", "COLUMNSxROWS"),
        ("1.5", "COLUMNSxROWS"),
        ("1", "20000 points; at most 2000"),
        ("100x100", "10000 points; at most 2000"),
        ("500x1", "more than a point per pixel"),
    ],
)
def test_bad_grids(grid, said):
    with pytest.raises(InputError, match=said) as caught:
        grid_points(grid, (0, 0, 200, 100))
    assert f"grid = '{grid}'" in str(caught.value)


def test_each_point_has_the_motion_of_its_place(pictures):
    """Left and right half move differently, a stripe between them is flat, and a corner is covered half-way."""
    phase = 2.0 * np.pi * 6.0 * np.arange(40) / 60.0
    left, right = pictures.texture(96, 96, seed=1), pictures.texture(96, 96, seed=2)
    frames = []
    for t, angle in enumerate(phase):
        frame = np.full((96, 256, 3), 128, np.uint8)
        frame[:, :96] = pictures.rgb(pictures.shift(left, 0.4 * np.sin(angle), 0.0))
        frame[:, 160:] = pictures.rgb(pictures.shift(right, 0.0, 0.2 * np.sin(angle)))
        if t >= 15:
            frame[64:, 224:] = pictures.rgb(pictures.texture(32, 32, seed=t))
        frames.append(frame)
    points = np.array([[30.0, 30.0], [60.0, 70.0], [128.0, 48.0], [180.0, 30.0], [200.0, 60.0], [240.0, 80.0]])
    tracker = GridTracker(frames[0], points)
    for frame in frames:
        tracker.add(frame)
    grid = tracker.motion(60.0)
    assert (grid.kinds == FLAT).tolist() == [False, False, True, False, False, False]
    assert (grid.kinds == LOST).tolist() == [False] * 5 + [True]
    moving = np.sin(phase)
    for point in (0, 1):
        np.testing.assert_allclose(grid.displacement[:, point, 0], 0.4 * moving, atol=0.02)
        np.testing.assert_allclose(grid.displacement[:, point, 1], 0.0, atol=0.02)
    for point in (3, 4):
        np.testing.assert_allclose(grid.displacement[:, point, 0], 0.0, atol=0.02)
        np.testing.assert_allclose(grid.displacement[:, point, 1], 0.2 * moving, atol=0.02)
    assert np.isnan(grid.displacement[:, 2]).all()
    assert np.isnan(grid.displacement[20:, 5]).mean() > 0.8
    found = grid.amplitude_at(6.0)
    np.testing.assert_allclose(found[[0, 1, 3, 4]], [0.4, 0.4, 0.2, 0.2], rtol=0.04)
    assert np.isnan(found[[2, 5]]).all()
    np.testing.assert_allclose(grid.rms()[[0, 3]], np.array([0.4, 0.2]) / np.sqrt(2.0), rtol=0.06)
    peak, *others = grid.peaks()
    assert all(other.amplitude < 0.01 for other in others)  # harmonics, where a moving half ends
    assert peak.frequency == pytest.approx(6.0, abs=0.1)
    assert peak.amplitude == pytest.approx(np.sqrt((0.4**2 + 0.2**2) / 2.0), rel=0.04)


def test_nothing_textured():
    frame = np.full((48, 48, 3), 90, np.uint8)
    tracker = GridTracker(frame, grid_points("3x3", (0, 0, 48, 48)))
    assert tracker.textured == 0
    for _ in range(4):
        tracker.add(frame)
    grid = tracker.motion(25.0)
    assert not grid.followed.any()
    assert np.isnan(grid.displacement).all()
