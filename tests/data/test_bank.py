from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_mm.data.bank import IMAGE_SUFFIXES, TextureBank, build_bank, find_images
from lightning_mm.data.textures import blur
from lightning_mm.errors import InputError

PHOTOS = Path(__file__).parents[2].parent / "shared" / "data" / "photos_val"
GROUPS = ("procedural", "procedural_blurred", "photo", "photo_blurred")


@pytest.fixture(autouse=True)
def _no_cache():
    build_bank.cache_clear()
    yield
    build_bank.cache_clear()


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def texture(bank, number):
    start, height, width = (int(x[number]) for x in (bank.offset, bank.height, bank.width))
    return bank.texels[start : start + height * width, :3].reshape(height, width, 3).numpy()


def save(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def message_of(call, *arguments):
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_textures_of_different_sizes_are_stored_side_by_side():
    images = [noise(5, 7, 1), noise(4, 4, 2), noise(9, 3, 3)]
    bank = TextureBank({"procedural": images[:2], "procedural_blurred": [], "photo": images[2:], "photo_blurred": []})
    assert [bank.groups[name] for name in GROUPS] == [range(2), range(2, 2), range(2, 3), range(3, 3)]
    for number, image in enumerate(images):
        assert np.array_equal(texture(bank, number), image)
    assert bank.texels.shape == (35 + 16 + 27, 4)
    assert not bank.texels[:, 3].any()
    assert not bank.state_dict(), "a checkpoint must not carry the textures"


def test_digest_tells_banks_apart():
    image = noise(6, 6)
    first, same = TextureBank({"photo": [image]}), TextureBank({"photo": [image.copy()]})
    image[2, 3, 1] ^= 1
    other = TextureBank({"photo": [image]})
    assert first.digest() == same.digest() != other.digest()
    assert len(first.digest()) == 12
    assert int(first.digest(), 16) >= 0


def test_procedural_bank_is_a_function_of_its_arguments():
    first = build_bank(3, "train", 6, 64)
    build_bank.cache_clear()
    again = build_bank(3, "train", 6, 64)
    assert again is not first
    assert torch.equal(first.texels, again.texels)
    assert {name: len(group) for name, group in first.groups.items()} == dict(zip(GROUPS, (6, 2, 0, 0), strict=True))
    # A longer bank begins with the textures of a shorter one.
    longer = build_bank(3, "train", 7, 64)
    for number in range(6):
        assert np.array_equal(texture(longer, number), texture(first, number))


def test_no_texture_is_in_two_splits_or_seeds():
    banks = [build_bank(3, "train", 6, 64), build_bank(3, "val", 6, 64), build_bank(4, "train", 6, 64)]
    seen = {texture(bank, number).tobytes() for bank in banks for number in bank.groups["procedural"]}
    assert len(seen) == 18


def test_procedural_textures_stay_what_they_are_for_ever():
    """Validation scenes are cut from these: a change makes all earlier results incomparable."""
    assert build_bank(20180910, "val", 6, 128).digest() == "c7c58b1c255d"


def test_bank_is_shared_within_a_process():
    assert build_bank(3, "train", 1, 64) is build_bank(3, "train", 1, 64)


def roughness(image):
    return np.abs(np.diff(image.astype(float), axis=0)).mean() + np.abs(np.diff(image.astype(float), axis=1)).mean()


def test_blurred_copies_are_blurs_of_every_fourth_texture():
    bank = build_bank(0, "train", 9, 128)
    originals = [bank.groups["procedural"][index] for index in (0, 4, 8)]
    for original, copy in zip(originals, bank.groups["procedural_blurred"], strict=True):
        sharp, blurred = texture(bank, original) / np.float32(255), texture(bank, copy) / np.float32(255)
        errors = [np.abs(blur(sharp, sigma) - blurred).max() for sigma in np.geomspace(2.0, 12.0, 80)]
        assert min(errors) < 1.5 / 255, "no blur of 2 to 12 texels gives it"


def test_photos_are_found_in_depth_and_sorted(tmp_path):
    places = ["b.png", "a/z.JPG", "a/b/c.webp", "c.jpeg", "a.tiff", "a/k.bmp", "zz/y.tif"]
    for number, place in enumerate(places):
        save(tmp_path / place, noise(16, 16, number))
    (tmp_path / "a" / "readme.txt").write_text("not an image")
    assert find_images(tmp_path) == sorted(tmp_path / place for place in places)
    assert {path.suffix.lower() for path in find_images(tmp_path)} == set(IMAGE_SUFFIXES)


def test_photos_are_stored_as_they_are_read(tmp_path):
    images = {"a.png": noise(520, 512, 1), "b/c.png": noise(600, 530, 2), "d.bmp": noise(512, 512, 3)}
    for place, image in reversed(images.items()):
        save(tmp_path / place, image)
    bank = build_bank(0, "train", 0, 64, tmp_path)
    assert [len(bank.groups[name]) for name in GROUPS] == [0, 0, 3, 1]
    for number, image in zip(bank.groups["photo"], images.values(), strict=True):
        assert np.array_equal(texture(bank, number), image)
    blurred = texture(bank, bank.groups["photo_blurred"][0])
    assert blurred.shape == images["a.png"].shape
    assert roughness(blurred) < 0.3 * roughness(images["a.png"])


def test_small_photos_are_enlarged(tmp_path):
    ramp = np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[:, None, None], 150, axis=1).repeat(3, axis=2)
    for number in range(6):
        save(tmp_path / f"{number}.png", ramp)
    bank = build_bank(0, "train", 0, 64, tmp_path)
    zooms = []
    for number in bank.groups["photo"]:
        image = texture(bank, number)
        zooms.append(image.shape[0] / 100)
        assert image.shape[1] / 150 == pytest.approx(zooms[-1], abs=0.01)
        assert (np.diff(image[5:-5, 70, 0].astype(int)) >= 0).all(), "the top is still the top"
    assert 1.0 <= min(zooms) < max(zooms) <= 2.0
    build_bank.cache_clear()
    assert torch.equal(bank.texels, build_bank(0, "train", 0, 64, tmp_path).texels)


