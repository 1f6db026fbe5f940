"""Counter-based random numbers: a value is a pure function of (key, counter), the same on every device and worker.

Global generators make a sample depend on what was drawn before it. Here each pixel's noise is a hash of the sample's
key and the pixel's position, so resuming, sharding and the number of workers change nothing. The hash mixes 32 bits by
multiplication and shifts, as finalisers of hash tables do; it is for simulation, not for secrets.
"""

import math

import torch
from torch import Tensor


def _mix(x: Tensor) -> Tensor:
    """Scramble int32 in place; a bijection. Products wrap; masks turn arithmetic shifts into logical ones."""
    x.bitwise_xor_((x >> 16).bitwise_and_(0xFFFF)).mul_(0x7FEB352D)
    x.bitwise_xor_((x >> 15).bitwise_and_(0x1FFFF)).mul_(0x5BD1E995)
    return x.bitwise_xor_((x >> 16).bitwise_and_(0xFFFF))


def _low_bits(keys: Tensor) -> Tensor:
    """The low 32 bits of int64 keys as int32."""
    low = keys & 0xFFFFFFFF
    return (low - (low >> 31 << 32)).int()


def counter_uniform(keys: Tensor, stream: int, shape: tuple[int, ...]) -> Tensor:
    """Uniform numbers in (0, 1), a function of key, stream and position alone.

    Args:
        keys: One key per sample, (B,) int64; its low 32 bits count.
        stream: Names the purpose, so that two draws for one sample differ.
        shape: Shape per sample.

    Returns:
        (B, *shape) float32 with 23 random bits each.
    """
    position = torch.arange(math.prod(shape), device=keys.device, dtype=torch.int32)
    purpose = _mix(torch.tensor(stream + 1, device=keys.device, dtype=torch.int32))
    start = _mix(_mix(_low_bits(keys)).bitwise_xor_(purpose)).unsqueeze(1)
    bits = _mix(_mix(position.unsqueeze(0) ^ start).add_(start))
    # 23 bits and a half fill the 24 of a float32; a 24th would round the largest number up to 1.
    uniform = (bits >> 9).bitwise_and_(0x7FFFFF).float().add_(0.5).mul_(2.0**-23)
    return uniform.reshape(-1, *shape)


def counter_normal(keys: Tensor, stream: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers by the Box-Muller transform of two ``counter_uniform`` streams, (B, *shape) float32."""
    radius = torch.sqrt(-2.0 * torch.log(counter_uniform(keys, 2 * stream, shape)))
    angle = 2.0 * math.pi * counter_uniform(keys, 2 * stream + 1, shape)
    return radius * torch.cos(angle)


def sample_key(seed: int, split: str, index: int) -> int:
    """A 63-bit key of one sample: an FNV-1a hash of its coordinates, the same in every process and on every machine."""
    value = 0xCBF29CE484222325
    for byte in f"{seed}/{split}/{index}".encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value >> 1
