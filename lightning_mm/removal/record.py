"""``removal.json``: what switches have come to, and what was cut."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lightning_mm.errors import InputError
from lightning_mm.runs import write_text_atomically

REMOVAL_FILE = "removal.json"
MARKS = {"x": "all removed", "triangle": "some survive", "-": "none removed"}
"""Those of Table 1, a cross, a triangle and a dash."""


def mark_of(removed: int, count: int) -> str:
    """The mark of so many removed of so many components."""
    return "-" if not removed else "x" if removed == count else "triangle"


@dataclass(frozen=True)
class Removal:
    """A cut. Plain JSON types only.

    Attributes:
        settings: Fields of ``RemovalConfig``: part, component, power, weight, threshold, lr.
        weights: What the training with switches started from.
        epochs: Epochs with switches.
        steps: Steps with switches.
        components: For each component "name" (of its block, such as "decoder.3"), "omega" at the end, and "removed".
        curve: "steps", and "omegas", for each component's name as many values.
        before: "params" and "paper_flops" (at 384 x 384) of the architecture with everything in place.
        after: The same of what is left.
        arch: Fields of ``MagnifierConfig`` of what is left.
    """

    settings: dict[str, Any]
    weights: str
    epochs: int
    steps: int
    components: list[dict[str, Any]]
    curve: dict[str, Any]
    before: dict[str, int]
    after: dict[str, int]
    arch: dict[str, Any]

    @property
    def mark(self) -> str:
        """The paper's mark: "x" where all components were removed, "triangle" where some survive, "-" where all do."""
        return mark_of(sum(component["removed"] for component in self.components), len(self.components))

    @property
    def description(self) -> str:
        """What was removed, in words."""
        part, component = self.settings["part"], self.settings["component"]
        removed = [one["name"] for one in self.components if one["removed"]]
        noun = {"relu": "ReLU", "skip": "skip connection", "block": "residual block"}[component]
        names = f": {', '.join(removed)}" if removed else ""
        count = len(self.components)
        return f"{len(removed)} of {count} {noun}{'s' * (count != 1)} of the {part} removed{names}"

    def write(self, run_dir: Path) -> Path:
        """Write ``removal.json`` into a run directory, whole or not at all."""
        path = run_dir / REMOVAL_FILE
        write_text_atomically(path, json.dumps({"mark": self.mark, **asdict(self)}, indent=2, allow_nan=False) + "\n")
        return path

    @classmethod
    def read(cls, run_dir: Path) -> "Removal":
        """Read a run directory's ``removal.json``.

        Raises:
            InputError: The file is missing, cannot be read, or is no such file.
        """
        path = run_dir / REMOVAL_FILE
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{field.name: data[field.name] for field in fields(cls)})
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror}); 'lightning-mm prune' writes it") from None
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{path}: not a file of 'lightning-mm prune' ({error})") from None
