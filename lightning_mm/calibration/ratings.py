"""Reading people's ratings: a CSV of (rater, sample, model, ssim, score), or of (ssim, score) pairs alone."""

import csv
import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightning_mm.errors import InputError

COLUMNS = ("rater", "sample", "model", "ssim", "score")
PAIR_COLUMNS = ("ssim", "score")
MAX_SCORE = 5.0
"""The scale is 0 (no similarity) to 5 (perfect); 3 is adequate (Appendix F)."""

MIN_MODELS = 3
"""A quadratic has three coefficients."""


@dataclass(frozen=True)
class Ratings:
    """Scores of magnified clips, by who gave them, of which clip, to which model.

    Attributes:
        models: Names of the models, or of the pairs where only pairs are known.
        ssim: SSIM of each model on synthetic pairs, (M,).
        scores: Sum of the scores by rater, sample and model, (R, S, M); R = S = 1 for pairs.
        counts: Number of scores in each sum, 0 or 1, (R, S, M).
        pairs: Whether only (ssim, score) pairs are known.
        digest: SHA-256 of the file, its first 12 hex digits.
    """

    models: tuple[str, ...]
    ssim: NDArray[np.float64]
    scores: NDArray[np.float64]
    counts: NDArray[np.float64]
    pairs: bool
    digest: str

    @property
    def means(self) -> NDArray[np.float64]:
        """Mean score of each model, (M,)."""
        return self.scores.sum((0, 1)) / self.counts.sum((0, 1))


def read_ratings(path: Path) -> Ratings:
    """Read a CSV with a header, whose columns may come in any order.

    Args:
        path: The file, UTF-8.

    Raises:
        InputError: It cannot be read, its columns are others, a line is wrong (the message has its number), a model has
            two values of SSIM, a score is there twice, or there are too few models or only one SSIM.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = tuple(cell.strip() for cell in next(rows, ()))
    if sorted(header) not in (sorted(COLUMNS), sorted(PAIR_COLUMNS)):
        found = ", ".join(header) or "nothing"
        raise InputError(
            f"{path}: columns are {found}: must be {', '.join(COLUMNS)}, or {' and '.join(PAIR_COLUMNS)} alone"
        )
    pairs = len(header) == len(PAIR_COLUMNS)
    table = _Table(path)
    try:
        for cells in rows:
            if any(cell.strip() for cell in cells):
                table.add(rows.line_num, header, cells)
    except csv.Error as error:
        raise InputError(f"{path}: line {rows.line_num}: not CSV ({error})") from None
    digest = hashlib.sha256(content).hexdigest()[:12]
    return table.ratings(pairs, digest)


class _Table:
    """Lines as they are read, checked one by one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: dict[tuple[str, str, str], tuple[int, float]] = {}
        self.ssim: dict[str, tuple[int, float]] = {}

    def add(self, line: int, header: tuple[str, ...], cells: list[str]) -> None:
        place = f"{self.path}: line {line}"
        if len(cells) != len(header):
            raise InputError(f"{place}: {len(cells)} cells: must be {len(header)} ({', '.join(header)})")
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        ssim = _number(place, "ssim", row["ssim"], -1.0, 1.0)
        score = _number(place, "score", row["score"], 0.0, MAX_SCORE)
        if "model" not in row:
            row |= {"rater": "", "sample": "", "model": f"pair {len(self.ssim) + 1}"}
        elif empty := next((name for name in ("rater", "sample", "model") if not row[name]), None):
            raise InputError(f"{place}: {empty} is empty")
        before, known = self.ssim.setdefault(row["model"], (line, ssim))
        if known != ssim:
            raise InputError(f"{place}: model {row['model']} has ssim {ssim:g}, but {known:g} on line {before}")
        key = (row["rater"], row["sample"], row["model"])
        if key in self.lines:
            raise InputError(
                f"{place}: rater {key[0]}, sample {key[1]}, model {key[2]} is on line {self.lines[key][0]} already"
            )
        self.lines[key] = (line, score)

    def ratings(self, pairs: bool, digest: str) -> Ratings:
        names, values = tuple(self.ssim), np.array([value for _, value in self.ssim.values()])
        what, different = ("pairs" if pairs else "models"), len(set(values.tolist()))
        if len(names) < MIN_MODELS:
            raise InputError(f"{self.path}: {len(names)} {what}: a quadratic needs at least {MIN_MODELS}")
        if different < MIN_MODELS:
            only = "one value" if different == 1 else f"{different} values"
            raise InputError(
                f"{self.path}: {only} of ssim in {len(names)} {what}: a quadratic needs at least {MIN_MODELS} values"
            )
        raters, samples = ({name: i for i, name in enumerate(dict.fromkeys(k[n] for k in self.lines))} for n in (0, 1))
        model_numbers = {name: i for i, name in enumerate(names)}
        scores, counts = np.zeros((2, len(raters), len(samples), len(names)))
        for (rater, sample, model), (_, score) in self.lines.items():
            at = raters[rater], samples[sample], model_numbers[model]
            scores[at], counts[at] = score, 1.0
        return Ratings(names, values, scores, counts, pairs, digest)


def _number(place: str, name: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        raise InputError(f"{place}: {name} = '{text}': must be a number from {low:g} to {high:g}")
    return value
