"""``lightning-mm measure``."""

import csv as tables
import io
from pathlib import Path

from lightning_mm.measuring.motion import Motion, track
from lightning_mm.runs import require_writable, write_text_atomically


def measure(input: Path, roi: str | None = None, fps: float | None = None, csv: Path | None = None) -> None:
    """Measure the motion of a region of a clip.

    Args:
        input: A video file or a folder of images.
        roi: Region as X,Y,WIDTH,HEIGHT in pixels; the whole frame when left out.
        fps: True frame rate, where the file's is only for playing (high-speed footage).
        csv: File to write the displacement of every frame to.
    """
    if csv is not None:
        require_writable(csv, "--csv")
    motion = track(input, roi, fps)
    x, y = motion.peak_to_peak
    frequency, amplitude = motion.dominant()
    lost = motion.features[0] - motion.features.min()
    print(
        f"{input}: {len(motion.displacement)} frames at {motion.fps:g} fps, {motion.features[0]} features, {lost} lost"
    )
    print(f"peak-to-peak: {x:.3f} px along x, {y:.3f} px along y")
    print(f"strongest component: {frequency:.2f} Hz, {amplitude:.3f} px peak-to-peak")
    if csv is not None:
        write_text_atomically(csv, _csv(motion))
        print(f"wrote {csv}")


def _csv(motion: Motion) -> str:
    text = io.StringIO()
    rows = tables.writer(text, lineterminator="\n")
    rows.writerow(["frame", "time_s", "x_px", "y_px", "features"])
    for number, ((x, y), features) in enumerate(zip(motion.displacement, motion.features, strict=True)):
        rows.writerow([number, f"{number / motion.fps:.6f}", f"{x:.4f}", f"{y:.4f}", features])
    return text.getvalue()
