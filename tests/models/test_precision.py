"""Where exactness is promised, neither autocast nor TF32 is in force; afterwards everything is as it was."""

import pytest
import torch

from lightning_mm.metrics import ssim
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.models.precision import exact_float32


@pytest.mark.parametrize("before", [True, False])
def test_tf32_is_off_inside_and_as_before_outside(before):
    kept = torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = before
        benchmark = torch.backends.cudnn.benchmark
        with torch.autocast("cpu", torch.bfloat16), exact_float32("cpu"):
            assert not torch.backends.cudnn.allow_tf32
            assert not torch.is_autocast_enabled("cpu")
            assert torch.backends.cudnn.benchmark == benchmark
        assert torch.backends.cudnn.allow_tf32 == before
    finally:
        torch.backends.cudnn.allow_tf32 = kept


def test_encoder_manipulator_and_ssim_are_exact(monkeypatch):
    seen = []
    original = torch.nn.functional.conv2d

    def conv2d(input, *args, **kwargs):
        seen.append((input.dtype, torch.backends.cudnn.allow_tf32))
        return original(input, *args, **kwargs)

    monkeypatch.setattr(torch.nn.functional, "conv2d", conv2d)
    magnifier, frame = Magnifier(MagnifierConfig(decoder_depth=1)), torch.zeros(1, 3, 16, 16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        encoded = magnifier.encode(frame)
        magnifier.manipulate(encoded.shape, encoded.shape, 3.0)
        ssim(frame, frame)
    assert len(seen) == 3 + 2 + 2
    assert set(seen) == {(torch.float32, False)}
