"""Named variants over their seeds: mean and spread of each metric, and the difference from the unchanged recipe."""

from dataclasses import dataclass
from html import escape
from statistics import mean, stdev
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from lightning_mm.reporting.collect import DASH, Run, Sweep

SEED_KEYS = ("data.seed", "seed_everything")
_COLUMNS = ("variant", "settings", "seeds", "SSIM", "SSIM minus unchanged", "PSNR [dB]", "LPIPS")
_NOTE = (
    "Mean ± standard deviation over seeds. The difference is taken seed by seed from the variant without settings of "
    "its own."
)


@dataclass(frozen=True)
class Variant:
    """Runs that differ in their seed alone.

    Attributes:
        name: Its name in the sweep's file.
        settings: What it changes, dotted key to value, seeds left out.
        runs: By seed.
    """

    name: str
    settings: dict[str, Any]
    runs: dict[int, Run]

    def values(self, metric: str) -> list[float]:
        """A metric of every seed that has it."""
        return [value for run in self.runs.values() if (value := run.metric(metric)) is not None]

    def differences(self, other: "Variant") -> list[float]:
        """SSIM minus that of another variant, for every seed that both have."""
        pairs = [(self.runs[seed].ssim, other.runs[seed].ssim) for seed in self.runs if seed in other.runs]
        return [a - b for a, b in pairs if a is not None and b is not None]


def variants(sweep: Sweep) -> list[Variant]:
    """The variants of a sweep, highest mean SSIM first; empty where there are none."""
    found: dict[str, Variant] = {}
    for run in sweep.runs:
        if run.results.role == "variant":
            settings = {key: value for key, value in run.results.overrides.items() if key not in SEED_KEYS}
            seed = int(run.results.budget["seed"])
            name = run.results.name.removesuffix(f"-seed{seed}")
            found.setdefault(name, Variant(name, settings, {})).runs[seed] = run
    return sorted(found.values(), key=lambda variant: -mean(variant.values("ssim") or [-1.0]))


def variants_table(sweep: Sweep) -> Table | None:
    """For the terminal; ``None`` where there are no variants."""
    rows = _rows(sweep)
    if not rows:
        return None
    table = Table(title="variants", title_justify="left", box=box.SIMPLE_HEAD, caption=_NOTE, caption_justify="left")
    for number, name in enumerate(_COLUMNS):
        table.add_column(name, overflow="fold", justify="left" if number < 2 else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def variants_html(sweep: Sweep) -> str:
    """A section of the page; empty where there are no variants."""
    rows = _rows(sweep)
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    table = f'<div class="scroll"><table class="plain"><tr>{head}</tr>{body}</table></div>'
    return f'<section id="variants"><h2>Variants</h2><p>{_NOTE}</p>{table}</section>'


def _rows(sweep: Sweep) -> list[list[str]]:
    found = variants(sweep)
    unchanged = next((variant for variant in found if not variant.settings), None)
    rows = []
    for variant in found:
        settings = ", ".join(f"{key} = {_setting(value)}" for key, value in variant.settings.items())
        difference = DASH
        if unchanged is not None and variant is not unchanged:
            difference = _spread(variant.differences(unchanged), "+.4f")
        rows.append(
            [
                *(variant.name, settings or "(unchanged)", ", ".join(map(str, sorted(variant.runs)))),
                *(_spread(variant.values("ssim"), ".4f"), difference),
                *(_spread(variant.values("psnr"), ".2f"), _spread(variant.values("lpips"), ".4f")),
            ]
        )
    return rows


def _setting(value: Any) -> str:
    return "none" if value is None else str(value)


def _spread(values: list[float], form: str) -> str:
    if not values:
        return DASH
    spread = f" ± {stdev(values):{form.lstrip('+')}}" if len(values) > 1 else ""
    return f"{mean(values):{form}}{spread}"
