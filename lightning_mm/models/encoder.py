"""Encoders: frame to texture and shape (Oh et al., 2018; the paper's Sections 3.2, 5.1 and 5.4)."""

from typing import NamedTuple

from torch import Tensor, nn

from lightning_mm.models.blocks import conv, residual_stack, without_bias
from lightning_mm.models.config import MagnifierConfig


class Representation(NamedTuple):
    """What a frame is encoded to.

    Attributes:
        texture: T, (B, c_E, H/4, W/4); (B, c_E, H/2, W/2) for the single linear branch.
        shape: S, (B, c_E, H/2, W/2).
    """

    texture: Tensor
    shape: Tensor


class ResidualEncoder(nn.Module):
    """The baseline's encoder: stem, common blocks, a texture and a shape branch, ReLU after each convolution."""

    def __init__(self, config: MagnifierConfig) -> None:
        super().__init__()
        width = config.encoder_channels
        common, texture, shape = config.encoder_forms
        scale = config.residual_scale
        self.common = nn.Sequential(
            conv(3, config.c_stem, config.k_encoder),
            nn.ReLU(inplace=True),
            conv(config.c_stem, width, 3, stride=2),
            nn.ReLU(inplace=True),
            residual_stack(common, width, scale),
        )
        self.texture = nn.Sequential(
            conv(width, width, 3, stride=2), nn.ReLU(inplace=True), residual_stack(texture, width, scale)
        )
        self.shape = nn.Sequential(conv(width, width, 3), nn.ReLU(inplace=True), residual_stack(shape, width, scale))

    def forward(self, frame: Tensor) -> Representation:
        """Encode frames (B, 3, H, W) in [-1, 1]."""
        features = self.common(frame)
        return Representation(self.texture(features), self.shape(features))


class LinearEncoder(nn.Module):
    """The paper's encoder: no activation; 7x7 and 3x3 stride 2 have collapsed into one stride-2 convolution, 9x9."""

    def __init__(self, config: MagnifierConfig) -> None:
        super().__init__()
        width = config.encoder_channels
        self.common = conv(3, width, config.k_encoder, stride=2)
        self.texture = conv(width, width, 3, stride=2)
        self.shape = conv(width, width, 3)

    def forward(self, frame: Tensor) -> Representation:
        """Encode frames (B, 3, H, W) in [-1, 1]."""
        features = self.common(frame)
        return Representation(self.texture(features), self.shape(features))

    def shape_change(self, change: Tensor) -> Tensor:
        """What a change of the frame, (B, 3, H, W), adds to the shape: everything but the biases."""
        return without_bias(self.shape, without_bias(self.common, change))


class SingleLinearEncoder(nn.Module):
    """One stride-2 convolution, 13x13 (7x7, 3x3 stride 2, 3x3 collapsed), that gives texture and shape at once."""

    def __init__(self, config: MagnifierConfig) -> None:
        super().__init__()
        self.common = conv(3, config.encoder_channels, config.k_encoder, stride=2)

    def forward(self, frame: Tensor) -> Representation:
        """Encode frames (B, 3, H, W) in [-1, 1]."""
        features = self.common(frame)
        return Representation(features, features)

    def shape_change(self, change: Tensor) -> Tensor:
        """What a change of the frame, (B, 3, H, W), adds to the shape: everything but the bias."""
        return without_bias(self.common, change)


def build_encoder(config: MagnifierConfig) -> nn.Module:
    """The encoder that ``config.encoder`` names."""
    kinds = {"residual": ResidualEncoder, "linear": LinearEncoder, "linear_single": SingleLinearEncoder}
    return kinds[config.encoder](config)
