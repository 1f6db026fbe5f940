"""``lightning-mm magnify``: from a clip to a magnified clip."""

import os
import time
from collections import deque
from collections.abc import Generator, Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np

from lightning_mm.errors import InputError
from lightning_mm.inference.prepare import Backend, Precision
from lightning_mm.machine import pick_device
from lightning_mm.magnification.engine import Engine
from lightning_mm.magnification.frames import levels
from lightning_mm.magnification.methods import MethodName, make_method
from lightning_mm.magnification.motions import Mode, Plan, make_plan
from lightning_mm.magnification.pipeline import ahead, behind
from lightning_mm.magnification.running import magnified_pairs, magnifying
from lightning_mm.magnification.selection import select
from lightning_mm.magnification.summary import Magnified, report, warnings_before
from lightning_mm.temporal.spec import Kind
from lightning_mm.terminal import frames_bar, warn
from lightning_mm.video.clip import Clip, exact_rate
from lightning_mm.video.colour import Frame
from lightning_mm.video.excerpt import excerpt
from lightning_mm.video.opening import open_clip
from lightning_mm.video.outputs import check_file, check_output
from lightning_mm.video.regions import region
from lightning_mm.video.sinks import Codec
from lightning_mm.video.slices import SliceLine, SlicePicture, slice_path
from lightning_mm.video.writer import ClipWriter


def magnify(
    input: str | Path,
    output: Path,
    weights: str | None = None,
    alpha: float | None = None,
    mode: Mode | None = None,
    reference: int = 0,
    band: str | None = None,
    filter: Kind | None = None,
    taps: int | None = None,
    order: int | None = None,
    zero_phase: bool = False,
    preset: str | None = None,
    response: Path | None = None,
    fps: float | None = None,
    output_fps: float | None = None,
    start: float | None = None,
    end: float | None = None,
    crop: str | None = None,
    scale: float | None = None,
    roi: str | None = None,
    mask: Path | None = None,
    side_by_side: bool = False,
    slice: str | None = None,
    slice_image: Path | None = None,
    codec: Codec = "h264",
    crf: int | None = None,
    method: MethodName = "learned",
    inverse: bool = False,
    device: str = "auto",
    backend: Backend = "eager",
    precision: Precision = "float32",
    batch: int | None = None,
    tile: int | None = None,
    overwrite: bool = False,
) -> Magnified:
    """Magnify the small motions in a clip and write the result as a clip.

    Args:
        input: A video file of any usual kind, a folder of images (png, jpg, tif, bmp) in the order of their names, a
            stream (rtsp://... or http://...), webcam:0, or - for a video that is piped in.
        output: The video to write (.mp4, .m4v, .mov or .mkv), or a name without suffix for a folder of PNGs.
        weights: The trained network: proposed (the default), baseline or tiny, which ship, or the path of a
            .safetensors file or of a checkpoint such as runs/mine/checkpoints/best.ckpt.
        alpha: Total motion factor, 10 when left out: 20 shows motions 20 times as large, 1 leaves them as they are,
            0 stills them, as far as the network can.
        mode: What a frame's motion is measured from. static (the default): the reference frame, to show displacement
            (vibration, sway). dynamic: the frame before, to show velocity; bears a slowly moving camera. temporal: only
            motion within a band of frequencies.
        reference: Number of the reference frame in static mode, counted from 0. Best a sharp frame at rest.
        band: LOW,HIGH in Hz of the true frame rate, for temporal mode, which is meant where a band is given.
        filter: Kind of temporal filter: fir (the default), butterworth or iir. All are causal: they look back only.
        taps: Length of a FIR in frames, odd; enough to resolve the band when left out.
        order: Order of a Butterworth filter, 1 when left out.
        zero_phase: Take a FIR's delay off, so that magnified motion is in step with the clip's.
        preset: The paper's settings of a sequence: crane, drum, guitar, wheel1, baby, baby_static, ac2, column or gun.
            Options that are given win over them.
        response: Where to draw the filter's response: the name of an .html page.
        fps: True frame rate in Hz, where the file's is only for playing (high-speed footage); bands refer to it. A
            folder of images has 25 otherwise.
        output_fps: Frame rate of the output; as in the input when left out. The sound is left out where it is another.
        start: Second of the clip to begin at, as a player shows it.
        end: Second of the clip to end before.
        crop: X,Y,WIDTH,HEIGHT in pixels: cut the clip to this part of it.
        scale: Factor on the clip's size, behind the crop and in front of all else.
        roi: X,Y,WIDTH,HEIGHT in pixels, of the frame as it is cropped and scaled, as of all that follows: magnify this
            region only. From 8 pixels around it on, the frame stays as it is; in between, both are mixed.
        mask: An image of the frames' size: magnify where it is white only.
        side_by_side: Show the input to the left of the magnified clip, in a video of double width.
        slice: Also draw how one line of pixels changes over time: y=210 for row 210, x=320 for column 320.
        slice_image: Where to write that picture; NAME_slice.png beside the output when left out.
        codec: h264, which plays everywhere, or ffv1, which loses nothing.
        crf: Quality of h264, from 0, best, to 51; 16 when left out.
        method: learned, or a classical method: linear, phase or riesz.
        inverse: Allow a negative alpha, which shows motion the other way round.
        device: Where to compute: auto (a CUDA device if there is one, else cpu), cpu, cuda, cuda:1 and so on.
        backend: eager, compile, cuda_graphs or openvino; what is compiled first pays off in long clips.
        precision: Of the decoder: float32, or half, which is faster and off by up to three levels of 8 bits.
        batch: Frames that are magnified at a time: 4 on a GPU and 1 elsewhere when left out.
        tile: Side in pixels of tiles to decode a frame in, for less memory; by itself where a frame does not fit. Each
            sees what surrounds it too, 320 pixels to each side with the proposed model, so that small ones are slow.
        overwrite: Replace outputs that exist already.

    Returns:
        A summary, which is also printed as one line.

    Raises:
        InputError: An option, the input, the output or the weights are not usable. Nothing has been written then.
    """
    output = Path(output)
    plan = make_plan(alpha, mode, reference, filter, band, taps, order, zero_phase, preset, inverse)
    if response is not None and plan.spec is None:
        raise InputError(f"response = '{response}': is of a temporal filter, here mode = {plan.mode}")
    if slice_image is not None and slice is None:
        raise InputError(f"slice_image = '{slice_image}': needs a slice to draw, such as '--slice y=210'")
    if batch is not None and batch < 1:
        raise InputError(f"batch = {batch}: must be at least 1")
    target = pick_device(device)
    check_output(output, input, overwrite, codec, crf)
    picture_path = None if slice is None else slice_path(output, slice_image, Path(input), overwrite)
    if response is not None:
        _check_page(response, output, Path(input), overwrite)
    whole = _opened(input, fps)
    part = None if crop is None else region(crop, whole.width, whole.height, "crop")
    clip = excerpt(whole, start, end, part, scale)
    chosen = select(clip.width, clip.height, None if roi is None else region(roi, clip.width, clip.height), mask)
    picture = None if slice is None else SlicePicture(SliceLine.parse(slice, clip.width, clip.height))
    true_fps = fps if fps is not None else plan.fps
    rate = clip.fps if true_fps is None else exact_rate(true_fps)
    made = plan.design(float(rate), clip.frames)
    output_rate = clip.fps if output_fps is None else exact_rate(output_fps, "output_fps")
    writer = ClipWriter(
        output,
        clip.width * (2 if side_by_side else 1),
        clip.height,
        output_rate,
        colour=clip.colour,
        sample_aspect=clip.sample_aspect,
        sound=clip.sound if output_rate == clip.fps else None,
        overwrite=overwrite,
        codec=codec,
        depth=clip.depth,
        crf=crf,
    )
    ready = make_method(method, weights, target, backend, precision, tile)
    pixels = (chosen.rows.stop - chosen.rows.start) * (chosen.columns.stop - chosen.columns.start)
    warnings = warnings_before(plan, clip, ready, output_rate, made, pixels, target)
    warn(warnings)

    began = time.perf_counter()
    anchor, frames = _reference(clip, plan)
    motion = plan.motion(made[0] if made else None, None if anchor is None else levels([chosen.cut(anchor)], target))
    engine = Engine(ready, motion, plan.alpha, target)
    with (
        magnifying(clip, target),
        writer,
        behind(writer.write) as write,
        closing(ahead(frames, hurry=clip.stop)) as read,
        frames_bar() as bar,
    ):
        task = bar.add_task("magnifying", total=clip.frames)
        for before, after in magnified_pairs(engine, read, chosen, batch, side_by_side or picture is not None):
            write(np.concatenate((before, after), axis=1) if side_by_side else after)
            if picture is not None:
                picture.add(before, after)
            bar.advance(task)
        # In front of the renaming of the clip: what fails leaves nothing.
        if picture is not None and picture_path is not None:
            picture.save(picture_path, plan.alpha)
        if response is not None and made is not None:
            from lightning_mm.temporal.response import write_response

            write_response(made[0], response, frames=clip.frames, overwrite=True)
    seconds = time.perf_counter() - began

    later = writer.warnings + ([clip.partial] if clip.partial else [])
    warn(later)
    done = Magnified(
        output=output,
        frames=writer.frames,
        width=writer.size[1],
        height=clip.height,
        fps=writer.fps,
        seconds=seconds,
        device=str(target),
        filter=made[0] if made else None,
        slice_image=picture_path,
        response=response,
        partial=clip.partial,
        warnings=(*warnings, *later),
    )
    report(done, plan)
    return done


