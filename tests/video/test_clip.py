import os
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from written_videos import noise, write_planes, write_video, yuv_levels

from lightning_mm.errors import InputError
from lightning_mm.video.clip import exact_rate
from lightning_mm.video.opening import open_clip

DATA = Path(__file__).parents[2].parent / "shared" / "data"

SATURATED = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255), (200, 30, 90))
GREYS = ((0, 0, 0), (128, 128, 128), (255, 255, 255))


@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("full", [False, True])
def test_tagged_colours_are_read_by_their_tags(tmp_path, matrix, full):
    colours = SATURATED + GREYS
    path = write_planes(
        tmp_path / "c.mp4", [yuv_levels(np.divide(c, 255), matrix, full) for c in colours], matrix, 2 if full else 1
    )
    clip = open_clip(path)
    assert (clip.colour.matrix, clip.colour.full_range) == (matrix, full)
    for frame, colour in zip(clip, colours, strict=True):
        assert np.abs(frame.astype(int) - colour).max() <= 3  # the rounding of Y, Cb and Cr alone makes 2


@pytest.mark.parametrize(("size", "matrix"), [((32, 718), 6), ((32, 720), 1)])
def test_untagged_colours_are_guessed_by_height(tmp_path, size, matrix):
    path = write_planes(
        tmp_path / "c.mp4", [yuv_levels(np.divide(c, 255), matrix, False) for c in SATURATED[:2]], size=size
    )
    clip = open_clip(path)
    assert (clip.colour.matrix, clip.colour.full_range) == (matrix, False)
    for frame, colour in zip(clip, SATURATED, strict=False):
        assert np.abs(frame.astype(int) - colour).max() <= 3


def test_rgb_and_grey_video_is_read_exactly(tmp_path):
    frames = noise(3)
    rgb = open_clip(write_video(tmp_path / "rgb.mkv", frames, codec="ffv1", pix_fmt="bgr0"))
    assert all(np.array_equal(a, b) for a, b in zip(rgb, frames, strict=True))
    grey = [np.repeat(frame[..., :1], 3, axis=2) for frame in frames]
    clip = open_clip(write_video(tmp_path / "grey.mkv", grey, codec="ffv1", pix_fmt="gray"))
    assert all(np.array_equal(a, b) for a, b in zip(clip, grey, strict=True))


def test_frames_are_uint8_rgb_of_the_given_number_and_come_twice(tmp_path):
    frames = noise(37)
    clip = open_clip(write_video(tmp_path / "c.mp4", frames, bf="3"))
    first, second = list(clip), list(clip)
    assert len(first) == len(second) == clip.frames == 37  # B-frames wait in the decoder until it is flushed
    assert all(f.shape == (16, 32, 3) and f.dtype == np.uint8 and f.flags.c_contiguous for f in first)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert (clip.width, clip.height, clip.partial, clip.has_audio) == (32, 16, None, False)


def test_reading_is_lazy(tmp_path, monkeypatch):
    clip = open_clip(write_video(tmp_path / "c.mp4", noise(200)))
    decoded = 0
    original = type(clip)._decode

    def counted(self, *args):
        nonlocal decoded
        for frame in original(self, *args):
            decoded += 1
            yield frame

    monkeypatch.setattr(type(clip), "_decode", counted)
    frames = iter(clip)
    for _ in range(5):
        next(frames)
    assert decoded == 5
    frames.close()


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(1900), Fraction(25, 2)])
def test_exact_rate(tmp_path, suffix, fps):
    path = write_video(tmp_path / f"c.{suffix}", noise(6), fps=fps)
    assert open_clip(path).fps == fps
    assert not open_clip(path).retimed
    override = open_clip(path, fps=240)
    assert (override.fps, override.retimed) == (240, True)


def test_decimal_rates_become_exact():
    assert exact_rate(29.97) == exact_rate(29.97003) == Fraction(30000, 1001)
    assert exact_rate(23.976) == Fraction(24000, 1001)
    assert [exact_rate(rate) for rate in (25, 12.5, 1900, 0.5)] == [25, Fraction(25, 2), 1900, Fraction(1, 2)]


@pytest.mark.parametrize("fps", [0, -25, float("nan"), float("inf")])
def test_bad_rate(tmp_path, fps):
    with pytest.raises(InputError, match="fps = "):
        open_clip(tmp_path, fps=fps)


@pytest.mark.parametrize(("rotation", "quarters"), [(90, 1), (180, 2), (-90, 3)])
def test_rotation_is_applied(tmp_path, rotation, quarters):
    frame = np.zeros((16, 32, 3), np.uint8)
    frame[:8, :8] = (255, 0, 0)  # top left
    clip = open_clip(write_video(tmp_path / "c.mp4", [frame] * 3, rotation=rotation))
    expected = np.rot90(frame, quarters)  # counter-clockwise, as the container's angle
    assert (clip.height, clip.width) == expected.shape[:2]
    for got in clip:
        assert np.abs(got.astype(int) - expected).max() < 12


