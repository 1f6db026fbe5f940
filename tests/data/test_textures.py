import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage

from lightning_mm.data import textures
from lightning_mm.data.textures import blur, random_texture

KINDS = {"dead_leaves": 0.5, "coloured_noise": 0.16, "gradient": 0.08, "grating": 0.08, "text": 0.1, "strings": 0.08}


def generator(seed):
    return np.random.Generator(np.random.Philox(key=seed))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [64, 97])
def test_a_texture_is_a_function_of_the_generator_alone(kind, size):
    draw = getattr(textures, kind)
    first, again, other = draw(generator(1), size), draw(generator(1), size), draw(generator(2), size)
    assert first.shape == (size, size, 3)
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    for image in (first, other):
        assert np.isfinite(image).all()
        assert image.std(axis=(0, 1)).max() > 0.01, "blank"


def test_random_textures_stay_in_range():
    for seed in range(40):
        texture = random_texture(generator(seed), 64)
        assert texture.shape == (64, 64, 3)
        assert texture.dtype == np.float32
        assert texture.min() >= 0.0
        assert texture.max() <= 1.0
        assert texture.std() > 0.005


def test_kinds_come_in_their_shares(monkeypatch):
    drawn = []
    for kind in KINDS:

        def stub(rng, size, kind=kind):
            drawn.append(kind)
            return np.zeros((size, size, 3), np.float32)

        monkeypatch.setattr(textures, kind, stub)
    rng = generator(0)
    for _ in range(3000):
        random_texture(rng, 2)
    assert len(drawn) == 3000
    for kind, share in KINDS.items():
        assert abs(drawn.count(kind) / 3000 - share) < 5 * (share * (1 - share) / 3000) ** 0.5, kind


def test_dead_leaves_cover_most_of_the_noise_below(monkeypatch):
    """What is left of the noise, painted far out of range here, is the lesser part."""
    monkeypatch.setattr(textures, "coloured_noise", lambda rng, size: np.full((size, size, 3), 50.0, np.float32))
    holes = np.mean([(textures.dead_leaves(generator(seed), 256) > 2.0).mean() for seed in range(3)])
    assert 0.05 < holes < 0.35


def test_coloured_noise_has_a_falling_spectrum():
    """Power in the octave above a quarter of the sampling rate is far below that of the lowest octaves."""
    frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None, :])
    for seed in range(5):
        luminance = textures.coloured_noise(generator(seed), 128).mean(axis=2)
        power = np.abs(np.fft.fft2(luminance)) ** 2
        low = power[(frequency > 0.02) & (frequency < 0.06)].mean()
        high = power[(frequency > 0.25) & (frequency < 0.5)].mean()
        assert high < 0.5 * low


@pytest.mark.parametrize("sigma", [1.5, 4.0, 12.0])
@pytest.mark.parametrize("shape", [(64, 64, 3), (61, 90, 3), (50, 33, 1)])
def test_blur_is_gaussian_and_periodic(sigma, shape):
    image = generator(3).random(shape).astype(np.float32)
    expected = ndimage.gaussian_filter(image.astype(np.float64), (sigma, sigma, 0), mode="wrap", truncate=8.0)
    blurred = blur(image, sigma)
    assert blurred.dtype == np.float32
    # At 1.5 texels a sampled Gaussian is not quite the continuous one.
    np.testing.assert_allclose(blurred, expected, rtol=0, atol=1e-5 if sigma < 2.0 else 1e-6)


# Runs the module by its path, without the package and so without PyTorch.
DIGESTS = """
import hashlib, importlib.util, sys
import numpy as np
spec = importlib.util.spec_from_file_location("textures", sys.argv[1])
textures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(textures)
for kind in ("dead_leaves", "coloured_noise", "gradient", "grating", "text", "strings"):
    texels = hashlib.sha256()
    for seed in range(6 if kind == "grating" else 1):
        rng = np.random.Generator(np.random.Philox(key=seed))
        image = textures._shade(rng, getattr(textures, kind)(rng, 512 if kind == "grating" else 256))
        texels.update(np.clip(np.rint(image * 255.0), 0, 255).astype(np.uint8).tobytes())
    print(kind, texels.hexdigest())
"""


def test_bytes_do_not_depend_on_the_processor():
    """NumPy's sines differ in the last bit between vector instructions; the digest of a bank must not."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    present = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    if not present:
        pytest.skip("NumPy uses no optional vector instructions on this processor")
    source = importlib.util.find_spec("lightning_mm.data.textures").origin
    outputs = []
    for disabled in ("", " ".join(present)):
        environment = {"NPY_DISABLE_CPU_FEATURES": disabled, "OMP_NUM_THREADS": "1"} if disabled else {}
        command = [sys.executable, "-c", DIGESTS, source]
        result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert result.returncode == 0, result.stderr
        outputs.append(result.stdout)
    assert outputs[0].count("\n") == len(KINDS)
    assert outputs[0] == outputs[1]
