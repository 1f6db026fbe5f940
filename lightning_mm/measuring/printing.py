"""What ``measure`` says, on the terminal and at the top of its page."""

import shlex
from collections import Counter
from pathlib import Path

import numpy as np

from lightning_mm.measuring.bands import Suggestion
from lightning_mm.measuring.findings import Findings
from lightning_mm.measuring.tracking import CORNER, EDGE, FLAT

_SHOWN = 3


def summary_lines(found: Findings) -> list[str]:
    """The measurement in a few lines."""
    lines = [f"{found.source}: {found.frames} frames at {found.fps:g} fps, {_followed(found)}"]
    scale = found.scale
    if found.motion is not None:
        x, y = found.motion.peak_to_peak
        frequency, amplitude = found.motion.dominant()
        lines.append(f"peak-to-peak: {_length(found, x)} along x, {_length(found, y)} along y")
        lines.append(f"strongest component: {frequency:.2f} Hz, {_length(found, amplitude)} peak-to-peak")
    if found.spectrum is not None:
        floor = f"noise floor: {scale.text(found.spectrum.noise)} per bin of {found.spectrum.resolution:.3g} Hz"
        shown = ", ".join(f"{peak.frequency:.2f} Hz {scale.text(peak.amplitude)}" for peak in found.peaks[:_SHOWN])
        lines.append(f"{floor}; above it, zero to peak: {shown or 'nothing'}")
    if found.comparison is not None:
        c = found.comparison
        sizes = f"{scale.text(c.before)} in the input, {scale.text(c.after)} in the magnified clip"
        lines.append(f"at {c.frequency:.2f} Hz: {sizes}: magnified {c.ratio:.2f} times")
    return lines


def suggestion_lines(found: Findings) -> list[str]:
    """The band to magnify in a line or two; none where it was not looked for."""
    if not found.searched:
        return []
    band = found.suggestion
    if band is None:
        return ["suggested band: none, nothing in this clip vibrates above the noise"]
    size = found.scale.text(band.amplitude) if band.unit == "px" else f"{band.amplitude:.3g} {band.unit}"
    lines = [
        f"suggested band: {plain(band.low)} to {plain(band.high)} Hz, around {plain(band.frequency)} Hz, which stands "
        f"out {band.strength:.3g} times the noise floor where it is clearest (amplitude {size})"
    ]
    if band.unit != "px":
        lines.append("nothing could be tracked: the band is that of the brightness, which may flicker by itself")
    if band.others:
        lines.append(f"further vibrations: {', '.join(plain(f) for f in band.others)} Hz")
    return lines


def peak_cells(found: Findings) -> tuple[list[str], list[list[str]]]:
    """The table of peaks: columns, and rows of text."""
    columns = ["frequency [Hz]", "period [s]", "amplitude, zero to peak [px]"]
    columns += [] if found.scale.mm_per_px is None else ["amplitude [mm]"]
    columns.append("times the noise floor")
    rows = []
    for peak in found.peaks:
        cells = [f"{peak.frequency:.5g}", f"{1.0 / peak.frequency:.4g}", f"{peak.amplitude:.4g}"]
        cells += [] if found.scale.mm_per_px is None else [f"{peak.amplitude * found.scale.mm_per_px:.4g}"]
        rows.append([*cells, f"{peak.strength:.3g}"])
    return columns, rows


def magnify_command(source: str, band: Suggestion, fps: float) -> str:
    """The command that magnifies a band of a clip."""
    path = Path(source)
    output = f"{path.stem}_magnified" + (".mp4" if path.suffix else "")
    edges = f"{plain(band.low)},{plain(band.high)}"
    words = ["lightning-mm", "magnify", source, output, "--mode", "temporal", "--filter", "fir", "--band", edges]
    return shlex.join([*words, "--fps", f"{fps:.10g}"])


def plain(number: float) -> str:
    """Four significant digits without an exponent."""
    return np.format_float_positional(float(f"{number:.4g}"), trim="-")


def _length(found: Findings, pixels: float) -> str:
    text = f"{pixels:.3f} px"
    return text if found.scale.mm_per_px is None else f"{text} ({pixels * found.scale.mm_per_px:.3g} mm)"


def _followed(found: Findings) -> str:
    if found.grid is not None:
        kinds = Counter(found.grid.kinds.tolist())
        words = {CORNER: "followed", EDGE: "on edges (followed across)", FLAT: "without texture", "lost": "lost"}
        counts = ", ".join(f"{kinds[kind]} {text}" for kind, text in words.items() if kinds[kind])
        return f"{len(found.grid.kinds)} points: {counts}"
    if found.motion is None:
        return "nothing to track"
    lost = found.motion.features[0] - found.motion.features.min()
    return f"{found.motion.features[0]} features, {lost} lost"
