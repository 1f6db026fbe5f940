"""MDSR, the multi-scale network of Lim et al. (2017), as Appendix A.1 describes it: plain torch."""

from dataclasses import dataclass

from torch import Tensor, nn

SCALES = (2, 3, 4)


@dataclass(frozen=True)
class MDSRConfig:
    """Size of the network; the defaults are those whose parameters Table A1 counts (3.23 M).

    Args:
        channels: Width of all representations.
        encoder_blocks: Residual blocks with 5x5 kernels in front of the body, for each scale its own.
        decoder_blocks: Residual blocks with 3x3 kernels in the body that all scales share.
    """

    channels: int = 64
    encoder_blocks: int = 2
    decoder_blocks: int = 16

    def __post_init__(self) -> None:
        """Refuse sizes that are none."""
        for name, low in {"channels": 1, "encoder_blocks": 0, "decoder_blocks": 0}.items():
            if getattr(self, name) < low:
                raise ValueError(f"MDSRConfig.{name} = {getattr(self, name)}: must be >= {low}")


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))): no normalisation, no activation behind the sum (Lim et al., 2017, Section 3.1)."""

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels, kernel_size)
        self.relu = nn.ReLU()
        self.conv2 = _conv(channels, channels, kernel_size)

    def branch(self, x: Tensor) -> Tensor:
        """What is added to x: (B, channels, H, W) to the same shape."""
        return self.conv2(self.relu(self.conv1(x)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels, H, W) to the same shape."""
        return x + self.branch(x)


class MDSR(nn.Module):
    """One network for magnification by 2, 3 and 4.

    A 3x3 convolution; residual blocks of the scale ("encoder" in the paper's words); residual blocks and a convolution
    that all scales share ("decoder"), with a skip around them; sub-pixel upsampling of the scale; a 3x3 convolution.
    Convolutions have biases and pad with zeros, as those of Lim et al.

    Args:
        config: Size.
    """

    def __init__(self, config: MDSRConfig = MDSRConfig()) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.head = _conv(3, width, 3)
        self.encoder = nn.ModuleDict({f"x{scale}": _blocks(config.encoder_blocks, width, 5) for scale in SCALES})
        self.decoder = _blocks(config.decoder_blocks, width, 3)
        self.decoder_out = _conv(width, width, 3)
        self.upsampler = nn.ModuleDict({f"x{scale}": _upsampler(width, scale) for scale in SCALES})
        self.tail = _conv(width, 3, 3)

    def forward(self, image: Tensor, scale: int) -> Tensor:
        """Enlarge images.

        Args:
            image: (B, 3, H, W) in [-1, 1].
            scale: One of ``SCALES``.

        Returns:
            (B, 3, scale * H, scale * W), about [-1, 1], not clamped.

        Raises:
            ValueError: The network has no such scale.
        """
        if scale not in SCALES:
            raise ValueError(f"scale = {scale}: must be one of {SCALES}")
        features = self.encoder[f"x{scale}"](self.head(image))
        features = features + self.decoder_out(self.decoder(features))
        return self.tail(self.upsampler[f"x{scale}"](features))


def _conv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)


def _blocks(count: int, channels: int, kernel_size: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels, kernel_size) for _ in range(count)))


def _upsampler(channels: int, scale: int) -> nn.Sequential:
    """Sub-pixel convolution (Shi et al., 2016); by 4 it is by 2, twice."""
    steps = (2, 2) if scale == 4 else (scale,)
    stages = ((_conv(channels, step * step * channels, 3), nn.PixelShuffle(step)) for step in steps)
    return nn.Sequential(*(module for stage in stages for module in stage))
