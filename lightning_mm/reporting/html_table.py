"""The table of all runs as HTML."""

from collections.abc import Sequence
from html import escape
from typing import Any

from lightning_mm.reporting.collect import ARCH_PREFIX, DASH, Run, Sweep
from lightning_mm.reporting.threshold import VISUAL_THRESHOLD_SSIM, reaches_threshold
from lightning_mm.reporting.verdict import FLOOR_NAMES, FLOPS_LABEL, absence_reasons, fit_command, metric_text

# Header and alignment of the table's columns before those of the overrides.
_RESULT_COLUMNS = {
    "run": "word",
    "SSIM": "",
    "SSIM minus hand-designed": "",
    FLOPS_LABEL: "",
    "parameters": "",
    "PSNR [dB]": "",
    "LPIPS": "",
    "Pareto front": "mark",
    f"≥ {VISUAL_THRESHOLD_SSIM}": "mark",
}


def runs_table(sweep: Sweep) -> str:
    """The section with one row per run, its command folded below it; ``report.js`` sorts and unfolds.

    Args:
        sweep: The runs, in the order to show them first.
    """
    keys = list(dict.fromkeys(key for run in sweep.runs for key in run.results.overrides))
    words = {key for key in keys if any(isinstance(run.setting(key), str) for run in sweep.runs)}
    cells = "".join(_header_cell(header, kind) for header, kind in _RESULT_COLUMNS.items())
    cells += "".join(_header_cell(key.removeprefix(ARCH_PREFIX), "word" if key in words else "") for key in keys)
    width = len(_RESULT_COLUMNS) + len(keys)
    on_front = {run for front in sweep.fronts() for run in front}
    bodies = "".join(_row(sweep, run, keys, run in on_front, width) for run in sweep.runs)
    floors = "".join(_floor_row(sweep, name, run, len(keys)) for name, run in sweep.floors())
    reasons = "".join(f"<li>{escape(line)}</li>" for line in absence_reasons(sweep))
    return (
        "<section><h2>All runs</h2><p>Click a header to sort, a run's name for the command that trains it. The command "
        "gives the architecture and what the sweep varied; each run's own <code>config.yaml</code> repeats it to the "
        "last setting, budget included. The grey rows at the bottom need no training.</p>"
        f'<div class="scroll"><table id="runs"><thead><tr>{cells}</tr></thead>'
        f"{bodies}<tfoot>{floors}</tfoot></table></div>"
        + (f'<ul class="small">{reasons}</ul>' if reasons else "")
        + "</section>"
    )


def _header_cell(text: str, kind: str) -> str:
    label = escape(text).replace("_", "_<wbr>").replace("≥ ", "≥&nbsp;")
    return f'<th scope="col" class="{kind}"><button type="button">{label}</button></th>'


def _row(sweep: Sweep, run: Run, keys: Sequence[str], on_front: bool, width: int) -> str:
    difference = sweep.difference(run)
    params = run.results.cost.get("params")
    above = reaches_threshold(run.ssim)
    cells = [_metric(run, "ssim", 4)]
    if run.is_hand_designed:
        cells.append(_cell(0.0 if run.ssim is not None else None, "reference"))
    else:
        cells.append(
            _cell(difference, DASH if difference is None else f"{difference:+.4f}".replace("-", "\N{MINUS SIGN}"))
        )
    cells.append(_cell(run.gflops, DASH if run.gflops is None else f"{run.gflops:.2f}"))
    cells.append(_cell(params, DASH if params is None else f"{params:,}"))
    cells += [_metric(run, "psnr", 2), _metric(run, "lpips", 4)]
    cells.append(_cell(int(on_front), "●" if on_front else "", kind="mark"))
    cells.append(_cell(above, {True: "yes", False: "no", None: DASH}[above], kind="mark"))
    cells += [_cell(run.setting(key), _value(run.setting(key))) for key in keys]
    role = "" if run.is_trial else f' <span class="role">{escape(run.results.role)}</span>'
    label = escape(run.label)
    name = f'<th scope="row" data-v="{label}"><button type="button" class="open">{label}</button>{role}</th>'
    parts = " ".join(f"<span>{escape(part)}</span>" for part in fit_command(run.results))
    command = (
        f'<tr class="command"><td colspan="{width}"><div><code>{parts}</code>'
        '<button type="button" class="copy">copy</button></div></td></tr>'
    )
    kind = ("" if run.is_trial else " named") + (" front" if on_front else "")
    return f'<tbody class="run{kind}"><tr>{name}{"".join(cells)}</tr>{command}</tbody>'


def _floor_row(sweep: Sweep, name: str, run: Run, overrides: int) -> str:
    values = run.results.floors[name]
    several = len({id(other) for _, other in sweep.floors()}) > 1
    where = f" ({run.results.validation.get('name')})" if several else ""
    label = escape(FLOOR_NAMES.get(name, name) + where)
    ssim, psnr, lpips = (
        _cell(v, "absent" if v is None else f"{v:.{digits}f}")
        for v, digits in ((values.get("ssim"), 4), (values.get("psnr"), 2), (values.get("lpips"), 4))
    )
    blank = "<td></td>"
    head = f'<th scope="row">{label}</th>'
    return f"<tr>{head}{ssim}{blank * 3}{psnr}{lpips}{blank * (2 + overrides)}</tr>"


def _metric(run: Run, name: str, digits: int) -> str:
    text = metric_text(run, name, digits)
    title = "" if run.metric(name) is not None else run.results.absent.get(name, "no reason recorded")
    return _cell(run.metric(name), text, title)


def _cell(value: Any, text: str, title: str = "", kind: str = "") -> str:
    key = "" if value is None else str(int(value) if isinstance(value, bool) else value)
    hint = f' title="{escape(title)}"' if title else ""
    kind = kind or ("word" if isinstance(value, str) else "")
    return f'<td class="{kind}" data-v="{escape(key)}"{hint}>{escape(text)}</td>'


def _value(value: Any) -> str:
    return DASH if value is None else str(value)
