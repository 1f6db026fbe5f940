"""What the numbers say, in plain sentences: the same words for the terminal and the page."""

import json
import shlex
from statistics import median

from lightning_mm.reporting.collect import ARCH_PREFIX, Run, Sweep, distinct, plain, validation_text
from lightning_mm.reporting.threshold import PAPER_TRAINING_SAMPLES, VISUAL_THRESHOLD_SSIM, reaches_threshold
from lightning_mm.runs import Results

BASE_CONFIG = "experiments/base.yaml"
FLOPS_LABEL = "FLOPs (paper's count) [G]"
FLOOR_NAMES = {"frame_b": "return frame B", "linear_eulerian": "linear Eulerian"}
THRESHOLD_NOTE = (
    f"The {VISUAL_THRESHOLD_SSIM} line is the paper's visual threshold (Section 4.2, Appendix F: rated adequate by 20 "
    "people). It was calibrated on the paper's own validation set and SSIM; on another set it is orientation, not a "
    "criterion."
)


def verdict(sweep: Sweep) -> list[str]:
    """Sentences that answer: is anything better than the hand-designed model, and is anything good enough?"""
    group = sweep.groups()[0]
    scored = [run for run in group if run.ssim is not None]
    trials = [run for run in scored if run.is_trial]
    reference = next((run for run in scored if run.is_hand_designed), None)
    if not scored:
        return ["No run has an SSIM, so there is nothing to judge."]
    said = []
    if len(group) < len(sweep.runs):
        said.append(f"Judged here are the {len(group)} of {len(sweep.runs)} runs that are comparable with one another.")
    if reference is None:
        said.append("No hand-designed model trained on this budget is among the runs, so nothing is compared with it.")
    elif trials:
        winners = [run for run in trials if sweep.dominates_hand_designed(run)]
        what = "no more FLOPs, no lower SSIM, better in at least one"
        if winners:
            said.append(
                f"{len(winners)} of {_count(trials, 'trial')} {'dominates' if len(winners) == 1 else 'dominate'} "
                f"the hand-designed model on this budget ({what}): {', '.join(run.label for run in winners)}."
            )
        else:
            said.append(f"None of {_count(trials, 'trial')} dominates the hand-designed model on this budget ({what}).")
        said.append(
            f"The hand-designed model reaches {_at(reference)}; the best trial, {trials[0].label}, {_at(trials[0])}."
        )
    if reference is None:
        said.append(f"The best run, {scored[0].label}, reaches {_at(scored[0])}.")
    above = [run.label for run in scored if reaches_threshold(run.ssim)]
    names = f" ({', '.join(above)})" if 0 < len(above) <= 6 else ""
    said.append(
        f"{len(above) or 'None'} of {_count(scored, 'trained model')} {'reaches' if len(above) <= 1 else 'reach'} "
        f"the paper's SSIM of {VISUAL_THRESHOLD_SSIM}{names}."
    )
    said += _against_floor(scored)
    if reference is not None and trials:
        said.append(
            "Every model was trained from one seed: differences smaller than the spread between seeds, which is not "
            "measured here, mean nothing."
        )
    return said


def small_budget_note(sweep: Sweep) -> str | None:
    """A warning when the runs saw less than one pass over the paper's training set; ``None`` when they saw more."""
    seen = [run.results.budget.get("samples") for run in sweep.runs]
    most = max((n for n in seen if isinstance(n, int | float)), default=0)
    if most >= PAPER_TRAINING_SAMPLES:
        return None
    return (
        f"Small budget: at most {plain(most)} samples seen per model, {100 * most / PAPER_TRAINING_SAMPLES:.2g} % of "
        f"one pass over the paper's {PAPER_TRAINING_SAMPLES:,} training samples (its Table 1 baseline saw 300 passes). "
        "SSIM after so little training shows that the pipeline works and how fast models learn; it is no verdict on "
        "the architectures."
    )


def comparability_warnings(sweep: Sweep) -> list[str]:
    """What differs among the runs although it must be equal for their numbers to be comparable; empty if nothing."""
    found = []
    for name in sweep.runs[0].protocol():
        text = distinct(sweep.runs, lambda run, name=name: run.protocol()[name])
        if len({run.protocol()[name] for run in sweep.runs}) > 1:
            found.append(f"{name}: {text}")
    return found


def provenance(sweep: Sweep) -> list[tuple[str, str]]:
    """How the numbers came about, as (what, value) rows; values that differ name the runs."""
    runs = sweep.runs
    seconds = [s for run in runs if isinstance(s := run.results.budget.get("train_seconds"), int | float)]
    training = (
        f"median {_duration(median(seconds))} per run, {_duration(sum(seconds))} in all" if seconds else "not recorded"
    )

    def budget(key: str) -> str:
        return distinct(runs, lambda run: plain(run.results.budget.get(key)))

    return [
        ("Steps", budget("steps")),
        ("Samples seen", f"{budget('samples')} (batch size {budget('batch_size')})"),
        ("Crop", budget("crop")),
        ("Precision", budget("precision")),
        ("Seed", budget("seed")),
        ("Validation set", distinct(runs, lambda run: validation_text(run.results))),
        ("Training time", training),
        ("Hardware", distinct(runs, _hardware)),
        ("Commit", distinct(runs, lambda run: run.results.commit or "not recorded")),
        ("Versions", distinct(runs, lambda run: ", ".join(f"{k} {v}" for k, v in run.results.versions.items()))),
    ]


def override_flags(results: Results) -> list[str]:
    """Command-line flags that distinguish a run: its overrides, or for a run without any its whole architecture."""
    arch = {f"{ARCH_PREFIX}{name}": value for name, value in results.arch.items() if value is not None}
    changed = results.overrides or arch
    return [shlex.quote(f"--{key}={_flag_value(value)}") for key, value in changed.items()]


def fit_command(results: Results) -> list[str]:
    """A command that trains the same architecture, in the parts that a line break should not split."""
    return ["lightning-mm fit", f"--config {BASE_CONFIG}", *override_flags(results)]


def metric_text(run: Run, name: str, digits: int) -> str:
    """A metric for a table: the number, or "absent"."""
    value = run.metric(name)
    return "absent" if value is None else f"{value:.{digits}f}"


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
        whom = "all runs" if len(who) == len(sweep.runs) else ", ".join(who)
        lines.append(f"{name} absent ({whom}): {reason}")
    return lines


def _against_floor(scored: list[Run]) -> list[str]:
    floors = [(run, run.results.floors.get("frame_b", {}).get("ssim")) for run in scored]
    known = [(run, floor) for run, floor in floors if floor is not None]
    below = [run.label for run, floor in known if run.ssim is not None and run.ssim <= floor]
    if not known or not below:
        who = "It beats" if len(known) == 1 else "All of them beat"
        return [f"{who} returning frame B unchanged."] if known else []
    names = f": {', '.join(below)}" if len(below) <= 6 else ""
    verb = "does" if len(below) == 1 else "do"
    return [f"{len(below)} of {len(known)} {verb} not even beat returning frame B unchanged{names}."]


def _at(run: Run) -> str:
    cost = "unknown FLOPs" if run.gflops is None else f"{run.gflops:.2f} G FLOPs"
    return f"SSIM {run.ssim:.4f} at {cost}"


def _count(runs: list[Run], noun: str) -> str:
    return f"{len(runs)} {noun}" + ("" if len(runs) == 1 else "s")


def _hardware(run: Run) -> str:
    told = run.results.hardware
    threads = f", {told['threads']} threads" if told.get("threads") else ""
    return f"{plain(told.get('device'))}, {plain(told.get('processor'))}{threads}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _flag_value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
