import pytest
import torch

from lightning_mm.errors import InputError
from lightning_mm.inference import tiling
from lightning_mm.inference.folding import fold
from lightning_mm.inference.tiling import reach, render_tiled, spans
from lightning_mm.models import Magnifier, MagnifierConfig, Representation

NETWORKS = {
    "linear": MagnifierConfig(encoder_channels=4, decoder_depth=3, decoder_channels=4),
    "residual": MagnifierConfig("residual", (1, 1, 1), 4, True, decoder_depth=2, decoder_channels=4, bottleneck=2),
    "single": MagnifierConfig("linear_single", encoder_channels=4, decoder_depth=1, decoder_channels=4, bottleneck=8),
    "kinds": MagnifierConfig(
        encoder_channels=4, decoder_depth=3, decoder_channels=4, decoder_body=("dilated3", "separable7", "conv5"),
        upsampling="pixel_shuffle", output_kernel=3,
    ),
}  # fmt: skip


def drawn(name, size, tile, dtype=torch.float64):
    torch.manual_seed(1)
    config = NETWORKS[name]
    magnifier = Magnifier(config).eval()
    with torch.no_grad():
        for parameter in magnifier.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        magnifier = fold(magnifier).to(dtype)
        padded = [-(-side // config.stride) * config.stride for side in size]
        shape, change = torch.randn(2, 1, 4, padded[0] // 2, padded[1] // 2, dtype=dtype)
        ratio = 4 if config.has_texture_stride else 2
        texture = torch.randn(1, 4, padded[0] // ratio, padded[1] // ratio, dtype=dtype)
        whole = magnifier.decode(texture, magnifier.amplify(shape, change, 9.0), size)
        code = Representation(texture, shape)
        return whole, render_tiled(magnifier, code, change, 9.0, size, tile)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("size", "tile"), [((141, 203), 64), ((70, 300), 100), ((65, 65), 64)])
def test_tiles_equal_the_whole(name, size, tile):
    whole, tiled = drawn(name, size, tile)
    assert tiled.shape == whole.shape == (1, 3, *size)
    scale = float(whole.abs().max())
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-10 * scale)


@pytest.mark.parametrize("name", NETWORKS)
def test_half_of_the_reach_would_not_do(name, monkeypatch):
    """So that the test above cannot pass by chance, with tiles that need no neighbours."""
    monkeypatch.setattr(tiling, "reach", lambda config: reach(config) // 2 // config.stride * config.stride)
    whole, tiled = drawn(name, (141, 203), 64)
    assert (tiled - whole).abs().max() > 1e-6 * whole.abs().max()


def test_reach_of_the_proposed_model():
    """72 blocks' convolutions see 1 value each at a quarter: 288 px, the rest of the network about 50."""
    assert 288 < reach(MagnifierConfig.proposed()) < 360


@pytest.mark.parametrize(("size", "tile"), [(8, 64), (64, 64), (65, 64), (300, 64)])
def test_spans_cover_the_axis_once(size, tile):
    found = list(spans(size, tile, 16))
    assert [span.start for span in found] == list(range(0, size, tile))
    assert [span.stop for span in found] == [*[span.start for span in found[1:]], size]
    for span in found:
        assert 0 <= span.first <= max(0, span.start - 16)
        assert min(size, span.stop + 16) <= span.last <= size
        assert span.last - span.first == min(size, 64 + 32)  # the same for all: one size to compile for


def test_tiny_tiles_are_refused():
    magnifier = Magnifier(NETWORKS["linear"])
    code = magnifier.encode(torch.zeros(1, 3, 80, 80))
    with pytest.raises(InputError, match="tile = 63: must be at least 64"):
        render_tiled(magnifier, code, code.shape, 2.0, (80, 80), 63)
