"""Output images of the models side by side: one row each, one column for each of the same validation pairs."""

import base64
import io
from html import escape

import numpy as np
from PIL import Image

from lightning_mm.reporting.model import Model
from lightning_mm.reporting.sweep import Sweep

MAX_FRONT = 6
"""Models of the Pareto front whose images are shown, evenly chosen along it."""

MAX_SIDE = 384
"""Images are scaled down to this many pixels and stored as WebP, so that the page stays small."""

_PARTS = ("frame A", "frame B", "target", "output")


def samples_section(sweep: Sweep) -> str:
    """The section of the page: inputs and target once, then the outputs of one model per row."""
    chosen, left_out = chosen_models(sweep)
    rows, unread = [], []
    for title, model in chosen:
        picture = _read(model)
        if picture is None:
            unread.append(model.label)
            continue
        if not rows:
            rows += [_row(part, "", picture[:, i]) for i, part in enumerate(_PARTS[:3])]
        rows.append(_row(title, f"SSIM {model.text('ssim', 4)}<br>{sweep.plane.text(model)}", picture[:, 3]))
    notes = []
    if left_out:
        notes.append(f"Left out, of the models on the front: {', '.join(left_out)}.")
    if unread:
        notes.append(f"Without images, as their runs left no samples.png that can be read: {', '.join(unread)}.")
    pairs = "pairs" if not rows or rows[0].count("<img") != 1 else "pair"
    said = "".join(f'<p class="small">{escape(note)}</p>' for note in notes)
    table = f'<div class="samples">{"".join(rows)}</div>' if rows else ""
    return (
        f'<section id="samples"><h2>Sample images</h2><p>The same fixed validation {pairs} for every model: from '
        "frames A and B, each should draw the target. Of a model with several seeds the lowest is shown. Images are "
        "compressed; each run's <code>samples.png</code> is not. Click one to enlarge it.</p>"
        f"{table}{said}</section>"
    )


def chosen_models(sweep: Sweep) -> tuple[list[tuple[str, Model]], list[str]]:
    """The models to show with their titles (hand-designed, baseline, then the front, cheapest first).

    Returns:
        Them, and the names of those of the front that are left out.
    """
    group = sweep.groups[0]
    chosen = [("hand-designed: ", m) for m in group if sweep.hand_designed(m) is m]
    chosen += [("baseline: ", m) for m in group if m.is_baseline][:1]
    known = [model for _, model in chosen]
    front = [model for model in sweep.fronts()[0] if model not in known]
    if not front and not chosen:
        front = group[:1]
    shown = list(front)
    if len(front) > MAX_FRONT:
        places = np.linspace(0, len(front) - 1, MAX_FRONT).round().astype(int)
        shown = [front[i] for i in places]
    chosen += [("", model) for model in shown]
    titles = [(title if title.removesuffix(": ") != model.label else "", model) for title, model in chosen]
    return [(title + model.label, model) for title, model in titles], [m.label for m in front if m not in shown]


def _read(model: Model) -> np.ndarray | None:
    """Pictures of a model's sample file, (pairs, 4, height, width, 3); ``None`` where it can't be read."""
    v = model.results.validation
    try:
        with Image.open(model.first.samples_file) as image:
            pixels = np.asarray(image.convert("RGB"))
        height, width = int(v["height"]), int(v["width"])
        rows, columns = pixels.shape[0] // height, pixels.shape[1] // width
        if not rows or columns != len(_PARTS) or pixels.shape != (rows * height, columns * width, 3):
            return None
        return pixels.reshape(rows, height, columns, width, 3).swapaxes(1, 2)
    except (OSError, KeyError, TypeError, ValueError):
        return None


def _row(title: str, line: str, pictures: np.ndarray) -> str:
    images = "".join(
        f'<img alt="{escape(title)}, pair {i + 1}" src="data:image/webp;base64,{_encoded(picture)}">'
        for i, picture in enumerate(pictures)
    )
    below = f"<span>{line}</span>" if line else ""
    caption = f"<figcaption><strong>{escape(title)}</strong>{below}</figcaption>"
    return f'<figure>{caption}<div class="strip">{images}</div></figure>'


def _encoded(picture: np.ndarray) -> str:
    image = Image.fromarray(np.ascontiguousarray(picture))
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=90, method=4)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
