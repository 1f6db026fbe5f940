"""Frame rates: those that are believed, and time stamps that are unevenly spaced."""

from fractions import Fraction

import numpy as np
import pytest
from av import VideoFrame
from written_videos import noise, numbered, numbers, write_frames, write_video

from lightning_mm.video.opening import open_clip
from lightning_mm.video.stamps import grid_rate, is_variable


def uneven(path, stamps, tick=Fraction(1, 1000), fps=30, **options):
    """``numbered`` frames at the given times in ticks."""
    frames = [VideoFrame.from_ndarray(a, format="rgb24").reformat(format="yuv444p") for a in numbered(len(stamps))]
    return write_frames(path, frames, fps=fps, stamps=stamps, tick=tick, crf="4", **options)


def nearest_by_definition(times, rate):
    """Index of the nearest time for every point of the grid up to the last time."""
    times = np.asarray(times, float) - times[0]
    points = np.arange(int(np.floor(times[-1] * float(rate) + 0.5 + 1e-9)) + 1) / float(rate)
    return [int(np.abs(times - point).argmin()) for point in points]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_missing_frames_are_filled_at_the_rate_of_the_others(tmp_path, suffix):
    kept = [i for i in range(60) if i not in (17, 18, 31)]
    clip = open_clip(uneven(tmp_path / f"c.{suffix}", [i * 40 for i in kept], fps=25))
    assert clip.variable_rate
    assert clip.fps == 25
    found = [kept[number] for number in numbers(clip)]
    assert len(found) == clip.frames == 60
    assert [a - b for a, b in zip(found, range(60), strict=True) if a != b] in ([-1, 1, -1], [-1, 1, 1])
    assert len(clip.warnings) == 1
    assert f"c.{suffix}: the frame rate varies; the nearest frames are taken at 25 per second" in clip.warnings[0]


def test_a_rate_that_drifts_is_evened_out_at_its_average(tmp_path):
    spacing = np.linspace(33, 60, 49).round().astype(int)  # a phone that lengthens its exposure
    stamps = np.concatenate(([0], np.cumsum(spacing))).tolist()
    clip = open_clip(uneven(tmp_path / "c.mp4", stamps))
    assert clip.variable_rate
    assert float(clip.fps) == pytest.approx(50 / (stamps[-1] + spacing[-1]) * 1000, rel=0.05)
    found = numbers(clip)
    assert len(found) == clip.frames
    assert found == nearest_by_definition(np.array(stamps) / 1000, clip.fps)
    length = float(len(found) / clip.fps)
    assert length == pytest.approx(stamps[-1] / 1000, abs=1.5 / float(clip.fps))  # sound stays in step


def test_a_given_rate_takes_uneven_frames_as_they_come(tmp_path):
    path = uneven(tmp_path / "c.mp4", [0, 33, 67, 300, 333, 367])
    clip = open_clip(path, fps=240)
    assert numbers(clip) == list(range(6))
    assert (clip.fps, clip.variable_rate, clip.retimed) == (240, True, True)
    assert "taken as they come, at 240 per second" in clip.warnings[0]
    assert open_clip(path, fps=float(open_clip(path).fps)).retimed  # the sound does not fit, whatever the rate


@pytest.mark.parametrize("fps", [Fraction(1900), Fraction(600), Fraction(60000, 1001), Fraction(24), Fraction(1, 2)])
def test_stamps_rounded_to_milliseconds_are_no_variable_rate(tmp_path, fps):
    clip = open_clip(write_video(tmp_path / "c.mkv", numbered(40), fps=fps, crf="4"))
    assert (clip.variable_rate, clip.fps, clip.warnings) == (False, fps, ())
    assert numbers(clip) == list(range(40))


def test_jitter_below_half_a_frame_leaves_the_frames_alone(tmp_path):
    rng = np.random.default_rng(0)
    stamps = (np.arange(40) * 40 + rng.integers(-7, 8, 40)).tolist()
    clip = open_clip(uneven(tmp_path / "c.mp4", stamps, fps=25))
    assert not clip.variable_rate
    assert numbers(clip) == list(range(40))


def test_frames_of_every_kind_of_prediction_are_evened_out_in_their_order(tmp_path):
    """B-frames are stored in another order than they are shown in."""
    stamps = [i * 40 for i in range(50) if i != 20]
    clip = open_clip(uneven(tmp_path / "c.mp4", stamps, fps=25, bf="3"))
    assert numbers(clip)[:20] == list(range(20))
    assert numbers(clip)[21:] == list(range(20, 49))


def test_joined_recordings_are_read_one_after_the_other(tmp_path):
    """Time starts again in the second, so that times say nothing about the order."""
    parts = [write_video(tmp_path / f"{i}.ts", numbered(20)[10 * i : 10 * i + 10], crf="4") for i in range(2)]
    path = tmp_path / "c.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    clip = open_clip(path)
    assert (clip.variable_rate, clip.retimed) == (False, False)
    found = numbers(clip)
    assert [*found[:9], *found[-9:]] == [*range(9), *range(11, 20)]  # FFmpeg loses a frame or two at the joint
    assert found == sorted(set(found))


def test_a_clock_that_jumps_does_not_fill_hours_with_one_frame(tmp_path):
    stamps = [i * 40 for i in range(20)] + [10_000_000 + i * 40 for i in range(20)]
    clip = open_clip(uneven(tmp_path / "c.mkv", stamps, fps=25))
    assert clip.variable_rate
    assert len(list(clip)) <= 2 * 40 + 100


@pytest.mark.parametrize(("count", "variable"), [(1, False), (2, False)])
def test_too_few_frames_to_tell(tmp_path, count, variable):
    clip = open_clip(write_video(tmp_path / "c.mp4", noise(count)))
    assert (len(list(clip)), clip.variable_rate) == (count, variable)


def test_what_counts_as_variable():
    assert not is_variable(np.array([0, 1, 1, 2, 2, 3, 3, 4]))
    assert not is_variable(np.arange(100) * 512)
    assert is_variable(np.delete(np.arange(100) * 512, 50))
    assert is_variable(np.concatenate((np.arange(50) * 512, 50 * 512 + np.arange(50) * 700)))


def test_rate_of_the_grid():
    tick = Fraction(1, 1000)
    gaps = np.delete(np.arange(100) * 40, [30, 60])
    assert grid_rate(gaps, tick, Fraction(98 * 1000, 4000), Fraction(25)) == 25
    assert grid_rate(gaps, tick, Fraction(10), Fraction(25)) == 10  # more gaps than frames
    assert grid_rate(gaps, tick, Fraction(24), Fraction(90000)) == 24  # "nominal" is the clock's resolution
    assert grid_rate(gaps, tick, Fraction(24), None) == 24
