"""A tiny network and what its weights file says, shared by tests of weights."""

from lightning_mm.models import MagnifierConfig
from lightning_mm.weights import WeightsInfo

ARCH = MagnifierConfig(
    encoder_channels=4,
    decoder_depth=1,
    decoder_channels=6,
    bottleneck=2,
    encoder="residual",
    encoder_blocks=(1, 0, 1),
    alpha_convention="alpha",
)
INFO = WeightsInfo(
    description="a network for tests; ½ trained",
    metrics={
        "procedural": {
            "identity": {"pairs": 64, "height": 384, "digest": "abc123"},
            "definitions": {"ssim": "RGB, Gaussian window"},
            "methods": {"this": {"ssim": 0.912345678, "lpips": None}, "frame_b": {"ssim": 0.5}},
        }
    },
    log=[{"date": "2025-01-02", "steps": 100, "started_from": None}, {"steps": 7, "overrides": {"optim.lr": 1e-4}}],
    data="rendered scenes",
    licence="Apache-2.0",
)
