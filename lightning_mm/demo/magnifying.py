"""One run of the demo: the clip magnified, written twice for the player, sliced and measured on the way."""

import time
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from PIL import Image

from lightning_mm.demo.loading import Analysis, Loaded
from lightning_mm.demo.meter import Meter
from lightning_mm.errors import InputError
from lightning_mm.machine import pick_device
from lightning_mm.magnification.engine import Engine
from lightning_mm.magnification.methods import MethodName, make_method
from lightning_mm.magnification.motions import Mode, make_plan
from lightning_mm.magnification.pipeline import ahead, behind
from lightning_mm.magnification.running import magnified_pairs, magnifying
from lightning_mm.magnification.selection import select
from lightning_mm.measuring.findings import Findings
from lightning_mm.temporal.spec import Kind
from lightning_mm.video.regions import Region, region
from lightning_mm.video.slices import SliceLine, SlicePicture
from lightning_mm.video.writer import ClipWriter

PLAYABLE_FPS, SLOWED_FPS = 120, 30


@dataclass(frozen=True)
class Options:
    """What the page was told.

    Attributes:
        method: "learned" or a classical method.
        weights: Of a learned method.
        alpha: Total motion factor.
        mode: What a frame's motion is measured from.
        low: Lower edge of the band in Hz, in temporal mode.
        high: Upper edge of the band in Hz.
        filter: Kind of temporal filter.
        zero_phase: Whether a FIR's delay is taken off.
        fps: True frame rate in Hz; the file's when left out.
        roi: X,Y,WIDTH,HEIGHT of the region to magnify and to measure; empty for all of the frame.
        slice: "y=ROW" or "x=COLUMN"; empty for a line through what was measured.
        device: Where to compute.
    """

    method: MethodName = "learned"
    weights: str | None = None
    alpha: float = 10.0
    mode: Mode = "static"
    low: float | None = None
    high: float | None = None
    filter: Kind = "fir"
    zero_phase: bool = True
    fps: float | None = None
    roi: str = ""
    slice: str = ""
    device: str = "auto"


@dataclass(frozen=True)
class Run:
    """What came out.

    Attributes:
        before: The clip as it was taken, for the player.
        after: The magnified clip, of the same rate and length.
        slice: Slice picture of both.
        findings: Motion before and after; ``None`` where it could not be measured.
        lines: What to say, one line each.
        size: Width and height in pixels.
    """

    before: Path
    after: Path
    slice: Image.Image
    findings: Findings | None
    lines: tuple[str, ...]
    size: tuple[int, int]


def magnify_loaded(loaded: Loaded, options: Options, folder: Path) -> Generator[tuple[int, int], None, Run]:
    """Magnify a clip.

    Args:
        loaded: The clip.
        options: How.
        folder: Where the two videos go.

    Yields:
        Number of frames that are done, and of all.

    Returns:
        What came out.

    Raises:
        InputError: An option is not usable. Nothing has been written then.
    """
    clip, rate = loaded.clip, loaded.rate(options.fps)
    temporal = options.mode == "temporal"
    if temporal and (options.low is None or options.high is None):
        raise InputError("band: temporal mode needs both of its edges, in Hz")
    plan = make_plan(
        options.alpha,
        options.mode,
        filter=options.filter if temporal else None,
        band=f"{options.low},{options.high}" if temporal else None,
        zero_phase=temporal and options.zero_phase and options.filter == "fir",
    )
    made = plan.design(rate, loaded.frames)
    asked = region(options.roi, clip.width, clip.height) if options.roi.strip() else None
    chosen = select(clip.width, clip.height, asked, None)
    analysis = loaded.analysis(options.fps)
    picture = SlicePicture(_line(options.slice, asked, analysis, clip.width, clip.height))
    target = pick_device(options.device)
    learned = options.method == "learned"
    method = make_method(options.method, options.weights if learned else None, target)
    engine = Engine(method, plan.motion(made[0] if made else None), plan.alpha, target)
    played = clip.fps if clip.fps <= PLAYABLE_FPS else Fraction(SLOWED_FPS)
    meter = Meter(loaded, rate, asked, analysis.points)
    paths = folder / "input.mp4", folder / "magnified.mp4"
    began, done = time.perf_counter(), 0
    with ExitStack() as stack:
        stack.enter_context(magnifying(clip, target))
        writers = [
            stack.enter_context(ClipWriter(path, clip.width, clip.height, played, colour=clip.colour)) for path in paths
        ]
        writes = [stack.enter_context(behind(writer.write)) for writer in writers]
        frames = stack.enter_context(closing(ahead(clip)))
        for before, after in magnified_pairs(engine, frames, chosen):
            for write, frame in zip(writes, (before, after), strict=True):
                write(frame)
            picture.add(before, after)
            meter.add(before, after)
            done += 1
            yield done, loaded.frames
    seconds = time.perf_counter() - began
    lines = [
        f"{done} frames in {seconds:.1f} s on {target} ({done / seconds:.1f} frames per second), {plan.describe()}"
    ]
    if played != clip.fps:
        lines.append(f"played at {float(played):g} frames per second, {float(clip.fps / played):.3g} times slower")
    lines += [f"warning: {line}" for line in (made[1] if made else [])]
    findings, measured = meter.findings()
    return Run(*paths, picture.draw(plan.alpha), findings, (*measured, *lines), (clip.width, clip.height))


def _line(text: str, asked: Region | None, analysis: Analysis, width: int, height: int) -> SliceLine:
    """The line that was asked for, else the one through what is measured in the direction in which it moves."""
    if text.strip():
        return SliceLine.parse(text, width, height)
    x, y = analysis.points[0] if len(analysis.points) else (width // 2, height // 2)
    if asked is not None:
        x, y = asked[0] + asked[2] // 2, asked[1] + asked[3] // 2
    return SliceLine("y", round(y)) if analysis.along == "x" else SliceLine("x", round(x))
