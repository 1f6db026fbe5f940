import pytest
import torch

from lightning_mm.inference.folding import FoldedUpsample, fold
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.models.blocks import Upsample

NETWORKS = {
    "proposed": MagnifierConfig(decoder_depth=2),
    "baseline": MagnifierConfig(
        encoder="residual", encoder_blocks=(1, 1, 1), manipulator_block=True, decoder_depth=1, bottleneck=2
    ),
    "linear_single": MagnifierConfig(encoder="linear_single", decoder_depth=1, bottleneck=8),
    "pixel_shuffle": MagnifierConfig(
        encoder_channels=4, decoder_depth=1, decoder_channels=4, upsampling="pixel_shuffle"
    ),
    "narrow": MagnifierConfig(encoder_channels=4, decoder_depth=1, decoder_channels=6, upsample_channels=10),
}


def magnifier_of(config, seed=0):
    """All weights random, biases and skipped branches too, so that nothing is hidden by a zero."""
    torch.manual_seed(seed)
    magnifier = Magnifier(config).eval()
    with torch.no_grad():
        for parameter in magnifier.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    return magnifier


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (5, 4), (16, 9)])
def test_folded_upsample_equals_the_original_up_to_the_border(size):
    torch.manual_seed(0)
    upsample = Upsample(3, 5).double()
    torch.nn.init.normal_(upsample[1].bias)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        expected = upsample(x)
        assert expected.std() > 0.1
        torch.testing.assert_close(FoldedUpsample(upsample)(x), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(1, 1), (21, 34)])
def test_folded_magnifier_is_the_same_function(name, size):
    magnifier = magnifier_of(NETWORKS[name]).double()
    magnifier.encode = lambda frame, whole=magnifier: whole.encoder(whole._pad(frame))  # encode() would go to float32
    folded = fold(magnifier)
    a, b = torch.rand(2, 2, 3, *size, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        expected = magnifier(a, b, 20.0)
        torch.testing.assert_close(folded(a, b, 20.0), expected, rtol=1e-10, atol=1e-10)


def test_folding_leaves_the_original_alone_and_replaces_every_upsampling():
    magnifier = magnifier_of(NETWORKS["proposed"])
    before = {name: value.clone() for name, value in magnifier.state_dict().items()}
    folded = fold(magnifier)
    assert sum(isinstance(module, FoldedUpsample) for module in folded.modules()) == 3
    assert not any(isinstance(module, Upsample) for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    after = magnifier.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_fewer_multiplications():
    """4 taps instead of 9 at each of the four phases."""
    upsample = Upsample(3, 5)
    assert FoldedUpsample(upsample).convolution.weight.numel() == 3 * 5 * 16
    assert 4 * upsample[1].weight.numel() == 3 * 5 * 36
