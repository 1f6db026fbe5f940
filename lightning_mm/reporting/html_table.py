"""The table of all models as HTML."""

from collections.abc import Sequence
from html import escape
from typing import Any

from lightning_mm.reporting.configs import configs_script
from lightning_mm.reporting.model import PLUS_MINUS, Model
from lightning_mm.reporting.plane import Plane
from lightning_mm.reporting.provenance import FLOOR_NAMES, FLOPS_LABEL, LATENCY_LABEL, absence_reasons, fit_command
from lightning_mm.reporting.run import DASH, Run, signed
from lightning_mm.reporting.sweep import Sweep
from lightning_mm.runs import ARCH_PREFIX

TALL = 40
"""A table of more rows than this scrolls in a frame of its own."""


def runs_table(sweep: Sweep) -> str:
    """The section with one row per model, its command and configuration folded below; ``report.js`` sorts and unfolds.

    Args:
        sweep: The models, in the order to show them first.
    """
    keys = list(dict.fromkeys(key for model in sweep.models for key in model.settings))
    words = {key for key in keys if any(isinstance(model.setting(key), str) for model in sweep.models)}
    latency = next((plane for plane in sweep.planes if plane.cost == "latency"), None)
    columns = _columns(sweep, latency)
    cells = "".join(_header_cell(header, kind) for header, kind in columns.items())
    cells += "".join(_header_cell(key.removeprefix(ARCH_PREFIX), "word" if key in words else "") for key in keys)
    on_front = {model for front in sweep.fronts() for model in front}
    width = len(columns) + len(keys)
    bodies = "".join(
        _row(sweep, model, list(columns), keys, latency, model in on_front, width) for model in sweep.models
    )
    floors = "".join(_floor_row(sweep, name, run, list(columns), len(keys)) for name, run in sweep.floors())
    reasons = "".join(f"<li>{escape(line)}</li>" for line in absence_reasons(sweep))
    tall = " tall" if len(sweep.models) > TALL else ""
    several = ""
    if "seeds" in columns:
        several = " Metrics are means ± standard deviation over the seeds of a model."
    timed = f" Latency: {escape(latency.conditions or '')}." if latency else ""
    return (
        f'<section id="all"><h2>All models</h2><p>Click a header to sort, a name for the command and the full '
        f"configuration that train the model again.{several}{timed} The grey rows at the bottom need no training.</p>"
        f'<div class="scroll{tall}"><table id="runs"><thead><tr>{cells}</tr></thead>'
        f"{bodies}<tfoot>{floors}</tfoot></table></div>"
        + (f'<ul class="small">{reasons}</ul>' if reasons else "")
        + f"{configs_script(sweep.models)}</section>"
    )


def _columns(sweep: Sweep, latency: Plane | None) -> dict[str, str]:
    """Header and alignment of the columns before those of the hyperparameters."""
    several = any(len(model.runs) > 1 for model in sweep.models)
    return {
        "run": "word",
        **({"seeds": ""} if several else {}),
        "SSIM": "",
        "SSIM minus hand-designed": "",
        FLOPS_LABEL: "",
        **({LATENCY_LABEL: ""} if latency else {}),
        "parameters": "",
        "PSNR [dB]": "",
        "LPIPS": "",
        "Pareto front": "mark",
        f"≥ {sweep.threshold.text}": "mark",
    }


def _header_cell(text: str, kind: str) -> str:
    label = escape(text).replace("_", "_<wbr>").replace("≥ ", "≥&nbsp;")
    return f'<th scope="col" class="{kind}"><button type="button">{label}</button></th>'


