"""Parts of clips: times, rectangles and sizes, against the same part of the whole."""

import math
from fractions import Fraction

import numpy as np
import pytest
from av import VideoFrame
from PIL import Image
from skimage.transform import resize
from written_videos import frame_of_planes, noise, numbered, numbers, write_frames, write_video

from lightning_mm.errors import InputError
from lightning_mm.video.excerpt import excerpt, resized
from lightning_mm.video.opening import open_clip

CONTAINERS = {
    "h264.mp4": {"bf": "3", "g": "12"},
    "open_groups.mp4": {"bf": "3", "g": "12", "x264-params": "open-gop=1:keyint=12"},
    "h264.mkv": {"bf": "2", "g": "9"},
    "mpeg4.mov": {"codec": "mpeg4", "pix_fmt": "yuv420p", "g": "10"},
    "lossless.mkv": {"codec": "ffv1", "pix_fmt": "bgr0"},
    "h264.ts": {"bf": "2", "g": "9"},
    "h264.avi": {"g": "9"},
    "fast.mkv": {"fps": 1900, "bf": "2", "g": "9"},  # neighbours share a time stamp
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_frames_from_anywhere_on_are_those_of_the_whole(tmp_path, name):
    clip = open_clip(write_video(tmp_path / name, noise(40), **CONTAINERS[name]))
    whole = list(clip)
    for number in (0, 1, 8, 9, 11, 12, 23, 30, 39, 40, 99):
        part = list(clip.since(number))
        assert len(part) == max(0, len(whole) - number)
        assert all(np.array_equal(a, b) for a, b in zip(part, whole[number:], strict=True))
        assert clip.partial is None


def test_seeking_decodes_from_the_key_frame_only(tmp_path, monkeypatch):
    from lightning_mm.video import videofile

    decoded = 0
    original = videofile.decode

    def counted(*args):
        nonlocal decoded
        for frame in original(*args):
            decoded += 1
            yield frame

    monkeypatch.setattr(videofile, "decode", counted)
    clip = open_clip(write_video(tmp_path / "c.mp4", numbered(60), g="10", crf="4"))
    decoded = 0
    assert numbers(clip.since(53)) == list(range(53, 60))
    assert decoded <= 20


def test_seeking_in_evened_out_frames(tmp_path):
    stamps = np.concatenate(([0], np.cumsum(np.linspace(30, 70, 49).round().astype(int)))).tolist()
    frames = [VideoFrame.from_ndarray(a, format="rgb24").reformat(format="yuv444p") for a in numbered(50)]
    clip = open_clip(write_frames(tmp_path / "c.mp4", frames, stamps=stamps, crf="4", g="10"))
    assert clip.variable_rate
    whole = numbers(clip)
    for number in (0, 1, 13, 30, len(whole) - 1, len(whole)):
        assert numbers(clip.since(number)) == whole[number:]


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(240)])
@pytest.mark.parametrize(
    ("start", "end"), [(0.1, 0.2), (None, 0.3), (0.2, None), (0.1, 99.0), (0.101, 0.199), (0, 0.1)]
)
def test_times_are_those_of_the_frames(tmp_path, fps, start, end):
    clip = open_clip(write_video(tmp_path / "c.mp4", numbered(60), fps=fps, crf="4"))
    part = excerpt(clip, start, end)
    times = [i / fps for i in range(60)]
    slack = Fraction(1, 10**9)  # the decimal 0.1 is not exactly a tenth
    wanted = [
        i
        for i, time in enumerate(times)
        if time >= Fraction(start or 0) - slack and (end is None or time < Fraction(end) - slack)
    ]
    assert numbers(part) == numbers(part) == wanted
    assert (part.frames, part.fps, part.name) == (len(wanted), fps, clip.name)


def test_times_follow_a_rate_that_was_given(tmp_path):
    path = write_video(tmp_path / "c.mp4", numbered(60), fps=25, crf="4")
    assert numbers(excerpt(open_clip(path, fps=250), 0.1, 0.2)) == list(range(25, 50))


def test_excerpts_of_excerpts_add_up(tmp_path):
    clip = open_clip(write_video(tmp_path / "c.mp4", numbered(60), crf="4", pix_fmt="yuv444p"))
    part = excerpt(excerpt(clip, 0.4, 2.0, (4, 2, 20, 10)), 0.4, 0.8, (3, 1, 5, 4))
    assert numbers(part) == list(range(20, 30))
    assert numbers(part.since(4)) == list(range(24, 30))
    assert {frame.shape for frame in part} == {(4, 5, 3)}


def test_nothing_asked_for_is_the_clip_itself(tmp_path):
    clip = open_clip(write_video(tmp_path / "c.mp4", noise(2)))
    assert excerpt(clip) is clip


def test_crop_is_exact_and_turned_with_the_picture(tmp_path):
    clip = open_clip(write_video(tmp_path / "c.mkv", noise(3), codec="ffv1", pix_fmt="bgr0"))
    part = excerpt(clip, crop=(5, 3, 7, 11))
    for got, whole in zip(part, noise(3), strict=True):
        assert np.array_equal(got, whole[3:14, 5:12])
        assert got.flags.c_contiguous
    assert (part.width, part.height, part.depth) == (7, 11, 8)
    turned = open_clip(write_video(tmp_path / "t.mp4", noise(1), rotation=90))
    assert np.array_equal(next(iter(excerpt(turned, crop=(0, 20, 16, 12)))), next(iter(turned))[20:])


