"""A run: two videos in step, the motion in them, what is said, and what is refused before anything is written."""

from fractions import Fraction

import numpy as np
import pytest
from PIL import Image
from tiny_weights import ARCH, INFO
from written_videos import write_video

from lightning_mm.demo.drawing import between, enlargement, frame_picture, progress, refused, said
from lightning_mm.demo.loading import load
from lightning_mm.demo.magnifying import Options, magnify_loaded
from lightning_mm.demo.player import player
from lightning_mm.errors import InputError
from lightning_mm.models import Magnifier
from lightning_mm.video.opening import open_clip
from lightning_mm.weights import write_weights


def frames(path):
    return np.stack(list(open_clip(path))).astype(float)


def run(loaded, folder, finished, **options):
    return finished(magnify_loaded(loaded, Options(**{"method": "riesz", **options}, device="cpu"), folder))


def test_motion_within_the_band_is_magnified_and_measured(loaded, tmp_path, finished):
    told, done = run(loaded, tmp_path, finished, mode="temporal", low=2.0, high=4.0, alpha=5.0)
    assert told == [(number, 60) for number in range(1, 61)]
    c = done.findings.comparison
    assert c.frequency == pytest.approx(3.0, abs=0.05)
    assert 3.0 < c.ratio < 5.5
    assert f"magnified {c.ratio:.1f} times" in done.lines[0]
    assert "where it vibrates most" in done.lines[0]
    before, after = open_clip(done.before), open_clip(done.after)
    assert (before.fps, before.frames, after.fps, after.frames) == (30, 60, 30, 60)
    assert np.abs(frames(done.before) - frames(loaded.clip.path)).mean() < 2.0
    assert done.size == (128, 96)
    assert done.slice.height > 2 * 128


def test_a_factor_of_one_gives_the_clip_back(loaded, tmp_path, finished):
    _, done = run(loaded, tmp_path, finished, alpha=1.0)
    assert np.abs(frames(done.before) - frames(done.after)).mean() < 1.0
    assert done.findings.comparison.ratio == pytest.approx(1.0, abs=0.1)


def test_a_region_is_magnified_and_measured_alone(loaded, tmp_path, finished):
    _, done = run(loaded, tmp_path, finished, alpha=6.0, roi="44,0,40,60", slice="x=60")
    assert "in the region of 40 x 60 px at (44, 0)" in done.lines[0]
    change = np.abs(frames(done.before) - frames(done.after)).mean(axis=(0, 3))
    coded = change[:, :30].mean()
    assert coded < 2.0  # what H.264 loses
    assert change[:, 100:].mean() < 1.5 * coded
    assert change[10:40, 56:72].mean() > 3.0 * coded
    assert done.findings.region == (44, 0, 40, 60)


def test_learned_weights_and_slow_playing(loaded, tmp_path, finished, clip, limits):
    write_weights(tmp_path / "w.safetensors", Magnifier(ARCH).state_dict(), ARCH, INFO)
    fast = tmp_path / "fast.mkv"
    write_video(fast, list(open_clip(clip))[:20], fps=600)
    _, loaded = finished(load(fast, limits))
    _, done = run(loaded, tmp_path, finished, method="learned", weights=str(tmp_path / "w.safetensors"), alpha=2.0)
    assert open_clip(done.after).fps == Fraction(30)
    assert any("20 times slower" in line for line in done.lines)
    assert done.findings is None or done.findings.fps == 600.0


def test_what_is_too_short_or_flat_is_magnified_but_not_measured(tmp_path, limits, finished):
    flat = write_video(tmp_path / "flat.mp4", [np.full((32, 48, 3), 90, np.uint8)] * 2)
    _, loaded = finished(load(flat, limits))
    _, done = run(loaded, tmp_path, finished)
    assert done.findings is None
    assert "displacement was not measured" in done.lines[0]
    assert len(frames(done.after)) == 2


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"mode": "temporal"}, "band"),
        ({"mode": "temporal", "low": 2.0, "high": 15.0}, "Nyquist"),
        ({"mode": "temporal", "low": 4.0, "high": 2.0}, "LOW must be below HIGH"),
        ({"alpha": -1.0}, "alpha"),
        ({"roi": "0,0,500,5"}, "roi"),
        ({"roi": "here"}, "roi"),
        ({"slice": "z=3"}, "slice"),
        ({"slice": "y=96"}, "slice"),
        ({"fps": -3.0}, "fps"),
        ({"method": "learned", "weights": "nothing"}, "weights"),
        ({"method": "magic"}, "method"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_written(loaded, tmp_path, finished, options, reason):
    with pytest.raises(InputError, match=reason):
        run(loaded, tmp_path, finished, **options)
    assert list(tmp_path.iterdir()) == []


def test_stopping_half_way_leaves_no_video(loaded, tmp_path):
    work = magnify_loaded(loaded, Options(method="linear", device="cpu"), tmp_path)
    for _ in range(5):
        next(work)
    work.close()
    assert list(tmp_path.iterdir()) == []


def test_the_frame_shows_points_or_the_region():
    frame = np.full((60, 80, 3), 100, np.uint8)
    factor = enlargement(frame)
    assert factor == 8
    plain = np.asarray(frame_picture(frame, np.zeros((0, 2)), None))
    assert plain.shape == (480, 640, 3)
    assert np.all(plain == 100)
    points = np.asarray(frame_picture(frame, np.array([[20.0, 30.0]]), None))
    changed = np.argwhere((points != 100).any(axis=2))
    assert changed.mean(axis=0) == pytest.approx((30.5 * 8, 20.5 * 8), abs=1.0)
    chosen = np.asarray(frame_picture(frame, np.array([[20.0, 30.0]]), (5, 10, 20, 15)))
    changed = np.argwhere((chosen != 100).any(axis=2))
    assert np.abs(np.concatenate([changed.min(axis=0), changed.max(axis=0)]) - (80, 40, 199, 199)).max() <= 2
    deep = frame_picture(frame.astype(np.uint16) * 257, np.zeros((0, 2)), None, (3, 4))
    assert isinstance(deep, Image.Image)
    assert deep.getpixel((600, 400)) == (100, 100, 100)
    assert enlargement(np.zeros((1080, 1920, 3), np.uint8)) == 1


def test_two_corners_make_a_region_whatever_their_order():
    assert between((10, 20), (30, 25), 80, 60) == "10,20,21,6"
    assert between((30, 25), (10, 20), 80, 60) == "10,20,21,6"
    assert between((79, 59), (79, 59), 80, 60) == "79,59,1,1"
    assert between((-5, 3), (100, 3), 80, 60) == "0,3,80,1"


def test_messages_are_text_and_no_markup():
    assert "<script>" not in said(["<script>"]) + refused(InputError("<script>")) + progress("<script>", 1, 2)
    assert refused(InputError("one\ntwo")).count("\n") == 0
    assert said([]) == ""
    assert said(["a", "b"]).count("<li>") == 2
    assert 'max="7"' in progress("at", 3, 7)


def test_the_player_escapes_what_it_is_given(tmp_path):
    page = player(tmp_path / 'a"><b.mp4', tmp_path / "c d.mp4", (128, 96), 4.5)
    assert "<b" not in page.replace("<button", "")
    assert "c%20d.mp4" in page
    assert "128 / 96" in page
    assert "4.5" in page
