"""Pairs of a high-resolution image and its low-resolution version, made on the spot from the project's own textures.

A crop is a function of (seed, split, index) alone, and the scale of a batch of (seed, its number): resuming changes
nothing. Images hold whole 8-bit values, as those of files do, low-resolution ones too.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_mm.data.bank import TextureBank, build_bank
from lightning_mm.data.random import sample_key
from lightning_mm.data.rendering import reflect
from lightning_mm.data.sampling import EpochSampler
from lightning_mm.runs import fingerprint
from lightning_mm.superres.mdsr import SCALES

TEXELS_PER_PIXEL = 2
_VALIDATION_SEED = 20180910  # validation pairs are the same for every run, whatever its seed
_VALIDATION_TEXTURES = 24


class ScalePairs(NamedTuple):
    """A batch of pairs of one scale.

    Attributes:
        low: (B, 3, H, W) in [-1, 1].
        high: (B, 3, scale * H, scale * W) in [-1, 1].
        scale: One of ``SCALES``.
    """

    low: Tensor
    high: Tensor
    scale: int


@dataclass(frozen=True)
class ScaleDataConfig:
    """Pairs for training and validation.

    Args:
        patch: Side of the low-resolution training images in pixels (Lim et al., 2017: 48).
        batch_size: Pairs per step, all of one scale (Lim et al.: 16).
        epoch_steps: Steps per epoch; validation and checkpoints come at an epoch's end.
        textures: Procedural textures of training; 0 for photos alone.
        texture_size: Their side in texels, two per high-resolution pixel.
        photos: Folder of photos for training, searched in depth, beside the textures.
        val_images: Number of high-resolution validation images, each of which is downscaled to all scales.
        val_size: Side of them in pixels, a multiple of 12.
        val_photos: Folder of photos for validation; procedural textures when left out.
    """

    patch: int = 48
    batch_size: int = 16
    epoch_steps: int = 1000
    textures: int = 64
    texture_size: int = 1024
    photos: Path | None = None
    val_images: int = 24
    val_size: int = 192
    val_photos: Path | None = None

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        limits = {"patch": 4, "batch_size": 1, "epoch_steps": 1, "val_images": 1, "val_size": 24, "texture_size": 64}
        limits |= {"textures": 0 if self.photos is not None else 1}
        for name, low in limits.items():
            if getattr(self, name) < low:
                raise ValueError(f"ScaleDataConfig.{name} = {getattr(self, name)}: must be >= {low}")
        if self.val_size % 12:
            raise ValueError(f"ScaleDataConfig.val_size = {self.val_size}: must be a multiple of 12, for each scale")


class ScaleDataModule(L.LightningDataModule):
    """Batches of ``ScalePairs``, rendered on the device that trains.

    Args:
        config: Sizes and sources.
        seed: Seed of the training pairs and textures; the validation pairs do not depend on it.
        first_epoch: Epochs of the sequence of training pairs that are over already, for a training that goes on.
    """

    def __init__(self, config: ScaleDataConfig, seed: int, first_epoch: int = 0) -> None:
        super().__init__()
        self.config, self.seed, self.first_epoch = config, seed, first_epoch
        self._banks: dict[str, TextureBank] = {}
        self._validation: list[dict[str, Any]] = []
        self._rendered: dict[int, ScalePairs] = {}

    def setup(self, stage: str) -> None:
        """Make the textures of a split once; read its photos.

        Raises:
            InputError: A folder of photos is missing, empty or not readable.
        """
        config = self.config
        if "val" not in self._banks:
            textures = 0 if config.val_photos else _VALIDATION_TEXTURES
            bank = build_bank(_VALIDATION_SEED, "val", textures, config.texture_size, config.val_photos)
            self._banks["val"] = bank
            self._validation = list(self._validation_plans(bank))
        if stage == "fit" and "train" not in self._banks:
            bank = build_bank(self.seed, "train", config.textures, config.texture_size, config.photos)
            self._banks["train"] = bank

    def train_dataloader(self) -> DataLoader:
        """The batches of one epoch."""
        sampler = EpochSampler(self.config.epoch_steps, 1, self.seed, None, 0, 1)
        sampler.set_epoch(self.trainer.current_epoch if self.trainer is not None else 0)
        return DataLoader(_TrainingPlans(self), batch_size=None, sampler=sampler)

    def val_dataloader(self) -> DataLoader:
        """All validation batches, always in the same order, scale by scale."""
        return DataLoader(self._validation, batch_size=None)  # pyright: ignore[reportArgumentType]

    test_dataloader = val_dataloader

    def on_after_batch_transfer(self, batch: dict[str, Any], dataloader_idx: int) -> ScalePairs:
        """Cut the crops of a batch out of their textures and downscale them."""
        number, training = int(batch["number"]), bool(batch["training"])
        device = batch["texture"].device
        split = "train" if training else "val"
        self._banks[split] = self._banks[split].to(device)
        if training:
            return render(batch, self._banks[split])
        if number not in self._rendered:  # they never change
            self._rendered[number] = render(batch, self._banks[split])
        return self._rendered[number]

    def validation_identity(self) -> dict[str, Any]:
        """What identifies the validation pairs: name, number, size and a digest of what they show."""
        self.setup("validate")
        plain = [{k: v.tolist() if isinstance(v, Tensor) else v for k, v in p.items()} for p in self._validation]
        shown = fingerprint({"bank": self._banks["val"].digest(), "plans": plain})
        name = "photos" if self.config.val_photos else "procedural textures"
        return {"name": name, "images": self.config.val_images, "size": self.config.val_size, "digest": shown}

    def training_plan(self, number: int) -> dict[str, Any]:
        """Which crops a training batch shows; ``number`` counts from the first step of the first epoch."""
        number += self.first_epoch * self.config.epoch_steps
        # As Lim et al.: each update takes a scale at random.
        scale = SCALES[sample_key(self.seed, "scale", number) % len(SCALES)]
        indices = range(number * self.config.batch_size, (number + 1) * self.config.batch_size)
        size = self.config.patch * scale
        plan = _crops(self._banks["train"], [sample_key(self.seed, "train", i) for i in indices], size, turned=True)
        return {**plan, "size": size, "scale": scale, "number": number, "training": True}

    def _validation_plans(self, bank: TextureBank) -> Iterator[dict[str, Any]]:
        images, size = self.config.val_images, self.config.val_size
        number = 0
        for scale in SCALES:
            for start in range(0, images, self.config.batch_size):
                indices = range(start, min(start + self.config.batch_size, images))
                keys = [sample_key(_VALIDATION_SEED, "val", index) for index in indices]
                plan = _crops(bank, keys, size, turned=False)
                yield {**plan, "size": size, "scale": scale, "number": number, "training": False}
                number += 1


class _TrainingPlans(Dataset):
    """Batches by number; without end, so it has no length."""

    def __init__(self, data: ScaleDataModule) -> None:
        self.data = data

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.data.training_plan(number)


def _crops(bank: TextureBank, keys: list[int], size: int, turned: bool) -> dict[str, Tensor]:
    """Texture, upper left corner and orientation of a crop per key; blurred textures have no detail to restore."""
    sharp = [index for name, group in bank.groups.items() if not name.endswith("_blurred") for index in group]
    height, width = bank.height.tolist(), bank.width.tolist()
    rows: list[list[int]] = []
    for key in keys:
        rng = np.random.Generator(np.random.Philox(key=key))
        texture = sharp[int(rng.integers(len(sharp)))]
        corner = [int(rng.integers(max(1, side[texture] - TEXELS_PER_PIXEL * size + 1))) for side in (height, width)]
        rows.append([texture, *corner, *(rng.integers(2, size=3) if turned else (0, 0, 0))])
    values = torch.tensor(np.array(rows, np.int64))
    return {"texture": values[:, 0], "corner": values[:, 1:3], "turn": values[:, 3:6].bool()}


def render(plan: dict[str, Any], bank: TextureBank) -> ScalePairs:
    """Cut out crops and downscale them.

    Args:
        plan: "texture" (B,) numbers of textures; "corner" (B, 2) row and column of the first texel; "turn" (B, 3)
            whether to mirror vertically, horizontally, and to transpose; "size", the side of the high-resolution image
            in pixels; "scale".
        bank: The textures, on the device of the tensors; outside their borders they go on by reflection.
    """
    texture, size, scale = plan["texture"], int(plan["size"]), int(plan["scale"])
    offset, height, width = (x.index_select(0, texture)[:, None] for x in (bank.offset, bank.height, bank.width))
    reach = torch.arange(TEXELS_PER_PIXEL * size, device=texture.device)
    vertical, horizontal, transposed = plan["turn"].unbind(1)
    rows, columns = (
        reflect(corner[:, None] + torch.where(mirrored[:, None], reach.flip(0), reach), side)
        for corner, mirrored, side in zip(
            plan["corner"].unbind(1), (vertical, horizontal), (height, width), strict=True
        )
    )
    index = (offset + rows * width)[:, :, None] + columns[:, None, :]
    texels = bank.texels.index_select(0, index.view(-1)).view(*index.shape, 4)[..., :3].permute(0, 3, 1, 2).float()
    texels = torch.where(transposed[:, None, None, None], texels.transpose(2, 3), texels)
    high = downscale(texels, TEXELS_PER_PIXEL)
    low = downscale(high, scale)
    return ScalePairs(low / 127.5 - 1.0, high / 127.5 - 1.0, scale)


def downscale(image: Tensor, scale: int) -> Tensor:
    """Antialiased bicubic downscaling (Keys' kernel, a = -0.5, widened by the scale), to whole numbers.

    Args:
        image: (B, 3, H, W) in [0, 255]; H and W are multiples of ``scale``.
        scale: Whole number.

    Returns:
        (B, 3, H / scale, W / scale), whole numbers in [0, 255].
    """
    return _resize(image, image.shape[-2] // scale, image.shape[-1] // scale).clamp(0, 255).round()


def upscale(low: Tensor, scale: int) -> Tensor:
    """Bicubic upscaling of (B, 3, H, W) in [-1, 1]: the reference that needs no training."""
    return _resize(low, low.shape[-2] * scale, low.shape[-1] * scale).clamp(-1.0, 1.0)


def _resize(image: Tensor, height: int, width: int) -> Tensor:
    # Enlarging is the same with antialiasing, but for the kernel: torch takes a = -0.75 without, -0.5 with it.
    return F.interpolate(image, size=(height, width), mode="bicubic", antialias=True, align_corners=False)
