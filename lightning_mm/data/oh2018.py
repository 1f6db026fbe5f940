"""The synthetic data set of Oh et al. (2018) on disk: a reader and a writer of its two layouts.

::

    ROOT/train/                        "flat"            "numbered"
      amplified/NNNNNN.png             amplified         1/amplified      magnified frame, in B's colours
      frameA/NNNNNN.png                frameA            2/frameA         reference frame
      frameB/NNNNNN.png                frameB            3/frameB         moved frame, colours perturbed
      frameC/NNNNNN.png                frameC            4/frameC         moved frame, in A's colours
      train_mf.txt                     line k, from zero, holds the motion factor of file k
      meta/NNNNNN.json                 optional; "amplification_factor" counts where there is no train_mf.txt
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_mm.errors import InputError, first_line
from lightning_mm.runs import write_text_atomically

Layout = Literal["flat", "numbered"]

FACTORS_FILE = "train_mf.txt"
LAYOUTS: dict[Layout, dict[str, str]] = {
    "flat": {"frame_a": "frameA", "frame_b": "frameB", "frame_c": "frameC", "target": "amplified"},
    "numbered": {"frame_a": "2/frameA", "frame_b": "3/frameB", "frame_c": "4/frameC", "target": "1/amplified"},
}


class Oh2018Dataset(Dataset[dict[str, Tensor]]):
    """Map-style reader.

    What is wrong with folders, names and factors is found at construction, what is wrong with an image when it is read.

    Each item is a dict of

    * ``frame_a``, ``frame_b``, ``frame_c``, ``target``: (3, H, W) uint8; ``x / 127.5 - 1`` is the networks' range;
    * ``alpha``: float32 scalar, the *total* motion factor: the target shows frame A's content moved by alpha times the
      motion from A to B (and C), as the ``alpha`` of ``Magnifier``;
    * ``index``: int64 scalar, the number in the file's name.

    Args:
        root: Directory that holds ``train``.
        split: "train", "val", or "search", which a search may choose by.
        val_pairs: Number of samples of "val", the last by name; "train" is the rest. The paper has 95,000 and 5,000.
        search_pairs: Number of samples of "search", the last of those that "train" would else have.

    Raises:
        InputError: A folder, an image or a factor is missing or unreadable; the message names the first.
    """

    def __init__(self, root: Path, split: str = "train", val_pairs: int = 5000, search_pairs: int = 0) -> None:
        if split not in ("train", "val", "search"):
            raise InputError(f"split {split!r}: must be 'train', 'val' or 'search'")
        base = Path(root) / "train"
        if not base.is_dir():
            raise InputError(f"{root}: no folder 'train' in it, as in ROOT/train/frameA/000000.png")
        self.folders = _find_folders(base)
        factors = _find_factors(base)
        numbers = _matching_numbers(self.folders)
        if not 1 <= val_pairs < len(numbers):
            accepted = f"must be between 1 and {len(numbers) - 1}, as {root} has {len(numbers)} samples"
            raise InputError(f"val_pairs {val_pairs}: {accepted}")
        rest = len(numbers) - val_pairs - search_pairs
        if search_pairs < (split == "search") or rest < 1:
            most = len(numbers) - val_pairs - 1
            raise InputError(f"search_pairs {search_pairs}: must be between 1 and {most}, beside {val_pairs} of 'val'")
        parts = {"train": numbers[:rest], "search": numbers[rest:-val_pairs], "val": numbers[-val_pairs:]}
        numbers = parts[split]
        # Tensors, not lists: workers share their memory, and a list's reference counts would make each worker copy it.
        self._numbers = torch.tensor(numbers, dtype=torch.int64)
        self._alphas = torch.tensor(_read_factors(factors, numbers), dtype=torch.float32)

    def __len__(self) -> int:
        """Number of samples of the split."""
        return len(self._numbers)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Read a sample.

        Raises:
            InputError: An image is unreadable, not 8-bit RGB, or not of the size of frame A.
        """
        number = self._numbers[index]
        paths = {role: folder / _file_name(int(number)) for role, folder in self.folders.items()}
        item = {role: read_image(path) for role, path in paths.items()}
        for role, path in paths.items():
            if item[role].shape != item["frame_a"].shape:
                sizes = f"{_size(item[role])}, but {paths['frame_a']} is {_size(item['frame_a'])}"
                raise InputError(f"{path}: the image is {sizes}")
        return item | {"alpha": self._alphas[index].clone(), "index": number.clone()}

    @property
    def split_digest(self) -> str:
        """What identifies the split in a report: the first 12 hex digits of the SHA-256 of its sorted file names."""
        names = "\n".join(_file_name(number) for number in self._numbers.tolist())
        return hashlib.sha256(names.encode()).hexdigest()[:12]


