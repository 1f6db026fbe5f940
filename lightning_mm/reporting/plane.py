"""The plane in which models are compared: a cost to be kept low against SSIM."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from statistics import mean
from typing import Literal

from lightning_mm.pareto import Point
from lightning_mm.reporting.model import Model

Cost = Literal["flops", "latency"]


@dataclass(frozen=True)
class Plane:
    """SSIM against one kind of cost.

    Attributes:
        cost: "flops" (the paper's, in 1e9) or "latency" (milliseconds per frame).
        conditions: Of latency, what its measurements share (frame size, precision, device); others are left out.
    """

    cost: Cost
    conditions: str | None = None

    @property
    def noun(self) -> str:
        """What the cost is called in a sentence."""
        return {"flops": "FLOPs", "latency": "latency"}[self.cost]

    @property
    def axis_title(self) -> str:
        """Title of the cost's axis."""
        if self.cost == "flops":
            return "FLOPs as the paper counts them [G], log scale"
        return f"latency per frame [ms], log scale<br>({escape(self.conditions or '', quote=False)})"

    @property
    def unit(self) -> str:
        """Unit behind a number."""
        return {"flops": "G FLOPs", "latency": "ms per frame"}[self.cost]

    def of(self, model: Model) -> float | None:
        """Cost of a model: of latency the mean over the runs that were measured under this plane's conditions."""
        if self.cost == "flops":
            return model.gflops
        found = [run.milliseconds for run in model.runs if run.latency_conditions == self.conditions]
        values = [value for value in found if value is not None]
        return mean(values) if values else None

    def quartiles(self, model: Model) -> tuple[float, float] | None:
        """Of latency, the lowest first and the highest third quartile of the repeats; ``None`` where there are none."""
        if self.of(model) is None or self.cost == "flops":
            return None
        told = [run.results.latency for run in model.runs if run.latency_conditions == self.conditions]
        ends = [(t["lower_ms"], t["upper_ms"]) for t in told if "lower_ms" in t and "upper_ms" in t]
        return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None

    def point(self, model: Model) -> Point:
        """Place of a model in the plane: its cost and its mean SSIM."""
        return Point(self.of(model), model.ssim)

    def text(self, model: Model) -> str:
        """The cost in words."""
        value = self.of(model)
        return f"unknown {self.noun}" if value is None else f"{value:.2f} {self.unit}"


def planes_of(models: Sequence[Model], objective: Cost) -> list[Plane]:
    """The planes of a report: the objective's first; the other one where at least two models have both costs.

    Latencies are compared only where frame size, precision and device are the same: those that most runs share.
    """
    conditions = Counter(c for model in models for run in model.runs if (c := run.latency_conditions) is not None)
    flops = Plane("flops")
    if not conditions:
        return [Plane("latency", "not measured") if objective == "latency" else flops]
    latency = Plane("latency", conditions.most_common(1)[0][0])
    both = sum(latency.of(model) is not None and flops.of(model) is not None for model in models)
    first, second = (latency, flops) if objective == "latency" else (flops, latency)
    return [first, second] if both > 1 else [first]
