"""Raw recordings of Photron cameras."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from lightning_mm.errors import InputError
from lightning_mm.video.opening import open_clip

RECORDING = Path(__file__).parents[2].parent / "shared" / "data" / "clips" / "beam_15000fps.cih"


def recording(folder, levels, **fields):
    """Write levels (T, H, W) and a header as the cameras' own viewer does; fields replace those of the header."""
    frames, height, width = levels.shape
    header = {
        "Record Rate(fps)": 5000,
        "Total Frame": frames,
        "Save Step": 1,
        "Image Width": width,
        "Image Height": height,
        "Color Type": "Mono",
        "Color Bit": 8 * levels.itemsize,
        "File Format": "MRaw",
        "EffectiveBit Depth": 12,
        "EffectiveBit Side": "Higher",
        "Comment Text": "10:30, second take",
    } | fields
    text = "#Camera Information Header\n" + "".join(f"{key} : {value}\n" for key, value in header.items())
    (folder / "take.cih").write_text(text)
    levels.tofile(folder / "take.mraw")
    return folder / "take.cih"


def levels(top, dtype):
    return np.random.default_rng(0).integers(0, top + 1, (6, 9, 13)).astype(dtype)


@pytest.mark.parametrize("opened", ["take.cih", "take.mraw"])
def test_eight_bits(tmp_path, opened):
    stored = levels(255, np.uint8)
    recording(tmp_path, stored)
    clip = open_clip(tmp_path / opened)
    assert (clip.width, clip.height, clip.depth, clip.fps, clip.frames, clip.warnings) == (13, 9, 8, 5000, 6, ())
    for _ in range(2):
        assert np.array_equal(np.stack(list(clip)), np.repeat(stored[..., None], 3, axis=3))
    assert np.array_equal(np.stack(list(clip.since(4))), np.repeat(stored[4:, ..., None], 3, axis=3))
    assert open_clip(tmp_path / opened, fps=25).retimed


def test_twelve_bits_at_the_lower_end_of_words_fill_the_range(tmp_path):
    stored = levels(4095, "<u2")
    clip = open_clip(recording(tmp_path, stored, **{"EffectiveBit Side": "Lower"}))
    assert clip.depth == 16
    assert np.array_equal(np.stack(list(clip))[..., 1], np.round(stored * (65535 / 4095)))


def test_twelve_bits_at_the_higher_end_of_words_are_kept(tmp_path):
    stored = levels(4095, "<u2") << 4
    assert np.array_equal(np.stack(list(open_clip(recording(tmp_path, stored))))[..., 1], stored)


def test_of_every_so_many_frames_one_was_saved(tmp_path):
    clip = open_clip(recording(tmp_path, levels(255, np.uint8), **{"Save Step": 7}))
    assert clip.fps == Fraction(5000, 7)
    assert "one of every 7 frames was saved of 5000 per second" in clip.warnings[0]
    assert open_clip(tmp_path / "take.cih", fps=5000).warnings == ()


def test_cut_short(tmp_path):
    path = recording(tmp_path, levels(255, np.uint8))
    pixels = tmp_path / "take.mraw"
    pixels.write_bytes(pixels.read_bytes()[:-1])
    clip = open_clip(path)
    assert len(list(clip)) == clip.frames == 5
    assert "cut short; 5 of 6 frames" in str(clip.partial)
    pixels.write_bytes(b"0" * 50)
    with pytest.raises(InputError, match="not one whole frame of 13 x 9"):
        open_clip(path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"Color Type": "Bayer"}, "MRaw, Bayer, 8 bits; accepted: MRaw, Mono, 8 or 16 bits"),
        ({"Color Bit": 12}, "MRaw, Mono, 12 bits; accepted"),
        ({"File Format": "Tiff"}, "Tiff, Mono, 8 bits; accepted"),
        ({"Image Width": "wide"}, "'Image Width' = 'wide': must be a whole number"),
        ({"Record Rate(fps)": 0}, r"'Record Rate\(fps\)' = '0': must be a whole number"),
    ],
)
def test_other_recordings_are_refused(tmp_path, fields, message):
    with pytest.raises(InputError, match=rf"take\.cih: {message}"):
        open_clip(recording(tmp_path, levels(255, np.uint8), **fields))


def test_half_a_recording_is_named(tmp_path):
    path = recording(tmp_path, levels(255, np.uint8))
    (tmp_path / "take.mraw").unlink()
    with pytest.raises(InputError, match=r"take\.cih: its \.mraw file is missing"):
        open_clip(path)


def test_a_real_recording():
    if not RECORDING.is_file():
        pytest.skip("the development clips are not here")
    clip = open_clip(RECORDING)
    assert (clip.width, clip.height, clip.frames, clip.depth, clip.fps) == (640, 40, 75, 8, 150)
    frames = np.stack(list(clip))
    raw = np.fromfile(RECORDING.with_suffix(".mraw"), np.uint8).reshape(75, 40, 640)
    assert np.array_equal(frames[..., 0], raw)
    assert clip.partial is None