def _opened(input: str | Path, fps: float | None) -> Clip:
    """The clip at the rate that it is played at; a folder of images has none but what it is told."""
    return open_clip(input, fps if os.path.isdir(input) else None)


def _check_page(page: Path, output: Path, source: Path, overwrite: bool) -> None:
    if page.suffix.lower() != ".html":
        raise InputError(f"response = '{page}': must be the name of an .html file")
    check_file(page, source, overwrite, output)


def _reference(clip: Clip, plan: Plan) -> tuple[Frame | None, Iterable[Frame]]:
    """The reference frame, where it is not the first, and the frames of the clip.

    A stream can be read only once: what comes before the reference frame is held in memory then.
    """
    if plan.mode != "static" or plan.reference == 0:
        return None, clip
    if not clip.once:
        with closing(clip.since(plan.reference)) as rest:
            frame = next(rest, None)
        if frame is not None:
            return frame, clip
        count = sum(1 for _ in clip)
    else:
        frames = iter(clip)
        held = deque(islice(frames, plan.reference + 1))
        if len(held) > plan.reference:
            return held[-1], _again(held, frames)
        count = len(held)
    raise InputError(f"reference = {plan.reference}: the clip has {count} frames, numbered 0 to {count - 1}")


def _again(held: deque[Frame], rest: Generator[Frame]) -> Generator[Frame]:
    with closing(rest):
        while held:
            yield held.popleft()
        yield from rest
