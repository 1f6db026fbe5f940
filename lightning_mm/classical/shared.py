"""What the classical methods share."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_mm.errors import InputError
from lightning_mm.method import Method

_LUMA = (0.299, 0.587, 0.114)
_TINY = 1e-12


def magnify_pair(method: Method, frame_a: Tensor, frame_b: Tensor, alpha: Tensor | float) -> Tensor:
    """Magnify the motion between two frames, without any temporal filter.

    Args:
        method: Which.
        frame_a: Reference frames (B, 3, H, W) in [-1, 1].
        frame_b: Current frames, same shape.
        alpha: Total motion factor, a number or (B,); the factor of the methods' papers is alpha - 1.

    Returns:
        (B, 3, H, W) clamped to [-1, 1].
    """
    reference, current = method.encode(frame_a), method.encode(frame_b)
    change = method.difference(reference.signal, current.signal)
    return method.render(current, change, alpha).clamp(-1.0, 1.0)


def luma(frames: Tensor) -> Tensor:
    """BT.601 luma (B, 1, H, W) in float32 of frames (B, 3, H, W), which is also the Y of YIQ."""
    weights = torch.tensor(_LUMA, device=frames.device).view(1, 3, 1, 1)
    return (frames.float() * weights).sum(dim=1, keepdim=True)


def per_image(alpha: Tensor | float, like: Tensor) -> Tensor:
    """A factor, a number or (B,), as (1, 1, 1, 1) or (B, 1, 1, 1) on a tensor's device and in its (real) type."""
    return torch.as_tensor(alpha, device=like.device, dtype=like.dtype).reshape(-1, 1, 1, 1)


def weighted_blur(values: Tensor, weights: Tensor, sigma: tuple[float, float]) -> Tensor:
    """Gaussian mean of values around each sample, where each counts by its weight.

    Args:
        values: (B, C, H, W).
        weights: (B, 1, H, W), not negative.
        sigma: Standard deviation in samples along H and W; 0 for none.

    Returns:
        (B, C, H, W); zero where all weights are.
    """
    if max(sigma) <= 0.0:
        return values
    blurred = torch.cat([values * weights, weights], dim=1)
    for axis, deviation in zip((-2, -1), sigma, strict=True):
        blurred = _gaussian(blurred, deviation, axis)
    return blurred[:, :-1] / (blurred[:, -1:] + _TINY)


def correlate(padded: Tensor, taps: Sequence[float], axis: int) -> Tensor:
    """Correlate with a symmetric filter along an axis.

    Sums of slices: on processors a convolution of one channel takes several times as long.

    Args:
        padded: Of any shape, longer along the axis than the result by ``len(taps) - 1`` at each end.
        taps: Of the middle, and from there outwards.
        axis: Which.
    """
    reach = len(taps) - 1
    length = padded.shape[axis] - 2 * reach
    found = padded.narrow(axis, reach, length) * taps[0]
    for offset, tap in enumerate(taps[1:], start=1):
        found.add_(padded.narrow(axis, reach - offset, length), alpha=tap)
        found.add_(padded.narrow(axis, reach + offset, length), alpha=tap)
    return found


def _gaussian(image: Tensor, sigma: float, axis: int) -> Tensor:
    """Correlate with Gaussian weights, zero outside the image, along an axis."""
    reach = math.ceil(2.0 * sigma)
    if reach == 0:
        return image
    taps = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(reach + 1)]
    total = taps[0] + 2.0 * sum(taps[1:])
    around = (0, 0, reach, reach) if axis == -2 else (reach, reach)
    return correlate(F.pad(image, around), [tap / total for tap in taps], axis)


def require_blur(sigma: float) -> None:
    """Refuse what is no standard deviation.

    Raises:
        InputError: It is negative or not finite.
    """
    if not 0.0 <= sigma < math.inf:
        raise InputError(f"blur = {sigma}: must be a number of samples >= 0")
