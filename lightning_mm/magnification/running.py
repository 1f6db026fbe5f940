"""Frames of a clip beside their magnified ones: the loop that every command walks which magnifies a whole clip."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager

import torch

from lightning_mm.errors import InputError
from lightning_mm.machine import is_out_of_memory
from lightning_mm.magnification.engine import Engine, stream
from lightning_mm.magnification.selection import Selection
from lightning_mm.video.clip import Clip
from lightning_mm.video.colour import Frame

_GPU_BATCH = 4


def magnified_pairs(
    engine: Engine, frames: Iterable[Frame], chosen: Selection, batch: int | None = None, both: bool = True
) -> Generator[tuple[Frame, Frame]]:
    """Magnify frames where it is wanted.

    Args:
        engine: A new one.
        frames: RGB (H, W, 3), uint8 or uint16.
        chosen: Where.
        batch: Frames that are magnified at a time; 4 on a GPU and 1 elsewhere when left out.
        both: Whether the input frames are needed. Where they are not and the whole frame is magnified, none waits in
            memory for its magnified one, which then stands for it.

    Yields:
        A frame and its magnified one.
    """
    keep = both or chosen.weights is not None
    kept: deque[Frame] = deque()  # frames whose magnified ones have not come yet

    def parts() -> Iterator[Frame]:
        for frame in frames:
            if keep:
                kept.append(frame)
            yield chosen.cut(frame)

    usual = _GPU_BATCH if torch.device(engine.device).type == "cuda" else 1
    for magnified in stream(engine, parts(), batch or usual):
        before = kept.popleft() if keep else magnified
        yield before, chosen.put(before, magnified)


@contextmanager
def magnifying(clip: Clip, device: torch.device) -> Iterator[None]:
    """What magnifying takes: no TF32, which is coarser than the motions that are compared, and memory.

    Raises:
        InputError: The frames do not fit in the memory of the device.
    """
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
            yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        size = f"{clip.width} x {clip.height}"
        advice = "try a smaller --scale or, in magnify, --batch"
        raise InputError(f"{clip.name}: frames of {size} do not fit in the memory of {device}; {advice}") from None
