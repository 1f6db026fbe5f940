"""Lossless output, and 16-bit frames in every kind of output."""

import os
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from streams import written

from lightning_mm.errors import InputError
from lightning_mm.video.colour import Colour
from lightning_mm.video.opening import open_clip
from lightning_mm.video.outputs import check_output
from lightning_mm.video.writer import ClipWriter


def random_frames(depth, count=3, height=17, width=33):
    dtype = np.uint8 if depth == 8 else np.uint16
    frames = np.random.default_rng(0).integers(0, 1 << depth, (count, height, width, 3), dtype=dtype)
    frames[0, 0, :3] = (0, (1 << depth) - 1, (1 << depth) // 2)
    return list(frames)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("name", ["c.mp4", "c.mkv", "C.MKV", "folder"])
def test_every_level_of_every_pixel_is_kept(tmp_path, name, depth):
    frames = random_frames(depth)
    codec = "h264" if name == "folder" else "ffv1"
    writer = written(tmp_path / name, frames, codec=codec, depth=depth)
    assert writer.warnings == []  # odd sizes are no matter
    clip = open_clip(tmp_path / name)
    assert clip.depth == depth
    got = list(clip)
    assert len(got) == 3
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(got, frames, strict=True))


@pytest.mark.parametrize("depth", [8, 16])
def test_pngs_are_what_another_reader_says(tmp_path, depth):
    cv2 = pytest.importorskip("cv2")
    frames = random_frames(depth)
    written(tmp_path / "folder", frames, depth=depth)
    assert sorted(os.listdir(tmp_path / "folder")) == ["000000.png", "000001.png", "000002.png"]
    for index, frame in enumerate(frames):
        got = cv2.imread(str(tmp_path / "folder" / f"{index:06d}.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(got[..., ::-1], frame)
    with Image.open(tmp_path / "folder" / "000000.png") as image:
        image.verify()  # checksums


@pytest.mark.parametrize("depth", [8, 16])
def test_pixel_format_and_tags_of_lossless_video(tmp_path, depth):
    colour = Colour(matrix=9, primaries=9, transfer=16)
    for suffix in ("mp4", "mkv"):
        written(tmp_path / f"c.{suffix}", random_frames(depth), codec="ffv1", depth=depth, colour=colour)
        with av.open(str(tmp_path / f"c.{suffix}")) as container:
            frame = next(container.decode(video=0))
            assert container.streams.video[0].codec_context.name == "ffv1"
        assert frame.format.name == {8: "bgr0", 16: "gbrp16le"}[depth]
        assert (frame.color_primaries, frame.color_trc) == (9, 16)
        assert open_clip(tmp_path / f"c.{suffix}").colour.primaries == 9


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(1900), Fraction(15000)])
def test_rate_of_lossless_video(tmp_path, fps):
    for suffix in ("mp4", "mkv"):
        written(tmp_path / f"c.{suffix}", random_frames(8, count=20), fps, codec="ffv1")
        clip = open_clip(tmp_path / f"c.{suffix}")
        assert (clip.fps, clip.variable_rate, clip.frames, len(list(clip))) == (fps, False, 20, 20)
    with av.open(str(tmp_path / "c.mp4")) as container:  # exact, where Matroska rounds to milliseconds
        times = [p.pts * p.time_base for p in container.demux(video=0) if p.size]
    assert times == [i / fps for i in range(20)]


def test_shape_of_the_pixels(tmp_path):
    writer = written(tmp_path / "c.mp4", random_frames(8), codec="ffv1", sample_aspect=Fraction(7, 6))
    assert (writer.warnings, open_clip(tmp_path / "c.mp4").sample_aspect) == ([], Fraction(7, 6))
    writer = written(tmp_path / "c.mkv", random_frames(8), codec="ffv1", sample_aspect=Fraction(7, 6))
    assert "7:6, is not kept in lossless Matroska" in writer.warnings[0]


