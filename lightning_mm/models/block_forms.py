"""Residual blocks in a configuration: what each is, and names: "decoder" for all of a part, "decoder.3" for one."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

BlockKind = Literal["conv3", "conv5", "conv7", "dilated3", "separable7"]
BLOCK_PADDINGS: dict[BlockKind, tuple[int, ...]] = {
    "conv3": (1, 1),
    "conv5": (2, 2),
    "conv7": (3, 3),
    "dilated3": (2, 1),
    "separable7": (3, 0, 0),
}
"""Reflect padding of each convolution of a residual block, which is also how far it reaches to each side."""

Part = Literal["encoder", "manipulator", "decoder"]
PARTS: tuple[Part, ...] = get_args(Part)


class BlockForm(NamedTuple):
    """What one residual block is.

    Attributes:
        kind: Its convolutions.
        relu: Whether it has its ReLU.
        skip: Whether it has its skip connection.
    """

    kind: BlockKind
    relu: bool = True
    skip: bool = True


def indices(names: Sequence[str], part: Part, count: int) -> set[int]:
    """Which of a part's ``count`` blocks are named.

    Args:
        names: Names of blocks, valid ones.
        part: The part.
        count: Number of its blocks.

    Returns:
        Indices from 0 to ``count - 1``.
    """
    if part in names:
        return set(range(count))
    return {int(name.rpartition(".")[2]) for name in names if name.startswith(f"{part}.")}


def shortest(names: Sequence[str], counts: Mapping[Part, int]) -> tuple[str, ...]:
    """The one way to name the same blocks: parts in order, whole ones by their name, of others the blocks in order.

    Args:
        names: Names of blocks, valid ones.
        counts: Number of blocks of each part.
    """
    found: list[str] = []
    for part in PARTS:
        chosen = indices(names, part, counts[part])
        whole = len(chosen) == counts[part]
        found += [part] * bool(chosen) if whole else [f"{part}.{index}" for index in sorted(chosen)]
    return tuple(found)


def valid(names: object, counts: Mapping[Part, int]) -> bool:
    """Whether these are names of parts, whose blocks may be none, and of blocks that there are.

    Args:
        names: What was given.
        counts: Number of blocks of each part.
    """
    known = {*PARTS, *(f"{part}.{index}" for part in PARTS for index in range(counts[part]))}
    return isinstance(names, tuple) and all(isinstance(name, str) and name in known for name in names)


def naming(counts: Mapping[Part, int]) -> str:
    """What ``valid`` accepts, in words."""
    ranges = [f"{part}.0 to {part}.{counts[part] - 1}" for part in PARTS if counts[part]]
    return f"a list of names of {', '.join([*PARTS, *ranges])}"
