"""The space beyond the paper's: sizes of every part, kinds of blocks per stage, and the decoder's tail."""

import re
from functools import lru_cache
from typing import Any

from lightning_mm.errors import InputError
from lightning_mm.models import MagnifierConfig
from lightning_mm.spaces.genotype import Choice, Genotype, Value
from lightning_mm.spaces.space import SearchSpace, replaced

STAGES = 4
"""Equal stages of the decoder's body, each of one kind of block."""

_BLOCK_COST = ("separable7", "conv3", "dilated3", "conv5", "conv7")  # cheapest first, at any width from 4
_ENCODER = re.compile(r"(linear|linear_single|residual)_?(\d+)")
_PER_ENCODER = ("encoder.", "manipulator.", "decoder.texture_up.")


class ElasticSpace(SearchSpace):
    """Depth, widths and kernels are sizes; encoder, bottleneck and upsampling are kinds.

    In a supernet, members share weights where they differ in sizes: the smaller one has the leading channels, the
    centre of the kernel and the first blocks of each stage. Each kind of encoder, block and upsampling has weights of
    its own, and so has the decoder at each bottleneck. Every argument lists what can be chosen.

    Args:
        decoder_depth: d_D, cut into four stages as equal as can be.
        decoder_channels: c_D.
        encoder_channels: c_E.
        bottleneck: 2, 4 or 8.
        encoder: "linear_9" is a linear encoder with texture and shape branches and a first kernel of 9;
            "linear_single_13" a single linear convolution of 13 x 13; "residual_1" a non-linear encoder with one common
            block, "residual_322" the baseline's (3, 2, 2) blocks.
        upsample_channels: c_upsample, width of the decoder's tail.
        upsampling: "pixel_shuffle", "nearest".
        output_kernel: Side of the last convolution.
        kinds: Kinds of blocks; each stage has one.

    Raises:
        ValueError: A value is not accepted.
    """

    def __init__(
        self,
        decoder_depth: tuple[int, ...] = (8, 12, 16, 20, 24, 30, 36, 44, 52),
        decoder_channels: tuple[int, ...] = (16, 24, 32, 40, 48, 64),
        encoder_channels: tuple[int, ...] = (8, 12, 16, 24, 32),
        bottleneck: tuple[int, ...] = (2, 4, 8),
        encoder: tuple[str, ...] = ("linear_single_13", "linear_7", "linear_9", "residual_1", "residual_322"),
        upsample_channels: tuple[int, ...] = (16, 24, 32, 48),
        upsampling: tuple[str, ...] = ("pixel_shuffle", "nearest"),
        output_kernel: tuple[int, ...] = (3, 7),
        kinds: tuple[str, ...] = ("separable7", "conv3", "dilated3", "conv5"),
    ) -> None:
        self.arguments = {name: value for name, value in locals().items() if name != "self"}
        meant = [_encoder_fields(name) for name in encoder]
        if same := [name for name, fields in zip(encoder, meant, strict=True) if meant.count(fields) > 1]:
            raise ValueError(f"ElasticSpace.encoder = {same}: these are one encoder")
        if unknown := set(kinds) - set(_BLOCK_COST):
            raise ValueError(f"ElasticSpace.kinds = {min(unknown)!r}: must be one of {_BLOCK_COST}")
        if unknown := set(upsampling) - {"pixel_shuffle", "nearest"}:
            raise ValueError(f"ElasticSpace.upsampling = {min(unknown)!r}: must be pixel_shuffle or nearest")
        if min(decoder_depth, default=0) < 1:
            raise ValueError(f"ElasticSpace.decoder_depth = {list(decoder_depth)}: must be >= 1")
        by_cost = tuple(sorted(kinds, key=_BLOCK_COST.index))
        stages = min(STAGES, max(decoder_depth))
        self.choices = (
            Choice("encoder", tuple(encoder), structural=True),
            Choice("bottleneck", tuple(sorted(bottleneck)), ordered=True, structural=True),
            Choice("upsampling", tuple(sorted(upsampling, key="pixel_shuffle nearest".index))),
            Choice("encoder_channels", tuple(sorted(encoder_channels)), ordered=True),
            Choice("decoder_depth", tuple(sorted(decoder_depth)), ordered=True),
            Choice("decoder_channels", tuple(sorted(decoder_channels)), ordered=True),
            Choice("upsample_channels", tuple(sorted(upsample_channels)), ordered=True),
            Choice("output_kernel", tuple(sorted(output_kernel)), ordered=True),
            *(Choice(f"stage_{number + 1}", by_cost) for number in range(stages)),
        )
        self.stages = stages
        self._config = lru_cache(maxsize=4096)(self._build)
        one = self.covers()[0].values
        for number, choice in enumerate(self.choices):
            for value in choice.values:
                self.config(Genotype(replaced(one, number, value)))  # so that what no network can have is refused here

    def config(self, genotype: Genotype) -> MagnifierConfig:
        """The network."""
        return self._config(genotype)

    def canonical(self, genotype: Genotype) -> Genotype:
        """Kinds of stages without a block set to the first."""
        genes = self.named(genotype)
        for number, count in enumerate(self._blocks(int(genes["decoder_depth"]))):
            if count == 0:
                genes[f"stage_{number + 1}"] = self.choices[-1].values[0]
        return Genotype(tuple(genes.values()))

    def genotype_of(self, config: MagnifierConfig) -> Genotype | None:
        """The canonical genotype of a network."""
        wanted = config.canonical()
        blocks = self._blocks(config.decoder_depth)
        starts = [sum(blocks[:number]) for number in range(self.stages)]
        default = self.choices[-1].values[0]
        kinds = [config.decoder_kinds[s] if n else default for s, n in zip(starts, blocks, strict=True)]
        widths = (config.encoder_channels, config.decoder_depth, config.decoder_channels, config.c_upsample)
        for encoder in self.choices[0].values:
            genes = (encoder, config.bottleneck, config.upsampling, *widths, config.output_kernel, *kinds)
            try:
                genotype = self.require(Genotype(genes))
            except InputError:
                continue
            if self.config(genotype).canonical() == wanted:
                return genotype
        return None

    def covers(self) -> list[Genotype]:
        """The largest member with each kind of encoder, block and upsampling, at each bottleneck."""
        largest = {choice.name: choice.values[-1] for choice in self.choices}
        smaller = {choice.name: choice.values[-2:][0] for choice in self.choices}
        names = [choice.name for choice in self.choices]
        stages = [name for name in names if name.startswith("stage_")]
        by_name = dict(zip(names, self.choices, strict=True))
        found: dict[Genotype, None] = {}
        for bottleneck in by_name["bottleneck"].values:
            start = {**largest, "bottleneck": bottleneck}
            changes: list[dict[str, Value]] = [
                *({"encoder": value} for value in by_name["encoder"].values),
                *({"upsampling": value} for value in by_name["upsampling"].values),
                *(dict.fromkeys(stages, kind) for kind in self.choices[-1].values),
                # Where widths beside each other are equal, there is no projection between them.
                {"decoder_channels": smaller["decoder_channels"]},
                {"encoder_channels": smaller["encoder_channels"]},
            ]
            for change in changes:
                found[Genotype(tuple({**start, **change}.values()))] = None
        return list(found)

    def address(self, genotype: Genotype, name: str) -> str:
        """By kind of encoder, bottleneck, upsampling; blocks by stage, place in it and kind."""
        genes = self.named(genotype)
        encoder = re.sub(r"_?\d+$", "", str(genes["encoder"]))
        if name.startswith(_PER_ENCODER):
            return f"{encoder}.{name}"
        decoder = f"bottleneck_{genes['bottleneck']}"
        if name.startswith("decoder.body."):
            number, _, rest = name.removeprefix("decoder.body.").partition(".")
            stage, place = self._place(int(genes["decoder_depth"]), int(number))
            return f"{decoder}.decoder.body.{stage}.{place}.{genes[f'stage_{stage + 1}']}.{rest}"
        if name.startswith(("decoder.up.", "decoder.out.", "decoder.project_out.")):
            return f"{decoder}.{genes['upsampling']}.{name}"
        return f"{decoder}.{name}"

    def _build(self, genotype: Genotype) -> MagnifierConfig:
        genes: dict[str, Any] = self.named(genotype)
        blocks = self._blocks(genes["decoder_depth"])
        kinds = [genes[f"stage_{number + 1}"] for number, count in enumerate(blocks) for _ in range(count)]
        sizes = ("bottleneck", "upsampling", "encoder_channels", "decoder_depth", "decoder_channels")
        return MagnifierConfig(
            **_encoder_fields(genes["encoder"]),
            **{name: genes[name] for name in (*sizes, "upsample_channels", "output_kernel")},
            decoder_body=tuple(kinds),
            exit_projection=False,
        )

    def _blocks(self, depth: int) -> list[int]:
        """Blocks in each stage."""
        return [depth // self.stages + (number < depth % self.stages) for number in range(self.stages)]

    def _place(self, depth: int, number: int) -> tuple[int, int]:
        for stage, count in enumerate(self._blocks(depth)):
            if number < count:
                return stage, number
            number -= count
        raise AssertionError(number)


def _encoder_fields(name: str) -> dict[str, Any]:
    match = _ENCODER.fullmatch(name)
    kind, number = match.groups() if match else ("", "")
    if kind == "residual" and len(number) in (1, 3):
        blocks = tuple(int(digit) for digit in number) if len(number) == 3 else (int(number), 0, 0)
        return {"encoder": kind, "encoder_blocks": blocks}
    if kind.startswith("linear"):
        return {"encoder": kind, "encoder_kernel": int(number)}
    raise ValueError(
        f"ElasticSpace.encoder = {name!r}: must be as linear_9, linear_single_13, residual_1, residual_322"
    )
