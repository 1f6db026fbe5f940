"""A magnifier as a method for streams of frames."""

import torch
from torch import Tensor

from lightning_mm.errors import InputError
from lightning_mm.inference.tiling import SMALLEST, reach, render_tiled
from lightning_mm.machine import is_out_of_memory
from lightning_mm.method import Encoded, Method, Signal
from lightning_mm.models import Magnifier, Representation
from lightning_mm.terminal import warn


class Learned(Method):
    """A magnifier; its signal is the shape, and its carrier the texture.

    Attenuation (alpha below 1) runs the change backwards: the manipulator's ReLU makes it linear for added motion only,
    so 1 - alpha times the way back is added, which it has been trained for, instead of taking something away.

    Args:
        magnifier: In evaluation mode, on its device, such as ``lightning_mm.inference.prepare`` makes it.
        tile: Side in pixels of the tiles that are decoded one after the other; the whole frame at once when left out,
            unless it does not fit in memory, which is then said once on standard error.
    """

    def __init__(self, magnifier: Magnifier, tile: int | None = None) -> None:
        if tile is not None and tile < SMALLEST:
            raise InputError(f"tile = {tile}: must be at least {SMALLEST} pixels")
        self.magnifier, self.tile = magnifier, tile
        self.frame_linear = magnifier.config.encoder != "residual"

    def encode(self, frames: Tensor) -> Encoded:
        """Encode frames (B, 3, H, W) in [-1, 1], once each."""
        code = self.magnifier.encode(frames)
        return Encoded((code.shape,), code.texture, (frames.shape[-2], frames.shape[-1]))

    def encode_change(self, change: Tensor) -> Signal:
        """The change of shape that a change of the frame (B, 3, H, W) makes, of a linear encoder."""
        return (self.magnifier.encode_change(change),)

    def render(self, encoded: Encoded, change: Signal, alpha: Tensor | float) -> Tensor:
        """Amplify and decode; see ``Method.render``."""
        factor = torch.as_tensor(alpha, dtype=torch.float32)
        back = factor < 1.0
        amplified = change[0]
        if back.any():
            sign = torch.where(back, -1.0, 1.0).to(amplified.device).reshape(-1, 1, 1, 1)
            amplified, factor = sign * amplified, torch.where(back, 2.0 - factor, factor)
        code = Representation(encoded.carrier, encoded.signal[0])
        while True:
            try:
                return self._draw(code, amplified, factor, encoded.size)
            except RuntimeError as error:
                if not is_out_of_memory(error) or not self._smaller_tiles(max(encoded.size)):
                    raise

    def _draw(self, code: Representation, change: Tensor, alpha: Tensor, size: tuple[int, int]) -> Tensor:
        if self.tile is not None and self.tile < max(size):
            return render_tiled(self.magnifier, code, change, alpha, size, self.tile)
        return self.magnifier.decode(code.texture, self.magnifier.amplify(code.shape, change, alpha), size)

    def _smaller_tiles(self, side: int) -> bool:
        tile = min(self.tile or side, side) // 2
        # Where a tile sees as much as the whole frame, it takes as much memory.
        if tile < SMALLEST or tile + 2 * reach(self.magnifier.config) >= side:
            return False
        self.tile = tile
        warn([f"a frame does not fit in memory; it is magnified in tiles of {tile} pixels"])
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return True
