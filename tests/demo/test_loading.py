"""What is taken of a clip, what is said about it, and what is found in it."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from written_videos import noise, write_video

from lightning_mm.demo.limits import MOST_FRAMES, Limits
from lightning_mm.demo.loading import load
from lightning_mm.errors import InputError
from lightning_mm.video.clip import Clip
from lightning_mm.video.colour import Colour
from lightning_mm.video.opening import open_clip


class Length(Clip):
    """A clip of a size, a rate and a length, without frames."""

    def __init__(self, width, height, fps, frames):
        self.path, self.width, self.height = Path("clip"), width, height
        self.fps, self.frames = Fraction(fps), frames
        self.colour = Colour.usual(height)

    def __iter__(self):
        yield from ()


@pytest.mark.parametrize(
    ("size", "fps", "frames", "taken", "notices"),
    [
        ((64, 48), 30, 60, (64, 48, 60), 0),
        ((64, 48), 30, 61, (64, 48, 60), 1),
        ((64, 48), 30, None, (64, 48, None), 0),
        ((63, 47), 30, 10, (62, 46, 10), 1),
        ((256, 64), 30, 10, (128, 32, 10), 1),
        ((60, 250), 30, 10, (30, 128, 10), 2),
        ((1920, 1081), 600, 2000, (128, 72, 1200), 2),
        ((64, 48), 2000, 9000, (64, 48, MOST_FRAMES), 1),
    ],
)
def test_longer_and_larger_clips_are_cut_and_it_is_said(limits, size, fps, frames, taken, notices):
    clip = Length(*size, fps, frames)
    part, said = limits.within(clip)
    assert (part.width, part.height, part.frames) == taken
    assert len(said) == notices, said
    assert part.width % 2 == part.height % 2 == 0


def test_what_is_not_a_limit_is_refused():
    for values in ((0.0, 2.0, 64), (math.nan, 2.0, 64), (1.0, -1.0, 64), (1.0, math.inf, 64), (1.0, 2.0, 8)):
        with pytest.raises(InputError, match="max_"):
            Limits(*values)


def test_the_limits_are_stated(limits):
    for word in ("1 MB", "2 s", str(MOST_FRAMES), "128 pixels"):
        assert word in limits.text


def test_files_that_cannot_be_taken_are_one_line(tmp_path, limits, finished):
    large = tmp_path / "large.mp4"
    large.write_bytes(bytes(1_100_000))
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    narrow = write_video(tmp_path / "narrow.mkv", noise(2, 1, 32), codec="ffv1", pix_fmt="bgr0")
    flat = write_video(tmp_path / "flat.mkv", noise(2, 3, 400), codec="ffv1", pix_fmt="bgr0")
    reasons = {large: "large.mp4: 1.1 MB", text: "text.mp4", narrow: "32 x 1 pixels", flat: "400 x 3 pixels"}
    for path, reason in reasons.items():
        with pytest.raises(InputError, match=reason) as caught:
            finished(load(path, limits))
        assert "\n" not in str(caught.value)


def test_a_clip_is_taken_up_with_progress(clip, loaded, limits, finished):
    told, again = finished(load(clip, limits))
    assert told == [(number, 60) for number in range(1, 61)]
    assert (again.name, again.notices) == ("beam.mp4", ())
    assert np.array_equal(again.first, next(iter(open_clip(clip))))
    assert np.array_equal(again.motion.displacement, loaded.motion.displacement, equal_nan=True)


def test_the_points_are_on_what_vibrates(loaded):
    found = loaded.analysis()
    x, y = found.points.T
    assert np.all((x > 50) & (x < 78))
    assert np.all(y < 60)
    assert found.along == "x"
    assert f"{found.suggestion.frequency:.4g} Hz" in found.lines[0]
    assert found.findings.grid.amplitude_at(3.0).mean() > 0.15


def test_bands_go_by_the_true_frame_rate(loaded):
    assert loaded.analysis(600.0).suggestion.frequency == pytest.approx(20 * loaded.analysis().suggestion.frequency)
    with pytest.raises(InputError, match="fps"):
        loaded.analysis(-1.0)


@pytest.mark.parametrize(
    ("frames", "reason"),
    [([np.full((32, 48, 3), 90, np.uint8)] * 12, "no texture"), (noise(2, 32, 48), "takes 4 frames")],
)
def test_what_cannot_be_measured_is_said(tmp_path, limits, finished, frames, reason):
    _, loaded = finished(load(write_video(tmp_path / "a.mp4", frames, crf="4"), limits))
    found = loaded.analysis()
    assert (found.suggestion, found.findings, len(found.points)) == (None, None, 0)
    assert reason in found.lines[0]


def test_nothing_that_vibrates_is_said(tmp_path, limits, finished):
    still = noise(1, 64, 64)[0]
    frames = [np.clip(still // 2 + grain // 16, 0, 255).astype(np.uint8) for grain in noise(40, 64, 64, seed=1)]
    _, loaded = finished(load(write_video(tmp_path / "a.mp4", frames, crf="4"), limits))
    found = loaded.analysis()
    assert found.suggestion is None
    assert "Nothing rises above the noise" in found.lines[0]
    assert len(found.points) > 0


def test_a_truncated_file_is_taken_as_far_as_it_goes(tmp_path, limits, finished):
    whole = write_video(tmp_path / "whole.mkv", noise(40, 64, 64), codec="ffv1", pix_fmt="bgr0")
    part = tmp_path / "part.mkv"
    part.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    _, loaded = finished(load(part, limits))
    assert 4 < loaded.frames < 40
    assert loaded.notices
    assert all(str(tmp_path) not in line for line in loaded.notices)
