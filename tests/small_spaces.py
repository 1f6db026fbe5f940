"""Small search spaces, supernets in which everything matters, and networks written out by hand, shared by tests."""

import math
from unittest.mock import patch

import numpy as np
import torch

from lightning_mm.models import Magnifier
from lightning_mm.models.supernet import SuperNet
from lightning_mm.spaces import ChoiceSpace, ElasticSpace, Genotype

CHOICE = ChoiceSpace(encoder_blocks=(1, 1, 1), decoder_blocks=3, decoder_channels=8, stem_channels=3, tail_channels=6)
ELASTIC = ElasticSpace(
    decoder_depth=(1, 3, 5),
    decoder_channels=(4, 6, 8),
    encoder_channels=(2, 4),
    bottleneck=(2, 4, 8),
    encoder=("linear_single_13", "linear_single_5", "linear_7", "linear_9", "residual_1", "residual_212"),
    upsample_channels=(2, 4),
)


def genotypes(space, count, seed=0, **options):
    rng = np.random.default_rng(seed)
    return [space.sample(rng, **options) for _ in range(count)]


def changed(space, genotype, **genes):
    """A genotype with other genes, by name."""
    return Genotype(tuple({**space.named(genotype), **genes}.values()))


def build(space, seed=0, residual_scale=1.0):
    """A supernet in which everything matters, also what starts from zero, with outputs of the order of one."""
    torch.manual_seed(seed)
    supernet = SuperNet(space, residual_scale=residual_scale)
    for name, parameter in supernet.store.items():
        if name.endswith("/scale"):
            torch.nn.init.uniform_(parameter, 0.2, 1.5)
        elif parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.1)
        else:
            torch.nn.init.normal_(parameter, std=math.sqrt(1.0 / parameter[0].numel()))
    return supernet


def indices(have, want, groups=1):
    """Which channels a smaller network has."""
    return [n + group * (have // groups) for group in range(groups) for n in range(want // groups)]


def by_hand(supernet, path, name, shape, concatenated):
    """Where the weights of a network lie in the store: the name, and for each side the indices."""
    stored = supernet.store[supernet.space.address(path, name).replace(".", "/")]
    if len(shape) == 1:
        return stored, (indices(stored.shape[0], shape[0]),)
    middle = [(side - 1) // 2 for side in stored.shape[2:]]
    taps = [[m + d for d in range(-(side // 2), side // 2 + 1)] for m, side in zip(middle, shape[2:], strict=True)]
    channels = indices(stored.shape[0], shape[0]), indices(stored.shape[1], shape[1], 2 if concatenated else 1)
    return stored, (*channels, *taps)


def unfolded(supernet, path):
    """A network with the stored weights as they are, and the factor as one of the sum in each residual block."""
    config = supernet.space.config(path)
    magnifier = Magnifier(config)
    concatenated = f"decoder.{'down.0' if config.downsamplings else 'project_in'}.weight"
    with torch.no_grad():
        for name, parameter in magnifier.named_parameters():
            stored, sides = by_hand(supernet, path, name, parameter.shape, name == concatenated)
            parameter.copy_(stored[np.ix_(*sides)])
    for name, module in magnifier.named_modules():
        if hasattr(module, "scale") and hasattr(module, "conv2"):
            key = supernet.space.address(path, f"{name}.conv2.weight").replace(".", "/")
            learned = supernet.residual_scale == "learnable"
            scale = supernet.store[key.replace("/conv2/weight", "/scale")] if learned else supernet.residual_scale
            module.scale = scale.item() if learned else scale
    return magnifier


def shapes_of(config):
    """Shapes of a network's weights by name, in the order of its state dict."""
    nothing = {"reset_parameters": lambda self: None}
    with torch.device("meta"), patch.multiple(torch.nn.Conv2d, **nothing), patch.object(Magnifier, "_initialise"):
        magnifier = Magnifier(config)
    return {name: tuple(parameter.shape) for name, parameter in magnifier.named_parameters()}
