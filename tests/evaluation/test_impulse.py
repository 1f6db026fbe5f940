"""Impulse responses: encoders whose kernels are planted, and kernels of filters written out here."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, gaussian_laplace

from lightning_mm.evaluation import impulse
from lightning_mm.evaluation.filters import BLUR, CORNER, EDGE, GABOR, LAPLACIAN, RIDGE, filter_bank, nearest
from lightning_mm.evaluation.impulse import NOTHING, WINDOW, grey_part, is_linear, kernel_grid, shape_kernels
from lightning_mm.evaluation.methods import FRAME_B, MagnifierMethod
from lightning_mm.models import Magnifier, MagnifierConfig

HALF = WINDOW // 2


@pytest.fixture(scope="module")
def bank():
    return filter_bank(WINDOW)


def delta():
    kernel = np.zeros((WINDOW, WINDOW))
    kernel[HALF, HALF] = 1.0
    return kernel


# By SciPy's own derivatives of Gaussians, which are sampled and cut off otherwise than the bank's.
REFERENCES = {
    BLUR: gaussian_filter(delta(), 1.4),
    LAPLACIAN: gaussian_laplace(delta(), 1.4),
    EDGE: gaussian_filter(delta(), 1.4, order=(0, 1)),
    RIDGE: gaussian_filter(delta(), 1.4, order=(0, 2)),
    CORNER: gaussian_filter(delta(), 1.4, order=(1, 1)),
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("sign", [1.0, -3.0])
def test_classical_filters_are_named(name, sign, bank):
    match = nearest(sign * REFERENCES[name], bank)
    assert match.filter.name == name
    assert match.filter.sigma == 1.4
    assert match.correlation > 0.995
    assert match.offset == (0, 0)


def test_scale_angle_and_place_are_found(bank):
    y, x = np.mgrid[-HALF : HALF + 1, -HALF : HALF + 1].astype(float)
    angle = math.radians(60.0)
    x, y = x - 2.0, y + 1.0
    along = x * math.cos(angle) + y * math.sin(angle)
    match = nearest(along * np.exp(-0.5 * (x**2 + y**2) / 4.0), bank)
    assert (match.filter.name, match.filter.sigma, match.filter.angle) == (EDGE, 2.0, 60.0)
    assert match.offset == (2, -1)
    wave = np.exp(-0.5 * (x**2 + y**2) / 4.0) * np.cos(2.0 * math.pi * along / 4.0)
    assert nearest(wave, bank).filter.name == GABOR


def test_noise_resembles_nothing_much_and_zeros_nothing(bank):
    assert nearest(np.random.default_rng(0).normal(size=(WINDOW, WINDOW)), bank).correlation < 0.5
    assert nearest(np.zeros((WINDOW, WINDOW)), bank).filter is None


def test_all_filters_have_norm_one(bank):
    assert [np.linalg.norm(one.kernel) for one in bank] == pytest.approx([1.0] * len(bank))


def planted():
    """A linear encoder whose four shape channels are a Laplacian, an edge detector of red light, and twice nothing."""
    magnifier = Magnifier(MagnifierConfig(encoder_channels=4, decoder_depth=1, decoder_channels=4))
    common, shape = magnifier.encoder.common, magnifier.encoder.shape
    size = common.kernel_size[0]
    inner = slice(HALF - size // 2, HALF + size // 2 + 1)
    with torch.no_grad():
        for parameter in (*common.parameters(), *shape.parameters()):
            parameter.zero_()
        common.weight[0] = torch.from_numpy(REFERENCES[LAPLACIAN][inner, inner]).float()
        common.weight[1, 0] = torch.from_numpy(REFERENCES[EDGE][inner, inner]).float()
        for channel in (0, 1):
            shape.weight[channel, channel, 1, 1] = 1.0
    return MagnifierMethod(magnifier)


def test_planted_kernels_come_out_exactly_and_are_named(bench):
    method = planted()
    kernels = shape_kernels(method.magnifier)
    assert kernels.shape[1] == 3
    reach = kernels.shape[-1] // 2 - 4
    window = kernels[1, 0, reach:-reach, reach:-reach]
    np.testing.assert_allclose(window, REFERENCES[EDGE][HALF - 4 : HALF + 5, HALF - 4 : HALF + 5], rtol=0, atol=1e-6)
    assert not kernels[1, 1:].any()
    record = impulse.run(bench({"planted": method}))
    rows = record.tables["impulse"]
    assert [row["filter"] for row in rows] == [LAPLACIAN, EDGE, NOTHING, NOTHING]
    assert [row["channel"] for row in rows] == [0, 1, 2, 3]
    assert rows[0]["correlation"] > 0.97  # cut off to 9 x 9
    assert [rows[1][c] for c in ("red", "green", "blue")] == pytest.approx([1.0, 0.0, 0.0])
    assert rows[0]["colour_share"] == pytest.approx(1.0)
    assert record.settings["exact"] == {"planted": True}
    assert record.left_out == {FRAME_B: "has no encoder"}
    assert record.summary["planted"]["channels"] == 4
    assert 0.2 < record.summary["planted"]["noise_correlation"] < 0.6
    assert record.pictures.keys() == {"impulse_1"}


def test_the_kernel_is_the_response_to_an_impulse(tiny_magnifier):
    """The same kernel from finite impulses: the response at one place to one at every offset."""
    magnifier = tiny_magnifier.magnifier
    kernels = shape_kernels(magnifier)
    middle = kernels.shape[-1] // 2
    with torch.no_grad():
        grey = magnifier.encode(torch.zeros(1, 3, 128, 128)).shape
        for dy, dx, colour in ((0, 0, 0), (2, -3, 1), (-4, 1, 2)):
            frame = torch.zeros(1, 3, 128, 128)
            frame[0, colour, 64 + dy, 64 + dx] = 0.5
            response = (magnifier.encode(frame).shape - grey)[0, :, 32, 32] / 0.5
            np.testing.assert_allclose(response, kernels[:, colour, middle + dy, middle + dx], rtol=0, atol=1e-5)


def test_an_encoder_with_relus_is_said_to_be_local(bench):
    torch.manual_seed(0)
    arch = MagnifierConfig(
        encoder="residual", encoder_blocks=(1, 0, 1), encoder_channels=4, decoder_depth=1, decoder_channels=4
    )
    method = MagnifierMethod(Magnifier(arch))
    assert not is_linear(method.magnifier)
    record = impulse.run(bench({"nonlinear": method}))
    assert record.settings["exact"] == {"nonlinear": False}
    assert "around grey" in record.shown[0].rows[0]


def test_colour_and_space_are_told_apart():
    colour, spatial = np.array([0.0, 0.6, 0.8]), REFERENCES[CORNER]
    found, weights, share = grey_part(colour[:, None, None] * spatial)
    np.testing.assert_allclose(weights, colour, atol=1e-12)
    np.testing.assert_allclose(found, spatial, atol=1e-12)
    assert share == pytest.approx(1.0)


def test_the_grid_shows_every_kernel(bank):
    kernels = np.stack([np.stack([REFERENCES[name]] * 3) for name in (EDGE, BLUR)])
    grid = kernel_grid(kernels, [nearest(kernel[0], bank) for kernel in kernels])
    assert grid.dtype == np.uint8
    assert grid.min() == 0
    assert (grid[5, 5] == 128).all(), "grey where a kernel is zero"
