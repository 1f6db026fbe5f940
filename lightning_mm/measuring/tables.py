"""What was measured as CSV."""

import csv
import io
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lightning_mm.measuring.findings import Findings
from lightning_mm.measuring.grid import GridMotion
from lightning_mm.measuring.motion import Motion
from lightning_mm.measuring.scale import Scale
from lightning_mm.measuring.spectrum import Spectrum


def waveform_table(found: Findings) -> str:
    """Displacement in every frame.

    Of a region a row per frame: time, displacement, features found, the same of the magnified clip where there is one.
    Of a grid a row per point and frame. Where something was not found, the displacement is empty.
    """
    scale = found.scale
    if found.grid is not None:
        grid = found.grid
        columns = ["point", "point_x", "point_y", "kind", "frame", "time_s", *_lengths(scale)]
        return _text(
            columns,
            (
                [*_point(grid, point), grid.kinds[point], *_time(frame, found.fps), *_cells(moved, scale, 5)]
                for point in range(len(grid.points))
                for frame, moved in enumerate(grid.displacement[:, point])
            ),
        )
    clips = _clips(found)
    columns = ["frame", "time_s", *(f"{name}{column}" for name in clips for column in (*_lengths(scale), "features"))]
    rows = []
    for frame in range(found.frames):
        cells = _time(frame, found.fps)
        for clip in clips.values():
            cells += [*_cells(clip.displacement[frame], scale, 5), str(clip.features[frame])]
        rows.append(cells)
    return _text(columns, rows)


def spectrum_table(found: Findings) -> str:
    """Amplitudes, zero to peak, along x and y.

    Of a region a row per frequency, with the noise floor of both axes together. Of a grid a row per point and
    frequency; the point "all" is the root mean square over the points that were followed.
    """
    scale = found.scale
    if found.grid is not None:
        return _grid_spectrum(found.grid, scale)
    spectra = {name: clip.spectrum() for name, clip in _clips(found).items()}
    own = [*_lengths(scale), *_lengths(scale, ("floor",))]
    rows = []
    for k, frequency in enumerate(spectra[""].frequencies):
        cells = [f"{frequency:.6g}"]
        for spectrum in spectra.values():
            cells += [*_cells(spectrum.components[k, 0], scale, 6), *_cells(spectrum.floor[k : k + 1], scale, 6)]
        rows.append(cells)
    return _text(["frequency_hz", *(f"{name}{column}" for name in spectra for column in own)], rows)


def _grid_spectrum(grid: GridMotion, scale: Scale) -> str:
    columns = ["point", "point_x", "point_y", "frequency_hz", *_lengths(scale)]
    if not grid.followed.any():
        return _text(columns, [])
    spectrum = grid.spectrum()
    everywhere = np.sqrt(np.square(spectrum.components).mean(axis=1))
    rows = [["all", "", "", f"{f:.6g}", *_cells(size, scale, 6)] for f, size in _over(spectrum, everywhere)]
    for place, point in enumerate(np.flatnonzero(grid.followed).tolist()):
        one = spectrum.components[:, place]
        rows += [[*_point(grid, point), f"{f:.6g}", *_cells(size, scale, 6)] for f, size in _over(spectrum, one)]
    return _text(columns, rows)


def _clips(found: Findings) -> dict[str, Motion]:
    assert found.motion is not None
    return {"": found.motion} if found.magnified is None else {"": found.motion, "magnified_": found.magnified}


def _time(frame: int, fps: float) -> list[str]:
    return [str(frame), f"{frame / fps:.6f}"]


def _over(spectrum: Spectrum, values: NDArray[np.float64]) -> Iterable[tuple[float, NDArray[np.float64]]]:
    return zip(spectrum.frequencies.tolist(), values, strict=True)


def _point(motion: GridMotion, point: int) -> list[str]:
    x, y = motion.points[point]
    return [str(point), f"{x:g}", f"{y:g}"]


def _lengths(scale: Scale, names: Sequence[str] = ("x", "y")) -> list[str]:
    units = ("px",) if scale.mm_per_px is None else ("px", "mm")
    return [f"{name}_{unit}" for unit in units for name in names]


def _cells(pixels: NDArray[np.floating], scale: Scale, digits: int) -> list[str]:
    cells = [f"{value:.{digits}f}" for value in pixels]
    if scale.mm_per_px is not None:
        cells += [f"{value * scale.mm_per_px:.6g}" for value in pixels]
    return ["" if cell == "nan" else cell for cell in cells]


def _text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    return text.getvalue()
