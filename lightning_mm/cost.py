"""Cost of a magnifier in closed form: parameters, FLOPs as the paper counts them, MACs and receptive field.

Nothing here runs the network, so a search knows a candidate's cost before it spends anything on it.

The paper's "FLOPs" are ``multiply-accumulates of convolutions + one per bias add + one per ReLU output``, at 384 x
384 with the encoder counted once: in a video each frame is encoded once. That convention reproduces Tables 1, 2 and
A7 to the printed digit. It counts a multiply-accumulate as one operation, so "41.3 G" is 82.4 GFLOP in the sense of
two per MAC; ``CostReport`` gives both, by name.
"""

from dataclasses import dataclass
from fractions import Fraction

from lightning_mm.models.config import MagnifierConfig
from lightning_mm.models.magnifier import padded_size

PAPER_SIZE = (384, 384)


@dataclass(frozen=True)
class ConvLayer:
    """One convolution of the network.

    Attributes:
        part: "encoder", "manipulator" or "decoder".
        in_channels: Channels in.
        out_channels: Channels out.
        kernel: Side of the kernel in pixels.
        scale: Side of the output as a fraction of the (padded) frame's.
        relu: Whether a ReLU follows.
    """

    part: str
    in_channels: int
    out_channels: int
    kernel: int
    scale: Fraction
    relu: bool

    @property
    def params(self) -> int:
        """Weights and biases."""
        return self.out_channels * (self.in_channels * self.kernel**2 + 1)

    def macs(self, pixels: int) -> int:
        """Multiply-accumulates for a frame of ``pixels`` pixels, biases not counted."""
        return int(pixels * self.scale**2) * self.out_channels * self.in_channels * self.kernel**2

    def paper_flops(self, pixels: int) -> int:
        """Multiply-accumulates, plus one per bias add, plus one per ReLU output."""
        return self.macs(pixels) + int(pixels * self.scale**2) * self.out_channels * (2 if self.relu else 1)


@dataclass(frozen=True)
class CostReport:
    """Cost of one frame of video in the steady state: one encoder pass, one manipulator, one decoder.

    Attributes:
        params: Number of parameters.
        paper_flops: The paper's "FLOPs" (see the module's docstring).
        macs: Multiply-accumulates of the convolutions alone.
        flops_two_per_mac: 2 x ``macs``, the usual sense of FLOPs, as torch's own counter reports.
        receptive_field: Side in pixels of the square of input that one output pixel can depend on.
        height: Frame height the figures hold for.
        width: Frame width.
    """

    params: int
    paper_flops: int
    macs: int
    flops_two_per_mac: int
    receptive_field: int
    height: int
    width: int

    @property
    def paper_gflops(self) -> float:
        """The paper's "FLOPs" in 1e9."""
        return self.paper_flops / 1e9


def layers(config: MagnifierConfig) -> list[ConvLayer]:
    """Every convolution of the network that ``config`` describes, in order of execution."""
    return _encoder(config) + _manipulator(config) + _decoder(config)


def cost(config: MagnifierConfig, size: tuple[int, int] = PAPER_SIZE) -> CostReport:
    """Cost of a magnifier for frames of a size.

    Args:
        config: The architecture.
        size: (height, width) in pixels; the paper's figures are for 384 x 384. Counted after the padding that the
            magnifier does inside.

    Returns:
        All figures, exact.
    """
    pixels = padded_size(size[0], config) * padded_size(size[1], config)
    network = layers(config)
    macs = sum(layer.macs(pixels) for layer in network)
    return CostReport(
        params=sum(layer.params for layer in network),
        paper_flops=sum(layer.paper_flops(pixels) for layer in network),
        macs=macs,
        flops_two_per_mac=2 * macs,
        receptive_field=receptive_field(config),
        height=size[0],
        width=size[1],
    )


