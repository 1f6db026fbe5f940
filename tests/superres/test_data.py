"""Pairs for super-resolution: what they show, against Pillow and NumPy; what they are a function of."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from lightning_mm.data.bank import TextureBank
from lightning_mm.superres.data import ScaleDataConfig, ScaleDataModule, downscale, render, upscale
from lightning_mm.superres.mdsr import SCALES

TINY = ScaleDataConfig(patch=4, batch_size=2, epoch_steps=5, textures=2, texture_size=64, val_images=3, val_size=24)


def resized(image, side):
    """Pillow's bicubic, an independent implementation, in float32 per channel: (H, W, 3) to (side, side, 3)."""
    planes = [Image.fromarray(np.ascontiguousarray(image[..., c], np.float32)) for c in range(3)]
    return np.stack([np.asarray(p.resize((side, side), Image.Resampling.BICUBIC)) for p in planes], axis=-1)


def planar(image):
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float()


@pytest.fixture(scope="module")
def photo():
    return astronaut()[100:340, 140:380]  # 240 x 240, uint8


def ready(config=TINY, seed=0, first_epoch=0):
    data = ScaleDataModule(config, seed, first_epoch)
    data.setup("fit")
    return data


@pytest.mark.parametrize("scale", SCALES)
def test_downscaling_is_that_of_pillow(photo, scale):
    expected = resized(photo, 240 // scale).clip(0, 255).round()
    found = downscale(planar(photo), scale)[0].permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() <= 1  # a half may round to either side
    assert (found != expected).mean() < 1e-3


@pytest.mark.parametrize("scale", SCALES)
def test_upscaling_is_that_of_pillow(photo, scale):
    low = photo[:40, :40] / 127.5 - 1.0
    found = upscale(planar(low), scale)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, resized(low, 40 * scale).clip(-1, 1), atol=1e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_neither_direction_shifts_an_image(scale):
    """Pixel centres: a ramp, downscaled and upscaled, is where it was."""
    ramp = torch.linspace(0.0, 255.0, 96).expand(1, 3, 96, 96)
    back = upscale(downscale(ramp, scale) / 127.5 - 1.0, scale)
    inner = slice(16, -16)
    difference = (back - (ramp / 127.5 - 1.0))[..., inner, inner] * 127.5
    assert difference.abs().max() < 1.0  # half a grey level of rounding, with the kernel's overshoot; a step is 2.7
    assert difference.mean().abs() < 0.1


def one_texture(image):
    return TextureBank({"procedural": [image], "procedural_blurred": []})


def plan(scale, size, corner=(0, 0), turn=(False, False, False)):
    return {
        "texture": torch.tensor([0]),
        "corner": torch.tensor([corner]),
        "turn": torch.tensor([turn]),
        "size": size,
        "scale": scale,
    }


@pytest.mark.parametrize("scale", SCALES)
def test_a_crop_is_the_texture_at_two_texels_a_pixel(photo, scale):
    pairs = render(plan(scale, 48, corner=(10, 20)), one_texture(photo))
    high = resized(photo[10:106, 20:116], 48).clip(0, 255).round()
    found = ((pairs.high[0] + 1) * 127.5).permute(1, 2, 0).numpy()
    assert np.abs(found - high).max() < 1.01
    low = resized(found, 48 // scale).clip(0, 255).round()
    assert np.abs(((pairs.low[0] + 1) * 127.5).permute(1, 2, 0).numpy() - low).max() < 1.01
    assert pairs.low.shape == (1, 3, 48 // scale, 48 // scale)


@pytest.mark.parametrize(
    ("turn", "move"),
    [
        ((True, False, False), lambda x: x.flip(2)),
        ((False, True, False), lambda x: x.flip(3)),
        ((False, False, True), lambda x: x.transpose(2, 3)),
        ((True, False, True), lambda x: torch.rot90(x, -1, (2, 3))),
    ],
)
def test_turned_crops_are_turned_pairs(photo, turn, move):
    straight, turned = (render(plan(3, 24, (4, 8), t), one_texture(photo)) for t in ((False,) * 3, turn))
    assert (turned.high - move(straight.high)).abs().max() < 1.01 / 127.5  # rounding of halves aside
    assert (turned.high - move(straight.high)).abs().mean() < 1e-4
    assert (turned.low - move(straight.low)).abs().mean() < 1e-4


def test_a_crop_beyond_a_small_texture_is_its_reflection(photo):
    small = photo[:30, :40]
    padded = np.pad(small, ((0, 34), (0, 24), (0, 0)), mode="symmetric")
    torch.testing.assert_close(
        render(plan(2, 32), one_texture(small)).high, render(plan(2, 32), one_texture(padded)).high
    )


def batches(data):
    return [data.on_after_batch_transfer(batch, 0) for batch in data.train_dataloader()]


def test_training_pairs_are_a_function_of_the_seed_and_their_number():
    first, again, other = [ready(seed=seed).training_plan(7) for seed in (0, 0, 1)]
    assert first["scale"] == again["scale"]
    assert all(torch.equal(first[k], again[k]) for k in ("texture", "corner", "turn"))
    assert not all(torch.equal(first[k], other[k]) for k in ("texture", "corner", "turn"))


def test_a_training_that_goes_on_sees_what_comes_next():
    whole = [ready().training_plan(number) for number in range(10)]
    rest = [ready(first_epoch=1).training_plan(number) for number in range(5)]
    assert [p["scale"] for p in whole[5:]] == [p["scale"] for p in rest]
    assert all(torch.equal(a["corner"], b["corner"]) for a, b in zip(whole[5:], rest, strict=True))


def test_samples_do_not_depend_on_the_batch_they_are_in():
    config = ScaleDataConfig(**{**vars(TINY), "batch_size": 4})
    small, large = ready(), ready(config)
    together = torch.cat([small.training_plan(number)["texture"] for number in (2, 3)])
    assert torch.equal(large.training_plan(1)["texture"], together)


def test_batches_have_one_scale_each_and_all_scales_come():
    shown = batches(ready(ScaleDataConfig(**{**vars(TINY), "epoch_steps": 30})))
    assert len(shown) == 30
    assert {pairs.scale for pairs in shown} == set(SCALES)
    for pairs in shown:
        assert pairs.low.shape == (2, 3, 4, 4)
        assert pairs.high.shape == (2, 3, 4 * pairs.scale, 4 * pairs.scale)
        assert pairs.low.abs().max() <= 1.0
        levels = (pairs.high + 1.0) * 127.5
        torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)


def test_validation_pairs_are_the_same_images_at_each_scale_for_every_seed():
    one, two = ready(seed=0), ready(seed=5)
    shown = [one.on_after_batch_transfer(batch, 0) for batch in one.val_dataloader()]
    assert [(p.scale, len(p.low)) for p in shown] == [(s, n) for s in SCALES for n in (2, 1)]
    assert torch.equal(shown[0].high, shown[2].high)
    again = [two.on_after_batch_transfer(batch, 0) for batch in two.val_dataloader()]
    assert all(torch.equal(a.low, b.low) and torch.equal(a.high, b.high) for a, b in zip(shown, again, strict=True))
    assert one.validation_identity() == two.validation_identity()


def test_the_identity_changes_with_what_is_shown():
    other = ScaleDataConfig(**{**vars(TINY), "val_images": 2})
    assert ready().validation_identity()["digest"] != ready(other).validation_identity()["digest"]


def test_photos_are_shown_where_a_folder_is_given(tmp_path, photo):
    Image.fromarray(photo).save(tmp_path / "one.png")
    data = ready(ScaleDataConfig(**{**vars(TINY), "textures": 0, "photos": tmp_path, "val_photos": tmp_path}))
    assert len(batches(data)) == 5
    assert data.validation_identity()["name"] == "photos"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("patch", 3), ("batch_size", 0), ("epoch_steps", 0), ("textures", 0)],
        *[("texture_size", 63), ("val_images", 0), ("val_size", 12), ("val_size", 50)],
    ],
)
def test_values_out_of_range_are_named(name, value):
    with pytest.raises(ValueError, match=rf"ScaleDataConfig\.{name} = {value}: must be"):
        ScaleDataConfig(**{name: value})