def test_sixteen_bits_are_rounded_to_the_nearest_of_eight(tmp_path):
    ramp = np.round(np.linspace(0, 65535, 256 * 4)).astype(np.uint16).reshape(16, 64)
    deep = [np.repeat(ramp[..., None], 3, axis=2)]
    eight = [np.round(deep[0] / 257.0).astype(np.uint8)]
    written(tmp_path / "deep.mp4", deep, crf=0)
    written(tmp_path / "eight.mp4", eight, crf=0)
    (a,), (b,) = open_clip(tmp_path / "deep.mp4"), open_clip(tmp_path / "eight.mp4")
    assert np.array_equal(a, b)
    assert np.abs(a.astype(int) - eight[0]).max() <= 1


def test_eight_bits_in_a_deep_output_are_exact(tmp_path):
    frames = random_frames(8)
    written(tmp_path / "c.mkv", frames, codec="ffv1", depth=16)
    for got, wanted in zip(open_clip(tmp_path / "c.mkv"), frames, strict=True):
        assert np.array_equal(got, 257 * wanted.astype(np.uint16))


@pytest.mark.parametrize(("name", "codec"), [("c.mkv", "ffv1"), ("folder", "h264")])
def test_a_lossless_output_of_eight_bits_refuses_to_lose_some(tmp_path, name, codec):
    with (
        pytest.raises(ValueError, match=r"frame is uint16 .*: must be uint8"),
        ClipWriter(tmp_path / name, 33, 17, Fraction(25), codec=codec) as writer,
    ):
        writer.write(random_frames(16)[0])
    assert os.listdir(tmp_path) == []


def test_a_smaller_factor_is_closer(tmp_path):
    frames = random_frames(8, height=16, width=32)
    sizes, errors = [], []
    for crf in (4, 16, 40):
        written(tmp_path / "c.mp4", frames, crf=crf, overwrite=True)
        sizes.append((tmp_path / "c.mp4").stat().st_size)
        got = list(open_clip(tmp_path / "c.mp4"))
        errors.append(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(got, frames, strict=True)]))
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    written(tmp_path / "usual.mp4", frames)
    written(tmp_path / "sixteen.mp4", frames, crf=16)
    assert (tmp_path / "usual.mp4").read_bytes() == (tmp_path / "sixteen.mp4").read_bytes()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "c.mov",
            {"codec": "ffv1"},
            r"c\.mov: '\.mov' cannot hold lossless video \(codec = 'ffv1'\); must end in \.mkv",
        ),
        ("c.m4v", {"codec": "ffv1"}, r"c\.m4v: '\.m4v' cannot hold lossless video"),
        ("folder", {"codec": "ffv1"}, "folder: codec = 'ffv1' makes a video; PNGs"),
        ("c.mp4", {"codec": "vp9"}, "codec = 'vp9': must be h264, or ffv1"),
        ("c.mp4", {"crf": 52}, "crf = 52: must be a whole number from 0"),
        ("c.mp4", {"crf": -1}, "crf = -1: must be"),
        ("c.mkv", {"crf": 10, "codec": "ffv1"}, "crf = 10: has a meaning for H.264 video only"),
        ("folder", {"crf": 10}, "crf = 10: has a meaning for H.264 video only"),
    ],
)
def test_combinations_that_cannot_be_are_refused(tmp_path, name, options, message):
    with pytest.raises(InputError, match=message):
        check_output(tmp_path / name, **options)
    with pytest.raises(InputError, match=message):
        ClipWriter(tmp_path / name, 32, 16, Fraction(25), **options)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("height", "width"), [(50, 1), (288, 1), (1, 1), (1, 50)])
def test_lines_are_videos_too(tmp_path, height, width, depth):
    frames = random_frames(depth, 2, height, max(width, 3))
    frames = [np.ascontiguousarray(frame[:, :width]) for frame in frames]
    written(tmp_path / "c.mkv", frames, codec="ffv1", depth=depth)
    assert all(np.array_equal(a, b) for a, b in zip(open_clip(tmp_path / "c.mkv"), frames, strict=True))


def test_a_line_too_tall_for_the_codec_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"c\.mkv: frames of 1 x 289 pixels, .*must have at most 288 rows"):
        ClipWriter(tmp_path / "c.mkv", 1, 289, Fraction(25), codec="ffv1")
