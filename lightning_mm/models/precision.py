"""Exact float32 convolutions, where half precision or TF32 would lose small motion."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact_float32(device_type: str) -> Iterator[None]:
    """Compute in float32: outside autocast, and on a GPU without TF32, which keeps no more bits than half precision.

    Args:
        device_type: "cpu", "cuda" and so on.
    """
    cudnn = torch.backends.cudnn
    flags = cudnn.flags(
        enabled=cudnn.enabled, benchmark=cudnn.benchmark, deterministic=cudnn.deterministic, allow_tf32=False
    )
    with torch.autocast(device_type, enabled=False), flags:
        yield
