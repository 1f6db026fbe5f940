"""Frames of clips to tensors and back."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lightning_mm.video.colour import Frame


def half_range(frame: Frame | Tensor) -> float:
    """Half of the largest value that a frame's type can hold: 127.5 of 8 bits, 32767.5 of 16."""
    return 32767.5 if frame.dtype in (np.uint16, torch.uint16, torch.int32) else 127.5


def levels(frames: Sequence[Frame], device: torch.device | str = "cpu") -> Tensor:
    """Frames on the device: (B, H, W, 3), uint8 as they are, 16-bit ones as int32, which torch can compute with."""
    stacked = np.stack(frames) if len(frames) > 1 else frames[0][None]
    tensor = torch.from_numpy(np.ascontiguousarray(stacked))
    if torch.device(device).type == "cuda":
        tensor = tensor.pin_memory()  # or the copy would keep the processor waiting
    tensor = tensor.to(device, non_blocking=True)
    return tensor.to(torch.int32) if tensor.dtype == torch.uint16 else tensor


def from_levels(tensor: Tensor) -> Tensor:
    """What ``levels`` gives to float (B, 3, H, W) in [-1, 1], channels last in memory."""
    return tensor.permute(0, 3, 1, 2).float() / half_range(tensor) - 1.0


def to_tensor(frame: Frame, device: torch.device | str = "cpu") -> Tensor:
    """A frame, uint8 or uint16 RGB (H, W, 3), to float (1, 3, H, W) in [-1, 1], channels last in memory."""
    return from_levels(levels([frame], device))


class Transfer:
    """Frames on their way from the device: what is asked of the device next need not wait for the copy to end.

    Args:
        tensor: Float (B, 3, H, W); clamped to [-1, 1] and rounded to the nearest level.
        like: A frame whose type is taken, uint8 or uint16; uint8 when left out.
    """

    def __init__(self, tensor: Tensor, like: Frame | None = None) -> None:
        self._deep = like is not None and like.dtype == np.uint16
        scaled = tensor.clamp(-1.0, 1.0).add(1.0).mul(32767.5 if self._deep else 127.5).round()
        whole = scaled.to(torch.int32 if self._deep else torch.uint8).permute(0, 2, 3, 1).contiguous()
        self._done: torch.cuda.Event | None = None
        if whole.device.type == "cuda":
            self._levels = torch.empty(whole.shape, dtype=whole.dtype, pin_memory=True)
            self._levels.copy_(whole, non_blocking=True)
            self._done = torch.cuda.Event()
            self._done.record()
        else:
            self._levels = whole.cpu()

    def frames(self) -> list[Frame]:
        """RGB frames (H, W, 3), once they have arrived."""
        if self._done is not None:
            self._done.synchronize()
        whole = self._levels.numpy()
        return list(whole.astype(np.uint16) if self._deep else whole)


def to_frames(tensor: Tensor, like: Frame | None = None) -> list[Frame]:
    """Float (B, 3, H, W) to RGB frames (H, W, 3); see ``Transfer``."""
    return Transfer(tensor, like).frames()


def to_frame(tensor: Tensor) -> Frame:
    """Float (1, 3, H, W) to an 8-bit frame (H, W, 3); see ``to_frames``."""
    return to_frames(tensor)[0]
