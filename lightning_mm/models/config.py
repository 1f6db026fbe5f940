"""The architecture as data: one frozen dataclass that validates itself.

Every knob carries the paper's symbol (Revisiting Learning-based Video Motion Magnification for Real-time
Processing, Sections 5.1 to 5.4). The defaults are the paper's proposed model; ``MagnifierConfig.baseline()`` is the
model of Oh et al. (2018) in the form that the paper measures. Fields from ``encoder_body`` on are not the paper's: they
make room for architecture search.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import torch

from lightning_mm.models.block_forms import BLOCK_PADDINGS, BlockForm, BlockKind, Part, indices, naming, shortest, valid

EncoderKind = Literal["residual", "linear", "linear_single"]
AlphaConvention = Literal["alpha_minus_one", "alpha"]
Upsampling = Literal["nearest", "pixel_shuffle"]

_BOTTLENECKS = (2, 4, 8)
_FIRST_KERNEL: dict[EncoderKind, int] = {"residual": 7, "linear": 9, "linear_single": 13}


@dataclass(frozen=True)
class MagnifierConfig:
    """Hyperparameters of a magnifier.

    Args:
        encoder: "residual" is the non-linear encoder of Oh et al. (stem, residual blocks, ReLUs); "linear" is the
            paper's encoder after removal of every ReLU and residual block, one 9x9 stride-2 convolution followed by
            a texture and a shape convolution; "linear_single" folds these too into one 13x13 stride-2 convolution
            whose output serves as both texture and shape.
        encoder_blocks: residual blocks of the (common, texture, shape) parts of a residual encoder; (3, 2, 2) is the
            baseline. Not used by the linear encoders, which have none.
        encoder_channels: c_E, width of the representations, the encoder and the manipulator; even.
        manipulator_block: whether the manipulator keeps its residual block (the paper discards it, Table 1).
        decoder_depth: d_D, number of residual blocks in the decoder's body; 0 leaves the body out.
        decoder_channels: c_D, width of the decoder's body.
        upsample_channels: c_upsample, width of the decoder's upsampling stages, even; ``None`` follows
            ``decoder_channels``.
        downsample_channels: c_downsample, width after the decoder's stride-2 convolutions; ``None`` follows
            ``decoder_channels``. Not used when ``bottleneck`` is 2.
        bottleneck: spatial bottleneck of the decoder's body as the denominator: 2, 4 or 8 for 1/2, 1/4, 1/8 (Section
            5.2).
        alpha_convention: what the manipulator multiplies by. "alpha_minus_one" (the TensorFlow original) makes
            alpha = 1 add nothing; "alpha" is the form of the authors' PyTorch port, for checkpoints of that form.
            The meaning of the ``alpha`` argument is the total motion factor in both.
        residual_scale: factor on the branch of every residual block; 1 is the paper's network.
        encoder_body: kinds of the residual encoder's blocks (see ``ResidualBlock``) in the order common, texture,
            shape, one for each of ``encoder_blocks``; ``None`` is "conv3" throughout. Not used by the linear encoders.
        encoder_kernel: side of the first convolution of a linear encoder, odd; ``None`` is 9 for "linear" and 13 for
            "linear_single". Not used by the residual encoder.
        stem_channels: width of the residual encoder's 7x7 stem; ``None`` is half of ``encoder_channels``. Not used by
            the linear encoders.
        decoder_body: kinds of the blocks in the decoder's body, one for each of ``decoder_depth``; ``None`` is "conv3"
            throughout.
        exit_projection: whether a 1x1 convolution behind the body leads from c_D to c_upsample where they differ
            (Table 2); without it the first upsampling convolution changes the width.
        upsampling: "nearest" is the paper's: each stage nearest x2 and a 3x3 convolution, then a 3x3 convolution that
            halves c_upsample at the frame's size; "pixel_shuffle" convolves in front of each enlargement, to four
            times the channels, and halves c_upsample in the last stage, so that at the frame's size only the last
            convolution is left (Shi et al., 2016).
        output_kernel: side of the last convolution, odd.
        linear_blocks: residual blocks without their ReLU (Table 1): "encoder", "manipulator" and "decoder" for all
            blocks of a part, "decoder.3" for the fourth block of one; the encoder's count through common, texture and
            shape.
        plain_blocks: residual blocks without their skip connection, named in the same way.

    Raises:
        ValueError: A value is out of range; the message names the field, the value and what is accepted.
    """

    encoder: EncoderKind = "linear"
    encoder_blocks: tuple[int, int, int] = (3, 2, 2)
    encoder_channels: int = 16
    manipulator_block: bool = False
    decoder_depth: int = 36
    decoder_channels: int = 32
    upsample_channels: int | None = None
    downsample_channels: int | None = None
    bottleneck: int = 4
    alpha_convention: AlphaConvention = "alpha_minus_one"
    residual_scale: float = 1.0
    encoder_body: tuple[BlockKind, ...] | None = None
    encoder_kernel: int | None = None
    stem_channels: int | None = None
    decoder_body: tuple[BlockKind, ...] | None = None
    exit_projection: bool = True
    upsampling: Upsampling = "nearest"
    output_kernel: int = 7
    linear_blocks: tuple[str, ...] = ()
    plain_blocks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Validate every field, so that no invalid architecture can exist."""
        for name in ("encoder_blocks", "encoder_body", "decoder_body", "linear_blocks", "plain_blocks"):
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        self._require("encoder", self.encoder in get_args(EncoderKind), f"one of {get_args(EncoderKind)}")
        conventions = get_args(AlphaConvention)
        self._require("alpha_convention", self.alpha_convention in conventions, f"one of {conventions}")
        blocks = self.encoder_blocks
        blocks_ok = isinstance(blocks, tuple) and len(blocks) == 3 and all(_is_int(n) and n >= 0 for n in blocks)
        self._require("encoder_blocks", blocks_ok, "three integers >= 0")
        self._require("manipulator_block", isinstance(self.manipulator_block, bool), "true or false")
        self._require("decoder_depth", _is_int(self.decoder_depth) and self.decoder_depth >= 0, "an integer >= 0")
        self._require(
            "bottleneck", _is_int(self.bottleneck) and self.bottleneck in _BOTTLENECKS, f"one of {_BOTTLENECKS}"
        )
        even = "an even integer >= 2"
        self._require("encoder_channels", _is_even(self.encoder_channels), even)
        follows = self.upsample_channels is None
        accepted = f"{even} where upsample_channels follows it" if follows else "an integer >= 1"
        width = self.decoder_channels
        self._require("decoder_channels", _is_even(width) if follows else _is_int(width) and width >= 1, accepted)
        self._require("upsample_channels", follows or _is_even(self.upsample_channels), f"{even}, or null")
        down = self.downsample_channels
        self._require("downsample_channels", down is None or (_is_int(down) and down >= 1), "an integer >= 1, or null")
        scale = self.residual_scale
        scale_ok = isinstance(scale, int | float) and not isinstance(scale, bool) and 0.0 < scale <= 1.0
        self._require("residual_scale", scale_ok, "in (0, 1]")
        self._check_kinds("encoder_body", sum(blocks) if self.encoder == "residual" else None)
        self._check_kinds("decoder_body", self.decoder_depth)
        kernel, stem = self.encoder_kernel, self.stem_channels
        kernel_ok = kernel is None or _is_odd(kernel, 3, 31)
        self._require("encoder_kernel", kernel_ok, "an odd integer from 3 to 31, or null")
        self._require("stem_channels", stem is None or (_is_int(stem) and stem >= 1), "an integer >= 1, or null")
        self._require("exit_projection", isinstance(self.exit_projection, bool), "true or false")
        self._require("upsampling", self.upsampling in get_args(Upsampling), f"one of {get_args(Upsampling)}")
        self._require("output_kernel", _is_odd(self.output_kernel, 1, 9), "an odd integer from 1 to 9")
        for name in ("linear_blocks", "plain_blocks"):
            self._require(name, valid(getattr(self, name), self.block_counts), naming(self.block_counts))

    def _check_kinds(self, field: str, length: int | None) -> None:
        kinds, known = getattr(self, field), get_args(BlockKind)
        if kinds is None:
            return
        fine = isinstance(kinds, tuple) and all(kind in known for kind in kinds)
        number = "" if length is None else f"{length} "
        self._require(field, fine and length in (None, len(kinds)), f"a list of {number}kinds of {known}, or null")
        if all(kind == "conv3" for kind in kinds):
            object.__setattr__(self, field, None)

    def _require(self, field: str, condition: bool, accepted: str) -> None:
        if not condition:
            raise ValueError(f"MagnifierConfig.{field} = {getattr(self, field)!r}: must be {accepted}")

    @property
    def c_upsample(self) -> int:
        """Width of the upsampling stages, resolved."""
        return self.decoder_channels if self.upsample_channels is None else self.upsample_channels

    @property
    def c_downsample(self) -> int:
        """Width after the decoder's stride-2 convolutions, resolved."""
        return self.decoder_channels if self.downsample_channels is None else self.downsample_channels

    @property
    def c_stem(self) -> int:
        """Width of the residual encoder's stem, resolved."""
        return self.encoder_channels // 2 if self.stem_channels is None else self.stem_channels

    @property
    def k_encoder(self) -> int:
        """Side of the encoder's first convolution, resolved; of the residual encoder's always 7."""
        given = None if self.encoder == "residual" else self.encoder_kernel
        return _FIRST_KERNEL[self.encoder] if given is None else given

    @property
    def encoder_parts(self) -> tuple[tuple[BlockKind, ...], tuple[BlockKind, ...], tuple[BlockKind, ...]]:
        """Kinds of the blocks in the encoder's common, texture and shape parts, resolved; empty where it is linear."""
        if self.encoder != "residual":
            return (), (), ()
        common, texture, shape = self.encoder_blocks
        kinds = self.encoder_body or ("conv3",) * (common + texture + shape)
        return kinds[:common], kinds[common : common + texture], kinds[common + texture :]

    @property
    def encoder_kinds(self) -> tuple[BlockKind, ...]:
        """Kinds of all blocks of the encoder, resolved; empty where it is linear."""
        common, texture, shape = self.encoder_parts
        return common + texture + shape

    @property
    def decoder_kinds(self) -> tuple[BlockKind, ...]:
        """Kinds of the blocks in the decoder's body, resolved."""
        return self.decoder_body or ("conv3",) * self.decoder_depth

    @property
    def block_counts(self) -> dict[Part, int]:
        """Number of residual blocks of each part."""
        encoder = sum(self.encoder_blocks) if self.encoder == "residual" else 0
        return {"encoder": encoder, "manipulator": int(self.manipulator_block), "decoder": self.decoder_depth}

    def block_forms(self, part: Part) -> tuple[BlockForm, ...]:
        """What each residual block of a part is, in order; the encoder's in the order common, texture, shape."""
        kinds = {"encoder": self.encoder_kinds, "decoder": self.decoder_kinds}.get(part, ("conv3",))
        kinds = kinds[: self.block_counts[part]]
        linear, plain = (indices(names, part, len(kinds)) for names in (self.linear_blocks, self.plain_blocks))
        return tuple(BlockForm(kind, n not in linear, n not in plain) for n, kind in enumerate(kinds))

    @property
    def encoder_forms(self) -> tuple[tuple[BlockForm, ...], tuple[BlockForm, ...], tuple[BlockForm, ...]]:
        """What the blocks in the encoder's common, texture and shape parts are; empty where it is linear."""
        (common, texture, _), forms = self.encoder_blocks, self.block_forms("encoder")
        return forms[:common], forms[common : common + texture], forms[common + texture :]

    @property
    def downsamplings(self) -> int:
        """Number of stride-2 convolutions at the decoder's entry: 0, 1, 2 for a bottleneck of 1/2, 1/4, 1/8."""
        return {2: 0, 4: 1, 8: 2}[self.bottleneck]

    @property
    def has_texture_stride(self) -> bool:
        """Whether texture lives at a quarter of the input's size (else at half, as shape does)."""
        return self.encoder != "linear_single"

    @property
    def stride(self) -> int:
        """Frames are padded inside to a multiple of this many pixels."""
        return max(4 if self.has_texture_stride else 2, self.bottleneck)

    @property
    def min_size(self) -> int:
        """Frames are padded inside to at least this many pixels per side, so that every reflect padding is defined.

        That is where every convolution's input has more pixels than its padding. A multiple of ``stride``.
        """
        common, texture, shape = self.encoder_parts
        needed = [8, 2 * self.stride, self.k_encoder // 2 + 1]  # 8: the manipulator pads by 3 at half of the size
        for kinds, denominator in ((common + shape, 2), (texture, 4), (self.decoder_kinds, self.bottleneck)):
            needed += [(max(BLOCK_PADDINGS[kind]) + 1) * denominator for kind in set(kinds)]
        return -(-max(needed) // self.stride) * self.stride

    def canonical(self) -> "MagnifierConfig":
        """The one way to write this network: equal for two configs where they build the same network, and only there.

        Fields that are not used get their defaults, and values that are those of ``None`` become ``None``. Networks are
        the same where weights have the same names and shapes and equal weights give equal outputs.
        """
        default, residual = MagnifierConfig(), self.encoder == "residual"
        has_blocks = any(self.block_counts.values())
        return replace(
            self,
            encoder_blocks=self.encoder_blocks if residual else default.encoder_blocks,
            encoder_body=self.encoder_body if residual else None,
            encoder_kernel=None if self.k_encoder == _FIRST_KERNEL[self.encoder] else self.k_encoder,
            stem_channels=self.stem_channels if residual and self.c_stem != self.encoder_channels // 2 else None,
            upsample_channels=None if self.c_upsample == self.decoder_channels else self.c_upsample,
            downsample_channels=(
                None if self.downsamplings == 0 or self.c_downsample == self.decoder_channels else self.c_downsample
            ),
            exit_projection=self.exit_projection or self.c_upsample == self.decoder_channels,
            residual_scale=float(self.residual_scale) if has_blocks else default.residual_scale,
            linear_blocks=shortest(self.linear_blocks, self.block_counts),
            plain_blocks=shortest(self.plain_blocks, self.block_counts),
        )

    @classmethod
    def proposed(cls) -> "MagnifierConfig":
        """The paper's model ("Ours"): 9.861 G in the paper's FLOPs at 384 x 384, 726,323 parameters."""
        return cls()

    @classmethod
    def baseline(cls) -> "MagnifierConfig":
        """Oh et al. (2018) as the paper measures it: 41.327 G in the paper's FLOPs at 384 x 384, 966,979 parameters."""
        return cls(
            encoder="residual",
            encoder_channels=32,
            manipulator_block=True,
            decoder_depth=9,
            decoder_channels=64,
            bottleneck=2,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, for results files, checkpoints and hashing."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_even(value: object) -> bool:
    return isinstance(value, int) and _is_int(value) and value >= 2 and value % 2 == 0


def _is_odd(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and _is_int(value) and low <= value <= high and value % 2 == 1


# Lets the weights-only unpickler of torch >= 2.6 rebuild hyperparameters that hold a config.
torch.serialization.add_safe_globals([MagnifierConfig])
