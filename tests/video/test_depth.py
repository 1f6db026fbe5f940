"""Sources of 9 to 16 bits, and grey ones, against the definitions of their pixel formats."""

import itertools

import numpy as np
import pytest
from written_videos import frame_of_planes, noise, write_frames, write_planes, write_video, yuv_levels

from lightning_mm.video.opening import open_clip
from lightning_mm.video.pixels import as_depth

SIZE = (64, 16)
COLOURS = [*itertools.product((0.0, 1.0), repeat=3), (0.5, 0.5, 0.5), (0.78, 0.12, 0.35), (0.02, 0.98, 0.5)]


def levels_of(bits, seed=0, low=0, high=None):
    width, height = SIZE
    levels = np.random.default_rng(seed).integers(low, (high or (1 << bits) - 1) + 1, (height, width), dtype=np.uint16)
    levels[0, :2] = low, high or (1 << bits) - 1
    return levels


def read_one(path):
    clip = open_clip(path)
    (frame,) = clip
    return clip, frame


def grey_of(frame):
    assert np.array_equal(frame[..., 0], frame[..., 1])
    assert np.array_equal(frame[..., 0], frame[..., 2])
    return frame[..., 0]


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_deep_grey_is_read_without_loss(tmp_path, bits, suffix):
    levels = levels_of(bits)
    frame = frame_of_planes([levels], f"gray{bits}le", SIZE)
    clip, got = read_one(write_frames(tmp_path / f"c.{suffix}", [frame], codec="ffv1"))
    assert (clip.depth, got.dtype) == (16, np.uint16)
    assert np.array_equal(grey_of(got), np.round(levels * (65535 / ((1 << bits) - 1))))
    assert np.array_equal(np.round(got[..., 1] / (65535 / ((1 << bits) - 1))), levels)  # every level can be told


@pytest.mark.parametrize(("pix_fmt", "bits"), [("gray", 8), ("gray10le", 10), ("gray16le", 16)])
def test_grey_of_limited_range(tmp_path, pix_fmt, bits):
    low, high = 16 << bits - 8, 235 << bits - 8
    levels = levels_of(bits, low=low, high=high)
    frame = frame_of_planes([levels], pix_fmt, SIZE)
    clip, got = read_one(write_frames(tmp_path / "c.mkv", [frame], codec="ffv1", colour_range=1))
    top = 255 if bits == 8 else 65535
    assert clip.depth == (8 if bits == 8 else 16)
    assert np.array_equal(grey_of(got), np.round((levels - float(low)) / (high - low) * top))


@pytest.mark.parametrize("matrix", [1, 5, 9])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv420p10le", "yuv444p12le", "yuv444p16le"])
def test_deep_colour_by_its_tags(tmp_path, pix_fmt, full, matrix):
    bits = int(pix_fmt[7:9])
    planes = [yuv_levels(colour, matrix, full, bits) for colour in COLOURS]
    path = write_planes(tmp_path / "c.mkv", planes, matrix, 2 if full else 1, SIZE, pix_fmt, codec="ffv1")
    clip = open_clip(path)
    assert (clip.depth, clip.colour.matrix, clip.colour.full_range) == (16, matrix, full)
    step = 65535 / (219 if not full else 255) / (1 << bits - 8)
    for frame, colour in zip(clip, COLOURS, strict=True):
        # Half a step in Y, and in Cb and Cr with weights of up to 1.88; and a few of swscale's own roundings.
        assert np.abs(frame - np.multiply(colour, 65535)).max() <= 1.5 * step + 4


@pytest.mark.parametrize("full", [False, True])
def test_grey_in_deep_colour_stays_grey_and_keeps_every_level(tmp_path, full):
    low, high = (0, 1023) if full else (64, 940)
    levels = np.resize(np.arange(low, high + 1), (16, 64))
    frame = frame_of_planes([levels, 512, 512], "yuv420p10le", SIZE)
    _, got = read_one(write_frames(tmp_path / "c.mkv", [frame], codec="ffv1", matrix=1, colour_range=2 if full else 1))
    grey = grey_of(got)
    assert np.abs(grey - (levels - low) / (high - low) * 65535).max() < 2
    assert np.array_equal(np.round(grey / 65535 * (high - low)) + low, levels)
    assert (grey.min(), grey.max()) == (0, 65535)


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_deep_rgb_is_read_without_loss(tmp_path, bits):
    planes = [levels_of(bits, seed) for seed in range(3)]  # green, blue, red
    frame = frame_of_planes(planes, f"gbrp{bits}le", SIZE)
    clip, got = read_one(write_frames(tmp_path / "c.mkv", [frame], codec="ffv1"))
    wanted = np.stack([planes[2], planes[0], planes[1]], axis=-1) * (65535 / ((1 << bits) - 1))
    assert clip.depth == 16
    assert np.abs(got - wanted).max() <= (0 if bits == 16 else 1)


def test_lossy_ten_bit_video(tmp_path):
    ramp = np.linspace(64, 940, 64 * 16).round().reshape(16, 64)
    frames = [frame_of_planes([ramp, 512, 512], "yuv420p10le", SIZE) for _ in range(3)]
    clip = open_clip(write_frames(tmp_path / "c.mp4", frames, colour_range=1, matrix=1, crf="1"))
    for got in clip:
        assert np.abs(grey_of(got) / 65535 - (ramp - 64) / 876).max() < 0.01


def test_eight_bits_stay_eight(tmp_path):
    for codec, pix_fmt in (("libx264", "yuv420p"), ("ffv1", "bgr0"), ("ffv1", "gray")):
        clip = open_clip(write_video(tmp_path / "c.mkv", noise(2), codec=codec, pix_fmt=pix_fmt))
        assert (clip.depth, {frame.dtype for frame in clip}) == (8, {np.dtype(np.uint8)})


def test_change_of_depth_rounds_to_the_nearest_level_and_back():
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16)
    deep = as_depth(eight, 16)
    assert deep.dtype == np.uint16
    assert np.array_equal(deep, np.round(np.arange(256) * 65535 / 255).reshape(16, 16))
    assert np.array_equal(as_depth(deep, 8), eight)
    every = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(as_depth(every, 8), np.round(np.arange(65536) * 255 / 65535))
    assert as_depth(every, 16) is every
