"""What rendering is compared with: a plain loader that reads finished samples from PNG files."""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor
from torch.utils.data import DataLoader

from lightning_mm.data.oh2018 import Oh2018Dataset, write_oh2018
from lightning_mm.data.rendering import Pairs

SAMPLES = 32


class PngReading:
    """Reads samples of four PNG files with a loader; one call reads ``samples`` of them.

    The files were just written, so that they come from memory: what is measured is decoding and collating, not a disk.

    Args:
        root: A data set of ``write_samples``.
        batch_size: Samples per batch.
        workers: Loader processes; 0 reads in this one.
    """

    def __init__(self, root: Path, batch_size: int, workers: int) -> None:
        dataset = Oh2018Dataset(root, "train", val_pairs=1)
        # So many batches that the wait for the first ones, which the workers begin together, does not weigh much.
        self.samples = batch_size * max(4, 8 * workers)
        order = [number % len(dataset) for number in range(self.samples)]
        self._loader = DataLoader(
            dataset, batch_size, sampler=order, num_workers=workers, persistent_workers=workers > 0
        )

    def __call__(self) -> None:
        """Read all samples once."""
        for _ in self._loader:
            pass


def write_samples(root: Path, batch: Pairs) -> None:
    """Write a data set of ``SAMPLES`` samples and one for validation, repeating those of a batch as often as needed."""
    write_oh2018(root, _samples(batch))


def _samples(batch: Pairs) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, float]]:
    count = len(batch.alpha)
    for number in range(SAMPLES + 1):
        a, b, c, target, alpha = (value[number % count] for value in batch)
        yield a, b, c, target, float(alpha)
