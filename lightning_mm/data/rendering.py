"""Exact rendering of layered scenes at any motion, batched, on the device in use.

A layer is a texture of two texels per output pixel whose texels are *taken as* the coefficients of a cubic B-spline.
That defines a smooth function of a continuous coordinate, and every frame, the first included, is sampled from it:
output pixel x shows layer k at x - lam * delta_k(x), with lam = 0 for frame A, 1 for B and C, alpha for the target.
The target is therefore exact at any sub-pixel shift, and no frame is sharper than another. Outlines are analytic
functions of the same coordinate. Occlusion comes from compositing back to front.

Everything is float32 outside autocast: at a width of 384 px half precision places a pixel only to 0.07 px.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_mm.data.bank import TextureBank
from lightning_mm.data.degradation import degrade
from lightning_mm.data.scenes import BLOB, HARMONICS, POLYGON

_TEXELS_PER_PIXEL = 2.0
# Pixels worked on at a time: on a processor few enough for its cache, which at 384 px is 1.5 times as fast as all at
# once.
_CHUNKS = {"outlines": {"cpu": 1 << 17, "cuda": 1 << 22}, "textures": {"cpu": 1 << 15, "cuda": 1 << 21}}


class Pairs(NamedTuple):
    """A batch of training pairs, images (B, 3, H, W) float32 in [-1, 1].

    Attributes:
        frame_a: Reference frame.
        frame_b: Moved frame, colours perturbed.
        frame_c: Moved frame in the colours of A.
        target: Frame A's content moved by alpha times the motion, in the colours of B; clean.
        alpha: (B,) total motion factor.
    """

    frame_a: Tensor
    frame_b: Tensor
    frame_c: Tensor
    target: Tensor
    alpha: Tensor


Scenes = dict[str, Tensor]


@torch.no_grad()
def render_pairs(scenes: Scenes, bank: TextureBank, size: int) -> Pairs:
    """Render a batch of scenes and degrade its inputs.

    Args:
        scenes: Collated output of ``SceneSampler``, (B, ...) each, on the bank's device.
        bank: Textures.
        size: Side of the frames in pixels.

    Returns:
        The pairs: inputs with shot noise and stochastic rounding to 8 bits, targets clean and not rounded.
    """
    with torch.autocast(scenes["alpha"].device.type, enabled=False):
        clean = render_clean(scenes, bank, size)
        a, b, c = degrade((clean.frame_a, clean.frame_b, clean.frame_c), scenes["noise"], scenes["key"])
    return Pairs(a, b, c, clean.target, clean.alpha)


@torch.no_grad()
def render_clean(scenes: Scenes, bank: TextureBank, size: int) -> Pairs:
    """Render a batch of scenes without noise or rounding; arguments as of ``render_pairs``."""
    alpha = scenes["alpha"]
    frame_a, _ = render(scenes, bank, size, torch.zeros_like(alpha))
    moved, visible = render(scenes, bank, size, torch.ones_like(alpha))
    magnified, visible_magnified = render(scenes, bank, size, alpha)
    frame_b = moved + torch.einsum("bkhw,bkc->bchw", visible, scenes["perturbation"])
    target = magnified + torch.einsum("bkhw,bkc->bchw", visible_magnified, scenes["perturbation"])
    a, b, c, y = (frame.clamp(-1.0, 1.0) for frame in (frame_a, frame_b, moved, target))
    return Pairs(a, b, c, y, alpha)


def render(scenes: Scenes, bank: TextureBank, size: int, lam: Tensor) -> tuple[Tensor, Tensor]:
    """Render scenes at a multiple of their motion.

    Args:
        scenes: As for ``render_pairs``.
        bank: Textures.
        size: Side of the frames in pixels.
        lam: (B,) multiple of the motion.

    Returns:
        Frames (B, 3, H, W), not clamped, in the unperturbed colours, and the share (B, K, H, W) of each pixel that each
        layer shows; the shares of a pixel add up to 1.
    """
    position = _in_reach(scenes, size, lam)  # into (B, K, H, W), flat
    batch, k = scenes["texture"].shape
    coverage = torch.zeros(batch, k, size, size, device=lam.device)
    places = []
    for part in position.split(_chunk("outlines", lam.device)):
        layer, pixel = part // size**2, part % size**2
        place = displaced(scenes, torch.stack([pixel // size, pixel % size], dim=-1), layer, lam)
        coverage.view(-1)[part] = _coverage(scenes, place, layer)
        places.append(place)
    visible = _visible(coverage)
    # Textures are read only where they show: about once per pixel, however many objects there are.
    share = visible.view(-1).index_select(0, position)
    shown = (share > 0.0).nonzero().squeeze(1)
    position, place, share = position[shown], torch.cat(places)[shown], share[shown, None]
    parts = zip(*(x.split(_chunk("textures", lam.device)) for x in (position, place, share)), strict=True)
    colours = torch.cat([s * _texture_colours(scenes, bank, at, p // size**2) for p, at, s in parts])
    return _sum_layers(colours, visible, position), visible


def _sum_layers(colours: Tensor, visible: Tensor, position: Tensor) -> Tensor:
    """Frames (B, 3, H, W) from the shares of colour (N, 3) at flat positions into ``visible``, (B, K, H, W).

    Each pixel's layers take the next free of a few slots, so that no two meet: adding them up where they meet has no
    fixed order on a GPU.
    """
    batch, k, height, width = visible.shape
    pixel = position // (k * height * width) * (height * width) + position % (height * width)
    counted = (visible > 0.0).cumsum(1, dtype=torch.uint8)
    slot = counted.view(-1).index_select(0, position).long() - 1
    slots = colours.new_zeros(int(counted[:, -1].max()), batch * height * width, 3)
    slots.view(-1, 3)[slot * (batch * height * width) + pixel] = colours
    return slots.sum(dim=0).view(batch, height, width, 3).permute(0, 3, 1, 2).contiguous()


def _chunk(work: str, device: torch.device) -> int:
    sizes = _CHUNKS[work]
    return sizes["cpu"] if device.type == "cpu" else sizes["cuda"]


def _in_reach(scenes: Scenes, size: int, lam: Tensor) -> Tensor:
    """Flat indices into (B, K, H, W) where a layer can cover: its moved bounding circle; all for the background."""
    axis = torch.arange(size, dtype=torch.float32, device=lam.device)
    dy, dx = ((axis - scenes["centre"][..., i, None]).square() for i in (0, 1))  # (B, K, H), (B, K, W)
    widest = 1.0 + scenes["harmonics"][:, :, 0].sum(dim=-1)
    reach = scenes["half"].amax(dim=-1) * widest.clamp(min=math.sqrt(2.0)) + scenes["softness"]
    drift = scenes["shift"].norm(dim=-1) + scenes["wave"][..., :2].norm(dim=-1)
    slope = torch.linalg.matrix_norm(scenes["linear"])
    # Pixel r shows place r - lam * delta(r), no nearer to the centre than |r| * (1 - lam * slope) - lam * drift.
    stretch = 1.0 / (1.0 - lam[:, None] * slope).clamp(min=1e-3)
    reach = (reach + lam[:, None] * drift + 1.0) * stretch * scenes["active"]
    inside = dy[..., :, None] + dx[..., None, :] < reach[..., None, None].square()
    inside[:, 0] = True
    return inside.view(-1).nonzero().squeeze(1)


def displaced(scenes: Scenes, pixel: Tensor, layer: Tensor, lam: Tensor) -> Tensor:
    """The place in a layer that an output pixel shows, relative to the layer's centre.

    Args:
        scenes: As for ``render_pairs``.
        pixel: (N, 2) pixel (y, x).
        layer: (N,) number of the layer, counted through the batch: scene * K + layer.
        lam: (B,) multiple of the motion.

    Returns:
        (N, 2) float32 px as (y, x): r - lam * delta(r), with r the pixel's position relative to the centre.
    """
    r = pixel - _of(scenes, "centre", layer)
    wave = _of(scenes, "wave", layer)
    phase = (wave[:, 2:4] * r).sum(dim=-1) + wave[:, 4]
    linear = _apply(_of(scenes, "linear", layer), r)
    delta = _of(scenes, "shift", layer) + linear + wave[:, :2] * torch.sin(phase)[:, None]
    return r - lam[layer // scenes["texture"].shape[1], None] * delta


def _coverage(scenes: Scenes, place: Tensor, layer: Tensor) -> Tensor:
    """Opacity (N,) in [0, 1] of layers' outlines at places (N, 2) in them; the background covers everything."""
    coverage = torch.ones_like(place[:, 0])
    objects = (layer % scenes["texture"].shape[1] > 0).nonzero().squeeze(1)
    layer = layer[objects]
    q = _apply(_of(scenes, "rotation", layer), place[objects])
    half, outline = _of(scenes, "half", layer), _of(scenes, "outline", layer)
    distance = (q.abs() - half).amax(dim=-1)
    for kind, radius_of in ((BLOB, _blob_radius), (POLYGON, _polygon_radius)):
        of_kind = (outline == kind).nonzero().squeeze(1)
        scaled = q[of_kind] / half[of_kind]
        radius = scaled.norm(dim=-1).clamp(min=1e-6)
        # Length in pixels of a unit step of the scaled radius, so that the edge is equally soft all round.
        step = radius / (scaled / half[of_kind]).norm(dim=-1).clamp(min=1e-9)
        theta = torch.atan2(scaled[:, 0], scaled[:, 1])
        distance[of_kind] = (radius - radius_of(scenes, layer[of_kind], theta)) * step
    t = (0.5 - 0.5 * distance / _of(scenes, "softness", layer)).clamp(0.0, 1.0)
    coverage[objects] = t * t * (3.0 - 2.0 * t)
    return coverage


