"""Cost of a magnifier in closed form: parameters, FLOPs as the paper counts them, MACs and receptive field.

Nothing here runs the network, so a search knows a candidate's cost before it spends anything on it.

The paper's "FLOPs" are ``multiply-accumulates of convolutions + one per bias add + one per ReLU output``, at 384 x
384 with the encoder counted once: in a video each frame is encoded once. That convention reproduces Tables 1, 2 and
A7 to the printed digit. It counts a multiply-accumulate as one operation, so "41.3 G" is 82.4 GFLOP in the sense of
two per MAC; ``CostReport`` gives both, by name.
"""

from dataclasses import dataclass
from fractions import Fraction

from lightning_mm.models.block_forms import BLOCK_PADDINGS, BlockForm, BlockKind
from lightning_mm.models.config import MagnifierConfig
from lightning_mm.models.magnifier import padded_size

PAPER_SIZE = (384, 384)
_Rows = tuple[int, int]


@dataclass(frozen=True)
class ConvLayer:
    """One convolution of the network.

    Attributes:
        part: "encoder", "manipulator" or "decoder".
        in_channels: Channels in.
        out_channels: Channels out.
        kernel: Side of the kernel in pixels.
        scale: Side of the output as a fraction of the (padded) frame's.
        relu: Whether a ReLU follows, also behind a pixel shuffle.
        groups: Groups of channels that see only each other.
    """

    part: str
    in_channels: int
    out_channels: int
    kernel: int
    scale: Fraction
    relu: bool
    groups: int = 1

    @property
    def params(self) -> int:
        """Weights and biases."""
        return self.out_channels * (self._weights_per_output + 1)

    def macs(self, pixels: int) -> int:
        """Multiply-accumulates for a frame of ``pixels`` pixels, biases not counted."""
        return int(pixels * self.scale**2) * self.out_channels * self._weights_per_output

    def paper_flops(self, pixels: int) -> int:
        """Multiply-accumulates, plus one per bias add, plus one per ReLU output."""
        return int(pixels * self.scale**2) * self.out_channels * (self._weights_per_output + (2 if self.relu else 1))

    @property
    def _weights_per_output(self) -> int:
        return self.in_channels // self.groups * self.kernel**2


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
    pixels = _pixels(config, size)
    network = layers(config)
    macs = sum(layer.macs(pixels) for layer in network)
    return CostReport(
        params=sum(layer.params for layer in network),
        paper_flops=paper_flops(config, size),
        macs=macs,
        flops_two_per_mac=2 * macs,
        receptive_field=receptive_field(config),
        height=size[0],
        width=size[1],
    )


def paper_flops(config: MagnifierConfig, size: tuple[int, int] = PAPER_SIZE) -> int:
    """The paper's "FLOPs" alone, as of ``cost``; a search counts them dozens of times per network that it draws."""
    pixels = _pixels(config, size)
    return sum(layer.paper_flops(pixels) for layer in layers(config))


def receptive_field(config: MagnifierConfig) -> int:
    """Side of the input square that one output pixel can depend on, in pixels, at the output pixel where it is largest.

    Followed backwards from an output pixel: first and last row that count, far from the frame's borders. Shifting the
    frame by ``config.stride`` shifts everything, so as many neighbouring pixels are all the cases there are.
    """
    extents = [_input_rows(config, row) for row in range(config.stride)]
    return max(last - first + 1 for first, last in extents)


def _pixels(config: MagnifierConfig, size: tuple[int, int]) -> int:
    return padded_size(size[0], config) * padded_size(size[1], config)


