"""What a race's numbers say, in plain sentences: the same words for the page and the Markdown."""

from collections.abc import Sequence

from lightning_mm.nas.race import HAND_DESIGNED
from lightning_mm.reporting.nas.claim import DOMINATES, UNDECIDED
from lightning_mm.reporting.nas.race_records import Race, arm_name, finalist_name
from lightning_mm.reporting.nas.race_tables import interval_text
from lightning_mm.reporting.run import finite
from lightning_mm.reporting.verdict import small_budget_note

MAX_NAMED = 12
"""So many networks of a front are named; the table of measured networks has all."""

MIN_RANKED = 20
"""Of fewer networks a rank correlation says little."""


def verdict(race: Race) -> list[str]:
    """Sentences: does the chosen finalist dominate the hand-designed network, and what does that rest on?"""
    record, claim = race.record, race.claim
    if claim is None or record.chosen is None:
        return [_nothing_chosen(race)]
    chosen, hand = (record.finalists[name] for name in (record.chosen, HAND_DESIGNED))
    name = f"chosen finalist ({finalist_name(record.chosen)})"
    costs = f"{chosen['gflops']:.2f} G FLOPs against {hand['gflops']:.2f} G"
    if claim.outcome == DOMINATES:
        said = [f"The {name} dominates the hand-designed network: {interval_text(claim)}, at {costs}."]
    elif claim.outcome == UNDECIDED:
        said = [f"It is undecided whether the {name} dominates the hand-designed network: {'; '.join(claim.reasons)}."]
        said.append(f"So far: {interval_text(claim)}, at {costs}.")
    else:
        said = [f"The {name} did not win over the hand-designed network: {'; '.join(claim.reasons)}."]
        if not any(reason.startswith("SSIM") for reason in claim.reasons):
            said.append(f"Measured: {interval_text(claim)}, at {costs}.")
    seeds, fresh = record.spec["seeds"], record.spec["claim_seeds"]
    said.append(
        f"It was chosen among {_count(len(race.candidates), 'finalist')} by mean SSIM on {_seeds(seeds, 'choosing')}; "
        f"the claim is on {_seeds(fresh, 'fresh')}, which no choice rests on."
    )
    said.append(
        "The hand-designed network was trained here, by the same pipeline on the same seeds; the paper's published "
        "0.972 is not used."
    )
    return said


def notes(race: Race) -> list[str]:
    """What a reader must know before the verdict."""
    runs = race.runs
    if runs is None:
        return ["No final training yet: the race has not come to its finalists."]
    scores = [(run.ssim, finite(run.results.floors.get("frame_b", {}).get("ssim"))) for run in runs.runs]
    known = [(ssim, floor) for ssim, floor in scores if ssim is not None and floor is not None]
    found = []
    if known and all(ssim <= floor for ssim, floor in known):
        found.append(
            "Nothing learned enough to be ranked: the best final training reaches SSIM "
            f"{max(ssim for ssim, _ in known):.4f}, returning frame B unchanged {max(f for _, f in known):.4f} on the "
            "same validation pairs."
        )
    budget = small_budget_note(runs)
    return [*found, budget] if budget else found


def rule(race: Race) -> str:
    """How the claim is decided."""
    return (
        f"The rule was fixed before the race, its margin ({race.margin:g}) too. One of the two ways to be better must "
        "be met, and every other condition. The interval is that of the mean difference, paired by claim seed; the "
        "pooled standard error is by the pooled variance over seeds. A network that copies its input can have a high "
        "SSIM, which the subpixel test finds out."
    )


def progress_note(race: Race) -> str:
    """What the curves count."""
    ssim, gflops = race.reference.quality, race.reference.cost
    seconds = f"{race.record.spec['seconds']:.0f} s"
    note = (
        f"Counted are measurements at the last rung ({max(race.rungs)} epochs) alone, so that nothing looks worse for "
        f"having been trained less. Every arm has {seconds} of device time, begins with the hand-designed network, "
        "which counts, and pays for what another arm had trained before. Hypervolume: the area that an arm's networks "
        f"dominate in the plane of GFLOPs and SSIM up to the reference point, SSIM {ssim:g} at {gflops:g} G; networks "
        "beyond it add nothing. "
    )
    known = race.hand_designed is not None
    note += (
        "The dashed line is the hand-designed network alone, trained as long."
        if known
        else ("The hand-designed network itself is not trained so long here, as better ones took its place.")
    )
    empty = [arm_name(curve.arm) for curve in race.curves() if not curve.seconds]
    return note + (f" No measurement at the last rung: {', '.join(empty)}." if empty else "")


def networks_note(race: Race) -> str:
    """How to read the two planes."""
    return (
        f"First all {len(race.longest)} networks that were trained, each once, after its longest training, on the "
        "search pairs: pairs of the training split that are kept out of training. Colour: who trained it first; form: "
        "for how many epochs, and only equal forms compare. Then the finalists after the final training, on the "
        "validation pairs: means over seeds with one standard deviation. The two sets of pairs are different and do "
        "not compare."
    )