def _blob_radius(scenes: Scenes, layer: Tensor, theta: Tensor) -> Tensor:
    """Radius of blobs in units of their size, (N,), in directions (N,) in radians."""
    harmonics = _of(scenes, "harmonics", layer)
    orders = torch.arange(2, HARMONICS + 2, device=theta.device)
    radius = 1.0 + (harmonics[:, 0] * torch.cos(theta[:, None] * orders + harmonics[:, 1])).sum(dim=-1)
    return radius.clamp(min=0.2)


def _polygon_radius(scenes: Scenes, layer: Tensor, theta: Tensor) -> Tensor:
    """Radius of regular polygons in units of their size, (N,), in directions (N,) in radians."""
    sector = 2.0 * math.pi / _of(scenes, "sides", layer)
    return torch.cos(0.5 * sector) / torch.cos(torch.remainder(theta, sector) - 0.5 * sector)


def _visible(coverage: Tensor) -> Tensor:
    """Share of each pixel that each layer shows: its own opacity times what the layers in front let through."""
    passed = torch.cumprod((1.0 - coverage).flip(1), dim=1).flip(1)  # through layer k and all in front of it
    in_front = torch.cat([passed[:, 1:], torch.ones_like(passed[:, :1])], dim=1)
    return coverage * in_front


