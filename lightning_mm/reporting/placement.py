"""Placing text in a figure so that it covers neither points nor other text. Pixels, y upwards."""

import math
from collections.abc import Sequence
from typing import NamedTuple

_HEIGHT = 18.0
_ANGLES = (90, -90, 35, 145, -35, -145, 0, 180)
_DISTANCES = (24, 40, 60)


class Box(NamedTuple):
    """An upright rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: "Box") -> bool:
        """Whether the two share any area."""
        across = self.left < other.right and other.left < self.right
        return across and self.bottom < other.top and other.bottom < self.top


class Place(NamedTuple):
    """Where a label goes: the offset of its centre from its point, and the area it covers."""

    dx: float
    dy: float
    box: Box


def place_label(
    point: tuple[float, float], width: float, taken: Sequence[Box], size: tuple[float, float]
) -> Place | None:
    """Find the nearest free place for a one-line label beside its point.

    Args:
        point: The point that the label names.
        width: Width of the text.
        taken: Areas that must stay free.
        size: Width and height of the figure, which the label must not leave.

    Returns:
        The place, or ``None`` if there is none within reach.
    """
    x, y = point
    for distance in _DISTANCES:
        for angle in _ANGLES:
            reach_x, reach_y = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            # Sideways, half the text's width comes on top: the text is centred on its anchor.
            dx = reach_x * (distance + width / 2 if abs(reach_x) > 0.1 else 0.0)
            dy = reach_y * distance
            box = Box(x + dx - width / 2, y + dy - _HEIGHT / 2, x + dx + width / 2, y + dy + _HEIGHT / 2)
            inside = box.left >= 0 and box.bottom >= 0 and box.right <= size[0] and box.top <= size[1]
            if inside and not any(box.overlaps(other) for other in taken):
                return Place(dx, dy, box)
    return None


def spread(positions: Sequence[float], gap: float) -> list[float]:
    """Move positions apart until neighbours differ by at least ``gap``, keeping their order and common centre."""
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    clusters: list[list[int]] = []
    centers: list[float] = []
    for i in order:
        clusters.append([i])
        centers.append(positions[i])
        while len(clusters) > 1 and centers[-1] - centers[-2] < gap * (len(clusters[-1]) + len(clusters[-2])) / 2:
            merged = clusters[-2] + clusters.pop()
            centers.pop()
            clusters[-1] = merged
            centers[-1] = sum(positions[j] for j in merged) / len(merged)
    moved = [0.0] * len(positions)
    for cluster, center in zip(clusters, centers, strict=True):
        for rank, i in enumerate(cluster):
            moved[i] = center + gap * (rank - (len(cluster) - 1) / 2)
    return moved
