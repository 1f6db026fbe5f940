"""Which samples a step sees, and on which rank: a function of (seed, epoch, position) alone."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from lightning_mm.data.echo import echoed
from lightning_mm.data.random import sample_key
from lightning_mm.data.scenes import SceneSampler
from lightning_mm.errors import InputError

ECHO_BATCHES = 8  # batches of scenes between two showings of a scene


class SceneDataset(Dataset):
    """Scenes by index; without end, so it has no length. With ``echo``, several indices show one scene."""

    def __init__(self, sampler: SceneSampler, echo: int = 1, lanes: int = 1) -> None:
        self.sampler, self.echo, self.lanes = sampler, echo, lanes

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Scene as tensors, see ``SceneSampler``; where scenes are echoed, with the number of its "showing"."""
        if self.echo == 1:
            return self.sampler(index)
        number, showing = echoed(index, self.echo, ECHO_BATCHES, self.lanes, self.sampler.seed)
        return {**self.sampler(number), "showing": torch.tensor(showing)}


class EpochSampler(Sampler[int]):
    """The indices of one epoch on one rank, a function of (seed, epoch) alone.

    Without a data set length, epoch e is the numbers from e * epoch_samples on: no sample ever comes twice. With one,
    it is the next epoch_samples of an endless sequence of permutations of the data set. Ranks take turns, batch by
    batch ranks see disjoint samples, and together they see all of them.

    Args:
        epoch_samples: Samples per epoch over all ranks; cut to a multiple of batch_size * world * block.
        batch_size: Samples per step and rank.
        seed: Seed of the permutations.
        length: Size of a finite data set, or ``None``.
        rank: This rank.
        world: Number of ranks.
        block: Steps that an epoch must be a multiple of.
    """

    def __init__(
        self,
        epoch_samples: int,
        batch_size: int,
        seed: int,
        length: int | None,
        rank: int,
        world: int,
        block: int = 1,
    ) -> None:
        step = batch_size * world * block
        if epoch_samples < step:
            what = f"one batch for each of {world} ranks" if block == 1 else "one block of echoed scenes"
            raise InputError(f"data.epoch_samples = {epoch_samples}: must be >= {step}, {what}")
        self.total = epoch_samples // step * step
        self.seed, self.length, self.rank, self.world = seed, length, rank, world
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer at an epoch's start, also after resuming."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Samples of this rank in an epoch."""
        return self.total // self.world

    def __iter__(self) -> Iterator[int]:
        """Indices of the current epoch on this rank."""
        for position in range(self.epoch * self.total + self.rank, (self.epoch + 1) * self.total, self.world):
            yield position if self.length is None else self._permuted(position)

    def _permuted(self, position: int) -> int:
        assert self.length is not None
        round_, place = divmod(position, self.length)
        if getattr(self, "_round", None) != round_:
            generator = torch.Generator().manual_seed(sample_key(self.seed, "order", round_) % 2**31)
            self._round, self._order = round_, torch.randperm(self.length, generator=generator).tolist()
        return self._order[place]
