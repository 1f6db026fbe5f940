"""The fixed validation sets by which weights are judged, whatever they were trained on.

"procedural" shows procedural textures, "photos" the photos of a folder that no training may use. Both hold 64 pairs of
384 x 384 px with alpha from 1 to 100 and up to 30 px of magnified motion (the paper's Section 4.1, ranges of Oh et al.,
2018); inputs are rounded to 8 bits with dither and have no other noise, targets are exact and not rounded.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch.utils.data import default_collate

from lightning_mm.data.datamodule import PairDataModule
from lightning_mm.data.rendering import Pairs, render_pairs

PAIRS, SIZE = 64, 384


def validation_set(photos: Path | None, pairs: int = PAIRS, size: int = SIZE) -> PairDataModule:
    """A fixed set.

    Args:
        photos: Folder of photos; procedural textures when left out.
        pairs: Number of pairs; the set's first ones.
        size: Side of the frames in pixels. Another size is another set, as its digest shows.

    Raises:
        InputError: The folder is missing or holds no image.
        ValueError: A value is out of range.
    """
    data = PairDataModule(batch_size=1, epoch_samples=1, val_size=size, val_pairs=pairs, val_photos=photos)
    data.setup("validate")
    return data


def batches(data: PairDataModule, device: torch.device, batch_size: int = 4) -> Iterator[Pairs]:
    """The pairs of a set, rendered on a device."""
    sampler, bank = data.validation_scenes()
    bank = bank.to(device)
    for start in range(0, data.val_pairs, batch_size):
        scenes = default_collate([sampler(index) for index in range(start, min(start + batch_size, data.val_pairs))])
        yield render_pairs({name: value.to(device) for name, value in scenes.items()}, bank, data.val_size)
