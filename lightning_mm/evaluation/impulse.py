"""Impulse responses of shape encoders (the paper's Fig. 3): which classical filters has an encoder learned?

The kernel of a channel is the derivative of one of its values by the pixels around it, at a grey frame. A linear
encoder has no other response, so its kernels are exact; of one with ReLUs this is the local linear response around
grey. Kernels are shown as correlation applies them; the response to an impulse is their mirror image.
"""

from collections import Counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from lightning_mm.evaluation.filters import DEFINITIONS, MAX_OFFSET, Filter, Match, filter_bank, nearest
from lightning_mm.evaluation.methods import MagnifierMethod, titles
from lightning_mm.evaluation.protocol import Bench, Record, Row, Shown
from lightning_mm.models import Magnifier

WINDOW = 25
NOTHING = "no response"
_NOISE_KERNELS = 8
_FRAME, _ZOOM, _COLUMNS, _STRIP = 128, 5, 8, 34


def run(bench: Bench) -> Record:
    """The "impulse" protocol."""
    bank = filter_bank(WINDOW)
    rows: list[Row] = []
    pictures: dict[str, NDArray[np.uint8]] = {}
    summary: dict[str, dict[str, float | None]] = {}
    shown, left_out, linear = [], {}, {}
    names = titles(bench.methods)
    for name, method in bench.methods.items():
        if not isinstance(method, MagnifierMethod):
            left_out[name] = "has no encoder"
            continue
        bench.say(f"impulse: {name}")
        kernels = shape_kernels(method.magnifier)
        linear[name] = is_linear(method.magnifier)
        matches, own = [], []
        for channel, kernel in enumerate(kernels):
            spatial, colour, share = grey_part(_window(kernel))
            matches.append(nearest(spatial, bank))
            own.append({"method": name, "channel": channel, **_row(matches[-1], kernel, colour, share)})
        rows += own
        pictures[f"impulse_{len(pictures) + 1}"] = kernel_grid(kernels, matches)
        summary[name], counted = _summary(own)
        chance = summary[name]["noise_correlation"] = noise_correlation(kernels, bank)
        shown.append((names[name], "exact" if linear[name] else "around grey", *counted, f"{chance:.3f}"))
    record = Record(
        heading="Impulse responses of the shape encoder",
        about="The kernel of every channel and the classical filter that it resembles most (Section 3.2, Fig. 3). A "
        "linear encoder's kernels are exact; of one with ReLUs they are its local linear response around grey. "
        "Compared is the part that all three colours share, with filters of several scales and angles up to "
        f"{MAX_OFFSET} px off the centre; 1 is a perfect match, and 0.9 still looks alike. Kernels of pure noise, "
        "as large as the encoder's, reach the correlation that the last column says: what is not clearly above it "
        "resembles no filter.",
        settings={
            "window_px": WINDOW,
            "filters": DEFINITIONS,
            "exact": linear,
            "channels": "kernels as correlation applies them; the impulse response is mirrored",
        },
        tables={"impulse": rows} if rows else {},
        summary=summary,
        shown=[
            Shown(
                "Impulse responses: channels of the shape encoder by the filter that they resemble",
                ("method", "kernels", "channels", "mean correlation", "filters", "correlation of noise"),
                shown,
            )
        ],
        left_out=left_out,
        pictures=pictures,
    )
    return record


def is_linear(magnifier: Magnifier) -> bool:
    """Whether an encoder has no activation."""
    return not any(isinstance(module, nn.ReLU) for module in magnifier.encoder.modules())


def shape_kernels(magnifier: Magnifier) -> NDArray[np.float64]:
    """Derivatives of one shape value per channel by the pixels of a grey frame.

    Args:
        magnifier: In evaluation mode, on any device.

    Returns:
        (channels, 3, N, N): N is odd and as large as the frame allows; the value lies over the middle.
    """
    device = next(magnifier.parameters()).device
    frame = torch.zeros(1, 3, _FRAME, _FRAME, device=device, requires_grad=True)
    with torch.enable_grad():
        shape = magnifier.encode(frame).shape
        stride = _FRAME // shape.shape[-1]
        middle = shape.shape[-1] // 2
        values = shape[0, :, middle, middle]
        grads = [torch.autograd.grad(value, frame, retain_graph=True)[0][0] for value in values]
    centre = middle * stride
    reach = min(centre, _FRAME - 1 - centre)
    inner = slice(centre - reach, centre + reach + 1)
    return torch.stack(grads)[..., inner, inner].double().cpu().numpy()