def _texture_colours(scenes: Scenes, bank: TextureBank, place: Tensor, layer: Tensor) -> Tensor:
    """Colours (N, 3) of layers at places (N, 2) in them."""
    texel = _TEXELS_PER_PIXEL * _apply(_of(scenes, "flip", layer), place)
    whole = texel.floor()
    fraction = texel - whole
    first = whole.long() + _of(scenes, "origin", layer) - 1
    value = sample_bspline(bank, _of(scenes, "texture", layer), first, fraction)
    return _of(scenes, "gain", layer) * (value / 127.5 - 1.0) + _of(scenes, "offset", layer)


def sample_bspline(bank: TextureBank, texture: Tensor, first: Tensor, fraction: Tensor) -> Tensor:
    """Evaluate the cubic B-spline whose coefficients are the texels.

    Args:
        bank: Textures.
        texture: (N,) texture numbers.
        first: (N, 2) int64, row and column of the first of the 4 x 4 texels in reach; outside, textures are reflected.
        fraction: (N, 2) in [0, 1), position between the second and the third texel.

    Returns:
        (N, 3) float32 in [0, 255].
    """
    taps = torch.arange(4, device=first.device)
    offset, height, width = (x.index_select(0, texture)[:, None] for x in (bank.offset, bank.height, bank.width))
    rows = reflect(first[:, :1] + taps, height)
    columns = reflect(first[:, 1:] + taps, width)
    index = (offset + rows * width)[:, :, None] + columns[:, None, :]
    words = bank.texels.view(torch.int32).view(-1).index_select(0, index.view(-1))
    texels = words.view(torch.uint8).view(-1, 16, 4).float()
    weights = _bspline_weights(fraction)
    weight = weights[:, 0, :, None] * weights[:, 1, None, :]
    return torch.bmm(weight.view(-1, 1, 16), texels)[:, 0, :3]


def _bspline_weights(fraction: Tensor) -> Tensor:
    """The four weights of the uniform cubic B-spline, (N, 2, 4), which add up to 1."""
    t = fraction
    t2, t3 = t * t, t * t * t
    return torch.stack([(1 - t) ** 3, 3 * t3 - 6 * t2 + 4, -3 * t3 + 3 * t2 + 3 * t + 1, t3], dim=-1) / 6.0


def _of(scenes: Scenes, name: str, layer: Tensor) -> Tensor:
    """A scene parameter of each of N layers, (N, ...)."""
    return scenes[name].flatten(0, 1).index_select(0, layer)


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrices (N, 2, 2) times vectors (N, 2)."""
    return matrix[..., 0] * vector[:, :1] + matrix[..., 1] * vector[:, 1:]


def reflect(index: Tensor, size: Tensor) -> Tensor:
    """Positions of any int64 numbers in [0, size), where what lies beyond a border is mirrored at it."""
    index = torch.remainder(index, 2 * size)
    return torch.minimum(index, 2 * size - 1 - index)
