"""What the numbers say, in plain sentences: the same words for the terminal and the page."""

from collections.abc import Sequence

from lightning_mm.reporting.model import Model
from lightning_mm.reporting.plane import Plane
from lightning_mm.reporting.run import finite, plain
from lightning_mm.reporting.sweep import Sweep
from lightning_mm.reporting.threshold import PAPER_TRAINING_SAMPLES


def verdict(sweep: Sweep) -> list[str]:
    """Sentences that answer: is anything better than the hand-designed model, and is anything good enough?"""
    group = sweep.groups[0]
    scored = [model for model in group if model.ssim is not None]
    trials = [model for model in scored if model.is_trial]
    if not scored:
        return ["No run has an SSIM, so there is nothing to judge."]
    reference = sweep.hand_designed(scored[0])
    said = []
    if len(group) < len(sweep.models):
        said.append(
            f"Judged here are the {len(group)} of {len(sweep.models)} models that are comparable with one another."
        )
    if reference is None:
        said.append("No hand-designed model trained on this budget is among the runs, so nothing is compared with it.")
        said.append(f"The best run, {scored[0].label}, reaches {_at(scored[0], sweep.plane)}.")
    elif trials:
        said += _against_hand_designed(sweep, trials, reference)
    above = [model.label for model in scored if sweep.threshold.reaches(model.ssim)]
    names = f" ({', '.join(above)})" if 0 < len(above) <= 6 else ""
    said.append(
        f"{len(above) or 'None'} of {_count(scored, 'trained model')} {'reaches' if len(above) <= 1 else 'reach'} "
        f"the {sweep.threshold.owner} SSIM of {sweep.threshold.text}{names}."
    )
    said += _against_floor(scored)
    if reference is not None and trials:
        said.append(_about_chance(scored))
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


def _against_hand_designed(sweep: Sweep, trials: Sequence[Model], reference: Model) -> list[str]:
    bounds = constraints_text(sweep)
    best = f"The hand-designed model reaches {_at(reference, sweep.plane)}; the best trial, {trials[0].label}, "
    best += f"{_at(trials[0], sweep.plane)}."
    if sweep.is_budget_study:
        better = sum((sweep.difference(trial) or 0.0) > 0 for trial in trials)
        within = f" within {bounds}" if bounds else ""
        count = f"{better or 'None'} of {_count(trials, 'trial')}{within}"
        return [f"{count} {_has(better)} a higher SSIM than the hand-designed model.", best]
    winners = [trial for trial in trials if sweep.dominates_hand_designed(trial)]
    what = f"no more {sweep.plane.noun}, no lower SSIM, better in at least one"
    if not winners:
        return [f"None of {_count(trials, 'trial')} dominates the hand-designed model on this budget ({what}).", best]
    names = ", ".join(trial.label for trial in winners[:8])
    more = f" and {len(winners) - 8} more" if len(winners) > 8 else ""
    return [
        f"{len(winners)} of {_count(trials, 'trial')} {'dominates' if len(winners) == 1 else 'dominate'} "
        f"the hand-designed model on this budget ({what}): {names}{more}.",
        best,
    ]


def constraints_text(sweep: Sweep) -> str:
    """The upper bounds of a search in words; empty where there are none."""
    units = {"flops": "G FLOPs", "params": "M parameters"}
    return " and ".join(f"{bound:g} {units.get(name, name)}" for name, bound in sweep.constraints.items())


def _about_chance(scored: Sequence[Model]) -> str:
    fewest = min(len(model.by_seed("ssim")) for model in scored)
    if fewest < 2:
        whom = "Every model was" if all(len(model.runs) == 1 for model in scored) else "Some models were"
        return (
            f"{whom} trained from one seed: differences smaller than the spread between seeds, which is not measured "
            "there, mean nothing."
        )
    more = "" if all(len(model.by_seed("ssim")) == fewest for model in scored) else " or more"
    return (
        f"SSIM is the mean over {fewest}{more} seeds. The best of many trials is chosen by the number it is shown "
        "with, which is therefore a little too high: train it anew beside the hand-designed model and compare the two."
    )


def _against_floor(scored: Sequence[Model]) -> list[str]:
    floors = [(model, finite(model.results.floors.get("frame_b", {}).get("ssim"))) for model in scored]
    known = [(model, floor) for model, floor in floors if floor is not None]
    below = [model.label for model, floor in known if model.ssim is not None and model.ssim <= floor]
    if not known or not below:
        who = "It beats" if len(known) == 1 else "All of them beat"
        return [f"{who} returning frame B unchanged."] if known else []
    names = f": {', '.join(below)}" if len(below) <= 6 else ""
    verb = "does" if len(below) == 1 else "do"
    return [f"{len(below)} of {len(known)} {verb} not even beat returning frame B unchanged{names}."]


def _at(model: Model, plane: Plane) -> str:
    return f"SSIM {model.text('ssim', 4)} at {plane.text(model)}"


def _has(number: int) -> str:
    return "has" if number <= 1 else "have"


def _count(models: Sequence[Model], noun: str) -> str:
    return f"{len(models)} {noun}" + ("" if len(models) == 1 else "s")