def smooth(height, width, shift=0.0):
    y, x = np.mgrid[:height, :width]
    wave = 0.5 + 0.3 * np.sin(2 * math.pi * (x - shift) / 24) * np.cos(2 * math.pi * y / 30)
    return np.stack([wave, wave, 0.8 * wave], axis=-1)


@pytest.mark.parametrize("top", [255, 65535])
@pytest.mark.parametrize("size", [(24, 32), (30, 41), (96, 120)])
def test_scaling_against_another_implementation(top, size):
    frame = (smooth(48, 64) * top).round().astype(np.uint8 if top == 255 else np.uint16)
    got = resized(frame, size[1], size[0])
    assert (got.shape, got.dtype) == ((*size, 3), frame.dtype)
    wanted = resize(frame.astype(float), size, order=3, anti_aliasing=size[0] < 48, mode="edge")
    inner = (slice(6, -6), slice(6, -6))
    assert np.abs(got[inner] / top - wanted[inner] / top).max() < 0.03
    assert np.array_equal(got[..., 0], got[..., 1])  # channels that are equal stay equal


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_scaling_down_averages_what_it_cannot_show(dtype):
    board = np.indices((64, 64)).sum(axis=0) % 2 * np.iinfo(dtype).max
    got = resized(np.repeat(board[..., None], 3, axis=2).astype(dtype), 16, 16)
    assert np.abs(got / np.iinfo(dtype).max - 0.5).max() < 0.02


def test_scaling_deep_frames_keeps_their_levels():
    frame = np.full((40, 40, 3), 12345, np.uint16)
    assert (resized(frame, 17, 23) == 12345).all()
    steep = np.zeros((40, 40, 3), np.uint16)
    steep[:, 20:] = 65535
    got = resized(steep, 97, 40)  # bicubic overshoots; it must not wrap around
    assert got[:, :40].max() < 6000
    assert got[:, 60:].min() > 59000


@pytest.mark.parametrize(
    ("scale", "size"), [(0.5, (8, 16)), (0.33, (5, 11)), (2, (32, 64)), (0.001, (1, 1)), (1, (16, 32))]
)
def test_size_after_scaling(tmp_path, scale, size):
    clip = open_clip(write_video(tmp_path / "c.mkv", noise(2), codec="ffv1", pix_fmt="bgr0"))
    part = excerpt(clip, scale=scale)
    assert (part.height, part.width) == size
    for frame in part:
        assert frame.shape == (*size, 3)
    if scale == 1:
        assert np.array_equal(next(iter(part)), noise(2)[0])


def test_crop_comes_before_scale(tmp_path):
    clip = open_clip(write_video(tmp_path / "c.mkv", noise(1), codec="ffv1", pix_fmt="bgr0"))
    (got,) = excerpt(clip, crop=(8, 4, 16, 8), scale=0.5)
    cut = Image.fromarray(noise(1)[0][4:12, 8:24])
    assert np.array_equal(got, np.asarray(cut.resize((8, 4), Image.Resampling.BICUBIC)))


def test_deep_frames_stay_deep(tmp_path):
    levels = np.random.default_rng(0).integers(0, 65536, (16, 32), dtype=np.uint16)
    clip = open_clip(write_frames(tmp_path / "c.mkv", [frame_of_planes([levels], "gray16le", (32, 16))], codec="ffv1"))
    (cut,) = excerpt(clip, crop=(1, 2, 8, 8))
    assert np.array_equal(cut[..., 0], levels[2:10, 1:9])
    (small,) = excerpt(clip, scale=0.5)
    assert small.dtype == np.uint16
    assert np.array_equal(small[..., 0], small[..., 2])


REFUSED = {
    "end = 1: must be after start = 1": {"start": 1.0, "end": 1.0},
    "end = 0.5: must be after start = 1": {"start": 1.0, "end": 0.5},
    "start = -1: must be a time in seconds": {"start": -1.0},
    "end = nan: must be a time in seconds": {"end": float("nan")},
    "no frame between start = 0.05 and end = 0.06 at 25": {"start": 0.05, "end": 0.06},
    "start = 3: .*c.mp4 ends after 2.4 s, 60 frames": {"start": 3.0},
    "crop = 0,0,33,16: must lie inside the frame of 32 x 16": {"crop": (0, 0, 33, 16)},
    "crop = -1,0,3,3: must lie inside": {"crop": (-1, 0, 3, 3)},
    "crop = 0,0,0,3: must lie inside": {"crop": (0, 0, 0, 3)},
    "scale = 0: must be": {"scale": 0.0},
    "scale = nan: must be": {"scale": float("nan")},
    "scale = 17: must be": {"scale": 17.0},
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_excerpts_are_named(tmp_path, message):
    clip = open_clip(write_video(tmp_path / "c.mp4", numbered(60)))
    with pytest.raises(InputError, match=message):
        excerpt(clip, **REFUSED[message])


def test_start_beyond_an_unknown_end_is_named_on_reading(tmp_path):
    clip = open_clip(write_video(tmp_path / "c.ts", numbered(20)))
    clip.frames = None
    with pytest.raises(InputError, match=r"start = 3: .*c\.ts ends before"):
        list(excerpt(clip, 3.0))


def test_a_damaged_clip_says_so_through_its_excerpt(tmp_path):
    whole = write_video(tmp_path / "whole.mkv", noise(60))
    path = tmp_path / "cut.mkv"
    path.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    part = excerpt(open_clip(path), 0.4)
    count = len(list(part))
    assert count > 5
    assert part.partial is not None
    assert f"{count + 10}" in part.partial  # of the whole clip
    early = excerpt(open_clip(path), 0.1, 0.4)
    list(early)
    assert early.partial is None
