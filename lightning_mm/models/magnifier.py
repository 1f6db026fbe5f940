"""The magnifier: encoder, manipulator and decoder behind the three methods that training and video both walk."""

import math
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_mm.models.blocks import ResidualBlock
from lightning_mm.models.config import MagnifierConfig
from lightning_mm.models.decoder import Decoder
from lightning_mm.models.encoder import Representation, build_encoder
from lightning_mm.models.manipulator import Manipulator
from lightning_mm.models.precision import exact_float32


class Magnifier(nn.Module):
    """One configurable motion magnifier (the paper's Fig. 2 and Fig. 6).

    Works at any size from 1 x 1: frames are padded at the right and the bottom to a multiple of ``config.stride`` and
    the output is cropped back. The encoder and the manipulator always compute in float32, also under autocast: at
    0.01 px of motion the difference of two shape representations lies below the resolution of half precision.

    Weights start from He et al. (2015): normal with variance 2 / fan_in before a ReLU and 1 / fan_in elsewhere, biases
    at zero, with three exceptions. The second convolution of each residual block that has its skip connection is zero,
    so that a body of any depth starts as the identity. The manipulator starts as linear Eulerian magnification (Wu et
    al., 2012): it hands on half of the channels, each as a positive and a negative part past the ReLU, and a fifth of
    the random weights; from random weights alone decoders learn to ignore what is amplified, and unlearn that slowly.
    The decoder's last convolution is divided by 10, and the biases in front of its ReLUs are 1/2: frames start near
    grey and units start alive, where in a narrow network the first steps would else push channels below zero for ever.

    Args:
        config: The architecture; the paper's proposed model when left out.
        initialise: Whether to draw the weights so. ``False`` leaves torch's own, where others take their place anyway.

    Example:
        >>> magnifier = Magnifier(MagnifierConfig(decoder_depth=2))
        >>> magnifier(torch.zeros(1, 3, 30, 50), torch.zeros(1, 3, 30, 50), alpha=10.0).shape
        torch.Size([1, 3, 30, 50])
    """

    def __init__(self, config: MagnifierConfig | None = None, initialise: bool = True) -> None:
        super().__init__()
        self.config = config or MagnifierConfig()
        self.encoder = build_encoder(self.config)
        self.manipulator = Manipulator(self.config)
        self.decoder = Decoder(self.config)
        if initialise:
            self._initialise()

    def encode(self, frame: Tensor) -> Representation:
        """Encode frames once each.

        Args:
            frame: (B, 3, H, W) in [-1, 1], any H and W >= 1.

        Returns:
            Texture and shape at the padded size: H and W below stand for the next multiple of ``config.stride``.
        """
        with exact_float32(frame.device.type):
            return self.encoder(self._pad(frame.float()))

    def manipulate(self, shape_a: Tensor, shape_b: Tensor, alpha: Tensor | float) -> Tensor:
        """Magnify the motion between two shape representations.

        Args:
            shape_a: Shape of the reference frame, (B, c_E, H/2, W/2).
            shape_b: Shape of the current frame, (B, c_E, H/2, W/2).
            alpha: Total motion factor, number or (B,): the output shows frame a's content moved by alpha times the
                motion from a to b; 1 reproduces frame b. The paper's Eq. 1 counts the added part, alpha - 1.

        Returns:
            Magnified shape, (B, c_E, H/2, W/2), float32.
        """
        with exact_float32(shape_b.device.type):
            return self.manipulator(shape_a, shape_b, alpha)

    def amplify(self, shape: Tensor, change: Tensor, alpha: Tensor | float) -> Tensor:
        """Amplify a given change of a shape; ``manipulate`` is this with ``shape_b`` and ``shape_b - shape_a``.

        Args:
            shape: Shape of the current frame, (B, c_E, H/2, W/2).
            change: The change to amplify, same shape: a difference of shapes, or one that a temporal filter has passed.
            alpha: Total motion factor, as of ``manipulate``.

        Returns:
            Magnified shape, (B, c_E, H/2, W/2), float32.
        """
        with exact_float32(shape.device.type):
            return self.manipulator.amplify(shape, change, alpha)

    def encode_change(self, change: Tensor) -> Tensor:
        """The change of shape that a change of the frame makes, of a linear encoder.

        The encoder is affine, so the difference of two shapes is that of the frames through its linear part, and a
        linear temporal filter gives the same before the encoder as behind it.

        Args:
            change: (B, 3, H, W), a difference of frames, or what a filter has passed of frames.

        Returns:
            (B, c_E, H/2, W/2) at the padded size.

        Raises:
            TypeError: The encoder is not linear.
        """
        if self.config.encoder == "residual":
            raise TypeError("encode_change: the residual encoder is not linear")
        with exact_float32(change.device.type):
            return self.encoder.shape_change(self._pad(change.float()))  # type: ignore[operator]

    def decode(self, texture: Tensor, shape: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Reconstruct frames.

        Args:
            texture: Texture of the *second* frame.
            shape: Magnified shape.
            size: (H, W) of the frame that was encoded; the output is cropped to it. The padded size when left out.

        Returns:
            (B, 3, H, W), about [-1, 1], not clamped.
        """
        frame = self.decoder(texture, shape)
        return frame if size is None else frame[..., : size[0], : size[1]]

    def forward(self, frame_a: Tensor, frame_b: Tensor, alpha: Tensor | float) -> Tensor:
        """Magnify the motion from frame a to frame b.

        Args:
            frame_a: Reference frames, (B, 3, H, W) in [-1, 1].
            frame_b: Current frames, same shape and range.
            alpha: Total motion factor, number or (B,); see ``manipulate``.

        Returns:
            Magnified frames (B, 3, H, W), about [-1, 1], not clamped.
        """
        a, b = self.encode(frame_a), self.encode(frame_b)
        shape = self.manipulate(a.shape, b.shape, alpha)
        return self.decode(b.texture, shape, (frame_b.shape[-2], frame_b.shape[-1]))

    def _pad(self, frame: Tensor) -> Tensor:
        height, width = frame.shape[-2:]
        pad_h, pad_w = (padded_size(size, self.config) - size for size in (height, width))
        if pad_h == 0 and pad_w == 0:
            return frame
        # Reflection needs more pixels than it adds; a frame smaller than its padding repeats its last row instead.
        mode = "reflect" if pad_h < height and pad_w < width else "replicate"
        return F.pad(frame, (0, pad_w, 0, pad_h), mode=mode)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.in_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
                nn.init.normal_(module.weight, std=math.sqrt(1.0 / fan_in))
                nn.init.zeros_(_bias(module))
        for name, module in self.named_modules():
            if isinstance(module, nn.Sequential):
                layers = [
                    layer for layer in module if not isinstance(layer, nn.PixelShuffle)
                ]  # which only moves values
                for layer, following in pairwise(layers):
                    if isinstance(layer, nn.Conv2d) and isinstance(following, nn.ReLU):
                        layer.weight.data.mul_(math.sqrt(2.0))
                        _bias(layer).data.fill_(0.5 if name.startswith("decoder.") else 0.0)
            elif isinstance(module, ResidualBlock):
                if isinstance(module.relu, nn.ReLU):
                    module.conv1.weight.data.mul_(math.sqrt(2.0))
                if module.skip:  # without it, nothing would come through
                    nn.init.zeros_(module.conv2.weight)
        last = self.decoder.out[-1]
        assert isinstance(last, nn.Conv2d)
        last.weight.data.div_(10.0)
        self.manipulator.start_linear()


def padded_size(size: int, config: MagnifierConfig) -> int:
    """The number of pixels that a side of ``size`` pixels is padded to inside the magnifier."""
    size = max(size, config.min_size)
    return -(-size // config.stride) * config.stride


def _bias(module: nn.Conv2d) -> Tensor:
    assert module.bias is not None
    return module.bias
