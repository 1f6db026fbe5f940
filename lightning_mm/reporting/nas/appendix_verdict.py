"""What the appendix's numbers say, in plain sentences."""

import math
from collections.abc import Sequence

from lightning_mm.reporting.model import Model
from lightning_mm.reporting.nas.appendix_records import FOUND, RANDOM, Appendix, Row
from lightning_mm.reporting.run import HAND_DESIGNED, finite

CHEAP = 0.1
"""A winner that costs more than this share of random networks only is called cheap."""


def verdict(appendix: Appendix) -> list[str]:
    """Sentences: which supernets could be trained, and whether what they found is better than chance and by hand."""
    said = [_trained(appendix.rows)]
    pairs = [
        (found, other)
        for row in appendix.rows
        if (found := _scored(row.model(FOUND))) is not None and (other := _scored(row.model(RANDOM))) is not None
    ]
    if pairs:
        said.append(_against_random(pairs))
    elif any(row.trained for row in appendix.rows):
        said.append("No network found and its random rival have both been trained from scratch yet.")
    said += _against_hand_designed(appendix)
    said += _about_supernets(appendix.rows)
    return said


def below_floor(appendix: Appendix) -> str | None:
    """A warning that nothing beats copying; ``None`` where something does, or nothing is known."""
    scores = [(model.ssim, _floor(model)) for model in appendix.models]
    known = [(ssim, floor) for ssim, floor in scores if ssim is not None and floor is not None]
    if not known or any(ssim > floor for ssim, floor in known):
        return None
    best = max(ssim for ssim, _ in known)
    return (
        f"Nothing learned enough to be ranked: the best of all networks trained from scratch reaches SSIM {best:.4f}, "
        f"returning frame B unchanged {max(floor for _, floor in known):.4f} on the same validation pairs."
    )


def _floor(model: Model) -> float | None:
    return finite(model.results.floors.get("frame_b", {}).get("ssim"))


def _trained(rows: Sequence[Row]) -> str:
    known = [row for row in rows if row.trained is not None]
    ours = _names([row for row in known if not row.trained])
    paper = _names([row for row in rows if row.record.paper.get("trained") is False])
    trained = sum(bool(row.trained) for row in known)
    text = f"{trained} of {_count(len(known), 'supernet')} could be trained"
    text += f", {ours} diverged" if ours else ""
    return f"{text}; of these rows, the paper reports {paper or 'none'} as failed."


def _against_random(pairs: Sequence[tuple[Model, Model]]) -> str:
    better = sum((found.ssim or 0.0) > (other.ssim or 0.0) for found, other in pairs)
    text = "Trained from scratch, the network found has a higher SSIM than a random one of its cost in "
    text += f"{better or 'none'} of {_count(len(pairs), 'row')}"
    errors = [(found, other, e) for found, other in pairs if (e := _standard_error(found, other)) is not None]
    if not errors:
        return f"{text}; with one seed each, the spread that chance alone gives is not known."
    clear = sum((found.ssim or 0.0) - (other.ssim or 0.0) > 2 * error for found, other, error in errors)
    return f"{text}, in {clear or 'none'} of them by more than twice the difference's standard error over seeds."


def _standard_error(a: Model, b: Model) -> float | None:
    parts = [(model.sd("ssim"), len(model.by_seed("ssim"))) for model in (a, b)]
    if any(sd is None for sd, _ in parts):
        return None
    return math.sqrt(sum((sd or 0.0) ** 2 / count for sd, count in parts))


def _against_hand_designed(appendix: Appendix) -> list[str]:
    reference = appendix.reference(HAND_DESIGNED)
    if reference is None or reference.ssim is None:
        return []
    found = [(row, model) for row in appendix.rows if (model := _scored(row.model(FOUND))) is not None]
    found = [(row, model) for row, model in found if model.protocol() == reference.protocol()]
    if not found:
        return []
    row, best = max(found, key=lambda pair: pair[1].ssim or 0.0)
    above = sum((model.ssim or 0.0) > reference.ssim for _, model in found)
    who = f"{above or 'None'} of {len(found)} networks found {'is' if above <= 1 else 'are'}"
    if len(found) == 1:
        who = f"The network found is{'' if above else ' not'}"
    by_hand = f"SSIM {reference.text('ssim', 4)} at {reference.gflops or 0:.2f} G"
    searched = f"the best, {row.name}, {best.text('ssim', 4)} at {best.gflops or 0:.2f} G"
    return [f"{who} above the hand-designed model on the same budget ({by_hand}; {searched})."]


def _about_supernets(rows: Sequence[Row]) -> list[str]:
    searched = [row for row in rows if row.percentile is not None]
    if not searched:
        return []
    cheap = [row for row in searched if (row.percentile or 0.0) < CHEAP]
    inverted = [row for row in searched if row.record.supernet.get("inverted")]
    text = f"The winner is among the cheapest {100 * CHEAP:.0f} % of its space in {len(cheap)} of "
    text += f"{_count(len(searched), 'search', 'searches')}, and the supernet puts its largest network below its "
    text += f"smallest in {len(inverted)}: signs of a supernet that has seen too few steps."
    return [text] if cheap or inverted else []


def _scored(model: Model | None) -> Model | None:
    return None if model is None or model.ssim is None else model


def _names(rows: Sequence[Row]) -> str:
    return " and ".join(filter(None, [", ".join(row.name for row in rows[:-1]), *(row.name for row in rows[-1:])]))


def _count(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
