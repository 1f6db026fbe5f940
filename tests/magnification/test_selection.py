import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from lightning_mm.errors import InputError
from lightning_mm.magnification.selection import CONTEXT, FEATHER, everything, select


def frames(width=200, height=120, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (2, height, width, 3), dtype=dtype)


def test_everything_is_the_frame_itself():
    frame, magnified = frames()
    chosen = select(200, 120, None, None)
    assert chosen == everything(200, 120)
    assert chosen.cut(frame) is frame
    assert chosen.put(frame, magnified) is magnified


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("roi", [(60, 50, 40, 20), (0, 0, 10, 10), (199, 119, 1, 1), (0, 0, 200, 120)])
def test_region_is_magnified_and_the_rest_is_untouched(dtype, roi):
    frame, other = frames(dtype=dtype)
    chosen = select(200, 120, roi, None)
    part = chosen.cut(other)  # the "magnified" frame: another picture
    result = chosen.put(frame, part)
    x, y, w, h = roi
    assert np.array_equal(result[y : y + h, x : x + w], other[y : y + h, x : x + w])
    outside = np.ones((120, 200), bool)
    outside[y : y + h, x : x + w] = False
    distance = ndimage.distance_transform_edt(outside) if outside.any() else np.zeros((120, 200))
    far = distance >= FEATHER
    assert np.array_equal(result[far], frame[far])
    near = (distance > 0) & ~far
    if near.any():
        assert (result[near] != frame[near]).mean() > 0.5
    assert result.dtype == dtype
    assert part.shape[0] == min(120, y + h + FEATHER - 1 + CONTEXT) - max(0, y - FEATHER + 1 - CONTEXT)
    assert part.shape[1] == min(200, x + w + FEATHER - 1 + CONTEXT) - max(0, x - FEATHER + 1 - CONTEXT)


def test_mask_weighs(tmp_path):
    mask = np.zeros((120, 200), np.uint8)
    mask[40:60, 80:100], mask[60:80, 80:100] = 255, 51
    Image.fromarray(mask).save(tmp_path / "mask.png")
    frame, other = frames()
    chosen = select(200, 120, None, tmp_path / "mask.png")
    result = chosen.put(frame, chosen.cut(other))
    assert np.array_equal(result[40:60, 80:100], other[40:60, 80:100])
    mixed = 0.8 * frame[60:80, 80:100].astype(float) + 0.2 * other[60:80, 80:100]
    assert np.abs(result[60:80, 80:100] - mixed).max() <= 0.51
    assert np.array_equal(result[mask == 0], frame[mask == 0])


def test_masks_of_sixteen_bits_and_of_transparency(tmp_path):
    deep = np.zeros((120, 200), np.uint16)
    deep[40:60, 80:100], deep[60:80, 80:100] = 40000, 300
    Image.fromarray(deep).save(tmp_path / "deep.png")
    weights = select(200, 120, None, tmp_path / "deep.png").weights
    assert np.unique(weights) == pytest.approx([0.0, 300 / 65535, 40000 / 65535], abs=1e-6)
    clear = np.full((120, 200, 4), 255, np.uint8)
    clear[:, :100, 3] = 0
    Image.fromarray(clear).save(tmp_path / "clear.png")
    chosen = select(200, 120, None, tmp_path / "clear.png")
    assert np.array_equal(chosen.weights[:, CONTEXT:, 0], np.ones((120, 100)))
    assert not chosen.weights[:, :CONTEXT].any()


def test_mask_and_region_together(tmp_path):
    Image.fromarray(np.full((120, 200), 255, np.uint8)).save(tmp_path / "white.png")
    both = select(200, 120, (60, 50, 40, 20), tmp_path / "white.png")
    assert np.array_equal(both.weights, select(200, 120, (60, 50, 40, 20), None).weights)


def test_bad_masks_are_refused(tmp_path):
    Image.fromarray(np.zeros((120, 200), np.uint8)).save(tmp_path / "black.png")
    Image.fromarray(np.zeros((12, 20), np.uint8)).save(tmp_path / "small.png")
    (tmp_path / "text.png").write_text("no picture")
    for name, reason in (
        ("black.png", "is black wherever"),
        ("small.png", "20 x 12 pixels; must have the size of the frames, 200 x 120"),
        ("text.png", "not a readable image"),
        ("none.png", "not a readable image"),
    ):
        with pytest.raises(InputError, match=reason):
            select(200, 120, None, tmp_path / name)
