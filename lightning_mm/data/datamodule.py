"""The data module: scenes by index, rendered on the device after the transfer; or the data set of Oh et al. (2018).

Which samples a step sees is a function of (seed, epoch, position) alone. Resuming at an epoch's start, another number
of workers, or splitting an epoch among ranks therefore changes nothing.
"""

import functools
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lightning_mm.data.bank import TextureBank, build_bank
from lightning_mm.data.degradation import degrade
from lightning_mm.data.echo import RenderedScenes
from lightning_mm.data.oh2018 import Oh2018Dataset
from lightning_mm.data.random import sample_key
from lightning_mm.data.rendering import Pairs, render_pairs
from lightning_mm.data.sampling import ECHO_BATCHES, EpochSampler, SceneDataset
from lightning_mm.data.scenes import SceneConfig, SceneSampler
from lightning_mm.errors import InputError
from lightning_mm.metrics import SSIM_MIN_SIZE
from lightning_mm.runs import fingerprint

_VALIDATION_SEED = 20180910  # validation pairs are the same for every run, whatever its seed
_VALIDATION_TEXTURES = 24


class PairDataModule(L.LightningDataModule):
    """Pairs for training and validation.

    Args:
        size: Side of the square training frames in pixels.
        batch_size: Pairs per step and device.
        epoch_samples: Pairs per epoch; validation and checkpoints come at an epoch's end.
        seed: Seed of the training pairs; that of the training (``seed_everything``), or 0, when left out. Validation
            pairs do not depend on it.
        scenes: Ranges that scenes are drawn from.
        textures: Procedural textures to draw layers from; 0 for photos alone.
        texture_size: Their side in texels, two per pixel.
        photos: Folder of photos to texture training scenes with, searched in depth.
        echo: Times that each rendered scene is shown in training, turned or mirrored, with fresh noise (``data.echo``).
        shot_noise: Largest shot-noise strength of training inputs (Oh et al.: 0.3). Validation inputs have none.
        val_size: Side of the validation frames; ``size`` when left out.
        val_pairs: Number of validation pairs; 64 synthetic ones, or the last 5,000 of the data set, when left out.
        val_scenes: Ranges that validation scenes are drawn from.
        val_photos: Folder of photos for the validation scenes; procedural textures when left out.
        search_pairs: Number of pairs of the training split that training does not see and that are measured instead of
            the validation pairs, for a search that chooses by them; 0 for none. They are the same for every run.
        oh2018: Root of the data set of Oh et al. (2018); replaces the synthetic pairs in training and validation.
        num_workers: Loader processes. Scenes are a few numbers each, so 0 is right for synthetic pairs.

    Raises:
        ValueError: A value is out of range.
        InputError: A folder is missing or unusable (when the data is set up).
    """

    def __init__(
        self,
        size: int = 384,
        batch_size: int = 4,
        epoch_samples: int = 10_000,
        seed: int | None = None,
        scenes: SceneConfig = SceneConfig(),  # noqa: B008  (frozen)
        textures: int = 64,
        texture_size: int = 1024,
        photos: Path | None = None,
        echo: int = 1,
        shot_noise: float = 0.3,
        val_size: int | None = None,
        val_pairs: int | None = None,
        val_scenes: SceneConfig = SceneConfig(),  # noqa: B008
        val_photos: Path | None = None,
        search_pairs: int = 0,
        oh2018: Path | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        if val_pairs is None:
            val_pairs = 64 if oh2018 is None else 5000
        limits = {"size": SSIM_MIN_SIZE, "batch_size": 1, "epoch_samples": batch_size, "val_pairs": 1, "num_workers": 0}
        limits |= {"search_pairs": 0}
        limits |= {"echo": 1, "textures": 0 if photos is not None else 1, "texture_size": 64}
        for name, low in limits.items():
            if locals()[name] < low:
                raise ValueError(f"data.{name} = {locals()[name]}: must be >= {low}")
        if val_size is not None and val_size < SSIM_MIN_SIZE:
            raise ValueError(f"data.val_size = {val_size}: must be >= {SSIM_MIN_SIZE}, the window of SSIM")
        if not 0.0 <= shot_noise < 10.0:
            raise ValueError(f"data.shot_noise = {shot_noise}: must be in [0, 10)")
        self.size, self.batch_size, self.epoch_samples, self.seed = size, batch_size, epoch_samples, seed or 0
        self.scenes, self.textures, self.texture_size, self.shot_noise = scenes, textures, texture_size, shot_noise
        self.photos, self.val_photos, self.oh2018 = photos, val_photos, oh2018
        self.echo, self.val_scenes = echo, val_scenes
        self.val_size, self.val_pairs, self.num_workers = val_size or size, val_pairs, num_workers
        self.search_pairs = search_pairs
        self._banks: dict[str, TextureBank] = {}
        self._rendered: RenderedScenes | None = None
        self._validation_cache: dict[tuple[int, ...], Pairs] = {}
        self._train: Dataset | None = None
        self._val: Dataset | None = None
        self.val_counts = True

    @property
    def val_count(self) -> int:
        """Number of validation pairs over all ranks, once the data is set up."""
        return len(self._val) if isinstance(self._val, Oh2018Dataset) else self.search_pairs or self.val_pairs

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints: the number of ranks that share a step."""
        return {"ranks": self._ranks()[1]}

    def setup(self, stage: str) -> None:
        """Build the texture banks, or open the data set, once."""
        if self._val is None:
            split = "search" if self.search_pairs else "val"
            self._val = self._oh2018(split) if self.oh2018 else self._scenes(split)
        if stage == "fit" and self._train is None:
            self._train = self._oh2018("train") if self.oh2018 else self._scenes("train")

    def train_dataloader(self) -> DataLoader:
        """One epoch of this rank's share of the training pairs."""
        assert self._train is not None
        rank, world = self._ranks()
        if isinstance(self._train, SceneDataset):
            self._train.lanes = self.batch_size * world
        sampler = self.epoch_sampler(rank, world)
        if self.trainer is not None:
            # The Trainer sets the epoch as well, but on resuming only after loader workers have begun to fetch.
            sampler.set_epoch(self.trainer.fit_loop.epoch_progress.current.processed)  # pyright: ignore
        return self._loader(self._train, sampler=sampler, drop_last=True)

    def epoch_sampler(self, rank: int, world: int) -> EpochSampler:
        """The samples of a rank, once the data is set up.

        Raises:
            InputError: An epoch is too short for so many ranks.
        """
        length = len(self._train) if isinstance(self._train, Oh2018Dataset) else None
        block = self.echo * ECHO_BATCHES if length is None and self.echo > 1 else 1
        return EpochSampler(self.epoch_samples, self.batch_size, self.seed, length, rank, world, block)

    def val_dataloader(self) -> DataLoader:
        """The validation pairs, always all of them and in the same order, shared among ranks.

        A rank that has no pair gets the first, which does not count (``val_counts``): it must take part in what ranks
        do together.
        """
        assert self._val is not None
        rank, world = self._ranks()
        share = range(rank, self.val_count, world)
        self.val_counts = len(share) > 0
        return self._loader(self._val, sampler=share or range(1), drop_last=False)

    test_dataloader = val_dataloader

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Pairs:
        """Render scenes, or convert and degrade stored images, on the device that trains."""
        training = self.trainer is not None and self.trainer.training
        if "frame_a" in batch:
            return self._prepare_stored(batch, noisy=training)
        device = batch["alpha"].device
        if training and self.echo > 1:
            if self._rendered is None:
                self._rendered = RenderedScenes(self.size, (ECHO_BATCHES + 1) * self.batch_size)
            return self._rendered.pairs(batch, self._bank("train", device))
        if training:
            return render_pairs(batch, self._bank("train", device), self.size)
        # Validation pairs never change, so each batch is rendered once per run.
        key = tuple(batch["key"].tolist())
        if key not in self._validation_cache:
            self._validation_cache[key] = render_pairs(batch, self._bank("val", device), self.val_size)
        return self._validation_cache[key]

    def validation_identity(self) -> dict[str, Any]:
        """What identifies the validation pairs in a results file: name, number, size and a digest of what they show."""
        self.setup("validate")
        if isinstance(self._val, Oh2018Dataset):
            height, width = self._val[0]["target"].shape[-2:]
            split = "search slice of the training" if self.search_pairs else "validation"
            identity = {"name": f"Oh et al. 2018, {split} split", "pairs": len(self._val)}
            return identity | {"height": height, "width": width, "digest": self._val.split_digest}
        assert isinstance(self._val, SceneDataset)
        # Of the scenes themselves, so that a change to how they are drawn shows.
        scenes = [{name: value.tolist() for name, value in self._val[i].items()} for i in range(self.val_count)]
        shown = {"bank": self._banks["val"].digest(), "scenes": scenes, "size": self.val_size}
        photos = self.photos if self.search_pairs else self.val_photos
        source = ("photos" if photos else "procedural textures") + (" of training" if self.search_pairs else "")
        identity = {"name": f"synthetic pairs, {source}", "pairs": self.val_count}
        return identity | {"height": self.val_size, "width": self.val_size, "digest": fingerprint(shown)}

    def validation_scenes(self) -> tuple[SceneSampler, TextureBank]:
        """The sampler and the textures of synthetic validation scenes, for tests that change how these move.

        Raises:
            ValueError: The validation pairs are a stored data set.
        """
        self.setup("validate")
        if not isinstance(self._val, SceneDataset):
            raise ValueError("the validation pairs are stored, not rendered")
        return self._val.sampler, self._banks["val"]

    def _scenes(self, split: str) -> SceneDataset:
        """Of "train", "val", or "search", which shows what "train" shows but in scenes of its own."""
        if split == "train":
            bank = build_bank(self.seed, split, self.textures, self.texture_size, self.photos)
            self._banks[split] = bank
            sampler = SceneSampler(self.scenes, bank, self.size, self.seed, split, self.shot_noise)
            return SceneDataset(sampler, self.echo, self.batch_size)
        photos = self.photos if split == "search" else self.val_photos
        size = self.texture_size
        bank = build_bank(_VALIDATION_SEED, split, 0, size, photos) if photos else _validation_textures(split, size)
        self._banks["val"] = bank
        return SceneDataset(SceneSampler(self.val_scenes, bank, self.val_size, _VALIDATION_SEED, split, 0.0))

    def _oh2018(self, split: str) -> Oh2018Dataset:
        assert self.oh2018 is not None
        dataset = Oh2018Dataset(self.oh2018, split, self.val_pairs, self.search_pairs)
        if split == "train" and len(dataset) < self.batch_size:
            raise InputError(
                f"{self.oh2018}: {len(dataset)} training samples, fewer than one batch of {self.batch_size}"
            )
        return dataset

    def _bank(self, split: str, device: torch.device) -> TextureBank:
        self._banks[split] = self._banks[split].to(device)
        return self._banks[split]

    def _prepare_stored(self, batch: dict[str, Tensor], noisy: bool) -> Pairs:
        images = {name: batch[name].float() / 127.5 - 1.0 for name in ("frame_a", "frame_b", "frame_c", "target")}
        inputs = (images["frame_a"], images["frame_b"], images["frame_c"])
        if noisy:
            # One draw per (sample, epoch): the same pair is never seen twice with the same noise.
            epoch = self.trainer.current_epoch if self.trainer is not None else 0
            keys = [sample_key(self.seed, f"noise-{epoch}", int(index)) for index in batch["index"]]
            device = batch["alpha"].device
            strengths = torch.stack([_strengths(key, self.shot_noise) for key in keys]).to(device)
            inputs = degrade(inputs, strengths, torch.tensor(keys, device=device))
        a, b, c = inputs
        return Pairs(a, b, c, images["target"], batch["alpha"])

    def _loader(self, dataset: Dataset, sampler: Any, drop_last: bool) -> DataLoader:
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            drop_last=drop_last,
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=self.num_workers > 0,
        )

    def _ranks(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)


@functools.lru_cache(maxsize=4)
def _validation_textures(split: str, texture_size: int) -> TextureBank:
    """Kept beside those of ``build_bank``, where the textures and photos of many trainings would push them out."""
    return build_bank(_VALIDATION_SEED, split, _VALIDATION_TEXTURES, texture_size)


def _strengths(key: int, largest: float) -> Tensor:
    generator = torch.Generator().manual_seed(key % 2**31)
    return largest * torch.rand(3, generator=generator)