def front_text(race: Race) -> str:
    """The Pareto front at the last rung."""
    named = [f"{_name(race, row.architecture)} ({row.ssim:.4f} at {row.gflops:.2f} G)" for row in race.front]
    more = f" and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
    told = ", ".join(named[:MAX_NAMED]) + more if named else "none"
    return f"Pareto front after {max(race.rungs)} epochs on the search pairs, cheapest first: {told}."


def ranking_text(race: Race) -> str:
    """Whether an estimate may be trusted, and whether one beats the plain cost."""
    found = race.rankings
    if not found:
        return "No validity study yet: no network was trained outside the arms to check the cheap estimates."
    proxies = [item for item in found if not item.is_control and item.tau is not None]
    if not proxies:
        return "No rank correlation is defined: too few networks of the validity study were trained to the last rung."
    best = max(proxies, key=lambda item: item.tau or 0.0)
    trusted = [item.name for item in proxies if item.trusted]
    beats = [item.name for item in proxies if item.gain > 0]
    said = f"{_listed(beats) or 'No estimate'} {'rank' if len(beats) > 1 else 'ranks'} better than GFLOPs alone. "
    said += f"The best is {best.name}, tau {best.tau:.2f} against {best.cost_tau or 0.0:.2f} of GFLOPs. "
    said += f"Trusted (tau of 0.6 at least, and above that of GFLOPs): {_listed(trusted) or 'none'}."
    fewest = min(item.networks for item in proxies)
    if fewest < MIN_RANKED:
        said += f" This rests on {_count(fewest, 'network')}; below {MIN_RANKED}, a rank correlation says little."
    elif abs(best.gain) < (best.error or 0.0):
        said += " Its lead over GFLOPs is within one standard error."
    return said


def ranking_note(race: Race) -> str:
    """How to read the table."""
    lost = len(race.record.validity) - max((item.networks for item in race.rankings), default=0)
    note = (
        f"Truth is the SSIM on the search pairs at the last rung ({max(race.rungs)} epochs), of "
        f"{len(race.record.validity)} random members below the cap. Tau is Kendall's; its standard error is that among "
        "networks without association. Precision: the share of the estimate's best fifth that is in the true best "
        "fifth. Regret: the best SSIM minus the best among the five that the estimate puts first. GFLOPs and "
        "parameters are the control: an estimate that ranks no better than they do need not be computed."
    )
    return note + (f" Left out, as they diverged or are not trained to the end: {lost}." if lost else "")


def arms_note(race: Race) -> str:
    """What the columns are."""
    return (
        f"Seconds: of {race.record.spec['seconds']:.0f} s, the training that exceeds them is the last. Trained to: "
        "trainings that reached each number of epochs, the hand-designed network's and diverged ones included. "
        f"Duplicates and infeasible (above {race.record.spec['max_gflops']:g} G): proposals thrown away. Exhausted: "
        "had no more candidates. Best SSIM: of the network returned, on the search pairs, the hand-designed one left "
        "out. Regret: what it lacks on the best that anyone, the hand-designed network and the validity study "
        "included, reached at the last rung; a dash where it was not trained so long."
    )


def finalists_note(race: Race) -> str:
    """How to read the table, and under what conditions latency was measured."""
    runs = [] if race.runs is None else race.runs.runs
    conditions = sorted({run.latency_conditions for run in runs} - {None}, key=str)
    told = f" Latency: mean over runs; {'; '.join(map(str, conditions))}." if conditions else ""
    return (
        "Metrics are on the validation pairs, SSIM as mean ± standard deviation over seeds, PSNR and LPIPS as "
        "means over the choosing seeds. The mean of the chosen one on the choosing seeds is a little too high, as it "
        f"was chosen by it; the one on the claim seeds is not. A random member was drawn once, for scale.{told}"
    )


def subpixel_note(race: Race) -> str:
    """What the test is."""
    samples = sorted({row["samples"] for row in race.record.subpixel})
    return (
        "SSIM where every layer moves by so many pixels and is magnified by the factor, over "
        f"{' or '.join(map(str, samples))} scenes per level, of the first training of each network. The rule takes the "
        "mean over levels."
    )


def _nothing_chosen(race: Race) -> str:
    record = race.record
    lost = "The search did not win over the hand-designed network: "
    if not record.finalists:
        return "Nothing can be said yet: the race has not come to its finalists."
    if not race.candidates:
        return f"{lost}no arm returned another network."
    seeds = record.spec["seeds"]
    if all(any(f"{name} {seed}" in record.diverged for seed in seeds) for name in race.candidates):
        return f"{lost}every finalist diverged on a choosing seed."
    return "Nothing can be said yet: the finalists are not all trained on the choosing seeds."


def _name(race: Race, architecture: str) -> str:
    return "hand-designed" if architecture == race.record.hand_designed else architecture


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _seeds(seeds: Sequence[int], kind: str) -> str:
    return f"{len(seeds)} {kind} seed{'s' * (len(seeds) != 1)} ({', '.join(map(str, seeds))})"