def test_mirrored_display_matrix_is_applied(tmp_path):
    frame = np.zeros((16, 32, 3), np.uint8)
    frame[:8, :8] = (255, 0, 0)
    path = tmp_path / "c.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv444p"
        stream.set_display_rotation(0, hflip=True)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    assert np.abs(next(iter(open_clip(path))).astype(int) - frame[:, ::-1]).max() < 12


def test_pixel_aspect_is_read_and_turned(tmp_path):
    path = tmp_path / "c.mp4"
    for rotation, aspect in ((0, Fraction(7, 6)), (90, Fraction(6, 7))):
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
            stream.codec_context.sample_aspect_ratio = Fraction(7, 6)
            stream.set_display_rotation(rotation)
            container.mux(stream.encode(av.VideoFrame(32, 16, "yuv420p")))
            container.mux(stream.encode(None))
        assert open_clip(path).sample_aspect == aspect


@pytest.mark.parametrize(("suffix", "options"), [("mp4", {"movflags": "faststart"}), ("mkv", {}), ("ts", {})])
def test_truncated_video_keeps_what_decodes_and_says_so(tmp_path, suffix, options):
    whole = write_video(tmp_path / f"whole.{suffix}", noise(60), container_options=options)
    assert len(list(clip := open_clip(whole))) == 60
    assert clip.partial is None
    cut = tmp_path / f"cut.{suffix}"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    clip = open_clip(cut)
    frames = list(clip)
    assert 20 < len(frames) < 45
    assert clip.partial is not None
    assert "cut." in clip.partial
    assert f"{len(frames)}" in clip.partial
    assert "\n" not in clip.partial
    reference = list(open_clip(whole))
    assert all(np.array_equal(a, b) for a, b in zip(frames[:20], reference, strict=False))


def test_size_change_within_a_clip(tmp_path):
    path = tmp_path / "c.ts"
    parts = [write_video(tmp_path / f"{w}.ts", noise(5, width=w)).read_bytes() for w in (32, 48)]
    path.write_bytes(b"".join(parts))
    clip = open_clip(path)
    with pytest.raises(InputError, match=r"c\.ts.*changes at frame [45], to 48 x 16"):
        list(clip)


def sound_only(path):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))


def packets_without_keyframe(path):
    whole = write_video(path.with_name("whole.ts"), noise(30)).read_bytes()
    path.write_bytes(whole[-188:])


def no_frames(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        container.start_encoding()


BAD_FILES = {
    "frameless.mp4": no_frames,
    "frameless.mkv": no_frames,
    "text.mp4": lambda path: path.write_text("this is no video\n" * 50),
    "empty.mp4": lambda path: path.write_bytes(b""),
    "sound.mp4": sound_only,
    "random.mp4": lambda path: path.write_bytes(os.urandom(4000)),
    "unfinished.mp4": lambda path: path.write_bytes(write_video(path.with_name("w.mp4"), noise(9)).read_bytes()[:2000]),
    "headless.ts": packets_without_keyframe,
    "missing.mp4": lambda path: None,
    "folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_named_in_one_line(tmp_path, name):
    path = tmp_path / name
    BAD_FILES[name](path)
    with pytest.raises(InputError) as caught:
        open_clip(path)
    message = str(caught.value)
    assert str(path) in message
    assert "accepted: a video file, or a folder of images" in message
    assert "\n" not in message


def test_cover_picture_is_not_a_video(tmp_path):
    path = tmp_path / "song.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        sound = container.add_stream("aac", rate=48000)
        picture = container.add_stream("mjpeg", rate=1)
        picture.width, picture.height, picture.pix_fmt = 32, 16, "yuvj420p"
        picture.disposition = Disposition.attached_pic
        container.mux(picture.encode(av.VideoFrame(32, 16, "yuvj420p")))
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        silence.sample_rate, silence.pts = 48000, 0
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    with pytest.raises(InputError, match=r"song\.m4a: only sound in it"):
        open_clip(path)


def test_real_clips():
    clips = DATA / "clips"
    if not clips.is_dir():
        pytest.skip("the development clips are not here")
    fork = open_clip(clips / "tuning_fork_32hz_250fps.mp4")
    assert (fork.width, fork.height, fork.fps, fork.frames) == (640, 420, 50, 888)
    assert fork.sample_aspect == Fraction(7, 6)
    cats = open_clip(clips / "cats")
    assert (cats.width, cats.height, cats.frames) == (910, 762, 20)