def write_oh2018(
    root: Path, samples: Iterable[tuple[Tensor, Tensor, Tensor, Tensor, float]], layout: Layout = "flat"
) -> int:
    """Write samples as 8-bit PNG files in a layout that ``Oh2018Dataset`` reads, numbered from zero.

    The factors are written last, in one step: where an export was interrupted, ``train_mf.txt`` is missing and the
    reader says so.

    Args:
        root: Directory to write; must not exist, or be empty.
        samples: (frame_a, frame_b, frame_c, target, alpha) each. Frames are (3, H, W), uint8 or float in [-1, 1];
            floats are clamped to that range and rounded to the nearest of 256 levels. ``alpha`` is the total motion
            factor.
        layout: "flat" or "numbered".

    Returns:
        Number of samples written.

    Raises:
        InputError: ``root`` holds something already, or a sample's frames or factor are not as described.
    """
    from PIL import Image

    if layout not in LAYOUTS:
        raise InputError(f"layout {layout!r}: must be one of {tuple(LAYOUTS)}")
    root = Path(root)
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{root}: exists and is not an empty directory")
    folders = {role: root / "train" / folder for role, folder in LAYOUTS[layout].items()}
    for folder in folders.values():
        folder.mkdir(parents=True)
    factors: list[str] = []
    for *frames, alpha in samples:
        number, factor = len(factors), float(alpha)
        images = [_to_bytes(frame, f"sample {number}, {role}") for role, frame in zip(folders, frames, strict=True)]
        if any(image.shape != images[0].shape for image in images):
            raise InputError(f"sample {number}: frames of different sizes, {', '.join(map(_size, images))}")
        if not _is_factor(factor):
            raise InputError(f"sample {number}: alpha {factor} must be finite and not negative")
        for folder, image in zip(folders.values(), images, strict=True):
            Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()).save(folder / _file_name(number))
        factors.append(repr(factor))
    write_text_atomically(root / "train" / FACTORS_FILE, "".join(f"{factor}\n" for factor in factors))
    return len(factors)


def _file_name(number: int) -> str:
    return f"{number:06d}.png"


def _size(image: Tensor) -> str:
    return f"{image.shape[-1]} x {image.shape[-2]}"


def _is_factor(value: float) -> bool:
    return math.isfinite(value) and value >= 0.0


def _find_folders(base: Path) -> dict[str, Path]:
    """The four folders, of the layout of which most are there."""
    layouts = [{role: base / name for role, name in names.items()} for names in LAYOUTS.values()]
    folders = max(layouts, key=lambda paths: sum(path.is_dir() for path in paths.values()))
    missing = [str(path.relative_to(base)) for path in folders.values() if not path.is_dir()]
    if len(missing) == len(folders):
        raise InputError(f"{base}: neither the folders frameA, frameB, frameC, amplified in it nor 2/frameA and so on")
    if missing:
        raise InputError(f"{base}: the folder {missing[0]} is missing")
    return folders


def _matching_numbers(folders: dict[str, Path]) -> list[int]:
    """File numbers of frame A in ascending order, once every other folder is known to hold the same."""
    numbers = {role: _file_numbers(folder) for role, folder in folders.items()}
    first = numbers["frame_a"]
    if not first:
        raise InputError(f"{folders['frame_a']}: no image in it, as 000000.png")
    for role, folder in folders.items():
        if numbers[role] != first:
            number = min(numbers[role] ^ first)
            lacking, having = (folder, folders["frame_a"]) if number in first else (folders["frame_a"], folder)
            raise InputError(f"{lacking}: {_file_name(number)} is missing, which {having} has")
    return sorted(first)


