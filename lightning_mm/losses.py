"""Training losses: reconstruction, the two regularisers of Oh et al. (2018), and the paper's perceptual term."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_mm.errors import InputError, first_line
from lightning_mm.metrics import ssim
from lightning_mm.models import Representation

_VGG16 = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512]
_VGG16_TAPS = (3, 8, 15, 22)  # relu1_2, relu2_2, relu3_3, relu4_3 of torchvision's ``features``
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class LossConfig:
    """Weights of the loss terms; a weight of 0 leaves the term out.

    Args:
        reconstruction: L1 between output and target.
        texture: L1 between the textures of A and C, which show the same colours. 1 in the released code of Oh et al.,
            0.1 in their paper as others quote it.
        shape: L1 between the shapes of B and C, which show the same geometry. As for ``texture``.
        ssim: 1 - SSIM between output and target, with the settings of the metric; not part of the paper's loss.
        perceptual: VGG distance between output and target (the paper, Section 5.4; it gives no weight).
        perceptual_weights: Weights file of the VGG network: torchvision's VGG16, or a VGG19 up to relu3_1 in Gatys'
            normalised form. When left out, torchvision's VGG16 is used, downloaded on first use.
        perceptual_crop: Side in pixels of the random crop that the perceptual term looks at; on whole frames of 384 px
            it would cost four times as much as the network.
    """

    reconstruction: float = 1.0
    texture: float = 1.0
    shape: float = 1.0
    ssim: float = 0.0
    perceptual: float = 0.0
    perceptual_weights: Path | None = None
    perceptual_crop: int = 192

    def __post_init__(self) -> None:
        """Refuse negative weights."""
        for name in ("reconstruction", "texture", "shape", "ssim", "perceptual"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"LossConfig.{name} = {getattr(self, name)!r}: must be a finite number >= 0")
        if self.perceptual_crop < 16:
            raise ValueError(f"LossConfig.perceptual_crop = {self.perceptual_crop}: must be >= 16")


class Terms(NamedTuple):
    """Loss terms before weighting, each a scalar; a term that is left out is zero."""

    reconstruction: Tensor
    texture: Tensor
    shape: Tensor
    ssim: Tensor
    perceptual: Tensor


class MagnificationLoss(nn.Module):
    """Weighted sum of the terms.

    Raises:
        InputError: The perceptual term is asked for and its network cannot be had.
    """

    def __init__(self, config: LossConfig) -> None:
        super().__init__()
        self.config = config
        self.perceptual = PerceptualDistance(config.perceptual_weights) if config.perceptual > 0 else None

    def forward(
        self, output: Tensor, target: Tensor, a: Representation, b: Representation, c: Representation, step: int
    ) -> tuple[Tensor, Terms]:
        """Compute the loss.

        Args:
            output: Magnified frames (B, 3, H, W).
            target: Ground truth, same shape, in [-1, 1].
            a: Representation of frame A.
            b: Representation of frame B (moved, colours perturbed).
            c: Representation of frame C (moved, colours of A).
            step: Training step; with it the position of the perceptual crop is reproducible.

        Returns:
            The weighted sum and the terms.
        """
        config, zero = self.config, output.new_zeros((), dtype=torch.float32)
        output = output.float()
        terms = Terms(
            reconstruction=F.l1_loss(output, target),
            texture=F.l1_loss(a.texture, c.texture) if config.texture > 0 else zero,
            shape=F.l1_loss(b.shape, c.shape) if config.shape > 0 else zero,
            ssim=1.0 - ssim(output, target).mean() if config.ssim > 0 else zero,
            perceptual=self._perceptual(output, target, step) if self.perceptual is not None else zero,
        )
        weights = [getattr(config, name) for name in Terms._fields]
        total = torch.stack([weight * term for weight, term in zip(weights, terms, strict=True)]).sum()
        return total, terms

    def _perceptual(self, output: Tensor, target: Tensor, step: int) -> Tensor:
        assert self.perceptual is not None
        height, width = output.shape[-2:]
        side = min(self.config.perceptual_crop, height, width)
        generator = torch.Generator().manual_seed(step)
        top = int(torch.randint(height - side + 1, (), generator=generator))
        left = int(torch.randint(width - side + 1, (), generator=generator))
        window = (..., slice(top, top + side), slice(left, left + side))
        return self.perceptual(output[window], target[window])


class PerceptualDistance(nn.Module):
    """Mean squared difference of VGG features that are normalised to unit length per position (the form of LPIPS)."""

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path | None) -> None:
        super().__init__()
        self.network, self.taps = _vgg19_normalised(weights) if _is_vgg19(weights) else _vgg16(weights)
        self.requires_grad_(False)
        imagenet = not isinstance(self.network[0], nn.Conv2d) or self.network[0].kernel_size != (1, 1)
        mean, std = (_IMAGENET_MEAN, _IMAGENET_STD) if imagenet else ((0.0,) * 3, (1.0,) * 3)
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Distance between (B, 3, H, W) in [-1, 1] and a target of the same shape, a scalar >= 0."""
        with torch.no_grad():
            wanted = self._features(target)
        pairs = zip(self._features(output), wanted, strict=True)
        return torch.stack([(x - y).square().sum(dim=1).mean() for x, y in pairs]).mean()

    def _features(self, image: Tensor) -> list[Tensor]:
        x = ((image + 1.0) * 0.5 - self.mean) / self.std
        found = []
        for number, layer in enumerate(self.network):
            x = layer(x)
            if number in self.taps:
                found.append(F.normalize(x.float(), dim=1, eps=1e-6))
        return found


