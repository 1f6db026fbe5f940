"""What a camera does to a frame: shot noise, then rounding to 8 bits. Applied to inputs only, never to targets."""

import math

import torch
from torch import Tensor

from lightning_mm.data.random import counter_normal, counter_uniform


def degrade(frames: tuple[Tensor, ...], strengths: Tensor, keys: Tensor) -> tuple[Tensor, ...]:
    """Add shot noise to frames and round them to 8 bits stochastically.

    Noise and rounding are independent from frame to frame and a function of the sample's key alone.

    Args:
        frames: Images (B, 3, H, W) in [-1, 1], one or several per sample.
        strengths: (B, len(frames)) noise strength n; see ``shot_noise``.
        keys: (B,) int64 sample keys.

    Returns:
        The frames in [-1, 1], each value one of 256 levels.
    """
    noisy = bool((strengths > 0).any())
    out: list[Tensor] = []
    for number, frame in enumerate(frames):
        shape = tuple(frame.shape[1:])
        if noisy:
            frame = shot_noise(frame, strengths[:, number], counter_normal(keys, 100 + number, shape))
        out.append(round_stochastically(frame, counter_uniform(keys, 50 + number, shape)))
    return tuple(out)


def shot_noise(frame: Tensor, strength: Tensor, normal: Tensor) -> Tensor:
    """Turn x into x + n * g * sqrt(x + 1) / sqrt(127.5): a normal approximation of photon noise (Oh et al., 2018).

    In grey levels of 255 the standard deviation is n * sqrt(level).

    Args:
        frame: (B, 3, H, W) in [-1, 1].
        strength: (B,) n; training draws it uniformly from 0 to 0.3.
        normal: (B, 3, H, W) standard normal numbers g.

    Returns:
        (B, 3, H, W), not clamped.
    """
    return frame + strength.view(-1, 1, 1, 1) * normal * torch.sqrt((frame + 1.0).clamp(min=0.0)) / math.sqrt(127.5)


def round_stochastically(frame: Tensor, uniform: Tensor) -> Tensor:
    """Round to one of 256 levels, up with a probability equal to the fraction, so that the mean is kept.

    Plain rounding erases motion below about 0.01 px in low-contrast regions; dithered rounding keeps it in the mean.

    Args:
        frame: In [-1, 1].
        uniform: Numbers in (0, 1), same shape.

    Returns:
        In [-1, 1], levels k / 127.5 - 1.
    """
    return torch.floor((frame + 1.0) * 127.5 + uniform).clamp(0.0, 255.0) / 127.5 - 1.0