def grey_part(kernel: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The best product of a colour and a kernel, by singular values.

    Args:
        kernel: (3, N, N).

    Returns:
        The kernel (N, N), the colour's weights (3,) of norm 1 with a sum >= 0, and the share of energy it explains.
    """
    left, values, right = np.linalg.svd(kernel.reshape(3, -1), full_matrices=False)
    energy = float(np.square(values).sum())
    sign = 1.0 if left[:, 0].sum() >= 0.0 else -1.0
    share = float(values[0] ** 2 / energy) if energy > 0.0 else 0.0
    return sign * values[0] * right[0].reshape(kernel.shape[1:]), sign * left[:, 0], share


def noise_correlation(kernels: NDArray[np.float64], bank: list[Filter]) -> float:
    """Mean correlation of kernels of white noise with their nearest filters.

    Args:
        kernels: (channels, 3, N, N), whose extent the noise has.
        bank: Filters of ``WINDOW``.
    """
    rows, columns = np.nonzero(np.abs(_window(kernels)).sum(axis=(0, 1)))
    inside = np.zeros((WINDOW, WINDOW))
    if len(rows):
        inside[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = 1.0
    noise = np.random.default_rng(0).normal(size=(_NOISE_KERNELS, WINDOW, WINDOW))
    return float(np.mean([nearest(inside * kernel, bank).correlation for kernel in noise]))


def kernel_grid(kernels: NDArray[np.float64], matches: list[Match]) -> NDArray[np.uint8]:
    """Pictures of kernels in a grid, grey for zero, each scaled to its own largest value, with the filter's name.

    Args:
        kernels: (channels, 3, N, N).
        matches: One per channel.

    Returns:
        uint8 RGB.
    """
    side, font = WINDOW * _ZOOM, ImageFont.load_default(11)
    cell_width, cell_height = side + 24, side + _STRIP + 8
    rows = -(-len(kernels) // _COLUMNS)
    columns = min(_COLUMNS, len(kernels))
    grid = Image.new("RGB", (columns * cell_width, rows * cell_height), "white")
    draw = ImageDraw.Draw(grid)
    for channel, (kernel, match) in enumerate(zip(kernels, matches, strict=True)):
        row, column = divmod(channel, _COLUMNS)
        left, top = column * cell_width, row * cell_height
        pixels = _window(kernel)
        largest = np.abs(pixels).max() or 1.0
        image = np.rint(127.5 + 127.5 * pixels / largest).astype(np.uint8).transpose(1, 2, 0)
        grid.paste(Image.fromarray(image.repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1)), (left, top))
        name = NOTHING if match.filter is None else match.filter.name
        draw.text((left, top + side + 2), f"{channel}: {match.correlation:.2f}", fill="black", font=font)
        draw.text((left, top + side + 15), name, fill="dimgray", font=font)
    return np.asarray(grid)


def _window(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """The middle (3, WINDOW, WINDOW) of a kernel."""
    first = (kernel.shape[-1] - WINDOW) // 2
    return kernel[..., first : first + WINDOW, first : first + WINDOW]


def _row(match: Match, kernel: NDArray[np.float64], colour: NDArray[np.float64], share: float) -> dict[str, Any]:
    found, energy = match.filter, float(np.square(kernel).sum())
    return {
        "filter": NOTHING if found is None else found.name,
        "correlation": match.correlation,
        "sigma_px": None if found is None else found.sigma,
        "angle_degrees": None if found is None else found.angle,
        "offset_x_px": match.offset[0],
        "offset_y_px": match.offset[1],
        "red": float(colour[0]),
        "green": float(colour[1]),
        "blue": float(colour[2]),
        "colour_share": share,
        "norm": energy**0.5,
        "window_share": float(np.square(_window(kernel)).sum()) / energy if energy > 0.0 else None,
    }


def _summary(rows: list[Row]) -> tuple[dict[str, float | None], tuple[str, str, str]]:
    alive = [row["correlation"] for row in rows if row["filter"] != NOTHING]
    mean = float(np.mean(alive)) if alive else None
    counted = Counter(row["filter"] for row in rows).most_common()
    numbers: dict[str, float | None] = {"channels": len(rows), "mean_correlation": mean}
    numbers |= {name.replace(" ", "_"): count for name, count in counted}
    words = ", ".join(f"{count} {name}" for name, count in counted)
    return numbers, (str(len(rows)), "-" if mean is None else f"{mean:.3f}", words)
