"""Data echoing (Choi et al., 2019): a rendered scene serves several samples, turned, mirrored and with fresh noise.

On a processor, rendering takes as long as training on what was rendered. Which scene a sample shows, and how, remains
a function of its index alone: a scene that is not remembered, as on another rank, is rendered again.
"""

import torch
from torch import Tensor

from lightning_mm.data.bank import TextureBank
from lightning_mm.data.degradation import degrade
from lightning_mm.data.random import sample_key
from lightning_mm.data.rendering import Pairs, Scenes, render_clean

ORIENTATIONS = 8
_IMAGES = ("frame_a", "frame_b", "frame_c", "target")


def echoed(index: int, echo: int, rows: int, lanes: int, seed: int) -> tuple[int, int]:
    """The scene that a sample shows, and how often it was shown before.

    Samples come in blocks of ``echo`` rounds. A round shows the block's scenes, ``rows`` batches of ``lanes``, and each
    place in the batch shows its own ones, in an order of its own: whichever way a batch is shared among ranks, a rank
    meets its scenes again.

    Args:
        index: Number of the sample.
        echo: Times that each scene is shown; 1 makes sample and scene the same.
        rows: Batches of scenes per block.
        lanes: Samples per batch over all ranks.
        seed: Seed of the orders.

    Returns:
        Number of the scene, and of its showing, 0 to echo - 1.
    """
    if echo == 1:
        return index, 0
    block, place = divmod(index, echo * rows * lanes)
    showing, place = divmod(place, rows * lanes)
    row, lane = divmod(place, lanes)
    generator = torch.Generator().manual_seed(sample_key(seed, f"echo-{showing}-{lane}", block) % 2**31)
    order = torch.randperm(rows, generator=generator)
    return (block * rows + int(order[row])) * lanes + lane, showing


def turned(image: Tensor, orientation: int) -> Tensor:
    """One of the eight orientations of a square image (..., H, H): 4 turns, mirrored from number 4 on."""
    image = image.flip(-1) if orientation >= 4 else image
    return torch.rot90(image, orientation % 4, dims=(-2, -1))


class RenderedScenes:
    """Renders scenes and remembers the last ones.

    Args:
        size: Side of the frames in pixels.
        capacity: Number of scenes to remember: a block's and a batch more.
    """

    def __init__(self, size: int, capacity: int) -> None:
        self.size, self.capacity = size, capacity
        self._frames: Tensor | None = None  # (capacity, 4, 3, H, W)
        self._slots: dict[int, int] = {}
        self._keys: list[int | None] = [None] * capacity
        self._next = 0

    @torch.no_grad()
    def pairs(self, scenes: Scenes, bank: TextureBank) -> Pairs:
        """The pairs of a batch, as ``render_pairs`` gives them for a first showing.

        Args:
            scenes: Collated scenes with "showing", (B,) int64; on the bank's device.
            bank: Textures.
        """
        keys = scenes["key"].tolist()
        missing = [row for row, key in enumerate(keys) if key not in self._slots and key not in keys[:row]]
        if missing:
            self._remember(scenes, bank, missing, keys)
        assert self._frames is not None
        frames = self._frames[[self._slots[key] for key in keys]]
        showings = scenes["showing"].tolist()
        for row, (key, showing) in enumerate(zip(keys, showings, strict=True)):
            if showing > 0:
                frames[row] = turned(frames[row], sample_key(key, "orientation", showing) % ORIENTATIONS)
        # A showing's own noise; the first showing's is the scene's.
        shown = zip(keys, showings, strict=True)
        noise = [key if showing == 0 else sample_key(key, "noise", showing) for key, showing in shown]
        clean = dict(zip(_IMAGES, frames.unbind(1), strict=True))
        inputs = (clean["frame_a"], clean["frame_b"], clean["frame_c"])
        a, b, c = degrade(inputs, scenes["noise"], torch.tensor(noise, device=frames.device))
        return Pairs(a, b, c, clean["target"].contiguous(), scenes["alpha"])

    def _remember(self, scenes: Scenes, bank: TextureBank, rows: list[int], keys: list[int]) -> None:
        with torch.autocast(scenes["alpha"].device.type, enabled=False):
            clean = render_clean({name: value[rows] for name, value in scenes.items()}, bank, self.size)
        images = torch.stack([getattr(clean, name) for name in _IMAGES], dim=1)
        if self._frames is None:
            self._frames = images.new_empty(self.capacity, *images.shape[1:])
        for row, image in zip(rows, images, strict=True):
            forgotten = self._keys[self._next]
            if forgotten is not None:
                del self._slots[forgotten]
            self._frames[self._next] = image
            self._keys[self._next], self._slots[keys[row]] = keys[row], self._next
            self._next = (self._next + 1) % self.capacity
