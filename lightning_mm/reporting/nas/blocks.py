"""Networks drawn as rows of blocks, in SVG: a square for each residual block, its size and colour the kernel's."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from lightning_mm.models import MagnifierConfig
from lightning_mm.reporting.run import TIMES
from lightning_mm.reporting.style import GRID, INK, LINE, MUTED

SKIP = "skip"
KINDS = {
    "conv3": ("#56B4E9", 12, "kernel 3"),
    "conv5": ("#E69F00", 18, "kernel 5"),
    "conv7": ("#CC3311", 24, "kernel 7"),
    SKIP: ("none", 12, "skipped"),
}
"""Colour, height in pixels and name of each kind of block."""

_OTHER = ("#999999", 18, "other block")
_WIDTH, _STEP, _LABEL, _GAP, _STRIP = 13, 16, 214, 18, 62
_MANIPULATOR, _ALPHA = 46, "\N{GREEK SMALL LETTER ALPHA}"


@dataclass(frozen=True)
class Drawing:
    """A network as it is drawn.

    Attributes:
        label: Its name.
        note: A line below the name, such as its cost.
        common: Kinds of the residual blocks in the encoder's common part, "skip" where one is left out.
        texture: Likewise of the branch to the texture.
        shape: Likewise of the branch to the shape.
        decoder: Likewise of the decoder.
        linear: Text for an encoder of one convolution, which is drawn instead of the encoder's parts.
        manipulator: Whether the manipulator has its residual block.
    """

    label: str
    note: str
    common: Sequence[str]
    texture: Sequence[str]
    shape: Sequence[str]
    decoder: Sequence[str]
    linear: str = ""
    manipulator: bool = True


def of_genes(label: str, note: str, parts: Sequence[int], genes: Sequence[str]) -> Drawing:
    """A network of a chain of choice blocks, with what it skips.

    Args:
        label: Its name.
        note: A line below the name.
        parts: Number of blocks in the encoder's common, texture and shape part and in the decoder.
        genes: Kind of each block, in this order.
    """
    ends = [sum(parts[: i + 1]) for i in range(4)]
    common, texture, shape, decoder = (genes[end - count : end] for end, count in zip(ends, parts, strict=True))
    return Drawing(label, note, common, texture, shape, decoder)


def of_arch(label: str, note: str, arch: dict[str, Any]) -> Drawing:
    """A network by the fields of its configuration."""
    config = MagnifierConfig(**arch)
    common, texture, shape = config.encoder_blocks
    genes = [*config.encoder_kinds, *config.decoder_kinds]
    linear = ""
    if config.encoder != "residual":
        common = texture = shape = 0
        genes = list(config.decoder_kinds)
        side = arch.get("encoder_kernel") or {"linear": 9, "linear_single": 13}[config.encoder]
        linear = f"linear, {side}{TIMES}{side}"
    drawn = of_genes(label, note, (common, texture, shape, config.decoder_depth), genes)
    parts = (drawn.common, drawn.texture, drawn.shape, drawn.decoder)
    return Drawing(label, note, *parts, linear=linear, manipulator=config.manipulator_block)


def blocks_svg(drawings: Sequence[Drawing]) -> str:
    """One strip for each network below another, equal parts below equal parts, with headings and a legend."""
    common = max([len(drawing.common) for drawing in drawings] + [3])
    branch = max([len(part) for drawing in drawings for part in (drawing.texture, drawing.shape)] + [2])
    starts = [_LABEL]
    for width in (common * _STEP, branch * _STEP, _MANIPULATOR):
        starts.append(starts[-1] + width + _GAP)
    longest = max([len(drawing.decoder) for drawing in drawings] + [6])
    width = starts[3] + longest * _STEP + 12
    top = 58
    height = top + _STRIP * len(drawings)
    strips = "".join(_strip(drawing, top + _STRIP * i, starts, width) for i, drawing in enumerate(drawings))
    return (
        f'<svg class="blocks" xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" font-family="inherit">'
        f"<title>Networks as blocks</title>{_legend()}{_headings(starts)}{strips}</svg>"
    )


def _legend() -> str:
    entries = [(_rect(0, 14, kind, "key"), name) for kind, (_, _, name) in KINDS.items()]
    entries += [(_pill(0, 14, True), "manipulator"), (_pill(0, 14, False), "manipulator without residual block")]
    parts, x = [], 0.0
    for mark, name in entries:
        room = 20 if "pill" not in mark else _MANIPULATOR + 7
        parts.append(f'<g transform="translate({x} 0)">{mark}{_text(room, 14, name, 12.5, INK)}</g>')
        x += room + 6.6 * len(name) + 22
    return "".join(parts)


def _headings(starts: Sequence[int]) -> str:
    encoder, _, manipulator, decoder = starts
    names = {encoder: "encoder", manipulator: "manip.", decoder: "decoder"}
    return "".join(_text(x, 44, name, 12, MUTED) for x, name in names.items())


def _strip(drawing: Drawing, top: int, starts: Sequence[int], width: int) -> str:
    middle, upper, lower = top + _STRIP // 2, top + _STRIP // 2 - 15, top + _STRIP // 2 + 15
    first, branch, manipulator, decoder = starts
    split, join = (manipulator if drawing.linear else branch) - _GAP // 2, decoder - _GAP // 2
    end = decoder + max(1, len(drawing.decoder)) * _STEP
    lines = (
        f"M{first - 6} {middle}H{split}M{split} {upper}V{lower}M{split} {upper}H{join}M{split} {lower}H{join}"
        f"M{join} {upper}V{lower}M{join} {middle}H{end}"
    )
    parts = [
        f'<path d="M0 {top}H{width}" stroke="{GRID}"/>',
        f'<path d="{lines}" stroke="{LINE}" stroke-width="1.5" fill="none"/>',
        _text(0, middle - 9, drawing.label, 13.5, INK, bold=True),
        _text(0, middle + 9, drawing.note, 12, MUTED),
    ]
    if drawing.linear:
        box = split - _GAP // 2 - first
        parts.append(
            f'<rect class="linear" x="{first}" y="{middle - 13}" width="{box}" height="26" rx="3" '
            f'fill="#fff" stroke="{MUTED}"/>' + _text(first + 6, middle, drawing.linear, 12, INK)
        )
    parts += [_row(first, middle, drawing.common), _row(branch, upper, drawing.texture)]
    parts += [_row(branch, lower, drawing.shape), _row(decoder, middle, drawing.decoder)]
    parts.append(_pill(manipulator, lower, drawing.manipulator))
    return f'<g class="network">{"".join(parts)}</g>'


def _pill(x: int, y: int, block: bool) -> str:
    dash = "" if block else ' stroke-dasharray="3 2"'
    said = "manipulator" if block else "manipulator without residual block"
    return (
        f'<rect class="pill" x="{x}.5" y="{y - 9.5}" width="{_MANIPULATOR - 1}" height="19" rx="9.5" fill="#fff" '
        f'stroke="{MUTED}"{dash}><title>{said}</title></rect>{_text(x + _MANIPULATOR / 2 - 4, y, _ALPHA, 13, INK)}'
    )


def _row(x: int, y: int, kinds: Sequence[str]) -> str:
    return "".join(_rect(x + i * _STEP, y, kind) for i, kind in enumerate(kinds))


def _rect(x: int, y: int, kind: str, role: str = "block") -> str:
    colour, height, name = KINDS.get(kind, _OTHER)
    look = f'fill="{colour}"' if kind != SKIP else f'fill="#fff" stroke="{MUTED}" stroke-dasharray="3 2"'
    inset = 0.0 if kind != SKIP else 0.5
    return (
        f'<rect class="{role} {escape(kind)}" x="{x + inset}" y="{y - height / 2 + inset}" '
        f'width="{_WIDTH - 2 * inset}" height="{height - 2 * inset}" rx="2" {look}>'
        f"<title>{escape(name if kind in KINDS else kind)}</title></rect>"
    )


def _text(x: float, y: float, text: str, size: float, colour: str, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x}" y="{y}" dominant-baseline="central" font-size="{size}" fill="{colour}"{weight}>'
        f"{escape(text)}</text>"
    )
