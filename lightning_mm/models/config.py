"""The architecture as data: one frozen dataclass that validates itself.

Every knob carries the paper's symbol (Revisiting Learning-based Video Motion Magnification for Real-time
Processing, Sections 5.1 to 5.4). The defaults are the paper's proposed model; ``MagnifierConfig.baseline()`` is the
model of Oh et al. (2018) in the form that the paper measures.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import torch

EncoderKind = Literal["residual", "linear", "linear_single"]
AlphaConvention = Literal["alpha_minus_one", "alpha"]

_BOTTLENECKS = (2, 4, 8)


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
        upsample_channels: c_upsample, width of the decoder's upsampling stages, even; ``None`` follows ``decoder_channels``.
        downsample_channels: c_downsample, width after the decoder's stride-2 convolutions; ``None`` follows
            ``decoder_channels``. Not used when ``bottleneck`` is 2.
        bottleneck: spatial bottleneck of the decoder's body as the denominator: 2, 4 or 8 for 1/2, 1/4, 1/8 (Section 5.2).
        alpha_convention: what the manipulator multiplies by. "alpha_minus_one" (the TensorFlow original) makes
            alpha = 1 add nothing; "alpha" is the form of the authors' PyTorch port, for checkpoints of that form.
            The meaning of the ``alpha`` argument is the total motion factor in both.
        residual_scale: factor on the branch of every residual block; 1 is the paper's network.

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

    def __post_init__(self) -> None:
        """Validate every field, so that no invalid architecture can exist."""
        object.__setattr__(self, "encoder_blocks", tuple(self.encoder_blocks))
        _require(self.encoder in get_args(EncoderKind), "encoder", self.encoder, f"one of {get_args(EncoderKind)}")
        conventions = get_args(AlphaConvention)
        _require(self.alpha_convention in conventions, "alpha_convention", self.alpha_convention, f"one of {conventions}")
        blocks_ok = len(self.encoder_blocks) == 3 and all(_is_int(n) and n >= 0 for n in self.encoder_blocks)
        _require(blocks_ok, "encoder_blocks", self.encoder_blocks, "three integers >= 0")
        _require(_is_int(self.decoder_depth) and self.decoder_depth >= 0, "decoder_depth", self.decoder_depth, ">= 0")
        _require(self.bottleneck in _BOTTLENECKS, "bottleneck", self.bottleneck, f"one of {_BOTTLENECKS}")
        for name, width in (("encoder_channels", self.encoder_channels), ("upsample_channels", self.c_upsample)):
            _require(_is_int(width) and width >= 2 and width % 2 == 0, name, width, "an even integer >= 2")
        for name, width in (("decoder_channels", self.decoder_channels), ("downsample_channels", self.c_downsample)):
            _require(_is_int(width) and width >= 1, name, width, "an integer >= 1")
        _require(0.0 < self.residual_scale <= 1.0, "residual_scale", self.residual_scale, "in (0, 1]")

    @property
    def c_upsample(self) -> int:
        """Width of the upsampling stages, resolved."""
        return self.decoder_channels if self.upsample_channels is None else self.upsample_channels

    @property
    def c_downsample(self) -> int:
        """Width after the decoder's stride-2 convolutions, resolved."""
        return self.decoder_channels if self.downsample_channels is None else self.downsample_channels

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
        """Frames are padded inside to at least this many pixels per side, so that every reflect padding is defined."""
        return max(8, 2 * self.stride)

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
        return values | {"encoder_blocks": list(self.encoder_blocks)}


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _require(condition: bool, field: str, value: object, accepted: str) -> None:
    if not condition:
        raise ValueError(f"MagnifierConfig.{field} = {value!r}: must be {accepted}")


# Lets the weights-only unpickler of torch >= 2.6 rebuild hyperparameters that hold a config.
torch.serialization.add_safe_globals([MagnifierConfig])