def _is_vgg19(weights: Path | None) -> bool:
    return weights is not None and "0.weight" in _read_state(weights)


def _vgg16(weights: Path | None) -> tuple[nn.Sequential, tuple[int, ...]]:
    layers: list[nn.Module] = []
    width = 3
    for item in _VGG16:
        if isinstance(item, int):
            layers += [nn.Conv2d(width, item, 3, padding=1), nn.ReLU()]
            width = item
        else:
            layers.append(nn.MaxPool2d(2))
    network = nn.Sequential(*layers)
    state = {name.removeprefix("features."): value for name, value in _vgg16_state(weights).items()}
    _load(network, {name: value for name, value in state.items() if name in network.state_dict()}, weights)
    return network, _VGG16_TAPS


def _vgg16_state(weights: Path | None) -> dict[str, Tensor]:
    if weights is not None:
        return _read_state(weights)
    advice = "give a file with --model.loss.perceptual_weights, or leave the term out with --model.loss.perceptual 0"
    try:
        from torchvision.models import VGG16_Weights

        return VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
    except Exception as error:  # downloads and unreadable files raise many kinds
        raise InputError(
            f"perceptual loss: torchvision's VGG16 weights cannot be had ({first_line(error)}); {advice}"
        ) from None


def _vgg19_normalised(weights: Path | None) -> tuple[nn.Sequential, tuple[int, ...]]:
    """The first five 3x3 convolutions of VGG19 behind a 1x1 one that turns RGB in [0, 1] into the network's input."""
    assert weights is not None
    pad = nn.ReflectionPad2d(1)
    network = nn.Sequential(
        *(nn.Conv2d(3, 3, 1), pad, nn.Conv2d(3, 64, 3), nn.ReLU(), pad, nn.Conv2d(64, 64, 3), nn.ReLU()),
        *(nn.MaxPool2d(2), pad, nn.Conv2d(64, 128, 3), nn.ReLU(), pad, nn.Conv2d(128, 128, 3), nn.ReLU()),
        *(nn.MaxPool2d(2), pad, nn.Conv2d(128, 256, 3), nn.ReLU()),
    )
    _load(network, _read_state(weights), weights)
    return network, (3, 6, 10, 13, 17)


def _read_state(weights: Path) -> dict[str, Tensor]:
    if not weights.is_file():
        raise InputError(f"{weights}: no such weights file for the perceptual loss")
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for unreadable files
        raise InputError(f"{weights}: not a readable weights file ({first_line(error)[:160]})") from None
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        raise InputError(f"{weights}: not a state dict (holds a {type(state).__name__})")
    return state


def _load(network: nn.Module, state: dict[str, Tensor], weights: Path | None) -> None:
    try:
        network.load_state_dict(state)
    except RuntimeError:
        expected = "torchvision's VGG16, or a normalised VGG19 up to relu3_1"
        raise InputError(f"{weights}: weights of another network; accepted: {expected}") from None
