"""Exact algebra at load time: an upsampling and the convolution behind it as one transposed convolution.

A linear encoder has nothing left to fold: its 7x7 and 3x3 convolutions are one 9x9 convolution by definition (see
``LinearEncoder``), with one padding for all of it, and folding its last convolutions in as well would cost more than it
saves (13x13 on the frame against 9x9 there and 3x3 behind it).
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_mm.models import Magnifier
from lightning_mm.models.blocks import Upsample

# Rows i - 1 and i, or i and i + 1, of what is enlarged are all that a 3-tap kernel meets at rows 2i and 2i + 1.
_PHASES = (torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]), torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))


class FoldedUpsample(nn.Module):
    """Nearest x2, 3x3 convolution and ReLU with 4 instead of 9 multiplications per value.

    Each of the four phases of the output sees 2x2 pixels of the input, so that together they are a 4x4 transposed
    convolution of stride 2. The reflect padding by one pixel behind the enlargement repeats the border's pixel, which
    is a replicate padding in front of it: the result is the same up to the border, but for rounding.

    Args:
        upsample: What to replace.
    """

    def __init__(self, upsample: Upsample) -> None:
        super().__init__()
        convolution = upsample[1]
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.bias is not None
        channels = (convolution.in_channels, convolution.out_channels)
        self.convolution = nn.ConvTranspose2d(*channels, kernel_size=4, stride=2, padding=3)
        weight = convolution.weight.detach()
        kernel = weight.new_zeros(*channels, 4, 4)
        for a, rows in enumerate(_PHASES):
            for b, columns in enumerate(_PHASES):
                phase = torch.einsum(
                    "pr,qs,oirs->iopq", rows.to(kernel), columns.to(kernel), convolution.weight.detach()
                )
                # Tap t of phase a meets output row 2i + a at row 3 - a - 2t of the kernel.
                for p in (0, 1):
                    for q in (0, 1):
                        kernel[..., 3 - a - 2 * p, 3 - b - 2 * q] = phase[..., p, q]
        self.convolution.weight = nn.Parameter(kernel, requires_grad=False)
        self.convolution.bias = nn.Parameter(convolution.bias.detach().clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, out_channels, 2H, 2W)."""
        return F.relu_(self.convolution(F.pad(x, (1, 1, 1, 1), mode="replicate")))


def fold(magnifier: Magnifier) -> Magnifier:
    """A copy of a magnifier that computes the same in fewer multiplications, for inference only.

    Args:
        magnifier: The network; it stays as it is.

    Returns:
        A copy whose outputs differ by rounding alone (1e-5 in float32).
    """
    folded = copy.deepcopy(magnifier).eval().requires_grad_(False)
    for parent in list(folded.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Upsample):
                setattr(parent, name, FoldedUpsample(child))
    return folded
