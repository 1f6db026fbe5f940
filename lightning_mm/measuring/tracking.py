"""Points of a frame found again in others: pyramidal Lucas-Kanade, refined to a hundredth of a pixel and better."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_mm.errors import InputError
from lightning_mm.measuring.patches import SIDE, Grey, Patches
from lightning_mm.video.regions import Region

CORNER, EDGE, FLAT = "corner", "edge", "flat"

_LEVELS = 3
_FEATURES = 100
_ALIKE = 0.5
_REFINED = 2.0


class PointTracker:
    """Points of one frame, each found again by itself in others.

    A point is a patch of 31 px around it. OpenCV's pyramidal Lucas-Kanade finds it to within a fraction of a pixel,
    ``Patches`` then in floating point, without the bias of linear interpolation and with all bits of 16-bit frames.

    Args:
        frame: uint8 or uint16 RGB (H, W, 3); a uint16 frame uses the whole range up to 65535.
        points: (N, 2) as (x, y) px.

    Attributes:
        points: As given.
        kinds: (N,) what the patches show: "corner" (texture, both components are measured), "edge" (motion across the
            edge is measured, and the component along it, which cannot be seen, is 0) or "flat" (nothing is).

    Raises:
        InputError: OpenCV is not installed.
    """

    def __init__(self, frame: NDArray[Any], points: NDArray[np.floating]) -> None:
        self._cv2 = require_opencv()
        grey = self._grey(frame)
        self.points = np.asarray(points, np.float64).reshape(-1, 2)
        self._patches = Patches(grey, self.points)
        self._first = self._coarse(grey)
        self.kinds = np.array([FLAT, EDGE, CORNER])[self._patches.seen]

    def __call__(self, frame: NDArray[Any]) -> NDArray[np.float64]:
        """Displacement (N, 2) as (x, y) px of the points in another frame; NaN where a point is flat or lost.

        Args:
            frame: RGB (H, W, 3), of the type and size of the first.
        """
        found = np.full((len(self.points), 2), math.nan)
        if not len(found):
            return found
        grey = self._grey(frame)
        moved, status, _ = self._cv2.calcOpticalFlowPyrLK(
            self._first, self._coarse(grey), self.points.astype(np.float32)[:, None], None,
            winSize=(SIDE, SIDE), maxLevel=_LEVELS,
            criteria=(self._cv2.TERM_CRITERIA_EPS | self._cv2.TERM_CRITERIA_COUNT, 50, 0.001),
        )  # fmt: skip
        start = moved.reshape(-1, 2).astype(np.float64) - self.points.astype(np.float32)
        near = (status.reshape(-1) > 0) & np.isfinite(start).all(axis=1) & (np.abs(start) < max(grey.shape)).all(axis=1)
        refined, alike = self._patches(grey, np.where(near[:, None], start, 0.0))
        # The pyramid gives up on straight edges, or slides along them; with texture it tells what has gone astray.
        close = near & (np.abs(refined - start).max(axis=1) <= _REFINED)
        kept = np.where(self.kinds == CORNER, close, self.kinds == EDGE) & (alike >= _ALIKE)
        found[kept] = refined[kept]
        return found

    def _grey(self, frame: NDArray[Any]) -> Grey:
        """(H, W) float32 in [0, 255], not rounded."""
        wide = np.ascontiguousarray(frame, np.float32)
        grey = self._cv2.cvtColor(wide, self._cv2.COLOR_RGB2GRAY)
        return grey / 257.0 if frame.dtype == np.uint16 else grey

    def _coarse(self, grey: Grey) -> NDArray[np.uint8]:
        # Blurred because the pyramid interpolates linearly, which misleads it on fine detail.
        return self._cv2.GaussianBlur(grey, (0, 0), 1.0).round().astype(np.uint8)


class Tracker:
    """A region of one frame that moves as a whole, found again in others: the median over its corners.

    Args:
        frame: uint8 or uint16 RGB (H, W, 3).
        region: Left, top, width and height in pixels.
        source: What the frame is of, for messages.
        points: (N, 2) as (x, y) px, to follow these instead of corners of this frame, as far as they show texture.

    Attributes:
        points: (N, 2) px, the points that are followed.

    Raises:
        InputError: OpenCV is not installed, or the region has nothing to track.
    """

    def __init__(
        self, frame: NDArray[Any], region: Region, source: str, points: NDArray[np.floating] | None = None
    ) -> None:
        self._points = PointTracker(frame, corners(frame, region) if points is None else points)
        if points is not None and not (self._points.kinds != FLAT).any():
            self._points = PointTracker(frame, corners(frame, region))
        if not (self._points.kinds != FLAT).any():
            text = ",".join(map(str, region))
            raise InputError(f"{source}: region {text} has no corner to track; choose another")
        wanted = CORNER if (self._points.kinds == CORNER).any() else EDGE
        self._used = self._points.kinds == wanted
        self.points = self._points.points[self._used]

    def each(self, frame: NDArray[Any]) -> NDArray[np.float64]:
        """Displacement (N, 2) as (x, y) px of every point, NaN where it is lost."""
        return self._points(frame)[self._used]

    def __call__(self, frame: NDArray[Any]) -> tuple[NDArray[np.float64], int]:
        """Displacement (x, y) in px of the region, the median over corners, and the number of corners found."""
        return common(self.each(frame))


def common(moved: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """The median (x, y) of displacements (N, 2), and how many of them are known; NaN where none is."""
    moved = moved[np.isfinite(moved).all(axis=1)]
    if not len(moved):
        return np.full(2, math.nan), 0
    return np.median(moved, axis=0), len(moved)


def corners(frame: NDArray[Any], region: Region) -> NDArray[np.float64]:
    """Up to 100 corners (N, 2) as (x, y) px of a region of a frame (Shi and Tomasi 1994), the best first.

    Raises:
        InputError: OpenCV is not installed.
    """
    cv2 = require_opencv()
    left, top, width, height = region
    grey = cv2.cvtColor(np.ascontiguousarray(frame, np.float32), cv2.COLOR_RGB2GRAY)
    grey = cv2.GaussianBlur(grey / 257.0 if frame.dtype == np.uint16 else grey, (0, 0), 1.0)
    mask = np.zeros(grey.shape, np.uint8)
    mask[top : top + height, left : left + width] = 255
    found = cv2.goodFeaturesToTrack(grey, _FEATURES, 0.01, 5, mask=mask)
    return np.zeros((0, 2)) if found is None else found.reshape(-1, 2).astype(np.float64)


def require_opencv() -> Any:
    """The cv2 module.

    Raises:
        InputError: OpenCV is not installed.
    """
    try:
        import cv2
    except ImportError:
        raise InputError("measuring needs OpenCV: pip install 'lightning_mm[measure]'") from None
    return cv2
