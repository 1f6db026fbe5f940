"""The manipulator: amplifies the difference of two shape representations (Oh et al., 2018)."""

import torch
from torch import Tensor, nn

from lightning_mm.models.blocks import ResidualBlock, conv
from lightning_mm.models.config import MagnifierConfig


class Manipulator(nn.Module):
    """S_b + h(k * relu(conv7(S_b - S_a))) with h = conv3, then an optional residual block.

    k is alpha - 1, or alpha, by ``config.alpha_convention``. The ReLU stays even though the encoder is linear:
    without it strong edges blur (the paper, Section 5.1).
    """

    def __init__(self, config: MagnifierConfig) -> None:
        super().__init__()
        width = config.encoder_channels
        self.offset = 1.0 if config.alpha_convention == "alpha_minus_one" else 0.0
        self.difference = nn.Sequential(conv(width, width, 7), nn.ReLU(inplace=True))
        blocks = [ResidualBlock(width, config.residual_scale, *form) for form in config.block_forms("manipulator")]
        self.transform = nn.Sequential(conv(width, width, 3), *(blocks or [nn.Identity()]))

    def forward(self, shape_a: Tensor, shape_b: Tensor, alpha: Tensor | float) -> Tensor:
        """Magnify the motion from a to b.

        Args:
            shape_a: S_a of the reference frame, (B, c_E, H/2, W/2).
            shape_b: S_b of the current frame, same shape.
            alpha: Total motion factor, a number or (B,); 1 means no change. Not negative: the ReLU in front of
                the factor makes the response to it linear only from ``alpha - 1 >= 0`` upwards, which is where it is
                trained.

        Returns:
            Shape of the magnified frame, (B, c_E, H/2, W/2).
        """
        return self.amplify(shape_b, shape_b - shape_a, alpha)

    def amplify(self, shape: Tensor, change: Tensor, alpha: Tensor | float) -> Tensor:
        """Amplify a given change of shape: ``forward`` is this with S_b and S_b - S_a.

        Args:
            shape: Shape of the current frame, (B, c_E, H/2, W/2).
            change: What to amplify, same shape; temporal modes give what their filter passes.
            alpha: Total motion factor, as of ``forward``.

        Returns:
            Shape of the magnified frame, (B, c_E, H/2, W/2).
        """
        alpha = alpha.to(shape) if isinstance(alpha, Tensor) else shape.new_tensor(alpha)
        factor = alpha.reshape(-1, 1, 1, 1) - self.offset
        return shape + self.transform(self.difference(change) * factor)

    @torch.no_grad()
    def start_linear(self) -> None:
        """Add linear Eulerian magnification of half of the channels to a fifth of the weights.

        With Q an orthonormal half: conv7 gives Q d and -Q d of the difference d, and conv3 puts Q^T (Q d) together
        again from their positive parts.
        """
        first, second = self.difference[0], self.transform[0]
        assert isinstance(first, nn.Conv2d)
        assert isinstance(second, nn.Conv2d)
        width = first.in_channels
        half = nn.init.orthogonal_(torch.empty(width // 2, width))
        for convolution, taps in ((first, torch.cat([half, -half])), (second, torch.cat([half.T, -half.T], dim=1))):
            middle = convolution.kernel_size[0] // 2
            convolution.weight.mul_(0.2)
            convolution.weight[:, :, middle, middle] += taps
