from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from written_videos import noise

from lightning_mm.errors import InputError
from lightning_mm.video.opening import open_clip


def test_image_folder(tmp_path):
    frames = noise(12)
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"frame{index}.{'PNG' if index % 2 else 'tif'}")  # frame10 after frame9
    (tmp_path / "notes.txt").write_text("passed over")
    (tmp_path / ".hidden.png").write_text("passed over")
    clip = open_clip(tmp_path)
    assert (clip.fps, clip.frames, clip.width, clip.height, clip.has_audio) == (25, 12, 32, 16, False)
    for _ in range(2):
        assert all(np.array_equal(a, b) for a, b in zip(clip, frames, strict=True))
    assert open_clip(tmp_path, fps=29.97).fps == Fraction(30000, 1001)


def test_image_kinds(tmp_path):
    grey16 = np.linspace(0, 65535, 16 * 32).reshape(16, 32).astype(np.uint16)
    Image.fromarray(grey16).save(tmp_path / "0.png")
    rgba = np.dstack([noise(1)[0], np.full((16, 32), 7, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "1.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: shown after a quarter turn clockwise
    turned = noise(1, height=32, width=16)[0]
    Image.fromarray(turned).save(tmp_path / "2.tif", exif=exif)
    first, second, third = open_clip(tmp_path)
    assert np.array_equal(first, np.repeat(grey16[..., None], 3, axis=2))
    assert np.array_equal(second, 257 * rgba[..., :3].astype(np.uint16))  # one deep image makes all frames deep
    assert np.array_equal(third, 257 * np.rot90(turned, -1).astype(np.uint16))


def deep(seed=0, channels=3, height=16, width=32):
    return np.random.default_rng(seed).integers(0, 65536, (height, width, channels), dtype=np.uint16)


@pytest.mark.parametrize("kind", ["png", "png with alpha", "tif", "tif big-endian", "tif deflate", "tif planes"])
def test_deep_colour_is_read_without_loss(tmp_path, kind):
    image, alpha = deep(), deep(seed=1, channels=1)
    if kind.startswith("png"):
        cv2 = pytest.importorskip("cv2")
        stored = np.dstack([image[..., ::-1], alpha]) if "alpha" in kind else image[..., ::-1]
        cv2.imwrite(str(tmp_path / "0.png"), stored)
    else:
        tifffile = pytest.importorskip("tifffile")
        options = {"tif big-endian": {"byteorder": ">"}, "tif deflate": {"compression": "zlib"}}.get(kind, {})
        stored = image
        if "planes" in kind:
            stored, options = np.ascontiguousarray(image.transpose(2, 0, 1)), {"planarconfig": "separate"}
        tifffile.imwrite(tmp_path / "0.tif", stored, photometric="rgb", **options)
    clip = open_clip(tmp_path)
    (frame,) = clip
    assert (clip.depth, frame.dtype) == (16, np.uint16)
    assert np.array_equal(frame, image)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_images_are_turned_as_eight_bit_ones(tmp_path, orientation):
    tifffile = pytest.importorskip("tifffile")
    image = deep()
    tags = [(0x0112, "H", 1, orientation, True)]
    for name, stored in (("deep", image), ("eight", (image >> 8).astype(np.uint8))):
        (tmp_path / name).mkdir()
        tifffile.imwrite(tmp_path / name / "0.tif", stored, photometric="rgb", extratags=tags)
    ((of_deep,), (of_eight,)) = (open_clip(tmp_path / name) for name in ("deep", "eight"))
    assert np.array_equal(of_deep >> 8, of_eight)
    clip = open_clip(tmp_path / "deep")
    assert (clip.height, clip.width) == of_deep.shape[:2]


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "P with transparency", "1", "CMYK"])
def test_eight_bit_images_of_every_kind(tmp_path, mode):
    rgb = np.repeat(np.repeat(noise(1, 4, 8)[0], 4, axis=0), 4, axis=1)
    image, options = Image.fromarray(rgb), {}
    if mode.startswith("P"):
        image = image.quantize(64)
        options = {"transparency": 3} if "with" in mode else {}
    else:
        image = image.convert(mode)
    if mode.endswith("A"):
        image.putalpha(7)  # the colours below count
    suffix = "tif" if mode == "CMYK" else "png"
    image.save(tmp_path / f"0.{suffix}", **options)
    clip = open_clip(tmp_path)
    (frame,) = clip
    assert clip.depth == 8
    wanted = {"L": "L", "LA": "L", "1": "1"}.get(mode)
    if wanted:
        grey = np.asarray(Image.fromarray(rgb).convert(wanted).convert("L"))
        assert np.array_equal(frame, np.repeat(grey[..., None], 3, axis=2))
    elif mode == "RGBA":
        assert np.array_equal(frame, rgb)
    else:
        assert np.abs(frame.astype(int) - rgb).mean() < 3


def test_a_name_that_looks_like_a_pattern_is_one_file(tmp_path):
    image = deep(channels=1)[..., 0]
    Image.fromarray(image).save(tmp_path / "take%03d.png")
    (frame,) = open_clip(tmp_path)
    assert np.array_equal(frame[..., 0], image)


def save_numbered(folder, numbers, name="{:03d}.png"):
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.new("RGB", (32, 16), (number % 256,) * 3).save(folder / name.format(number))
    return open_clip(folder)


def test_gaps_in_a_sequence_are_passed_over_with_a_warning(tmp_path):
    clip = save_numbered(tmp_path / "frames", [0, 1, 2, 5, 6, 9], "take2_{:03d}.png")
    assert [frame[0, 0, 0] for frame in clip] == [0, 1, 2, 5, 6, 9]
    assert clip.warnings == (
        f"{tmp_path / 'frames'}: 4 missing, the first between take2_002.png and take2_005.png; the images are taken as "
        "one after the other",
    )


@pytest.mark.parametrize("numbers", [[3, 4, 5, 6], [0, 10, 20, 30], [7], [1, 9]])
def test_no_gap(tmp_path, numbers):
    assert save_numbered(tmp_path / "frames", numbers).warnings == ()


def test_names_without_common_numbering_have_no_gaps(tmp_path):
    for name in ("a1.png", "b2.png", "c9.png", "c10x3.png"):
        Image.new("RGB", (32, 16)).save(tmp_path / name)
    assert open_clip(tmp_path).warnings == ()


def test_reading_can_begin_anywhere(tmp_path):
    clip = save_numbered(tmp_path / "frames", range(10))
    assert [frame[0, 0, 0] for frame in clip.since(7)] == [7, 8, 9]
    assert list(clip.since(10)) == []


def test_bad_images_are_named(tmp_path):
    Image.fromarray(noise(1)[0]).save(tmp_path / "a.png")
    bad = tmp_path / "b.png"
    bad.write_text("no image")
    with pytest.raises(InputError, match=r"b\.png: not a readable image"):
        open_clip(tmp_path)
    Image.fromarray(noise(1, height=17)[0]).save(bad)
    with pytest.raises(InputError, match=r"b\.png: 32 x 17 pixels, a\.png 32 x 16; all images of a folder"):
        open_clip(tmp_path)
    Image.fromarray(noise(1)[0]).save(bad)
    bad.write_bytes(bad.read_bytes()[:-400])
    with pytest.raises(InputError, match=r"b\.png: not a readable image"):
        list(open_clip(tmp_path))
    bad.unlink()
    Image.fromarray(np.zeros((16, 32), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"a\.tif: floating-point"):
        list(open_clip(tmp_path))
    Image.fromarray(np.zeros((16, 32), np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"a\.tif: 32-bit pixels; accepted: 8 or 16 bits"):
        list(open_clip(tmp_path))
    (tmp_path / "a.tif").unlink()
    Image.fromarray(deep(channels=1)[..., 0]).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:500])
    with pytest.raises(InputError, match=r"a\.png: not a readable image"):
        list(open_clip(tmp_path))