def _file_numbers(folder: Path) -> set[int]:
    numbers = set()
    for path in folder.iterdir():
        if path.suffix.lower() != ".png" or path.name.startswith("."):
            continue
        # With one width for all, the order of names is that of numbers, and no two names mean the same number.
        if not (len(path.name) == 10 and path.stem.isascii() and path.stem.isdigit() and path.suffix == ".png"):
            raise InputError(f"{path}: not named by a number of six digits, as 000000.png")
        numbers.add(int(path.stem))
    return numbers


def _find_factors(base: Path) -> Path:
    """The file of all factors or the folder of metadata; looked for first, as an interrupted export has neither."""
    for path in (base / FACTORS_FILE, base / "meta"):
        if path.exists():
            return path
    raise InputError(
        f"{base}: neither {FACTORS_FILE} nor the folder meta in it; was an export or download interrupted?"
    )


def _read_factors(path: Path, numbers: list[int]) -> list[float]:
    """Motion factors of the files of these numbers; lines that belong to none of them are not looked at."""
    if path.name == FACTORS_FILE:
        return _factors_of_lines(path, numbers)
    return [_factor_of_json(path / f"{number:06d}.json") for number in numbers]


def _factors_of_lines(path: Path, numbers: list[int]) -> list[float]:
    lines = path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
    if numbers[-1] >= len(lines):
        raise InputError(f"{path}: has {len(lines)} lines, {_file_name(numbers[-1])} needs line {numbers[-1] + 1}")
    return [_factor(lines[number], f"{path}, line {number + 1}") for number in numbers]


def _factor_of_json(path: Path) -> float:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(content, dict) or "amplification_factor" not in content:
        raise InputError(f"{path}: has no 'amplification_factor'")
    return _factor(content["amplification_factor"], path)


def _factor(value: Any, place: object) -> float:
    try:
        factor = float(value)
    except (TypeError, ValueError):
        factor = math.nan
    if not _is_factor(factor):
        raise InputError(f"{place}: {str(value)[:40]!r} is not a motion factor, a number >= 0")
    return factor


def read_image(path: Path) -> Tensor:
    """An 8-bit RGB image as (3, H, W) uint8.

    Raises:
        InputError: The file is unreadable or of another mode.
    """
    return torch.from_numpy(_read_rgb(path, np.array)).permute(2, 0, 1).contiguous()


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of an 8-bit RGB image, without decoding it.

    Raises:
        InputError: The file is unreadable or of another mode.
    """
    return _read_rgb(path, lambda image: image.size)


def _read_rgb(path: Path, read: Callable[[Any], Any]) -> Any:
    from PIL import Image

    try:
        with Image.open(path) as image:
            mode, found = image.mode, read(image)
    except Exception as error:  # Pillow raises many kinds for broken files: OSError, SyntaxError, ValueError, EOFError
        raise InputError(f"{path}: not a readable image ({first_line(error)[:160]})") from None
    if mode != "RGB":
        raise InputError(f"{path}: the image is of mode {mode}, must be 8-bit RGB")
    return found


def _to_bytes(frame: Tensor, what: str) -> Tensor:
    """A frame as uint8 (3, H, W) on the CPU."""
    if frame.ndim != 3 or frame.shape[0] != 3 or not (frame.dtype == torch.uint8 or frame.is_floating_point()):
        got = f"{tuple(frame.shape)} {frame.dtype}"
        raise InputError(f"{what}: {got}, must be (3, H, W), uint8 or float in [-1, 1]")
    if frame.dtype == torch.uint8:
        return frame.cpu()
    if not torch.isfinite(frame).all():
        raise InputError(f"{what}: not finite")
    return ((frame.detach().cpu().double().clamp(-1.0, 1.0) + 1.0) * 127.5).round().to(torch.uint8)
