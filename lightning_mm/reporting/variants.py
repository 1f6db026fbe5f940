"""Named variants: what each changes, and how its SSIM differs from that of the unchanged recipe, seed by seed."""

from html import escape
from statistics import mean, stdev
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from lightning_mm.reporting.model import Model
from lightning_mm.reporting.run import DASH, signed
from lightning_mm.reporting.sweep import Sweep

_COLUMNS = ("variant", "settings", "seeds", "SSIM", "SSIM minus unchanged", "PSNR [dB]", "LPIPS")
_NOTE = (
    "Mean ± standard deviation over seeds. The difference is taken seed by seed from the variant without settings of "
    "its own."
)


def variants(sweep: Sweep) -> list[Model]:
    """The variants of a sweep, highest mean SSIM first; empty where there are none."""
    return [model for model in sweep.models if model.results.role == "variant"]


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
    head = "".join(_cell(number, name, "th") for number, name in enumerate(_COLUMNS))
    body = "".join("<tr>" + "".join(map(_cell, range(len(row)), row)) + "</tr>" for row in rows)
    table = f'<div class="scroll"><table class="plain numbers"><tr>{head}</tr>{body}</table></div>'
    return f'<section id="variants"><h2>Variants</h2><p>{_NOTE}</p>{table}</section>'


def _cell(column: int, text: str, tag: str = "td") -> str:
    kind = ' class="words"' if column == 1 else ""
    return f"<{tag}{kind}>{escape(text)}</{tag}>"


def _rows(sweep: Sweep) -> list[list[str]]:
    found = variants(sweep)
    unchanged = next((variant for variant in found if not variant.settings), None)
    rows = []
    for variant in found:
        settings = ", ".join(f"{key} = {_setting(value)}" for key, value in variant.settings.items())
        rows.append(
            [
                *(variant.label, settings or "(unchanged)", ", ".join(map(str, variant.seeds))),
                *(variant.text("ssim", 4), DASH if variant is unchanged else _difference(variant, unchanged)),
                *(variant.text("psnr", 2), variant.text("lpips", 4)),
            ]
        )
    return rows


def _difference(variant: Model, unchanged: Model | None) -> str:
    mine, other = variant.by_seed("ssim"), unchanged.by_seed("ssim") if unchanged else {}
    values = [mine[seed] - other[seed] for seed in mine if seed in other]
    if not values:
        return DASH
    return signed(mean(values)) + (f" ± {stdev(values):.4f}" if len(values) > 1 else "")


def _setting(value: Any) -> str:
    return "none" if value is None else str(value)
