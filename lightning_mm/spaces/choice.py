"""The paper's search space (Appendix C): a kernel size, or a skip, for each residual block of the baseline."""

from collections.abc import Iterator
from functools import cached_property
from operator import getitem

import numpy as np

from lightning_mm.errors import InputError
from lightning_mm.models import MagnifierConfig
from lightning_mm.spaces.genotype import Choice, Genotype, Value
from lightning_mm.spaces.space import SearchSpace

SKIP = "skip"
_ENCODER_STACKS = ("encoder.common.4", "encoder.texture.2", "encoder.shape.2")
_DECODER_STACK = "decoder.body"


class ChoiceSpace(SearchSpace):
    """A chain of choice blocks, after Guo et al. (2020), over the layout of Oh et al. (2018).

    The paper gives the numbers of blocks, the decoder's width, that the encoder is half as wide, and the cap. That only
    the residual trunks are narrowed, while stem and tail keep the baseline's widths, is our reading: with it the costs
    of its networks are attainable and its caps bind where its results say so. The manipulator is not searched.

    Args:
        encoder_blocks: Largest numbers of blocks in the common, texture and shape parts of the encoder.
        decoder_blocks: Largest number of blocks in the decoder.
        decoder_channels: c_D; the encoder's width is half of it.
        kernels: Kernel sizes to choose from in each block: 3, 5, 7.
        skip: Whether a block can be skipped.
        stem_channels: Width of the encoder's stem.
        tail_channels: c_upsample, width of the decoder's upsampling stage.

    Raises:
        ValueError: A value is out of range.
    """

    def __init__(
        self,
        encoder_blocks: tuple[int, int, int] = (3, 2, 2),
        decoder_blocks: int = 9,
        decoder_channels: int = 16,
        kernels: tuple[int, ...] = (3, 5, 7),
        skip: bool = True,
        stem_channels: int = 16,
        tail_channels: int = 64,
    ) -> None:
        self.arguments = {name: value for name, value in locals().items() if name != "self"}
        if not kernels or not set(kernels) <= {3, 5, 7}:
            raise ValueError(f"ChoiceSpace.kernels = {list(kernels)}: must be some of 3, 5, 7")
        if decoder_blocks < 1:
            raise ValueError(f"ChoiceSpace.decoder_blocks = {decoder_blocks}: must be >= 1")
        if decoder_channels < 4 or decoder_channels % 4:
            raise ValueError(f"ChoiceSpace.decoder_channels = {decoder_channels}: must be a multiple of 4")
        self.encoder_blocks = tuple(encoder_blocks)
        self.decoder_channels, self.stem_channels, self.tail_channels = decoder_channels, stem_channels, tail_channels
        counts = (*encoder_blocks, decoder_blocks)
        self.stacks: dict[str, int] = dict(zip((*_ENCODER_STACKS, _DECODER_STACK), counts, strict=True))
        values = (*((SKIP,) if skip else ()), *(f"conv{kernel}" for kernel in sorted(kernels)))
        names = [f"{stack.split('.')[1]}_{i + 1}" for stack, count in self.stacks.items() for i in range(count)]
        self.choices = tuple(Choice(name, values) for name in names)

    def config(self, genotype: Genotype) -> MagnifierConfig:
        """The network: skipped blocks are left out."""
        kinds = [[kind for _, kind in blocks] for blocks in self._kept(genotype).values()]
        return MagnifierConfig(
            encoder="residual",
            encoder_blocks=(len(kinds[0]), len(kinds[1]), len(kinds[2])),
            encoder_body=tuple(kind for part in kinds[:3] for kind in part),  # pyright: ignore[reportArgumentType]
            encoder_channels=self.decoder_channels // 2,
            stem_channels=self.stem_channels,
            manipulator_block=True,
            decoder_depth=len(kinds[3]),
            decoder_body=tuple(kinds[3]),  # pyright: ignore[reportArgumentType]
            decoder_channels=self.decoder_channels,
            upsample_channels=self.tail_channels,
            exit_projection=False,
            bottleneck=2,
        )

    def canonical(self, genotype: Genotype) -> Genotype:
        """Skips moved to the end of their part: where a block is left out does not show in the network."""
        found: list[str] = []
        for stack, blocks in self._kept(genotype).items():
            found += [kind for _, kind in blocks] + [SKIP] * (self.stacks[stack] - len(blocks))
        return Genotype(tuple(found))

    def genotype_of(self, config: MagnifierConfig) -> Genotype | None:
        """The canonical genotype of a network."""
        if config.encoder != "residual":
            return None
        kinds: Iterator[str] = iter(config.encoder_kinds)
        parts = [[next(kinds) for _ in range(count)] for count in config.encoder_blocks] + [list(config.decoder_kinds)]
        genes: list[str] = []
        for most, part in zip(self.stacks.values(), parts, strict=True):
            genes += part + [SKIP] * (most - len(part))
        try:
            genotype = self.require(Genotype(tuple(genes)))
        except InputError:
            return None
        return genotype if self.config(genotype).canonical() == config.canonical() else None

    def covers(self) -> list[Genotype]:
        """One network of each kind of block."""
        kinds = [value for value in self.choices[0].values if value != SKIP]
        return [Genotype((kind,) * len(self.choices)) for kind in kinds]

    def address(self, genotype: Genotype, name: str) -> str:
        """Blocks by their place in the chain and their kind: each candidate has weights of its own."""
        for stack, blocks in self._kept(genotype).items():
            if name.startswith(f"{stack}."):
                number, _, rest = name.removeprefix(f"{stack}.").partition(".")
                place, kind = blocks[int(number)]
                return f"{stack}.{place}.{kind}.{rest}"
        return name

    def largest(self, rng: np.random.Generator) -> Genotype:
        """The largest kernel everywhere."""
        return Genotype(tuple(choice.values[-1] for choice in self.choices))

    def smallest(self, rng: np.random.Generator) -> Genotype:
        """Nothing but skips, or the smallest kernel."""
        return Genotype(tuple(choice.values[0] for choice in self.choices))

    def flops(self, genotype: Genotype) -> int:
        """The paper's FLOPs, as a sum over blocks."""
        without, by_gene = self._flops_by_gene
        return sum(map(getitem, by_gene, genotype.values), without)

    @cached_property
    def _flops_by_gene(self) -> tuple[int, list[dict[Value, int]]]:
        first = Genotype(tuple(choice.values[0] for choice in self.choices))
        start = super().flops(first)
        table: list[dict[Value, int]] = []
        for number, choice in enumerate(self.choices):
            genes = list(first.values)
            found: dict[Value, int] = {}
            for value in choice.values:
                genes[number] = value
                found[value] = super().flops(Genotype(tuple(genes))) - start
            table.append(found)
        return start, table

    def _kept(self, genotype: Genotype) -> dict[str, list[tuple[int, str]]]:
        """Place and kind of the blocks of each part that are not skipped."""
        genes: Iterator[str] = iter([str(value) for value in genotype.values])
        kept: dict[str, list[tuple[int, str]]] = {}
        for stack, count in self.stacks.items():
            blocks = [(place, next(genes)) for place in range(count)]
            kept[stack] = [(place, kind) for place, kind in blocks if kind != SKIP]
        return kept
