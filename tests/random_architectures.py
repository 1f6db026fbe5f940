"""Small random architectures that cover every field, and networks in which everything matters, shared by tests."""

from typing import get_args

import torch

from lightning_mm.models import BlockKind, Magnifier, MagnifierConfig
from lightning_mm.models.block_forms import PARTS

KINDS = get_args(BlockKind)


def random_architecture(rng):
    """Any architecture: widths from 1 or 2 to 12, up to five blocks in a stack, every kind of everything."""
    encoder = rng.choice(("residual", "linear", "linear_single"))
    blocks, depth = (rng.randrange(4), rng.randrange(3), rng.randrange(3)), rng.randrange(5)
    names = [*PARTS, *(f"encoder.{n}" for n in range(sum(blocks)) if encoder == "residual")]
    names += [f"decoder.{n}" for n in range(depth)]
    return MagnifierConfig(
        encoder=encoder,
        encoder_blocks=blocks,
        encoder_channels=2 * rng.randint(1, 6),
        manipulator_block=rng.random() < 0.5,
        decoder_depth=depth,
        decoder_channels=2 * rng.randint(1, 6),
        upsample_channels=rng.choice((None, 2 * rng.randint(1, 6))),
        downsample_channels=rng.choice((None, rng.randint(1, 12))),
        bottleneck=rng.choice((2, 4, 8)),
        alpha_convention=rng.choice(("alpha", "alpha_minus_one")),
        residual_scale=rng.choice((1.0, rng.uniform(0.01, 1.0))),
        encoder_body=rng.choice((None, tuple(rng.choices(KINDS, k=sum(blocks))))),
        encoder_kernel=rng.choice((None, 2 * rng.randint(1, 15) + 1)),
        stem_channels=rng.choice((None, rng.randint(1, 12))),
        decoder_body=rng.choice((None, tuple(rng.choices(KINDS, k=depth)))),
        exit_projection=rng.random() < 0.5,
        upsampling=rng.choice(("nearest", "pixel_shuffle")),
        output_kernel=rng.choice((1, 3, 5, 7, 9)),
        linear_blocks=tuple(rng.choices(names, k=rng.randrange(3))),
        plain_blocks=tuple(rng.choices(names, k=rng.randrange(3))),
    )


def frames(*shape, seed=1):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def build(config, seed=0):
    """A magnifier in which everything matters, also what starts from zero."""
    torch.manual_seed(seed)
    magnifier = Magnifier(config).eval()
    for parameter in magnifier.parameters():
        if parameter.ndim == 1 or not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return magnifier.requires_grad_(False)
