"""Procedural textures: images with the statistics of natural ones, made from nothing but a random generator.

Six kinds, after the literature on learning from synthetic images: dead leaves with varied shapes (occlusion and scale
invariance), coloured noise (1/f^b spectra), smooth gradients, gratings and checkers, text-like pages, and string-like
lines. Each returns (size, size, 3) float32 in [0, 1]. They are read at two texels per pixel, so detail is drawn at 3
texels and above.

Sines, powers and transforms are taken in float64: those of NumPy differ in the last bit from processor to processor,
and in float32 that moves a few of a bank's bytes, and with them the digest that names a validation set.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Grid = NDArray[np.float64]
Random = np.random.Generator


def random_texture(rng: Random, size: int) -> Image:
    """A texture of a random kind; dead leaves, the most natural one, half of the time.

    Args:
        rng: Source of randomness; the texture is a function of its state.
        size: Side in texels.

    Returns:
        (size, size, 3) float32 in [0, 1].
    """
    kinds: list[tuple[float, Callable[[Random, int], Image]]] = [
        (0.50, dead_leaves),
        (0.16, coloured_noise),
        (0.08, gradient),
        (0.08, grating),
        (0.10, text),
        (0.08, strings),
    ]
    draw = rng.random()
    for share, kind in kinds:
        if draw < share:
            return np.clip(_shade(rng, kind(rng, size)), 0.0, 1.0)
        draw -= share
    return np.clip(_shade(rng, dead_leaves(rng, size)), 0.0, 1.0)


def dead_leaves(rng: Random, size: int) -> Image:
    """Shapes dropped on one another until they cover: radii with density r^-3, discs, ellipses, boxes and polygons."""
    palette = _palette(rng, 24)
    image = coloured_noise(rng, size)
    smallest = 4.0 * 4.0 ** rng.random()
    largest = max(2.0 * smallest, size * (0.12 + 0.2 * rng.random()))
    mean_area = 2.0 * math.pi * smallest**2 * math.log(largest / smallest)
    count = int(2.5 * size**2 / mean_area)
    radii = (smallest**-2 + rng.random(count) * (largest**-2 - smallest**-2)) ** -0.5
    draws = rng.random((count, 10))
    for radius, draw in zip(radii, draws, strict=True):
        _drop_leaf(image, palette, radius, draw)
    return image


def coloured_noise(rng: Random, size: int) -> Image:
    """Gaussian noise with a power spectrum 1/f^b, b between 1 and 2.6, and correlated channels."""
    exponent = 1.0 + 1.6 * rng.random()
    fy, fx = np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :]
    stretch = 1.0 + 2.0 * rng.random() ** 3
    angle = math.pi * rng.random()
    u = (fx * math.cos(angle) + fy * math.sin(angle)) * stretch
    v = -fx * math.sin(angle) + fy * math.cos(angle)
    amplitude = np.maximum(u**2 + v**2, size**-2.0) ** (-exponent / 4.0)
    amplitude[0, 0] = 0.0
    phase = np.exp(2j * math.pi * rng.random((2, size, size // 2 + 1)))
    planes = np.fft.irfft2(amplitude * phase, s=(size, size), axes=(1, 2))
    planes /= planes.std(axis=(1, 2), keepdims=True) + 1e-9
    mean, axis, minor = _palette(rng, 1)[0], rng.random(3) * 0.5 + 0.5, rng.random(3) - 0.5
    contrast = 0.06 + 0.16 * rng.random()
    image = mean + contrast * (planes[0, ..., None] * axis + 0.6 * planes[1, ..., None] * minor)
    return np.clip(image, 0.0, 1.0).astype(np.float32)


def gradient(rng: Random, size: int) -> Image:
    """A few low-frequency cosine waves between two colours."""
    y, x = _grid(size)
    value = np.zeros((size, size))
    for wave in rng.random((3, 4)):
        turns = 2.0 * math.pi * (0.2 + 1.3 * wave[0])
        angle = 2.0 * math.pi * wave[1]
        value += wave[2] * np.cos(turns * (x * math.cos(angle) + y * math.sin(angle)) / size + 6.3 * wave[3])
    return _between(rng, (value - value.min()) / (np.ptp(value) + 1e-6))


def grating(rng: Random, size: int) -> Image:
    """Sinusoidal or hard-edged gratings, bent a little, sometimes crossed to a checker."""
    y, x = _grid(size)
    period = 6.0 * 12.0 ** rng.random()
    angle, bend = 2.0 * math.pi * rng.random(), 0.4 * rng.random() * period
    u, v = x * math.cos(angle) + y * math.sin(angle), -x * math.sin(angle) + y * math.cos(angle)
    value = np.sin(2.0 * math.pi * (u + bend * np.sin(2.0 * math.pi * v / (size * (0.3 + rng.random())))) / period)
    if rng.random() < 0.4:
        value *= np.sin(2.0 * math.pi * v / (period * (0.7 + rng.random())))
    sharpness = 0.5 + 4.0 * rng.random() ** 2
    return _between(rng, 0.5 + 0.5 * np.tanh(sharpness * value) / math.tanh(sharpness))


def text(rng: Random, size: int) -> Image:
    """Lines of glyph-like marks: each cell holds two to four random strokes, words are separated by blanks."""
    cell = int(12 + 24 * rng.random())
    ink = np.zeros((size, size), np.float32)
    width = 0.9 + cell * 0.05 * (0.6 + rng.random())
    for top in range(2, size - cell - 2, int(cell * 1.5)):
        for left in range(2, size - cell - 2, int(cell * 0.8)):
            if rng.random() < 0.2:
                continue
            patch = ink[top : top + cell, left : left + cell]
            y, x = np.mgrid[0:cell, 0:cell].astype(np.float64)
            for stroke in rng.random((2 + int(3 * rng.random()), 4)):
                x0, y0, x1, y1 = 0.12 * cell + 0.6 * cell * np.round(stroke * 3.0) / 3.0
                np.maximum(patch, _line(x, y, x0, y0, x1 - x0, y1 - y0, width), out=patch)
    return _between(rng, ink)


def strings(rng: Random, size: int) -> Image:
    """Thin straight lines, as of cables, strings and grids, over coloured noise."""
    y, x = _grid(size)
    image = coloured_noise(rng, size)
    palette = _palette(rng, 4)
    angle = math.pi * rng.random()
    for index, draw in enumerate(rng.random((8 + int(14 * rng.random()), 4))):
        tilt = angle + (0.06 if draw[0] < 0.8 else 1.5) * (draw[1] - 0.5)
        distance = np.abs((x - size * draw[2]) * math.sin(tilt) - (y - size * draw[2]) * math.cos(tilt))
        cover = np.clip(1.2 + 5.0 * draw[3] ** 2 - distance, 0.0, 1.0)[..., None]
        image += cover * (palette[index % 4] - image)
    return image


def blur(image: Image, sigma: float) -> Image:
    """Gaussian blur with periodic borders, sigma in texels."""
    fy, fx = np.fft.fftfreq(image.shape[0])[:, None, None], np.fft.rfftfreq(image.shape[1])[None, :, None]
    transfer = np.exp(-2.0 * (math.pi * sigma) ** 2 * (fx**2 + fy**2))
    spectrum = np.fft.rfft2(image.astype(np.float64), axes=(0, 1)) * transfer
    return np.fft.irfft2(spectrum, s=image.shape[:2], axes=(0, 1)).astype(np.float32)


def _drop_leaf(image: Image, palette: Image, radius: float, draw: NDArray[np.float64]) -> None:
    size = image.shape[0]
    cx, cy, angle = draw[0] * size, draw[1] * size, 2.0 * math.pi * draw[2]
    left, top = max(0, int(cx - radius - 1)), max(0, int(cy - radius - 1))
    patch = image[top : int(cy + radius + 2), left : int(cx + radius + 2)]
    if patch.size == 0:
        return
    y = np.arange(top, top + patch.shape[0])[:, None] - cy
    x = np.arange(left, left + patch.shape[1])[None, :] - cx
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    aspect = 1.0 - 0.75 * draw[4]
    kind = draw[3]
    if kind < 0.25:
        distance = np.hypot(u, v) - radius
    elif kind < 0.5:
        distance = (np.hypot(u, v / aspect) - radius) * aspect
    elif kind < 0.75:
        distance = np.maximum(np.abs(u) - 0.7 * radius, np.abs(v) - 0.7 * radius * aspect)
    else:
        sides = 3 + int(4 * draw[5])
        turns = 2.0 * math.pi * np.arange(sides) / sides
        distance = np.max([u * math.cos(t) + v * math.sin(t) for t in turns], axis=0) - radius * math.cos(
            math.pi / sides
        )
    cover = np.clip(0.5 - distance, 0.0, 1.0)[..., None]
    colour = palette[int(draw[6] * len(palette))]
    shading = 1.0 + (0.5 * (draw[7] - 0.5) / radius) * u
    if draw[8] < 0.3:
        shading = shading + 0.12 * np.sin(v * (2.0 * math.pi / (4.0 + 12.0 * draw[9])))
    patch += cover * (shading[..., None] * colour - patch)


def _line(x: Grid, y: Grid, x0: float, y0: float, dx: float, dy: float, width: float) -> Grid:
    """Coverage of a segment of a given width."""
    along = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy + 1e-6), 0.0, 1.0)
    distance = np.hypot(x - x0 - along * dx, y - y0 - along * dy)
    return np.clip(0.5 + width - distance, 0.0, 1.0)


def _palette(rng: Random, count: int) -> Image:
    """Colours whose channels are correlated, as in photographs: one luminance and a small chroma each."""
    luminance = 0.08 + 0.84 * rng.random((count, 1))
    chroma = (rng.random((count, 3)) - 0.5) * (0.1 + 0.5 * rng.random((count, 1)) ** 2)
    return np.clip(luminance + chroma, 0.0, 1.0).astype(np.float32)


def _between(rng: Random, value: NDArray[np.floating]) -> Image:
    """Blend two colours by a map in [0, 1]."""
    first, second = _palette(rng, 2)
    return (first + value[..., None] * (second - first)).astype(np.float32)


def _shade(rng: Random, image: Image) -> Image:
    """Uneven illumination and, now and then, a fine grain: what a flat drawing lacks against a photograph."""
    y, x = _grid(image.shape[0])
    slope, angle = 0.5 * rng.random() / image.shape[0], 2.0 * math.pi * rng.random()
    light = 1.0 + slope * (x * math.cos(angle) + y * math.sin(angle) - 0.35 * image.shape[0])
    if rng.random() < 0.4:
        light = light + 0.08 * (blur(rng.random((*image.shape[:2], 1)).astype(np.float32), 1.0)[..., 0] - 0.5)
    return (image * light[..., None]).astype(np.float32)


def _grid(size: int) -> tuple[Grid, Grid]:
    axis = np.arange(size, dtype=np.float64)
    return axis[:, None], axis[None, :]
