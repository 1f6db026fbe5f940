"""Speed and memory of magnifying video: the network alone, and from file to file, on several backends.

The network alone is timed in turns beside the reference, a network in eager mode and as it was trained, without any of
the algebra that ``prepare`` does. From file to file, ``magnify`` runs in a process of its own on two clips of
different length: the difference of the two times, over that of the frames, is the time per frame without what is done
once (loading, compiling, the first frame), and that of the memory shows whether it grows with the clip.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import torch

from lightning_mm.benchmarking.paired import Ratio, paired_ratio
from lightning_mm.benchmarking.resolutions import Resolution
from lightning_mm.benchmarking.turns import Block, block_of, interleaved, warm_up
from lightning_mm.data.textures import dead_leaves
from lightning_mm.errors import InputError
from lightning_mm.inference.prepare import Backend, Precision, prepare
from lightning_mm.latency import per_frame
from lightning_mm.machine import cores, hardware, load
from lightning_mm.models import Magnifier
from lightning_mm.runs import git_commit, package_versions
from lightning_mm.timing import Summary
from lightning_mm.video.colour import Frame
from lightning_mm.video.writer import ClipWriter
from lightning_mm.weights import load_magnifier

SHORTEST = 3


@dataclass(frozen=True)
class Setup:
    """A network and how it is run.

    Attributes:
        weights: As of ``load_magnifier``.
        backend: As of ``prepare``; "plain" for the network as it was trained, which only the network alone is timed on.
        precision: As of ``prepare``.
    """

    weights: str
    backend: str = "eager"
    precision: Precision = "float32"

    @classmethod
    def parse(cls, text: str) -> "Setup":
        """Read "WEIGHTS", "WEIGHTS:BACKEND" or "WEIGHTS:BACKEND:PRECISION".

        Raises:
            InputError: Not of this form.
        """
        parts = text.split(":")
        weights, backend, precision, *more = [*parts, *("eager", "float32")[len(parts) - 1 :]]
        known = backend in (*get_args(Backend), "plain") and precision in get_args(Precision)
        if more or not weights or not known:
            raise InputError(
                f"setups: '{text}': must be WEIGHTS[:BACKEND[:PRECISION]] with one of plain, "
                f"{', '.join(get_args(Backend))} and one of {', '.join(get_args(Precision))}"
            )
        return cls(weights, backend, precision)  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        """For tables: "proposed, openvino, half"."""
        return ", ".join([self.weights, self.backend, *([self.precision] if self.precision != "float32" else [])])

    def load(self, device: torch.device) -> Magnifier:
        """The network, ready to run."""
        magnifier = load_magnifier(self.weights)
        if self.backend == "plain":
            return magnifier.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return prepare(magnifier, device, self.backend, self.precision)  # type: ignore[arg-type]


@dataclass(frozen=True)
class FromFile:
    """``magnify`` from file to file on two clips.

    Attributes:
        frames: Number of frames of each.
        seconds: From the first frame to the finished file.
        peak_bytes: Largest resident memory of the process.
    """

    frames: tuple[int, int]
    seconds: tuple[float, float]
    peak_bytes: tuple[int, int]

    @property
    def fps(self) -> float | None:
        """Frames per second without what is done once; ``None`` where the longer clip took no longer."""
        difference = self.seconds[1] - self.seconds[0]
        return (self.frames[1] - self.frames[0]) / difference if difference > 0.0 else None

    @property
    def growth(self) -> float:
        """Memory of the longer clip over that of the shorter."""
        return self.peak_bytes[1] / self.peak_bytes[0]


@dataclass(frozen=True)
class Measured:
    """One setup at one resolution.

    Attributes:
        setup: It.
        resolution: Size of the frames.
        seconds: Seconds per frame of the network alone, a value per round; ``None`` where it was left out.
        ratio: How many times as fast as the reference; ``None`` for it, or where either was left out.
        file: From file to file; ``None`` where it was left out.
        reason: Why something was left out.
    """

    setup: Setup
    resolution: Resolution
    seconds: Summary | None
    ratio: Ratio | None
    file: FromFile | None
    reason: str | None = None


@dataclass(frozen=True)
class VideoSpeed:
    """What a benchmark of video found.

    Attributes:
        setup: What was measured and on what.
        reference: What ratios are to.
        results: One for each setup and resolution.
    """

    setup: dict[str, Any]
    reference: Setup
    results: list[Measured]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain types."""
        results = [asdict(r) | {"file_fps": r.file.fps if r.file else None} for r in self.results]
        told = {"setup": self.setup, "reference": self.reference.name, "results": results}
        return told | {"versions": package_versions(), "commit": git_commit()}


