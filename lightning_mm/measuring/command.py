"""``lightning-mm measure``."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_mm.errors import InputError
from lightning_mm.measuring.bands import BandSearch
from lightning_mm.measuring.comparing import compared
from lightning_mm.measuring.findings import Findings
from lightning_mm.measuring.grid import GridTracker, grid_points
from lightning_mm.measuring.motion import LEAST_FRAMES, UNLIKE, MotionTracker
from lightning_mm.measuring.printing import magnify_command, suggestion_lines, summary_lines
from lightning_mm.measuring.scale import Scale
from lightning_mm.measuring.tables import spectrum_table, waveform_table
from lightning_mm.measuring.tracking import require_opencv
from lightning_mm.runs import write_text_atomically
from lightning_mm.terminal import frames_bar, warn
from lightning_mm.video.clip import Clip
from lightning_mm.video.colour import Frame
from lightning_mm.video.opening import open_clip
from lightning_mm.video.outputs import check_file
from lightning_mm.video.regions import Region, region
from lightning_mm.video.slices import SliceLine, SlicePicture


def measure(
    input: str,
    roi: str | None = None,
    grid: str | None = None,
    fps: float | None = None,
    mm_per_px: float | None = None,
    known_length: str | None = None,
    suggest_band: bool = False,
    compare: Path | None = None,
    slice: str | None = None,
    slice_image: Path | None = None,
    csv: Path | None = None,
    spectrum_csv: Path | None = None,
    report: Path | None = None,
    overwrite: bool = False,
) -> Findings:
    """Measure the motion in a clip: displacement over time, its frequencies, the band to magnify.

    Points are found again in every frame by Lucas-Kanade against the first frame, in a pyramid of OpenCV and then in
    floating point, to about 0.003 px on texture. A region has one displacement, the median over its corners.

    Args:
        input: A video file or a folder of images.
        roi: Region as X,Y,WIDTH,HEIGHT in pixels; the whole frame when left out.
        grid: Follow a grid of points instead, each by itself: 12x8 for 12 columns and 8 rows over the region, or 20 for
            a point every 20 px.
        fps: True frame rate in Hz, where the file's is only for playing (high-speed footage).
        mm_per_px: Millimetres per pixel in the plane that moves, to have lengths in mm as well.
        known_length: PX,MM, another way to say it: PX pixels of the picture are MM millimetres of the object.
        suggest_band: Also find the band of frequencies to magnify: the strongest vibration anywhere in the region.
        compare: The magnified clip of this one: measure it as well, and say how much larger the motion is.
        slice: Also draw how one line of pixels changes over time: y=210 for row 210, x=320 for column 320.
        slice_image: Where to write that picture, a .png; it is in the report as well.
        csv: File to write the displacement of every frame to.
        spectrum_csv: File to write the spectrum to.
        report: Page to write (.html), with the waveform, the spectrum and where it was measured.
        overwrite: Replace outputs that exist already.

    Returns:
        What was found, which is also printed. With ``compare``, over the frames that both clips have.

    Raises:
        InputError: An option or the clip is not usable, or there is nothing to track. Nothing has been written then.
    """
    scale = Scale.parse(mm_per_px, known_length)
    outputs = {"csv": csv, "spectrum_csv": spectrum_csv, "report": report, "slice_image": slice_image}
    _check_outputs(input, compare, outputs, overwrite)
    if grid is not None and compare is not None:
        raise InputError("compare: measures a region in both clips; leave out --grid")
    if slice is not None and slice_image is None and report is None:
        raise InputError(f"slice = '{slice}': needs --slice_image or --report to be drawn in")
    if slice is None and slice_image is not None:
        raise InputError(f"slice_image = '{slice_image}': needs a slice to draw, such as '--slice y=210'")
    require_opencv()
    clip = open_clip(input, fps)
    if clip.live:
        raise InputError(f"{clip.name}: a camera has no end; record a clip and measure that")
    other = None if compare is None else _magnified_clip(compare, clip)
    place = region(roi, clip.width, clip.height)
    points = None if grid is None else grid_points(grid, place)
    picture = None if slice is None else SlicePicture(SliceLine.parse(slice, clip.width, clip.height))
    warn(clip.warnings)
    tables = csv is not None or spectrum_csv is not None
    found = _read(clip, other, _Wanted(place, points, suggest_band, tables, picture, scale))
    warn(found.warnings)
    command = None
    print("\n".join([*summary_lines(found), *suggestion_lines(found)]))
    if found.suggestion is not None:
        warn(found.suggestion.warnings)
        command = magnify_command(input, found.suggestion, found.fps)
        print(command)
    _write(found, csv, spectrum_csv, report, command)
    if picture is not None and slice_image is not None:
        picture.save(slice_image)
        print(f"wrote {slice_image}")
    return found


@dataclass(frozen=True)
class _Wanted:
    """What to gather from the frames; ``table`` says whether a file needs the region's motion."""

    place: Region
    points: NDArray[np.float64] | None
    band: bool
    table: bool
    picture: SlicePicture | None
    scale: Scale


