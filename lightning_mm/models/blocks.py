"""Blocks shared by encoder, manipulator and decoder: reflect-padded convolutions with bias, no normalisation."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ReflectConv2d(nn.Conv2d):
    """``nn.Conv2d`` with reflect padding that pads in the input's own precision.

    Under autocast on a processor, torch casts to float32 in order to pad and back again in order to convolve, which
    took a third of a training step.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        vertical, horizontal = (k // 2 for k in self.kernel_size)
        with torch.autocast(input.device.type, enabled=False):
            padded = F.pad(input, (horizontal, horizontal, vertical, vertical), mode="reflect")
        return F.conv2d(padded, weight, bias, self.stride)


def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2d:
    """Convolution with bias and reflect padding of k // 2, as in every layer of the baseline (Oh et al., 2018).

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        kernel_size: Odd kernel size in pixels.
        stride: 1 or 2.

    Returns:
        A module that maps (B, in_channels, H, W) to (B, out_channels, H / stride, W / stride).
    """
    if kernel_size == 1:
        return nn.Conv2d(in_channels, out_channels, 1, stride)
    return ReflectConv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, padding_mode="reflect")


class ResidualBlock(nn.Module):
    """x + s * conv3(relu(conv3(x))), without activation after the sum.

    Args:
        channels: Width.
        scale: s, 1 in the paper.
    """

    def __init__(self, channels: int, scale: float = 1.0) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels, 3)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv(channels, channels, 3)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        branch = self.conv2(self.relu(self.conv1(x)))
        return x + branch if self.scale == 1.0 else torch.add(x, branch, alpha=self.scale)


def residual_stack(depth: int, channels: int, scale: float = 1.0) -> nn.Sequential:
    """``depth`` residual blocks in a row; an empty stack is the identity."""
    return nn.Sequential(*(ResidualBlock(channels, scale) for _ in range(depth)))


class Upsample(nn.Sequential):
    """Nearest x2, 3x3 convolution, ReLU: (B, in_channels, H, W) to (B, out_channels, 2H, 2W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2, mode="nearest"), conv(in_channels, out_channels, 3), nn.ReLU(inplace=True)
        )
