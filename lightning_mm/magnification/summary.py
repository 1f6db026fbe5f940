"""What ``magnify`` tells: warnings before and after, and one line at the end."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

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
    plan: Plan,
    clip: Clip,
    method: Method,
    output_fps: Fraction,
    made: tuple[Design, list[str]] | None,
    pixels: int,
    device: torch.device,
) -> list[str]:
    """What a user should know before the work begins, in one line each.

    Args:
        plan: What is amplified.
        clip: The clip.
        method: The method, ready to run.
        output_fps: Frame rate of the output.
        made: The filter and what is to be said of it.
        pixels: Pixels that are magnified of each frame.
        device: Where.
    """
    warnings = [*clip.warnings, *(made[1] if made else []), *beyond_training(plan, method)]
    if clip.has_audio and output_fps != clip.fps:
        warnings.append(f"the sound is left out, it does not fit the frame rate of {float(output_fps):g}")
    if output_fps == clip.fps > PLAYABLE_FPS:
        warnings.append(
            f"the output has {float(clip.fps):g} frames per second, as the input; '--output_fps 30' slows it"
        )
    held = 0 if made is None else held_bytes(method, made[0], pixels, 1 if clip.depth == 8 else 4, device)
    if held > LARGE_WINDOW:
        warnings.append(
            f"the filter keeps {held / 1e9:.1f} GB of frames; fewer --taps, --filter butterworth, --scale, --roi or "
            "--crop take less"
        )
    return warnings


def beyond_training(plan: Plan, method: Method) -> list[str]:
    """A warning where a network is asked for more than any has been trained for; else none."""
    if abs(plan.alpha) <= TRAINED_ALPHA or not isinstance(method, Learned):
        return []
    return [f"alpha = {plan.alpha:g} is beyond what networks are trained for, up to {TRAINED_ALPHA:g}"]


def held_bytes(method: Method, made: Design, pixels: int, itemsize: int, device: torch.device) -> float:
    """Bytes of what a filter and its delay keep of a clip, found from a frame of 256 px.

    Args:
        method: The method, on its device.
        made: The filter.
        pixels: Pixels of a frame.
        itemsize: Bytes of a value of a frame.
        device: Where the method computes.
    """
    if method.frame_linear:
        return streaming(made).memory(3 * pixels * itemsize, itemsize) + made.delay * 3 * pixels * itemsize
    side = 256
    with torch.inference_mode():
        encoded = method.encode(torch.zeros(1, 3, side, side, device=device))
        change = sum(part.nbytes for part in method.difference(encoded.signal, encoded.signal))
        kept = sum(part.nbytes for part in _tensors((encoded.signal, encoded.carrier)))
    return (streaming(made).memory(change) + made.delay * kept) * pixels / side**2


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    if isinstance(values, torch.Tensor):
        yield values
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)


def report(done: Magnified, plan: Plan) -> None:
    """Print what was done, and how the filter responds."""
    what = f"{done.frames} frames of {done.width} x {done.height} at {float(done.fps):g} fps"
    speed = f"{done.seconds:.1f} s on {done.device} ({done.frames_per_second:.1f} frames per second)"
    pictures = [f"{name}: {path}" for name, path in (("slice", done.slice_image), ("response", done.response)) if path]
    print("; ".join([f"{done.output}: {what}, {plan.describe()}, in {speed}", *pictures]))
    if done.filter is not None:
        print("\n".join(done.filter.describe()))
