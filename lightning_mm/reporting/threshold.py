"""The line of visual acceptability that reports draw: the paper's, or one from ``lightning-mm threshold``."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from lightning_mm.errors import InputError
from lightning_mm.reporting.run import Run, finite, validation_text
from lightning_mm.runs import write_text_atomically

Kind = Literal["paper", "calibrated", "anchored"]
Interval = tuple[float | None, float | None]

VISUAL_THRESHOLD_SSIM = 0.966
"""SSIM that 20 participants rated "adequate" (3 on a scale of 0 to 5): Section 4.2 and Appendix F of the paper."""

PAPER_TRAINING_SAMPLES = 95_000
"""Size of the paper's training set (Section 4.1); its models see it many times (Table 1: 300 epochs)."""

SCHEMA = 1


@dataclass(frozen=True)
class Threshold:
    """An SSIM from which on outputs count as visually acceptable.

    Attributes:
        value: The SSIM.
        kind: "paper": as printed; "calibrated": fitted to ratings; "anchored": the paper's, carried over to other
            validation pairs by models that are trained on both.
        source: Where it comes from, as a phrase.
        interval: Its 95 % interval; an end that the data do not bound is ``None``, as is the whole where there is none.
        validation: Identity of the validation pairs that it holds for, as in ``Results``; ``None`` where that is not
            known.
    """

    value: float
    kind: Kind
    source: str
    interval: Interval | None = None
    validation: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The SSIM in words, to four digits."""
        return f"{round(self.value, 4):g}"

    @property
    def label(self) -> str:
        """What the line is called."""
        return f"{self.owner} threshold"

    @property
    def owner(self) -> str:
        """Whose line it is, as the word before "threshold" or "SSIM"."""
        return "paper's" if self.kind == "paper" else self.kind

    @property
    def note(self) -> str:
        """Which line this is, where it comes from, and what it holds for."""
        if self.kind == "paper":
            return (
                f"The {self.text} line is the paper's visual threshold ({self.source}). It was calibrated on the "
                "paper's own validation set and SSIM; on another set it is orientation, not a criterion."
            )
        said = f"The {self.text} line is {'an' if self.kind == 'anchored' else 'a'} {self.kind} visual threshold"
        said += f" ({self.source}; {interval_text(self.interval)})."
        if self.validation is None:
            return f"{said} It holds for the pairs that the rated models' SSIM is of, which it does not name."
        return f"{said} It holds for the validation pairs with digest {self.validation.get('digest')}, as here."

    def reaches(self, ssim: float | None) -> bool | None:
        """Whether an SSIM is at or above the line; ``None`` for an absent SSIM."""
        return None if ssim is None else ssim >= self.value

    def require_same_pairs(self, runs: Sequence[Run]) -> None:
        """Refuse to be drawn beside numbers that were measured on other validation pairs than it holds for.

        Raises:
            InputError: A run has other pairs; the message names it and both sets.
        """
        if self.validation is None:
            return
        digest = self.validation.get("digest")
        other = [run for run in runs if run.results.validation.get("digest") != digest]
        if other:
            more = f" and {len(other) - 1} more" if len(other) > 1 else ""
            raise InputError(
                f"the {self.kind} threshold {self.text} holds for validation pairs with digest {digest}, but "
                f"{other[0].label}{more} was measured on {validation_text(other[0].results)}"
            )

    def write(self, path: Path, **more: Any) -> None:
        """Write it as JSON, with further plain values that say how it came about.

        Raises:
            InputError: The file cannot be written.
        """
        known = {"schema": SCHEMA, "value": self.value, "interval": self.interval, "kind": self.kind}
        content = known | {"source": self.source, "validation": self.validation} | more
        try:
            write_text_atomically(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror})") from None

    @classmethod
    def read(cls, path: Path) -> "Threshold":
        """Read what ``write`` wrote.

        Raises:
            InputError: The file is missing, not JSON, or not a threshold.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; 'lightning-mm threshold' writes one") from None
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        except ValueError as error:
            raise InputError(f"{path}: not valid JSON ({error})") from None
        if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.get("kind") not in get_args(Kind):
            raise InputError(f"{path}: not a threshold of schema {SCHEMA}, as 'lightning-mm threshold' writes them")
        value, interval, validation = finite(data.get("value")), data.get("interval"), data.get("validation")
        if value is None or not -1.0 <= value <= 1.0:
            raise InputError(f"{path}: value = {data.get('value')!r}: must be an SSIM from -1 to 1")
        ends = interval if isinstance(interval, list) else [None] if interval is not None else []
        if interval is not None and (len(ends) != 2 or any(e is not None and finite(e) is None for e in ends)):
            raise InputError(f"{path}: interval = {interval!r}: must be null or two numbers")
        if validation is not None and not (isinstance(validation, dict) and validation.get("digest")):
            raise InputError(f"{path}: validation = {validation!r}: must be null or an object with a digest")
        return cls(value, data["kind"], str(data.get("source")), (ends[0], ends[1]) if ends else None, validation)


def interval_text(interval: Interval | None) -> str:
    """A 95 % interval in words."""
    if interval is None:
        return "no interval"
    low, high = interval
    if low is None or high is None:
        ends = [f"{word} {end:.4f}" for word, end in (("from", low), ("up to", high)) if end is not None]
        return f"95 % interval {ends[0]} without a further bound" if ends else "95 % interval without bounds"
    return f"95 % interval {low:.4f} to {high:.4f}"


PAPER_THRESHOLD = Threshold(
    VISUAL_THRESHOLD_SSIM, "paper", "Section 4.2, Appendix F: rated adequate by 20 people", None, None
)
"""The line that reports draw unless they are given another one."""
