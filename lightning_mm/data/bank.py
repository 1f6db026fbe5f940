"""The texture bank: every image that layers are cut from, packed into one tensor that moves to the device once."""

import functools
import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lightning_mm.data.random import sample_key
from lightning_mm.data.textures import blur, random_texture
from lightning_mm.errors import InputError, first_line

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
_BLUR_EVERY = 4


class TextureBank(nn.Module):
    """Procedural textures, photos of a folder, and blurred copies of some of each.

    Textures differ in size and are stored one after the other, four bytes a texel. Outside its borders a texture
    continues by reflection, so a scene of any size can be cut from it.

    Attributes:
        texels: (N, 4) uint8: red, green, blue and one unused byte that makes a texel one 32-bit word.
        offset: (T,) int64, where each texture begins.
        height: (T,) int64, in texels.
        width: (T,) int64, in texels.
        groups: Ranges of texture numbers by name: "procedural", "photo", and each with "_blurred" behind.
    """

    texels: Tensor
    offset: Tensor
    height: Tensor
    width: Tensor

    def __init__(self, groups: dict[str, list[np.ndarray]]) -> None:
        super().__init__()
        images = [image for group in groups.values() for image in group]
        sizes = torch.tensor([image.shape[:2] for image in images], dtype=torch.int64).reshape(-1, 2)
        counts = sizes.prod(dim=1)
        self.groups: dict[str, range] = {}
        start = 0
        for name, group in groups.items():
            self.groups[name] = range(start, start + len(group))
            start += len(group)
        texels = np.zeros((int(counts.sum()), 4), np.uint8)
        position = 0
        for image in images:
            area = image.shape[0] * image.shape[1]
            texels[position : position + area, :3] = image.reshape(-1, 3)
            position += area
        self.register_buffer("texels", torch.from_numpy(texels), persistent=False)
        self.register_buffer("offset", torch.cumsum(counts, 0) - counts, persistent=False)
        self.register_buffer("height", sizes[:, 0].contiguous(), persistent=False)
        self.register_buffer("width", sizes[:, 1].contiguous(), persistent=False)

    def digest(self) -> str:
        """First 12 hex digits of the SHA-256 of all texels: two banks with the same digest are the same."""
        return hashlib.sha256(self.texels.cpu().numpy().tobytes()).hexdigest()[:12]


@functools.lru_cache(maxsize=4)
def build_bank(seed: int, split: str, procedural: int, texture_size: int, photos: Path | None = None) -> TextureBank:
    """Make or read the textures of a split; cached, because trials of a sweep in one process share it.

    Args:
        seed: Base seed of the procedural textures.
        split: "train", "val" or "search"; no two share a procedural texture.
        procedural: Number of procedural textures; 0 for photos alone.
        texture_size: Their side in texels; a scene shows half as many pixels before it repeats by reflection.
        photos: Folder of photos, searched in depth, or ``None``.

    Raises:
        InputError: The folder is missing, holds no image, or an image cannot be read.
    """
    groups: dict[str, list[np.ndarray]] = {"procedural": [], "procedural_blurred": [], "photo": [], "photo_blurred": []}
    for index in range(procedural):
        rng = np.random.Generator(np.random.Philox(key=sample_key(seed, f"{split}-texture", index)))
        texture = random_texture(rng, texture_size)
        groups["procedural"].append(_to_bytes(texture))
        if index % _BLUR_EVERY == 0:
            groups["procedural_blurred"].append(_to_bytes(blur(texture, 2.0 * 6.0 ** rng.random())))
    for index, path in enumerate(find_images(photos) if photos is not None else []):
        rng = np.random.Generator(np.random.Philox(key=sample_key(seed, f"{split}-photo", index)))
        photo = _read_photo(path, zoom=2.0 ** rng.random())
        groups["photo"].append(photo)
        if index % _BLUR_EVERY == 0:
            groups["photo_blurred"].append(_to_bytes(blur(photo.astype(np.float32) / 255.0, 2.0 * 6.0 ** rng.random())))
    return TextureBank(groups)


def find_images(folder: Path) -> list[Path]:
    """All image files below a folder, sorted by path.

    Raises:
        InputError: The folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of photos")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    if not found:
        raise InputError(f"{folder}: no image in it (looked for {', '.join(IMAGE_SUFFIXES)})")
    return found


def _read_photo(path: Path, zoom: float) -> np.ndarray:
    """Read as RGB and enlarge a small photo, which at two texels per pixel would else show half its size."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: not a readable image ({first_line(error)})") from None
    if min(rgb.size) < 512:
        rgb = rgb.resize((round(rgb.width * zoom), round(rgb.height * zoom)), Image.Resampling.BICUBIC)
    return np.asarray(rgb)


def _to_bytes(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image * 255.0), 0, 255).astype(np.uint8)
