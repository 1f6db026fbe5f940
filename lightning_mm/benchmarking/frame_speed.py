"""What a benchmark of frames found: seconds per frame, ratios to a reference, the largest resolution in real time."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from lightning_mm.benchmarking.paired import Ratio, paired_ratio
from lightning_mm.benchmarking.resolutions import Largest, Resolution, largest_real_time
from lightning_mm.runs import git_commit, package_versions
from lightning_mm.timing import Summary

ENCODES = (1, 2)
"""Encoder passes per frame: in the steady state of a video, and of a pair on its own."""

REFERENCE = "baseline"


@dataclass(frozen=True)
class Measured:
    """One network at one resolution.

    Attributes:
        network: Name of its weights.
        encodes: Encoder passes per frame.
        resolution: Size of the frames.
        seconds: Seconds per frame, one value per round; ``None`` where it was left out.
        processor: The same in seconds of this process on the processor; ``None`` on another device, too.
        frames: Frames timed in a row in each round.
        reason: Why it was left out.
    """

    network: str
    encodes: int
    resolution: Resolution
    seconds: Summary | None
    processor: Summary | None = None
    frames: int = 0
    reason: str | None = None

    @property
    def fps(self) -> float | None:
        """Frames per second by the median."""
        return None if self.seconds is None else 1.0 / self.seconds.median

    @property
    def fps_quartiles(self) -> tuple[float, float] | None:
        """First and third quartile of the frames per second."""
        return None if self.seconds is None else (1.0 / self.seconds.upper, 1.0 / self.seconds.lower)


@dataclass(frozen=True)
class FrameSpeed:
    """What a benchmark of frames found.

    Attributes:
        setup: What was measured and on what.
        networks: By name: "arch", "params", "paper_gflops" (at 384 x 384).
        results: One for each network, number of encodes and resolution.
    """

    setup: dict[str, Any]
    networks: dict[str, dict[str, Any]]
    results: list[Measured]

    @property
    def resolutions(self) -> list[Resolution]:
        """Fewest pixels first."""
        return list(dict.fromkeys(result.resolution for result in self.results))

    @property
    def reference(self) -> str | None:
        """The network that others are compared with: the baseline, else the last; ``None`` of one network."""
        if len(self.networks) < 2:
            return None
        return REFERENCE if REFERENCE in self.networks else list(self.networks)[-1]

    def of(self, network: str, encodes: int, resolution: Resolution) -> Measured:
        """One result."""
        key = (network, encodes, resolution)
        return next(r for r in self.results if (r.network, r.encodes, r.resolution) == key)

    def ratio(self, result: Measured, clock: Literal["seconds", "processor"] = "seconds") -> Ratio | None:
        """How many times as fast as the reference a network is; ``None`` where either was not measured.

        Args:
            result: The network's.
            clock: By the seconds that passed, or by those on the processor.
        """
        if self.reference is None or result.network == self.reference:
            return None
        other = self.of(self.reference, result.encodes, result.resolution)
        times = [getattr(one, clock) for one in (other, result)]
        return None if None in times else paired_ratio(times[0].raw, times[1].raw)

    def largest(self, network: str, encodes: int) -> Largest:
        """The network's largest resolution in real time."""
        return largest_real_time({r: self.of(network, encodes, r).fps for r in self.resolutions})

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain types, the seconds per frame of each round included."""
        results = []
        for result in self.results:
            told = {**asdict(result), "fps": result.fps, "fps_quartiles": result.fps_quartiles}
            for name, ratio in (("ratio", self.ratio(result)), ("processor_ratio", self.ratio(result, "processor"))):
                told[name] = None if ratio is None else asdict(ratio)
            results.append(told)
        largest = [
            {"network": name, "encodes": encodes, "resolution": found.resolution and found.resolution.name,
             "bounded": found.bounded}
            for name in self.networks for encodes in ENCODES for found in (self.largest(name, encodes),)
        ]  # fmt: skip
        return {
            "setup": self.setup,
            "networks": self.networks,
            "reference": self.reference,
            "results": results,
            "largest_real_time": largest,
            "versions": package_versions(),
            "commit": git_commit(),
        }
