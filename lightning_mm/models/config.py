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
        if isinstance(self.encoder_blocks, list):
            object.__setattr__(self, "encoder_blocks", tuple(self.encoder_blocks))
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


def _is_even(value: object) -> bool:
    return isinstance(value, int) and _is_int(value) and value >= 2 and value % 2 == 0


# Lets the weights-only unpickler of torch >= 2.6 rebuild hyperparameters that hold a config.
torch.serialization.add_safe_globals([MagnifierConfig])
