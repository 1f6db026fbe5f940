import numpy as np
import pytest
from PIL import Image


def texture(height, width, seed=0, smooth=1.0):
    """A periodic random picture (H, W) of mean 128; ``smooth`` is the exponent of its 1/f spectrum."""
    rng = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    radius = np.hypot(fy, fx)
    radius[0, 0] = np.inf
    # Nothing at half the sampling rate, where a shift of a fraction of a pixel is not defined.
    low = (np.abs(fy) < 0.45) & (np.abs(fx) < 0.45)
    picture = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(height, width))) / radius**smooth * low, s=(height, width))
    return 128.0 + 100.0 * picture / np.abs(picture).max()


def shift(picture, x, y):
    """A periodic picture (H, W) moved by any (x, y) px: exact, by the phases of its Fourier transform."""
    height, width = picture.shape
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    return np.fft.irfft2(np.fft.rfft2(picture) * np.exp(-2j * np.pi * (fx * x + fy * y)), s=picture.shape)


def rgb(picture, depth=8):
    """Frames of levels 0 to 255 in 8 or 16 bits."""
    kind, factor = {8: (np.uint8, 1.0), 16: (np.uint16, 257.0)}[depth]
    levels = np.clip(np.rint(picture * factor), 0, np.iinfo(kind).max).astype(kind)
    return np.repeat(levels[..., None], 3, axis=2)


def folder(path, frames):
    path.mkdir(parents=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"{number:04d}.png", compress_level=1)
    return path


@pytest.fixture(scope="session")
def pictures():
    """The functions of this file, for tests."""

    class Pictures:
        texture = staticmethod(texture)
        shift = staticmethod(shift)
        rgb = staticmethod(rgb)
        folder = staticmethod(folder)

        @staticmethod
        def clip(motion, height=96, width=128, seed=0, depth=8, smooth=1.0):
            still = texture(height, width, seed, smooth)
            return [rgb(shift(still, x, y), depth) for x, y in motion]

    return Pictures