def _input_rows(config: MagnifierConfig, row: int) -> _Rows:
    """First and last row of an endless input that one row of the output depends on."""
    rows = _conv((row, row), config.output_kernel // 2)
    shuffles = config.upsampling == "pixel_shuffle"
    rows = rows if shuffles else _conv(rows, 1)
    for _ in range(config.downsamplings + 1):
        rows = _conv(_enlargement(rows), 1) if shuffles else _enlargement(_conv(rows, 1))
    rows = _conv(rows, _reach(config.decoder_kinds))
    for _ in range(config.downsamplings):
        rows = _conv(rows, 1, stride=2)
    shape = _conv(rows, 3 + 1 + _reach(("conv3",) * config.manipulator_block))
    texture, first = _conv(rows, 1), config.k_encoder // 2
    if config.encoder == "linear_single":
        return _conv(_hull(shape, texture), first, stride=2)
    common, in_texture, in_shape = map(_reach, config.encoder_parts)
    texture = _conv(_conv(_enlargement(texture), in_texture), 1, stride=2)
    features = _conv(_hull(_conv(shape, in_shape + 1), texture), common)
    if config.encoder == "linear":
        return _conv(features, first, stride=2)
    return _conv(_conv(features, 1, stride=2), first)


def _conv(rows: _Rows, reach: int, stride: int = 1) -> _Rows:
    """Rows in front of a convolution, or of several, that reach so far to each side."""
    return rows[0] * stride - reach, rows[1] * stride + reach


def _enlargement(rows: _Rows) -> _Rows:
    """Rows in front of nearest x2 upsampling or a pixel shuffle."""
    return rows[0] // 2, rows[1] // 2


def _hull(one: _Rows, other: _Rows) -> _Rows:
    return min(one[0], other[0]), max(one[1], other[1])


def _reach(kinds: tuple[BlockKind, ...]) -> int:
    return sum(sum(BLOCK_PADDINGS[kind]) for kind in kinds)


def _encoder(config: MagnifierConfig) -> list[ConvLayer]:
    width, half, quarter = config.encoder_channels, Fraction(1, 2), Fraction(1, 4)
    part, kernel = "encoder", config.k_encoder
    if config.encoder == "linear_single":
        return [ConvLayer(part, 3, width, kernel, half, relu=False)]
    if config.encoder == "linear":
        return [
            ConvLayer(part, 3, width, kernel, half, relu=False),
            ConvLayer(part, width, width, 3, quarter, relu=False),
            ConvLayer(part, width, width, 3, half, relu=False),
        ]
    common, texture, shape = config.encoder_forms
    return [
        ConvLayer(part, 3, config.c_stem, kernel, Fraction(1), relu=True),
        ConvLayer(part, config.c_stem, width, 3, half, relu=True),
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
        *_residual("manipulator", config.block_forms("manipulator"), width, half),
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
    found += _residual(part, config.block_forms("decoder"), c_d, scale)
    width = c_d
    if config.exit_projection and c_d != c_up:
        found.append(ConvLayer(part, c_d, c_up, 1, scale, relu=False))
        width = c_up
    for stage in range(config.downsamplings + 1):
        if config.upsampling == "pixel_shuffle":
            after = c_up // 2 if stage == config.downsamplings else c_up
            found.append(ConvLayer(part, width, 4 * after, 3, scale, relu=True))
        else:
            after = c_up
            found.append(ConvLayer(part, width, after, 3, 2 * scale, relu=True))
        scale, width = 2 * scale, after
    if config.upsampling == "nearest":
        found.append(ConvLayer(part, c_up, c_up // 2, 3, scale, relu=True))
    found.append(ConvLayer(part, c_up // 2, 3, config.output_kernel, scale, relu=False))
    return found


def _residual(part: str, forms: tuple[BlockForm, ...], width: int, scale: Fraction) -> list[ConvLayer]:
    blocks = {form: _block(part, form, width, scale) for form in set(forms)}
    return [layer for form in forms for layer in blocks[form]]


def _block(part: str, form: BlockForm, width: int, scale: Fraction) -> list[ConvLayer]:
    kernel, inner = int(form.kind[-1]), width
    found: list[ConvLayer] = []
    if form.kind == "separable7":
        found.append(ConvLayer(part, width, width, kernel, scale, relu=False, groups=width))
        kernel, inner = 1, 2 * width
    found.append(ConvLayer(part, width, inner, kernel, scale, relu=form.relu))
    found.append(ConvLayer(part, inner, width, kernel, scale, relu=False))
    return found
