"""Blocks shared by encoder, manipulator and decoder: reflect-padded convolutions with bias, no normalisation."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_mm.models.block_forms import BlockForm, BlockKind


class ReflectConv2d(nn.Conv2d):
    """``nn.Conv2d`` with reflect padding that pads in the input's own precision.

    Under autocast on a processor, torch casts to float32 in order to pad and back again in order to convolve, which
    took a third of a training step.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        vertical, horizontal = (d * (k // 2) for k, d in zip(self.kernel_size, self.dilation, strict=True))
        with torch.autocast(input.device.type, enabled=False):
            padded = F.pad(input, (horizontal, horizontal, vertical, vertical), mode="reflect")
        return F.conv2d(padded, weight, bias, self.stride, 0, self.dilation, self.groups)


def conv(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """Convolution with bias and reflect padding of k // 2, as in every layer of the baseline (Oh et al., 2018).

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        kernel_size: Odd kernel size in pixels.
        stride: 1 or 2.
        dilation: Distance of the taps in pixels; the padding grows with it.
        groups: Groups of channels that see only each other; ``in_channels`` for a depthwise convolution.

    Returns:
        A module that maps (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride).
    """
    if kernel_size == 1:
        return nn.Conv2d(in_channels, out_channels, 1, stride, groups=groups)
    return ReflectConv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride,
        dilation * (kernel_size // 2),
        dilation,
        groups,
        padding_mode="reflect",
    )


def without_bias(convolution: nn.Conv2d, x: Tensor) -> Tensor:
    """What a convolution makes of (B, in_channels, H, W) without its bias: its linear part."""
    return convolution._conv_forward(x, convolution.weight, None)


class ResidualBlock(nn.Module):
    """x + branch(x), without activation after the sum; the branch is s * conv2(relu(conv1(depthwise(x)))).

    Args:
        channels: Width.
        scale: s, 1 in the paper.
        kind: "conv3" is the paper's, two 3x3 convolutions; "conv5" and "conv7" have larger kernels; "dilated3" has a
            dilation of 2 in the first; "separable7" is a depthwise 7x7 convolution, then 1x1 convolutions to twice the
            width and back. Only the last has a ``depthwise`` that is not the identity.
        relu: Whether there is the ReLU; without it the block is linear.
        skip: Whether there is the skip connection; without it the block is the branch alone.
    """

    def __init__(
        self, channels: int, scale: float = 1.0, kind: BlockKind = "conv3", relu: bool = True, skip: bool = True
    ) -> None:
        super().__init__()
        separable = kind == "separable7"
        kernel, inner = (1, 2 * channels) if separable else (int(kind[-1]), channels)
        self.depthwise = conv(channels, channels, 7, groups=channels) if separable else nn.Identity()
        self.conv1 = conv(channels, inner, kernel, dilation=2 if kind == "dilated3" else 1)
        self.relu = nn.ReLU(inplace=True) if relu else nn.Identity()
        self.conv2 = conv(inner, channels, kernel)
        self.scale, self.skip = scale, skip

    def branch(self, x: Tensor) -> Tensor:
        """What is added to x: (B, channels, H, W) to the same shape."""
        found = self.conv2(self.relu(self.conv1(self.depthwise(x))))
        return found if self.scale == 1.0 else self.scale * found

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        return x + self.branch(x) if self.skip else self.branch(x)


def residual_stack(forms: Sequence[BlockForm], channels: int, scale: float = 1.0) -> nn.Sequential:
    """A residual block of each form in a row; an empty stack is the identity."""
    return nn.Sequential(*(ResidualBlock(channels, scale, *form) for form in forms))


class Upsample(nn.Sequential):
    """Nearest x2, 3x3 convolution, ReLU: (B, in_channels, H, W) to (B, out_channels, 2H, 2W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2, mode="nearest"), conv(in_channels, out_channels, 3), nn.ReLU(inplace=True)
        )


class ShuffleUpsample(nn.Sequential):
    """3x3 convolution, pixel shuffle x2, ReLU: (B, in_channels, H, W) to (B, out_channels, 2H, 2W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(conv(in_channels, 4 * out_channels, 3), nn.PixelShuffle(2), nn.ReLU(inplace=True))
