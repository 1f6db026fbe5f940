"""The sections of the page about the search: its hyperparameters, its progress, and what became of its trials."""

from html import escape

from lightning_mm.reporting.figures import importance_figure, progress_figure
from lightning_mm.reporting.importance import importance_note, importances
from lightning_mm.reporting.parallel import MAX_LINES, parallel_coordinates
from lightning_mm.reporting.plot import plot
from lightning_mm.reporting.progress import progress
from lightning_mm.reporting.provenance import duration
from lightning_mm.reporting.sweep import STATES, Sweep

_MEANINGS = {
    "pruned": "stopped early, as others did better after as much training",
    "infeasible": "beyond the bounds of the search, known before training",
    "failed": "ended with an error, or without a finite SSIM",
    "lost": "the process died or was interrupted, and the trial was queued again",
}
_MAX_REASONS, _MAX_NAMED = 12, 8


def parallel_section(sweep: Sweep) -> str:
    """Parallel coordinates; empty where there are too few trials."""
    figure = parallel_coordinates(sweep)
    if figure is None:
        return ""
    shown = f"the best {MAX_LINES} trials" if len(sweep.trials) > MAX_LINES else "every complete trial"
    reading = (
        f"One line for {shown}; the darker, the higher its SSIM, and the thick line is the best. Hover for its values."
    )
    return f"<section><h2>Hyperparameters of the trials</h2><p>{reading}</p>{plot(figure, 'parallel')}</section>"


def importance_section(sweep: Sweep) -> str:
    """Importances of the hyperparameters, or why there are none; empty where nothing was searched."""
    if not sweep.searched:
        return ""
    found = importances(sweep)
    said = f"<p>{escape(found if isinstance(found, str) else importance_note(sweep))}</p>"
    figure = "" if isinstance(found, str) else plot(importance_figure(found), "importance")
    return f'<section id="importances"><h2>What mattered for SSIM</h2>{said}{figure}</section>'


def progress_section(sweep: Sweep) -> str:
    """Hypervolume, or best SSIM, against compute; empty where it is not recorded."""
    found = progress(sweep)
    if found is None:
        return ""
    level = None
    reference = sweep.hand_designed(sweep.groups[0][0])
    if sweep.is_budget_study and reference is not None and reference.ssim is not None:
        level = ("hand-designed", reference.ssim)
    untimed = f" {found.untimed} complete trials without recorded times are left out." if found.untimed else ""
    reading = (
        f"{found.explanation} Compute is the sum over all trials that had ended, pruned, failed and lost ones "
        f"included (grey crosses), from start to end: {duration(found.seconds[-1])} in all. Models that were asked "
        f"for by name are not part of the search.{untimed}"
    )
    return (
        f'<section id="progress-section"><h2>{found.title[0].upper()}{found.title[1:]} against compute</h2>'
        f"<p>{escape(reading)}</p>{plot(progress_figure(found, level), 'progress')}</section>"
    )


def trials_section(sweep: Sweep) -> str:
    """Counts of the trials by state and why some failed; empty where no search is recorded."""
    counts = sweep.counts
    if not counts:
        return ""
    target = "" if sweep.target_trials is None else _count("asked for", sweep.target_trials)
    states = [state for state in (*STATES, *(s for s in counts if s not in STATES)) if state in counts]
    items = "".join(_count(state, counts[state]) for state in states)
    meanings = "; ".join(f"{state}: {_MEANINGS[state]}" for state in states if counts[state] and state in _MEANINGS)
    said = [
        "Everything on this page (best values, means, fronts, importances) comes from complete trials with finite "
        "values only." + (f" {meanings[0].upper()}{meanings[1:]}." if meanings else "")
    ]
    if sweep.left_out:
        shown = ", ".join(f"{run.label} ({state})" for run, state in sweep.left_out[:_MAX_NAMED])
        more = f" and {len(sweep.left_out) - _MAX_NAMED} more" if len(sweep.left_out) > _MAX_NAMED else ""
        said.append(f"Left out although they finished, as their trials are not complete: {shown}{more}.")
    spent: dict[str, float] = {}
    for record in sweep.searched:
        if record.seconds is not None:
            spent[record.state] = spent.get(record.state, 0.0) + record.seconds
    if spent:
        said.append("Time by state: " + ", ".join(f"{s} {duration(t)}" for s, t in spent.items()) + ".")
    notes = "".join(f'<p class="small">{escape(line)}</p>' for line in said)
    return (
        f'<section id="trials"><h2>Trials</h2><dl class="counts">{target}{items}</dl>{notes}{_reasons(sweep)}</section>'
    )


def _reasons(sweep: Sweep) -> str:
    """Why trials failed, equal reasons together, the most frequent first."""
    found: dict[str, list[str]] = {}
    for label, reason in sweep.failures():
        found.setdefault(reason, []).append(label)
    if not found:
        return ""
    ordered = sorted(found.items(), key=lambda item: -len(item[1]))
    lines = []
    for reason, labels in ordered[:_MAX_REASONS]:
        more = f" and {len(labels) - _MAX_NAMED} more" if len(labels) > _MAX_NAMED else ""
        lines.append(f"<li><strong>{escape(', '.join(labels[:_MAX_NAMED]) + more)}</strong>: {escape(reason)}</li>")
    if len(ordered) > _MAX_REASONS:
        lines.append(f"<li>and {len(ordered) - _MAX_REASONS} more reasons, all in sweep.json</li>")
    return f'<p class="small">Why trials failed:</p><ul class="small">{"".join(lines)}</ul>'


def _count(name: str, number: object) -> str:
    return f"<div><dt>{escape(name)}</dt><dd>{escape(str(number))}</dd></div>"