def test_photos_of_other_modes_become_rgb(tmp_path):
    grey = noise(512, 512)[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(np.dstack([noise(512, 512), grey])).save(tmp_path / "b.png")
    Image.fromarray(grey).convert("P").save(tmp_path / "c.png")
    bank = build_bank(0, "train", 0, 64, tmp_path)
    assert np.array_equal(texture(bank, 0), np.repeat(grey[..., None], 3, axis=2))
    assert np.array_equal(texture(bank, 1), noise(512, 512))
    assert np.array_equal(texture(bank, 2), np.repeat(grey[..., None], 3, axis=2))


def test_missing_folder_is_named(tmp_path):
    folder = tmp_path / "nowhere"
    assert str(folder) in message_of(build_bank, 0, "train", 1, 64, folder)
    save(tmp_path / "a.png", noise(8, 8))
    assert "no such folder" in message_of(find_images, tmp_path / "a.png")


def test_empty_folder_is_named(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "notes.txt").write_text("no image")
    message = message_of(build_bank, 0, "train", 1, 64, tmp_path)
    assert str(tmp_path) in message
    assert ".png" in message


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow warns of a torn TIFF header before it gives up
@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
@pytest.mark.parametrize("kept", [0, 9, 30, 0.5])
def test_broken_photo_is_named(tmp_path, suffix, kept):
    save(tmp_path / "a.png", noise(16, 16))
    broken = tmp_path / "sub" / f"b{suffix}"
    save(broken, noise(64, 64))
    content = broken.read_bytes()
    broken.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    message = message_of(build_bank, 0, "train", 1, 64, tmp_path)
    assert message.startswith(str(broken)), message


def test_text_that_is_called_a_photo_is_named(tmp_path):
    (tmp_path / "a.png").write_text("not a photo")
    assert message_of(build_bank, 0, "train", 1, 64, tmp_path).startswith(str(tmp_path / "a.png"))


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the validation photos are not beside this checkout")
def test_real_photos():
    bank = build_bank(20180910, "val", 0, 64, PHOTOS)
    photos = [texture(bank, number) for number in bank.groups["photo"]]
    assert len(photos) == len(find_images(PHOTOS)) > 0
    assert len(bank.groups["photo_blurred"]) == -(-len(photos) // 4)
    for photo in photos:
        assert min(photo.shape[:2]) >= 64
        assert photo.std() > 5.0
    for photo, copy in zip(photos[::4], bank.groups["photo_blurred"], strict=True):
        assert roughness(texture(bank, copy)) < 0.8 * roughness(photo)
