"""The decoder: texture and magnified shape to a frame, through a spatial bottleneck (Sections 5.2 and 5.3)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from lightning_mm.models.blocks import ShuffleUpsample, Upsample, conv, residual_stack
from lightning_mm.models.config import MagnifierConfig


class Decoder(nn.Module):
    """Concatenate, downsample to the bottleneck, d_D residual blocks of width c_D, upsample to the frame.

    A 1x1 convolution goes in before the body, and one comes out after it, where c_D is not the width beside it (Table
    2); ``config.exit_projection`` can leave out the latter.
    """

    def __init__(self, config: MagnifierConfig) -> None:
        super().__init__()
        c_e, c_d, c_up, c_down = (
            config.encoder_channels,
            config.decoder_channels,
            config.c_upsample,
            config.c_downsample,
        )
        self.texture_up = (
            Upsample(c_e, c_e) if config.has_texture_stride else nn.Sequential(conv(c_e, c_e, 3), nn.ReLU())
        )
        width = 2 * c_e
        down: list[nn.Module] = []
        for _ in range(config.downsamplings):
            down += [conv(width, c_down, 3, stride=2), nn.ReLU(inplace=True)]
            width = c_down
        self.down = nn.Sequential(*down)
        self.project_in = conv(width, c_d, 1) if width != c_d else nn.Identity()
        self.body = residual_stack(config.block_forms("decoder"), c_d, config.residual_scale)
        self.project_out = conv(c_d, c_up, 1) if config.exit_projection and c_d != c_up else nn.Identity()
        widths = [c_up if config.exit_projection else c_d] + [c_up] * (config.downsamplings + 1)
        last = conv(c_up // 2, 3, config.output_kernel)
        if config.upsampling == "pixel_shuffle":
            widths[-1] = c_up // 2
            self.up = nn.Sequential(*(ShuffleUpsample(*pair) for pair in pairwise(widths)))
            self.out = nn.Sequential(last)
        else:
            self.up = nn.Sequential(*(Upsample(*pair) for pair in pairwise(widths)))
            self.out = nn.Sequential(conv(c_up, c_up // 2, 3), nn.ReLU(inplace=True), last)

    def forward(self, texture: Tensor, shape: Tensor) -> Tensor:
        """Decode to frames.

        Args:
            texture: T of the second frame, (B, c_E, H/4, W/4), or H/2 for the single linear branch.
            shape: Magnified shape, (B, c_E, H/2, W/2).

        Returns:
            Frames (B, 3, H, W); about [-1, 1], not clamped.
        """
        x = torch.cat([self.texture_up(texture), shape], dim=1)  # (B, 2 c_E, H/2, W/2)
        x = self.project_in(self.down(x))  # (B, c_D, H/bottleneck, W/bottleneck)
        x = self.project_out(self.body(x))
        return self.out(self.up(x))  # (B, 3, H, W)
