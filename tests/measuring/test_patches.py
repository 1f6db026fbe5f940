"""Refined displacement against pictures that are shifted exactly, by the phases of their Fourier transform."""

import numpy as np
import pytest

pytest.importorskip("cv2", reason="OpenCV (extra 'measure') is not installed")
from lightning_mm.measuring.patches import Patches

POINTS = np.stack(np.meshgrid([24.0, 50.5, 80.0, 103.3], [24.0, 47.7, 70.0]), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("moved", [(0.05, 0.0), (0.0, 0.1), (-0.2, 0.3), (0.5, -0.5), (1.0, 0.7)])
def test_shifts_are_found_without_the_bias_of_linear_interpolation(pictures, moved):
    still = pictures.texture(96, 128, smooth=1.0)
    first, second = (np.rint(pictures.shift(still, *at)).astype(np.float32) for at in ((0.0, 0.0), moved))
    found, alike = Patches(first, POINTS)(second, np.zeros_like(POINTS))
    np.testing.assert_allclose(np.median(found, axis=0), moved, rtol=0, atol=0.003)
    np.testing.assert_allclose(found, np.tile(moved, (len(POINTS), 1)), rtol=0, atol=0.01)
    assert alike.min() > 0.99


def test_opencv_alone_is_further_off(pictures):
    import cv2

    still = pictures.texture(96, 128, smooth=1.0)
    first, second = (np.rint(pictures.shift(still, x, 0.0)).astype(np.uint8) for x in (0.0, 0.2))
    places = POINTS.astype(np.float32)[:, None]
    moved, _, _ = cv2.calcOpticalFlowPyrLK(first, second, places, None, winSize=(31, 31), maxLevel=3)
    coarse = np.median((moved - places).reshape(-1, 2), axis=0)
    found, _ = Patches(first.astype(np.float32), POINTS)(second.astype(np.float32), np.zeros_like(POINTS))
    assert abs(coarse[0] - 0.2) > 5.0 * abs(np.median(found[:, 0]) - 0.2)


def test_motion_far_below_a_level_of_8_bits_is_seen_in_floats(pictures):
    still = pictures.texture(96, 128, smooth=1.5)
    first, second = (pictures.shift(still, x, 0.0).astype(np.float32) for x in (0.0, 0.002))
    found, _ = Patches(first, POINTS)(second, np.zeros_like(POINTS))
    assert np.median(found[:, 0]) == pytest.approx(0.002, rel=0.05)


def test_brightness_and_contrast_do_not_look_like_motion(pictures):
    still = pictures.texture(96, 128, smooth=1.5)
    first, second = (pictures.shift(still, x, 0.0).astype(np.float32) for x in (0.0, 0.3))
    found, alike = Patches(first, POINTS)(0.6 * second + 40.0, np.zeros_like(POINTS))
    np.testing.assert_allclose(found, np.tile([0.3, 0.0], (len(POINTS), 1)), rtol=0, atol=0.005)
    assert alike.min() > 0.99


def test_points_at_the_border_use_what_lies_inside(pictures):
    still = pictures.texture(96, 128, smooth=1.5)
    first, second = (pictures.shift(still, x, 0.4).astype(np.float32) for x in (0.0, 0.8))
    first = pictures.shift(still, 0.0, 0.0).astype(np.float32)
    corner = np.array([[4.0, 4.0], [124.0, 92.0], [2.0, 50.0]])
    found, alike = Patches(first, corner)(second, np.zeros((3, 2)))
    np.testing.assert_allclose(found[2], (0.8, 0.4), rtol=0, atol=0.02)  # a bit more than half of the patch
    assert (alike[:2] == 0.0).all()  # a third of the patch
    assert (found[:2] == 0.0).all()


def test_along_an_edge_nothing_is_invented():
    x, y = np.meshgrid(np.arange(96.0), np.arange(80.0))
    angle = np.deg2rad(30.0)

    def edge(dx, dy):
        across = (x - 48.0 - dx) * np.cos(angle) + (y - 40.0 - dy) * np.sin(angle)
        return (128.0 + 80.0 * np.tanh(across / 2.0)).astype(np.float32)

    patches = Patches(edge(0.0, 0.0), np.array([[48.0, 40.0], [10.0, 10.0]]))
    assert patches.seen.tolist() == [1, 0]
    found, _ = patches(edge(0.5, 0.7), np.zeros((2, 2)))
    across = 0.5 * np.cos(angle) + 0.7 * np.sin(angle)
    np.testing.assert_allclose(found[0], across * np.array([np.cos(angle), np.sin(angle)]), rtol=0, atol=0.01)
    assert found[1].tolist() == [0.0, 0.0]


def test_another_picture_is_not_alike(pictures):
    first, other = (pictures.texture(96, 128, seed).astype(np.float32) for seed in (0, 1))
    _, alike = Patches(first, POINTS)(other, np.zeros_like(POINTS))
    assert alike.max() < 0.5


def test_no_points():
    found, alike = Patches(np.zeros((8, 8), np.float32), np.zeros((0, 2)))(
        np.zeros((8, 8), np.float32), np.zeros((0, 2))
    )
    assert found.shape == (0, 2)
    assert alike.shape == (0,)
