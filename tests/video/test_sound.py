"""Sound that is carried along, whole or in part."""

import os
from fractions import Fraction

import av
import numpy as np
import pytest

from lightning_mm.video.excerpt import excerpt
from lightning_mm.video.opening import open_clip
from lightning_mm.video.sound import SoundPart
from lightning_mm.video.writer import ClipWriter


def write(path, count, fps=Fraction(25), **options):
    with ClipWriter(path, 32, 16, fps, **options) as writer:
        for index in range(count):
            writer.write(np.full((16, 32, 3), 4 * (index % 60), np.uint8))
    return writer


def with_sound(path, codec, seconds=2.0):
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 32, 16, "yuv420p"
        sound = container.add_stream(codec, rate=48000)
        sound.layout = "mono"
        for index in range(int(25 * seconds)):
            frame = av.VideoFrame(32, 16, "yuv420p")
            frame.pts = index
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        rng = np.random.default_rng(0)
        integer = codec == "pcm_s16le"
        for index in range(int(seconds * 48000 / 1024)):
            samples = rng.normal(0, 0.1, (1, 1024))
            samples = (samples * 9000).astype(np.int16) if integer else samples.astype(np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="s16" if integer else "flt", layout="mono")
            frame.sample_rate, frame.pts = 48000, index * 1024
            if codec == "aac":
                frame = av.AudioResampler("fltp", "mono", 48000).resample(frame)[0]
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path


def sound_packets(path):
    with av.open(str(path)) as container:
        start = container.streams.video[0].start_time or 0
        start *= container.streams.video[0].time_base
        packets = [p for p in container.demux(audio=0) if p.size]
        return [bytes(p) for p in packets], [float(p.pts * p.time_base - start) for p in packets]


@pytest.mark.parametrize(
    ("codec", "source", "target"),
    [
        ("aac", "mp4", "mp4"),
        ("aac", "mp4", "mov"),
        ("aac", "mp4", "mkv"),
        ("pcm_s16le", "mkv", "mov"),
        ("libopus", "mkv", "mp4"),
    ],
)
def test_sound_is_copied_packet_by_packet(tmp_path, codec, source, target):
    path = with_sound(tmp_path / f"in.{source}", codec)
    writer = write(tmp_path / f"out.{target}", 50, sound=path)
    assert writer.warnings == []
    (before, times), (after, new_times) = sound_packets(path), sound_packets(tmp_path / f"out.{target}")
    assert len(before) > 50
    assert after == before
    assert np.abs(np.subtract(times, new_times)).max() < 0.002
    assert len(list(open_clip(tmp_path / f"out.{target}"))) == 50


def test_sound_longer_than_the_pictures_is_kept(tmp_path):
    path = with_sound(tmp_path / "in.mp4", "aac")
    write(tmp_path / "out.mp4", 5, sound=path)
    assert sound_packets(tmp_path / "out.mp4")[0] == sound_packets(path)[0]


def test_sound_of_a_stream_that_starts_late_stays_in_step(tmp_path):
    path = with_sound(tmp_path / "in.ts", "aac")  # transport streams begin at some other time than 0
    write(tmp_path / "out.mp4", 50, sound=path)
    (before, times), (after, new_times) = sound_packets(path), sound_packets(tmp_path / "out.mp4")
    assert len(after) == len(before)
    assert np.abs(np.subtract(times, new_times)).max() < 0.002


@pytest.mark.parametrize(("codec", "target"), [("libopus", "out.mov"), ("aac", "out")])
def test_sound_that_does_not_fit_is_left_out_with_a_warning(tmp_path, codec, target):
    path = with_sound(tmp_path / "in.mkv", codec)
    writer = write(tmp_path / target, 5, sound=path)
    assert len(writer.warnings) == 1
    assert "sound is left out" in writer.warnings[0]
    clip = open_clip(tmp_path / target)
    assert (len(list(clip)), clip.has_audio) == (5, False)
    assert sorted(os.listdir(tmp_path)) == ["in.mkv", target]


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.8), (0.6, None), (0.52, 1.24), (1.92, 2.0)])
@pytest.mark.parametrize("source", ["mp4", "mkv", "ts"])
def test_an_excerpt_has_the_sound_of_its_time(tmp_path, source, start, end):
    path = with_sound(tmp_path / f"in.{source}", "aac")
    part = excerpt(open_clip(path), start, end)
    writer = write(tmp_path / "out.mp4", part.frames, sound=part.sound)
    assert writer.warnings == []
    (whole, times), (got, new_times) = sound_packets(path), sound_packets(tmp_path / "out.mp4")
    # Nothing of before is cut away at a start of 0, where encoders put the samples that they need to set in.
    wanted = [i for i, t in enumerate(times) if (t >= start - 1e-6 or not start) and (end is None or t < end - 1e-6)]
    assert len(got) == len(wanted)
    # Transport streams have a header before each packet, which other containers don't.
    assert all(whole[i].endswith(packet) for i, packet in zip(wanted, got, strict=True))
    assert np.abs(np.subtract(new_times, [times[i] - start for i in wanted])).max() < 0.002


def test_sound_of_a_part_of_a_part(tmp_path):
    part = SoundPart(tmp_path, Fraction(1), Fraction(3))
    assert part.part(Fraction(1, 2), Fraction(1)) == SoundPart(tmp_path, Fraction(3, 2), Fraction(2))
    assert part.part(Fraction(1, 2), Fraction(9)) == SoundPart(tmp_path, Fraction(3, 2), Fraction(3))
    assert part.part(Fraction(1), None) == SoundPart(tmp_path, Fraction(2), Fraction(3))
    assert SoundPart(tmp_path).part(Fraction(1), None) == SoundPart(tmp_path, Fraction(1), None)


def test_which_clips_have_sound_that_fits(tmp_path):
    path = with_sound(tmp_path / "in.mp4", "aac")
    clip = open_clip(path)
    assert (clip.has_audio, clip.sound) == (True, SoundPart(path))
    assert open_clip(path, fps=50).sound is None
    assert excerpt(open_clip(path, fps=50), 0.1).sound is None
    assert excerpt(clip, scale=0.5).sound == SoundPart(path)
    assert open_clip(write_silent(tmp_path)).sound is None


def write_silent(folder):
    write(folder / "silent.mp4", 3)
    return folder / "silent.mp4"


def test_lossless_video_with_sound(tmp_path):
    path = with_sound(tmp_path / "in.mp4", "aac")
    for suffix in ("mp4", "mkv"):
        writer = write(tmp_path / f"out.{suffix}", 50, sound=path, codec="ffv1")
        assert writer.warnings == []
        assert sound_packets(tmp_path / f"out.{suffix}")[0] == sound_packets(path)[0]