def measure_video(
    setups: Sequence[Setup],
    reference: Setup,
    resolutions: Sequence[Resolution],
    device: torch.device,
    seconds: float,
    frames: int,
    say: Callable[[str], object] = lambda _: None,
) -> VideoSpeed:
    """Measure setups at resolutions.

    Args:
        setups: What to measure.
        reference: What ratios are to; measured first at each resolution.
        resolutions: Fewest pixels first.
        device: Where to compute.
        seconds: Time for each network alone, warm-up not counted.
        frames: Frames of the longer clip; the shorter has a quarter of them, and at least three.
        say: Told what is being done.

    Raises:
        InputError: Weights cannot be loaded, or this machine does not have a backend.
    """
    known = list(dict.fromkeys([reference, *setups]))
    networks = {setup: setup.load(device) for setup in known}
    results: list[Measured] = []
    before = load()
    for resolution in resolutions:
        say(f"{resolution.name}: {len(known)} networks alone")
        alone, reasons = _alone(networks, resolution, device, seconds)
        for setup in known:
            file, reason = None, reasons.get(setup)
            if setup.backend != "plain" and reason is None:
                say(f"{resolution.name}: {setup.name}, from file to file")
                file = from_file(setup, resolution, device, frames)
            ratio = None
            if setup != reference and setup in alone and reference in alone:
                ratio = paired_ratio(alone[reference].raw, alone[setup].raw)
            results.append(Measured(setup, resolution, alone.get(setup), ratio, file, reason))
    about = {**hardware(device), "cores": cores(), "torch": torch.__version__, "seconds": seconds}
    return VideoSpeed(about | {"load_before": before, "load_after": load()}, reference, results)


@torch.inference_mode()
def _alone(
    networks: dict[Setup, Magnifier], resolution: Resolution, device: torch.device, seconds: float
) -> tuple[dict[Setup, Summary], dict[Setup, str]]:
    frames = torch.rand(2, 1, 3, resolution.height, resolution.width, device=device) * 2.0 - 1.0
    pair = [frame.contiguous(memory_format=torch.channels_last) for frame in frames]
    blocks: dict[tuple[str, int], Block] = {}
    counts: dict[Setup, int] = {}
    reasons: dict[Setup, str] = {}
    for setup, magnifier in networks.items():
        work = per_frame(magnifier, pair[0], pair[1])
        counts[setup], reason = warm_up(work, device, seconds)
        if reason is None:
            blocks[setup.name, 1] = block_of(work, device, counts[setup])
        else:
            reasons[setup] = reason
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
    with exact:
        rounds = interleaved(blocks, seconds)
    found = {
        setup: Summary.of([both["passed"] / counts[setup] for both in rounds[setup.name, 1]])
        for setup in networks
        if (setup.name, 1) in rounds
    }
    return found, reasons


def from_file(setup: Setup, resolution: Resolution, device: torch.device, frames: int) -> FromFile:
    """Run ``magnify`` on two clips of a texture that shakes, each in a process of its own.

    Args:
        setup: The network and how it is run, not "plain".
        resolution: Size of the frames.
        device: Where to compute.
        frames: Frames of the longer clip.
    """
    lengths = (max(SHORTEST, frames // 4), max(SHORTEST + 1, frames))
    seconds, peaks = [], []
    with TemporaryDirectory() as folder:
        clip = Path(folder, "clip.mp4")
        for length in lengths:
            with ClipWriter(clip, resolution.width, resolution.height, Fraction(30), overwrite=True) as writer:
                for frame in shaking(resolution, length):
                    writer.write(frame)
            took, peak = _run(setup, device, clip, Path(folder, "magnified.mp4"))
            seconds.append(took)
            peaks.append(peak)
    return FromFile(lengths, (seconds[0], seconds[1]), (peaks[0], peaks[1]))


def shaking(resolution: Resolution, frames: int) -> Iterator[Frame]:
    """Frames of a texture that shakes by a pixel to and fro."""
    side = max(resolution.width, resolution.height) + 2
    texture = dead_leaves(np.random.default_rng(0), min(side, 512))
    image = np.clip(np.rint(texture * 255.0), 0, 255).astype(np.uint8)
    repeats = -(-side // len(image))
    image = np.tile(image, (repeats, repeats, 1))
    for number in range(frames):
        x = number % 2
        yield np.ascontiguousarray(image[: resolution.height, x : x + resolution.width])


# Not by the parent's account of its children: that begins with what the parent holds when it starts them.
_CHILD = """
import json, pathlib, resource, sys, warnings
warnings.filterwarnings("ignore", message=".*LeafSpec.*")
from lightning_mm.magnification.command import magnify
options = json.loads(sys.argv[1])
seconds = magnify(**options).seconds
status = pathlib.Path("/proc/self/status")
if status.exists():
    peak = next(1024 * int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"seconds": seconds, "peak_bytes": peak}))
"""


def _run(setup: Setup, device: torch.device, clip: Path, output: Path) -> tuple[float, int]:
    options = {
        **{"input": str(clip), "output": str(output), "weights": setup.weights, "backend": setup.backend},
        **{"precision": setup.precision, "device": str(device), "overwrite": True},
    }
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", _CHILD, json.dumps(options)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | threads, check=False)
    if done.returncode != 0:
        raise InputError(f"magnifying {clip.name} with {setup.name} failed with exit code {done.returncode}")
    told = json.loads(done.stdout.splitlines()[-1])
    return told["seconds"], told["peak_bytes"]