def _row(
    sweep: Sweep,
    model: Model,
    columns: Sequence[str],
    keys: Sequence[str],
    latency: Plane | None,
    on_front: bool,
    width: int,
) -> str:
    above = sweep.threshold.reaches(model.ssim)
    values = {
        "seeds": _cell(len(model.runs), str(len(model.runs)), ", ".join(map(str, model.seeds))),
        "SSIM": _metric(model, "ssim", 4),
        "SSIM minus hand-designed": _difference_cell(sweep, model),
        FLOPS_LABEL: _number_cell(model.gflops, ".2f"),
        LATENCY_LABEL: _number_cell(latency.of(model) if latency else None, ".2f"),
        "parameters": _number_cell(model.params, ",d"),
        "PSNR [dB]": _metric(model, "psnr", 2),
        "LPIPS": _metric(model, "lpips", 4),
        "Pareto front": _cell(int(on_front), "●" if on_front else "", kind="mark"),
        f"≥ {sweep.threshold.text}": _cell(above, {True: "yes", False: "no", None: DASH}[above], kind="mark"),
    }
    cells = "".join(values[name] for name in columns[1:])
    cells += "".join(_cell(model.setting(key), _value(model.setting(key))) for key in keys)
    role = "" if model.is_trial else f' <span class="role">{escape(model.results.role)}</span>'
    label = escape(model.label)
    name = f'<th scope="row" data-v="{label}"><button type="button" class="open">{label}</button>{role}</th>'
    kind = ("" if model.is_trial else " named") + (" front" if on_front else "")
    return f'<tbody class="run{kind}"><tr>{name}{cells}</tr>{_folded(sweep, model, width)}</tbody>'


def _folded(sweep: Sweep, model: Model, width: int) -> str:
    parts = " ".join(f"<span>{escape(part)}</span>" for part in fit_command(model.results))
    copy = '<button type="button" class="copy">copy</button>'
    lines = f'<div class="line"><code>{parts}</code>{copy}</div>'
    if model.results.config:
        seeds = ""
        if len(model.runs) > 1:
            others = ", ".join(map(str, model.seeds[1:]))
            seeds = f" This is seed {model.seeds[0]}; the others (seed_everything and data.seed) are {others}."
        lines += (
            "<p>The command gives the architecture and what was varied. To the last setting, save the configuration "
            "below as config.yaml and run <code>lightning-mm fit --config config.yaml --run.dir runs/again</code>."
            f"{escape(seeds)}</p>"
            f'<div class="line"><pre class="config" data-config="{sweep.models.index(model)}"></pre>{copy}</div>'
        )
    return f'<tr class="command"><td colspan="{width}">{lines}</td></tr>'


def _difference_cell(sweep: Sweep, model: Model) -> str:
    if sweep.hand_designed(model) is model:
        return _cell(0.0, "reference")
    difference = sweep.difference(model)
    return _cell(difference, DASH if difference is None else signed(difference))


def _floor_row(sweep: Sweep, name: str, run: Run, columns: Sequence[str], settings: int) -> str:
    values = run.results.floors[name]
    several = len({id(other) for _, other in sweep.floors()}) > 1
    where = f" ({run.results.validation.get('name')})" if several else ""
    shown = {}
    for column, metric, digits in (("SSIM", "ssim", 4), ("PSNR [dB]", "psnr", 2), ("LPIPS", "lpips", 4)):
        value = values.get(metric)
        shown[column] = _cell(value, "absent" if value is None else f"{value:.{digits}f}")
    cells = "".join(shown.get(column, "<td></td>") for column in columns[1:])
    label = escape(FLOOR_NAMES.get(name, name) + where)
    return f'<tr><th scope="row">{label}</th>{cells}{"<td></td>" * settings}</tr>'


def _metric(model: Model, name: str, digits: int) -> str:
    average = model.mean(name)
    title = "" if average is not None else model.absent_reason(name)
    number, _, spread = model.text(name, digits).partition(f" {PLUS_MINUS} ")
    small = f' <span class="sd">{PLUS_MINUS} {spread}</span>' if spread else ""
    return _cell(average, number, title).replace("</td>", f"{small}</td>")


def _number_cell(value: float | None, form: str) -> str:
    return _cell(value, DASH if value is None else f"{value:{form}}")


def _cell(value: Any, text: str, title: str = "", kind: str = "") -> str:
    key = "" if value is None else str(int(value) if isinstance(value, bool) else value)
    hint = f' title="{escape(title)}"' if title else ""
    kind = kind or ("word" if isinstance(value, str) else "")
    return f'<td class="{kind}" data-v="{escape(key)}"{hint}>{escape(text)}</td>'


def _value(value: Any) -> str:
    return DASH if value is None else str(value)
