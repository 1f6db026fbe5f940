"""How the numbers came about: budget, hardware, versions, commands, and what is absent or not comparable."""

import json
import shlex
from collections.abc import Container, Sequence
from statistics import median

from lightning_mm.reporting.model import Model
from lightning_mm.reporting.run import Run, distinct, plain, processor_text, validation_text
from lightning_mm.reporting.sweep import Sweep
from lightning_mm.runs import ARCH_PREFIX, Results

BASE_CONFIG = "experiments/base.yaml"
FLOPS_LABEL = "FLOPs (paper's count) [G]"
LATENCY_LABEL = "latency [ms]"
FLOOR_NAMES = {"frame_b": "return frame B", "linear_eulerian": "linear Eulerian"}


def comparability_warnings(sweep: Sweep) -> list[str]:
    """What differs among the runs although it must be equal for their numbers to be comparable; empty if nothing."""
    return differences(sweep.runs)


def differences(runs: Sequence[Run], without: Container[str] = ()) -> list[str]:
    """Each part of the protocol, but some, in which runs differ, with every value and the runs that have it."""
    protocols = {run: run.protocol() for run in runs}
    names = [name for name in runs[0].protocol() if name not in without]
    different = [name for name in names if len({told[name] for told in protocols.values()}) > 1]
    return [f"{name}: {distinct(runs, lambda run, name=name: protocols[run][name])}" for name in different]


def provenance(sweep: Sweep) -> list[tuple[str, str]]:
    """How the numbers came about, as (what, value) rows; values that differ name the runs."""
    runs = sweep.runs
    seconds = [s for run in runs if isinstance(s := run.results.budget.get("train_seconds"), int | float)]
    training = (
        f"median {duration(median(seconds))} per run, {duration(sum(seconds))} in all" if seconds else "not recorded"
    )

    def budget(key: str) -> str:
        return distinct(runs, lambda run: plain(run.results.budget.get(key)))

    rows = [
        ("Steps", budget("steps")),
        ("Samples seen", f"{budget('samples')} (batch size {budget('batch_size')})"),
        ("Crop", budget("crop")),
        ("Precision", budget("precision")),
        ("Seeds", seeds_text(sweep.models)),
        ("Validation set", distinct(runs, lambda run: validation_text(run.results))),
        ("Training time", training),
        ("Hardware", distinct(runs, _hardware)),
    ]
    if outside := sweep.seconds_outside_training():
        what = "building, measuring metrics and latency, images, logs, the study's storage"
        rows.append(("Outside training", f"median {median(outside):.1f} s per model ({what})"))
    timed = [run for run in runs if run.latency_conditions is not None]
    if timed:
        rows.append(("Latency", distinct(timed, lambda run: run.latency_conditions or "")))
    rows.append(("Commit", distinct(runs, lambda run: run.results.commit or "not recorded")))
    versions = distinct(runs, lambda run: ", ".join(f"{k} {v}" for k, v in run.results.versions.items()))
    return [*rows, ("Versions", versions)]


def provenance_lines(sweep: Sweep) -> str:
    """The rows that must be known to read a table, as a list in Markdown."""
    shown = ("Steps", "Samples seen", "Crop", "Precision", "Seeds", "Validation set", "Hardware", "Commit")
    return "\n".join(f"- {name}: {text}" for name, text in provenance(sweep) if name in shown)


def seeds_text(models: Sequence[Model]) -> str:
    """Seeds of the models: one line for all, or every choice with how many models have it."""
    found: dict[str, int] = {}
    for model in models:
        text = ", ".join("not recorded" if seed is None else str(seed) for seed in model.seeds)
        found[text] = found.get(text, 0) + 1
    if len(found) == 1:
        return next(iter(found))
    parts = sorted(found.items(), key=lambda item: -item[1])
    return "; ".join(f"{seeds} ({count} model{'s' if count > 1 else ''})" for seeds, count in parts)


def fit_command(results: Results) -> list[str]:
    """A command that trains the same architecture, in the parts that a line break should not split."""
    return ["lightning-mm fit", f"--config {BASE_CONFIG}", *override_flags(results)]


def override_flags(results: Results) -> list[str]:
    """Command-line flags that distinguish a run: its overrides, or for a run without any its whole architecture."""
    arch = {f"{ARCH_PREFIX}{name}": value for name, value in results.arch.items() if value is not None}
    changed = results.overrides or arch
    return [shlex.quote(f"--{key}={_flag_value(value)}") for key, value in changed.items()]


def absence_reasons(sweep: Sweep) -> list[str]:
    """Why metrics are absent: one line per metric and reason."""
    missing: dict[tuple[str, str], list[str]] = {}
    for run in sweep.runs:
        for name in ("ssim", "psnr", "lpips"):
            if run.metric(name) is None:
                reason = run.results.absent.get(name, "no reason recorded")
                missing.setdefault((name.upper(), reason), []).append(run.label)
    lines = []
    for (name, reason), who in missing.items():
        whom = "all runs" if len(who) == len(sweep.runs) else ", ".join(who) if len(who) <= 6 else f"{len(who)} runs"
        lines.append(f"{name} absent ({whom}): {reason}")
    return lines


def duration(seconds: float) -> str:
    """A time span in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _hardware(run: Run) -> str:
    return f"{plain(run.results.hardware.get('device'))}, {processor_text(run)}"


def _flag_value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