def receptive_field(config: MagnifierConfig) -> int:
    """Side of the input square that one output pixel can depend on, in pixels, at the output pixel where it is largest.

    Counted backwards from one output pixel: n positions grow to (n - 1) * stride + k in front of a k x k convolution,
    and n positions behind nearest x2 upsampling come from at most n // 2 + 1 in front of it. Where branches part, the
    widest counts.
    """
    n = 1 + 6 + 2  # 7x7 and 3x3 of the output stage
    for _ in range(config.downsamplings + 1):
        n = (n + 2) // 2 + 1  # 3x3 behind an upsampling
    n += 4 * config.decoder_depth
    for _ in range(config.downsamplings):
        n = 2 * n + 1  # 3x3 with stride 2
    shape = n + 6 + 2 + 4 * config.manipulator_block
    if config.encoder == "linear_single":
        return 2 * (max(shape, n + 2) - 1) + 13
    texture = (n + 2) // 2 + 1
    if config.encoder == "linear":
        return 2 * (max(shape + 2, 2 * texture + 1) - 1) + 9
    common, in_texture, in_shape = config.encoder_blocks
    texture = 2 * (texture + 4 * in_texture) + 1
    features = max(shape + 4 * in_shape + 2, texture) + 4 * common
    return 2 * features + 1 + 6


def _encoder(config: MagnifierConfig) -> list[ConvLayer]:
    width, half, quarter = config.encoder_channels, Fraction(1, 2), Fraction(1, 4)
    part = "encoder"
    if config.encoder == "linear_single":
        return [ConvLayer(part, 3, width, 13, half, relu=False)]
    if config.encoder == "linear":
        return [
            ConvLayer(part, 3, width, 9, half, relu=False),
            ConvLayer(part, width, width, 3, quarter, relu=False),
            ConvLayer(part, width, width, 3, half, relu=False),
        ]
    common, texture, shape = config.encoder_blocks
    return [
        ConvLayer(part, 3, width // 2, 7, Fraction(1), relu=True),
        ConvLayer(part, width // 2, width, 3, half, relu=True),
        *_residual(part, common, width, half),
        ConvLayer(part, width, width, 3, quarter, relu=True),
        *_residual(part, texture, width, quarter),
        ConvLayer(part, width, width, 3, half, relu=True),
        *_residual(part, shape, width, half),
    ]


def _manipulator(config: MagnifierConfig) -> list[ConvLayer]:
    width, half = config.encoder_channels, Fraction(1, 2)
    return [
        ConvLayer("manipulator", width, width, 7, half, relu=True),
        ConvLayer("manipulator", width, width, 3, half, relu=False),
        *_residual("manipulator", int(config.manipulator_block), width, half),
    ]


def _decoder(config: MagnifierConfig) -> list[ConvLayer]:
    part, c_e, c_d, c_up = "decoder", config.encoder_channels, config.decoder_channels, config.c_upsample
    scale = Fraction(1, 2)
    found = [ConvLayer(part, c_e, c_e, 3, scale, relu=True)]
    width = 2 * c_e
    for _ in range(config.downsamplings):
        scale /= 2
        found.append(ConvLayer(part, width, config.c_downsample, 3, scale, relu=True))
        width = config.c_downsample
    if width != c_d:
        found.append(ConvLayer(part, width, c_d, 1, scale, relu=False))
    found += _residual(part, config.decoder_depth, c_d, scale)
    if c_d != c_up:
        found.append(ConvLayer(part, c_d, c_up, 1, scale, relu=False))
    for _ in range(config.downsamplings + 1):
        scale *= 2
        found.append(ConvLayer(part, c_up, c_up, 3, scale, relu=True))
    found.append(ConvLayer(part, c_up, c_up // 2, 3, scale, relu=True))
    found.append(ConvLayer(part, c_up // 2, 3, 7, scale, relu=False))
    return found


def _residual(part: str, depth: int, width: int, scale: Fraction) -> list[ConvLayer]:
    block = [ConvLayer(part, width, width, 3, scale, relu=True), ConvLayer(part, width, width, 3, scale, relu=False)]
    return block * depth
