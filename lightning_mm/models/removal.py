"""Which components of a magnifier can be removed, and the magnifier that is left (Section 5.1, Table 1)."""

from dataclasses import replace
from typing import Literal

from torch import Tensor, nn

from lightning_mm.models.block_forms import PARTS, Part
from lightning_mm.models.blocks import ResidualBlock
from lightning_mm.models.config import MagnifierConfig
from lightning_mm.models.magnifier import Magnifier
from lightning_mm.models.switches import Bypass, Switch, WithoutSkip, insert_switches

RemovableComponent = Literal["relu", "skip", "block"]


def removable(config: MagnifierConfig, part: Part, component: RemovableComponent) -> dict[str, str]:
    """The components of one kind in a part's residual blocks.

    Args:
        config: The architecture.
        part: "encoder", "manipulator" or "decoder".
        component: The ReLU of a block, its skip connection, or the block itself.

    Returns:
        Dotted names of the modules to switch by the names of the blocks as ``MagnifierConfig.linear_blocks`` has them.

    Raises:
        ValueError: There are none.
    """
    forms, leaf = config.block_forms(part), ".relu" if component == "relu" else ""
    there = [component == "block" or getattr(form, component) for form in forms]
    found = {f"{part}.{n}": place + leaf for n, place in enumerate(_places(config)[part]) if there[n]}
    if not found:
        what = "no residual blocks" if not forms else f"no residual block with its {component}"
        detail = f" ({config.encoder})" if part == "encoder" else ""
        raise ValueError(f"the {part}{detail} of this architecture has {what}")
    return found


def switch_components(magnifier: Magnifier, part: Part, component: RemovableComponent) -> dict[str, Switch]:
    """Put a switch around each component of one kind in a part's residual blocks, in place.

    Args:
        magnifier: The magnifier; what it computes does not change.
        part: "encoder", "manipulator" or "decoder".
        component: "relu", "skip" or "block".

    Returns:
        The switches by the names of the blocks: "decoder.3".

    Raises:
        ValueError: There is no such component, or the magnifier has switches.
    """
    names = removable(magnifier.config, part, component)
    switches = insert_switches(magnifier, list(names.values()), "skip" if component == "skip" else "identity")
    return {name: switches[place] for name, place in names.items()}


def remaining(magnifier: Magnifier) -> tuple[MagnifierConfig, dict[str, Tensor]]:
    """What is left of a magnifier after ``cut``, as an ordinary architecture with its weights.

    Args:
        magnifier: A magnifier of which ``cut`` may have taken residual blocks, their ReLUs or skip connections. Its
            ``config`` still is the one it was built of.

    Returns:
        The architecture in canonical form and the state of a ``Magnifier`` of it, which computes what the cut one does.
        (Only at frames below ``config.min_size`` can it differ, where the blocks that are gone had needed padding.)
    """
    old = magnifier.config
    kept: dict[Part, list[tuple[int, ResidualBlock]]] = {}
    linear, plain = [], []
    for part in PARTS:
        kept[part] = []
        for number, place in enumerate(_places(old)[part]):
            module: nn.Module = magnifier.get_submodule(place)
            if isinstance(module, Bypass):
                continue
            name, form = f"{part}.{len(kept[part])}", old.block_forms(part)[number]
            if isinstance(module, WithoutSkip) or not form.skip:
                plain.append(name)
            block = module.block if isinstance(module, WithoutSkip) else module
            assert isinstance(block, ResidualBlock)
            if isinstance(block.relu, Bypass) or not form.relu:
                linear.append(name)
            kept[part].append((number, block))
    new = _without(old, {part: [number for number, _ in blocks] for part, blocks in kept.items()})
    new = replace(new, linear_blocks=tuple(linear), plain_blocks=tuple(plain)).canonical()
    inside = tuple(f"{place}." for places in _places(old).values() for place in places)
    state = {name: value for name, value in magnifier.state_dict().items() if not name.startswith(inside)}
    for part, places in _places(new).items():
        for place, (_, block) in zip(places, kept[part], strict=True):
            state |= {f"{place}.{name}": value for name, value in block.state_dict().items()}
    return new, state


def _places(config: MagnifierConfig) -> dict[Part, list[str]]:
    """Dotted names of the residual blocks in a ``Magnifier``, in the order of ``MagnifierConfig.block_forms``."""
    stacks = ("encoder.common.4", "encoder.texture.2", "encoder.shape.2")
    forms = zip(stacks, config.encoder_forms, strict=True)
    return {
        "encoder": [f"{stack}.{n}" for stack, found in forms for n in range(len(found))],
        "manipulator": ["manipulator.transform.1"] * config.manipulator_block,
        "decoder": [f"decoder.body.{n}" for n in range(config.decoder_depth)],
    }


def _without(config: MagnifierConfig, kept: dict[Part, list[int]]) -> MagnifierConfig:
    """The architecture with these blocks alone, of whatever form."""
    stacks = [stack for stack, forms in enumerate(config.encoder_forms) for _ in forms]
    common, texture, shape = ([stacks[n] for n in kept["encoder"]].count(stack) for stack in range(3))
    body = tuple(config.encoder_kinds[n] for n in kept["encoder"])
    return replace(
        config,
        encoder_blocks=(common, texture, shape) if config.encoder == "residual" else config.encoder_blocks,
        encoder_body=body if config.encoder == "residual" else None,
        manipulator_block=bool(kept["manipulator"]),
        decoder_depth=len(kept["decoder"]),
        decoder_body=tuple(config.decoder_kinds[n] for n in kept["decoder"]),
        linear_blocks=(),
        plain_blocks=(),
    )