def _read(clip: Clip, other: Clip | None, wanted: _Wanted) -> Findings:
    """Go through the frames once."""
    first: NDArray[Any] | None = None
    motion = magnified = grid = search = None
    frames = 0
    shorter = clip
    warnings: list[str] = []
    for before, after in _frames(clip, other):
        if before is None or (after is None and other is not None):
            assert other is not None
            shorter, longer = (clip, other) if before is None else (other, clip)
            common = f"{frames} frames, {longer.name} has more; the first {frames} of both are compared"
            warnings.append(f"{shorter.name}: {common}")
            break
        if first is None:
            first = before.copy()
            if wanted.points is None:
                motion = _region_tracker(before, clip, wanted, needed=other is not None)
            else:
                grid = _grid_tracker(before, clip, wanted.points, needed=not wanted.band)
            if other is not None and after is not None:
                points = None if motion is None else motion.points
                magnified = MotionTracker(after, wanted.place, other.name, gaps=True, points=points)
            search = BandSearch(before, wanted.place) if wanted.band else None
        for each in (motion, grid, search):
            if each is not None:
                each.add(before)
        if magnified is not None and after is not None:
            magnified.add(after)
        if wanted.picture is not None:
            wanted.picture.add(before, after)
        frames += 1
    if first is None or frames < LEAST_FRAMES:
        raise InputError(f"{shorter.name}: {frames} frames; measuring motion takes at least {LEAST_FRAMES}")
    fps = float(clip.fps)
    regions = [None if each is None else each.motion(fps) for each in (motion, magnified)]
    comparison = None
    if other is not None and regions[0] is not None and regions[1] is not None:
        try:
            comparison = compared(regions[0], regions[1])
        except InputError as error:
            raise InputError(f"{other.name}: {error}") from None
    if regions[0] is not None and regions[0].unlike > UNLIKE:
        instead = "choose one part with --roi" + ("" if other is not None else ", or --grid")
        warnings.append(f"{clip.name}: the region's points do not move alike; {instead}")
    missing = [each.partial for each in (clip, other) if each is not None and each.partial]
    return Findings(
        source=clip.name,
        first=first,
        frames=frames,
        fps=fps,
        region=wanted.place,
        scale=wanted.scale,
        motion=regions[0],
        grid=None if grid is None else grid.motion(fps),
        magnified=regions[1],
        comparison=comparison,
        searched=wanted.band,
        suggestion=None if search is None else search.suggestion(fps),
        slice=None if wanted.picture is None else wanted.picture.draw(),
        partial="; ".join(missing) or None,
        warnings=(*missing, *warnings),
    )


def _region_tracker(frame: NDArray[Any], clip: Clip, wanted: _Wanted, needed: bool) -> MotionTracker | None:
    try:
        return MotionTracker(frame, wanted.place, clip.name)
    except InputError:
        if needed or wanted.table or not wanted.band:
            raise
    return None  # a band may be found in the brightness alone


def _grid_tracker(frame: NDArray[Any], clip: Clip, points: NDArray[np.float64], needed: bool) -> GridTracker:
    grid = GridTracker(frame, points)
    if needed and not grid.textured:
        raise InputError(f"{clip.name}: none of the {len(points)} points of the grid has texture to track")
    return grid


def _frames(clip: Clip, other: Clip | None) -> Iterator[tuple[Frame | None, Frame | None]]:
    """Frames of the clip, each with that of the other clip; ``None`` where one of two has ended."""
    with frames_bar() as bar:
        task = bar.add_task("measuring", total=clip.frames)
        pairs = ((frame, None) for frame in clip) if other is None else zip_longest(clip, other)
        for pair in pairs:
            yield pair
            bar.advance(task)


def _magnified_clip(path: Path, clip: Clip) -> Clip:
    other = open_clip(path, float(clip.fps))
    if (other.width, other.height) != (clip.width, clip.height):
        sizes = f"{other.width} x {other.height}, {clip.name} of {clip.width} x {clip.height}"
        raise InputError(f"compare = {path}: has frames of {sizes}; must be of one size, not side by side")
    return other


def _check_outputs(input: str, compare: Path | None, outputs: dict[str, Path | None], overwrite: bool) -> None:
    given = {option: path for option, path in outputs.items() if path is not None}
    for option, suffix in (("report", ".html"), ("slice_image", ".png")):
        if option in given and given[option].suffix.lower() != suffix:
            raise InputError(f"{option} = '{given[option]}': must be the name of a {suffix} file")
    for option, path in given.items():
        for source in (Path(input), compare):
            check_file(path, source, overwrite)
        twin = next((other for other in given if other != option and given[other].resolve() == path.resolve()), None)
        if twin is not None:
            raise InputError(f"{option} = '{path}': is the name of {twin} as well; choose another")


def _write(
    found: Findings, csv: Path | None, spectrum_csv: Path | None, report: Path | None, command: str | None
) -> None:
    texts: dict[Path, str] = {}
    if csv is not None:
        texts[csv] = waveform_table(found)
    if spectrum_csv is not None:
        texts[spectrum_csv] = spectrum_table(found)
    if report is not None:
        from lightning_mm.measuring.page import page

        texts[report] = page(found, command)
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomically(path, text)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
        print(f"wrote {path}")
