"""Textures that move by exact amounts, and how far an image of them has moved."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from lightning_mm.classical.shared import magnify_pair

BORDER = 20


class Texture:
    """Periodic grey noise, of amplitudes 1 / frequency as photos have, moved in the Fourier domain in float64."""

    def __init__(self, seed, size=96, angle=0.0, highest=0.8):
        rng = np.random.default_rng(seed)
        self.frequency = np.fft.fftfreq(size)
        radius = 2.0 * np.hypot(self.frequency[:, None], self.frequency)
        falling = np.divide(1.0, radius, out=np.zeros_like(radius), where=(radius > 0.0) & (radius < highest))
        spectrum = np.fft.fft2(rng.normal(size=(size, size))) * falling
        self.spectrum = spectrum * 0.25 / np.fft.ifft2(spectrum).real.std()
        self.direction = (math.sin(angle), math.cos(angle))

    def pixels(self, shift):
        """(size, size) float64."""
        y, x = (shift * part for part in self.direction)
        turned = np.exp(-2j * math.pi * (self.frequency[:, None] * y + self.frequency * x))
        return np.fft.ifft2(self.spectrum * turned).real

    def frame(self, shift):
        """(1, 3, size, size)."""
        return grey(self.pixels(shift))

    def moved(self, image, about):
        """How far in px the texture shows moved in the middle of an image: the shift that explains it best."""
        shown = image[0].double().mean(dim=0).numpy()
        middle = slice(BORDER, -BORDER)

        def error(shift):
            return np.square((shown - self.pixels(shift))[middle, middle]).sum()

        tried = np.linspace(-1.5 * abs(about) - 1.0, 4.0 * abs(about) + 1.0, 120)  # three times too far would be seen
        step = tried[1] - tried[0]
        best = tried[np.argmin([error(shift) for shift in tried])]
        return minimize_scalar(error, bounds=(best - step, best + step), method="bounded").x


def grey(pixels):
    """(1, 3, H, W) float32 of a float64 array."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).float().expand(1, 3, *pixels.shape).contiguous()


@pytest.fixture(scope="session")
def texture():
    """Makes textures."""
    return Texture


@pytest.fixture(scope="session")
def gain():
    """Output motion over alpha times the input's."""

    def measure(method, texture, motion, alpha):
        output = magnify_pair(method, texture.frame(0.0), texture.frame(motion), alpha)
        return texture.moved(output, alpha * motion) / (alpha * motion)

    return measure


@pytest.fixture(scope="session")
def gathered():
    """Sums of the differences of neighbouring frames, as temporal modes take them where phases wrap."""

    def add_up(method, encoded):
        changes = [method.difference(a.signal, b.signal) for a, b in itertools.pairwise(encoded)]
        return tuple(torch.stack(parts).sum(dim=0) for parts in zip(*changes, strict=True))

    return add_up


@pytest.fixture(scope="session")
def grating():
    """Makes frames (1, 3, H, W) of a sinusoid of so many px, moved along its normal, and tells their phase in rad."""

    def make(shift, wavelength, angle=0.0, size=(64, 64), amplitude=0.5):
        y, x = np.mgrid[: size[0], : size[1]]
        along = x * math.cos(angle) + y * math.sin(angle)
        return grey(amplitude * np.cos(2.0 * math.pi * (along - shift) / wavelength))

    return make


@pytest.fixture(scope="session")
def grating_shift():
    """How far in px a grating has moved, within half a wavelength, from its phase in the middle of an image."""

    def measure(image, wavelength, angle=0.0):
        shown = image[0, 0].double().numpy()
        y, x = np.mgrid[: shown.shape[0], : shown.shape[1]]
        window = np.outer(*(np.hanning(side) ** 2 for side in shown.shape))
        along = x * math.cos(angle) + y * math.sin(angle)
        turned = np.sum(window * shown * np.exp(-2j * math.pi * along / wavelength))
        return -np.angle(turned) / (2.0 * math.pi) * wavelength

    return measure


@pytest.fixture(scope="session")
def noise_frames():
    """Makes frames of noise (B, 3, H, W) in [-1, 1]."""

    def make(seed, *shape):
        return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2.0 - 1.0

    return make
