"""Magnifying a clip frame by frame: each frame is encoded once, and only the shape to compare with is kept."""

import math
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from lightning_mm.errors import InputError
from lightning_mm.models import Magnifier, Representation
from lightning_mm.video.clip import Clip, open_clip
from lightning_mm.video.colour import Frame
from lightning_mm.video.slices import SliceLine, SlicePicture, slice_path
from lightning_mm.video.writer import ClipWriter, check_output
from lightning_mm.weights import load_magnifier

Mode = Literal["static", "dynamic"]

TRAINED_ALPHA = 100.0


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
        device: Where the network ran.
        slice_image: The slice picture, if one was asked for.
        warnings: One line each, as printed.
    """

    output: Path
    frames: int
    width: int
    height: int
    fps: Fraction
    seconds: float
    device: str
    slice_image: Path | None = None
    warnings: tuple[str, ...] = ()

    @property
    def frames_per_second(self) -> float:
        """Speed, reading and writing included."""
        return self.frames / max(self.seconds, 1e-9)


def stream_tensors(
    magnifier: Magnifier,
    frames: Iterable[Tensor],
    alpha: float,
    mode: Mode = "static",
    reference: int = 0,
    reference_frame: Tensor | None = None,
) -> Iterator[Tensor]:
    """Magnify a stream of frames, one out for one in; every frame is encoded exactly once.

    Equal to ``magnifier(frame_r, frame_t, alpha)`` with r the reference frame in static mode, and t - 1 in dynamic mode
    (0 for t = 0).

    Args:
        magnifier: In evaluation mode, on the device of the frames.
        frames: Frames (1, 3, H, W) in [-1, 1], of one size.
        alpha: Total motion factor, >= 0.
        mode: "static" compares with one reference frame, "dynamic" with the frame before.
        reference: Number of the reference frame in static mode.
        reference_frame: That frame, needed when it is not the first.

    Yields:
        Magnified frames (1, 3, H, W), about [-1, 1], not clamped.
    """
    if mode == "static" and reference > 0 and reference_frame is None:
        raise ValueError(f"reference = {reference}: needs its frame as reference_frame")
    known = None if reference_frame is None or mode == "dynamic" else _encode(magnifier, reference_frame)
    shape = None if known is None else known.shape
    for index, frame in enumerate(frames):
        if known is not None and index == reference:
            current, known = known, None
        else:
            current = _encode(magnifier, frame)
        shape = current.shape if shape is None else shape
        yield _decode(magnifier, shape, current, alpha, (frame.shape[-2], frame.shape[-1]))
        if mode == "dynamic":
            shape = current.shape


def stream(
    magnifier: Magnifier,
    frames: Iterable[Frame],
    alpha: float,
    mode: Mode = "static",
    reference: int = 0,
    reference_frame: Frame | None = None,
    device: torch.device | str = "cpu",
) -> Iterator[Frame]:
    """``stream_tensors`` for 8-bit RGB frames.

    Args:
        magnifier: In evaluation mode, on ``device``.
        frames: uint8 RGB (H, W, 3), of one size.
        alpha: Total motion factor, >= 0.
        mode: "static" or "dynamic".
        reference: Number of the reference frame.
        reference_frame: That frame, uint8 RGB.
        device: Where the network runs.

    Yields:
        Magnified frames, uint8 RGB (H, W, 3).
    """
    anchor = None if reference_frame is None else to_tensor(reference_frame, device)
    tensors = (to_tensor(frame, device) for frame in frames)
    yield from map(to_frame, stream_tensors(magnifier, tensors, alpha, mode, reference, anchor))


def to_tensor(frame: Frame, device: torch.device | str = "cpu") -> Tensor:
    """uint8 RGB (H, W, 3) to float (1, 3, H, W) in [-1, 1], channels last in memory."""
    return torch.from_numpy(frame).to(device).permute(2, 0, 1).unsqueeze(0).float() / 127.5 - 1.0


def to_frame(tensor: Tensor) -> Frame:
    """Float (1, 3, H, W) to uint8 RGB (H, W, 3): clamped to [-1, 1] and rounded to the nearest of 256 levels."""
    levels = tensor[0].clamp(-1.0, 1.0).add(1.0).mul(127.5).round().to(torch.uint8)
    return levels.permute(1, 2, 0).contiguous().cpu().numpy()


# Around single steps, never around a yield: there, inference mode would leak into the code that takes the frames.
@torch.inference_mode()
def _encode(magnifier: Magnifier, frame: Tensor) -> Representation:
    return magnifier.encode(frame)


@torch.inference_mode()
def _decode(
    magnifier: Magnifier, shape_a: Tensor, current: Representation, alpha: float, size: tuple[int, int]
) -> Tensor:
    shape = magnifier.manipulate(shape_a, current.shape, alpha)
    return magnifier.decode(current.texture, shape, size)


def magnify(
    input: Path,
    output: Path,
    weights: str | Path = "proposed",
    alpha: float = 10.0,
    mode: Mode = "static",
    reference: int = 0,
    fps: float | None = None,
    side_by_side: bool = False,
    slice: str | None = None,
    slice_image: Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> Magnified:
    """Magnify the small motions in a clip and write the result as a clip.

    Args:
        input: A video file of any usual kind, or a folder of images (png, jpg, tif, bmp) in the order of their names.
        output: The video to write (.mp4, .m4v, .mov or .mkv: H.264), or a name without suffix for a folder of PNGs.
        weights: The trained network: proposed, baseline or tiny, which ship, or the path of a .safetensors file or of a
            checkpoint such as runs/mine/checkpoints/best.ckpt.
        alpha: Total motion factor, a number >= 0: 20 shows motions 20 times as large, 1 leaves it as it is.
        mode: What a frame's motion is measured from. static: the reference frame, to show displacement
            (vibration, sway). dynamic: the frame before, to show velocity; bears a slowly moving camera.
        reference: Number of the reference frame in static mode, counted from 0. Best a sharp frame at rest.
        fps: Frame rate of the output instead of the input's, in frames per second; a folder of images has 25 otherwise.
            The sound is left out then.
        side_by_side: Show the input to the left of the magnified clip, in a video of double width.
        slice: Also draw how one line of pixels changes over time: y=210 for row 210, x=320 for column 320.
        slice_image: Where to write that picture; NAME_slice.png beside the output when left out.
        device: Where to compute: auto (a CUDA device if there is one, else cpu), cpu, cuda, cuda:1 and so on.
        overwrite: Replace an output that exists already.

    Returns:
        A summary, which is also printed as one line.

    Raises:
        InputError: An option, the input, the output or the weights are not usable. Nothing has been written then.
    """
    input, output = Path(input), Path(output)
    _check_options(alpha, mode, reference, slice, slice_image)
    target = pick_device(device)
    check_output(output, input, overwrite)
    picture_path = None if slice is None else slice_path(output, slice_image, input, overwrite)
    clip = open_clip(input, fps)
    picture = None if slice is None else SlicePicture(SliceLine.parse(slice, clip.width, clip.height))
    magnifier = load_magnifier(weights).to(target).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    warnings = []
    if alpha > TRAINED_ALPHA:
        warnings.append(f"alpha = {alpha:g} is beyond what networks are trained for, up to {TRAINED_ALPHA:g}")
    if clip.has_audio and clip.retimed:
        warnings.append(f"{output}: the sound is left out, it does not fit the frame rate of {float(clip.fps):g}")
    _warn(warnings)

    start = time.perf_counter()
    anchor = _frame_number(clip, reference) if mode == "static" and reference > 0 else None
    width = clip.width * (2 if side_by_side else 1)
    sound = clip.path if clip.has_audio and not clip.retimed else None
    writer = ClipWriter(output, width, clip.height, clip.fps, clip.colour, clip.sample_aspect, sound, overwrite)
    kept: list[Frame] = []  # the input frame of the output frame at hand, and no other
    try:
        # TF32 convolutions would be coarser than the motions that the shapes are compared for.
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
        with exact, writer, _progress() as progress:
            task = progress.add_task("magnifying", total=clip.frames)
            for magnified in stream(magnifier, _keeping(clip, kept), alpha, mode, reference, anchor, target):
                writer.write(np.concatenate((kept[0], magnified), axis=1) if side_by_side else magnified)
                if picture is not None:
                    picture.add(kept[0], magnified)
                progress.advance(task)
    except torch.OutOfMemoryError:
        size = f"{clip.width} x {clip.height}"
        raise InputError(f"{input}: frames of {size} do not fit in the memory of {target}; try --device cpu") from None
    if picture is not None and picture_path is not None:
        picture.save(picture_path, alpha)
    seconds = time.perf_counter() - start

    later = writer.warnings + ([clip.partial] if clip.partial else [])
    _warn(later)
    done = Magnified(
        output=output,
        frames=writer.frames,
        width=width,
        height=clip.height,
        fps=clip.fps,
        seconds=seconds,
        device=str(target),
        slice_image=picture_path,
        warnings=(*warnings, *later),
    )
    against = f"frame {reference}" if mode == "static" else "the frame before"
    what = f"{done.frames} frames of {width} x {clip.height} at {float(clip.fps):g} fps"
    speed = f"{seconds:.1f} s on {target} ({done.frames_per_second:.1f} frames per second)"
    drawn = f"; slice: {picture_path}" if picture_path else ""
    print(f"{output}: {what}, alpha = {alpha:g} against {against}, in {speed}{drawn}")
    return done


def pick_device(name: str) -> torch.device:
    """The device of a name; "auto" is CUDA where there is a CUDA device, else the CPU.

    Raises:
        InputError: No such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(f"device = '{name}': not available here; accepted: auto, cpu, cuda, cuda:1") from None
    return device


def _check_options(alpha: float, mode: str, reference: int, slice: str | None, slice_image: Path | None) -> None:
    if not (math.isfinite(alpha) and alpha >= 0):
        raise InputError(f"alpha = {alpha}: must be a finite number >= 0")
    if mode not in ("static", "dynamic"):
        raise InputError(f"mode = '{mode}': must be static or dynamic")
    if reference < 0:
        raise InputError(f"reference = {reference}: must be the number of a frame, counted from 0")
    if reference > 0 and mode == "dynamic":
        raise InputError(f"reference = {reference}: has a meaning in static mode only, here mode = dynamic")
    if slice_image is not None and slice is None:
        raise InputError(f"slice_image = '{slice_image}': needs a slice to draw, such as '--slice y=210'")


def _frame_number(clip: Clip, number: int) -> Frame:
    count = 0
    with closing(iter(clip)) as frames:
        for frame in frames:
            if count == number:
                return frame
            count += 1
    raise InputError(f"reference = {number}: {clip.path} has {count} frames, numbered 0 to {count - 1}")


def _keeping(frames: Iterable[Frame], kept: list[Frame]) -> Iterator[Frame]:
    for frame in frames:
        kept[:] = [frame]
        yield frame


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)
