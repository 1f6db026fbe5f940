"""What ``magnify`` tells: warnings before and after, and one line at the end."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from lightning_mm.magnification.learned import Learned
from lightning_mm.magnification.motions import Plan
from lightning_mm.method import Method
from lightning_mm.temporal import Design, streaming
from lightning_mm.video.clip import Clip

TRAINED_ALPHA = 100.0

PLAYABLE_FPS = 240

LARGE_WINDOW = 2e9
"""Bytes of a filter's memory from which on it is told."""


@dataclass(frozen=True)
class Magnified:
    """What ``magnify`` did.

    Attributes:
        output: The file or folder that was written.
        frames: Number of frames.
        width: Width of the output in pixels.
        height: Height of the output in pixels.
        fps: Frame rate of the output.
        seconds: Time taken from the first frame to the finished file.
        device: Where the frames were magnified.
        filter: The temporal filter, in temporal mode.
        slice_image: The slice picture, if one was asked for.
        response: The page of the filter's response, if one was asked for.
        partial: Why frames of the input are missing; ``None`` when none is known to be.
        warnings: One line each, as printed.
    """

    output: Path
    frames: int
    width: int
    height: int
    fps: Fraction
    seconds: float
    device: str
    filter: Design | None = None
    slice_image: Path | None = None
    response: Path | None = None
    partial: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def frames_per_second(self) -> float:
        """Speed, reading and writing included."""
        return self.frames / max(self.seconds, 1e-9)


def warnings_before(
    plan: Plan, clip: Clip, method: Method, output_fps: float | None, made: tuple[Design, list[str]] | None
) -> list[str]:
    """What a user should know before the work begins, in one line each."""
    warnings = [*clip.warnings, *(made[1] if made else [])]
    if abs(plan.alpha) > TRAINED_ALPHA and isinstance(method, Learned):
        warnings.append(f"alpha = {plan.alpha:g} is beyond what networks are trained for, up to {TRAINED_ALPHA:g}")
    if clip.has_audio and output_fps is not None:
        warnings.append(f"the sound is left out, it does not fit the frame rate of {output_fps:g}")
    if output_fps is None and clip.fps > PLAYABLE_FPS:
        warnings.append(
            f"the output has {float(clip.fps):g} frames per second, as the input; '--output_fps 30' slows it"
        )
    if made is not None and method.frame_linear:
        window = streaming(made[0]).memory(3 * clip.width * clip.height, itemsize=1 if clip.depth == 8 else 4)
        if window > LARGE_WINDOW:
            warnings.append(
                f"the filter keeps {window / 1e9:.1f} GB of frames; fewer --taps, --filter butterworth, --scale or "
                "--crop take less"
            )
    return warnings


def warn(lines: Iterable[str]) -> None:
    """Print warnings to standard error."""
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)


def report(done: Magnified, plan: Plan) -> None:
    """Print what was done, and how the filter responds."""
    what = f"{done.frames} frames of {done.width} x {done.height} at {float(done.fps):g} fps"
    speed = f"{done.seconds:.1f} s on {done.device} ({done.frames_per_second:.1f} frames per second)"
    pictures = [f"{name}: {path}" for name, path in (("slice", done.slice_image), ("response", done.response)) if path]
    print("; ".join([f"{done.output}: {what}, {plan.describe()}, in {speed}", *pictures]))
    if done.filter is not None:
        print("\n".join(done.filter.describe()))
