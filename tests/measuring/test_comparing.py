"""Input and magnified clip side by side: the same points, the same frames, and regions that are not one thing."""

from fractions import Fraction

import numpy as np
import pytest

from lightning_mm.cli import main
from lightning_mm.errors import EXIT_PARTIAL

pytest.importorskip("cv2", reason="OpenCV (extra 'measure') is not installed")
from lightning_mm.measuring.command import measure
from lightning_mm.measuring.motion import UNLIKE, MotionTracker, unlike
from lightning_mm.video.opening import open_clip
from lightning_mm.video.writer import ClipWriter

FPS, FREQUENCY, FRAMES = 60.0, 7.0, 48
TIME = np.arange(FRAMES) / FPS
SWING = np.sin(2.0 * np.pi * FREQUENCY * TIME)


@pytest.fixture(scope="module")
def clips(tmp_path_factory, pictures):
    """A fork: its halves swing against each other by 0.5 px, and four times as much; and a clip of one thing."""
    folder = tmp_path_factory.mktemp("fork")
    for name, factor in (("input", 0.5), ("magnified", 2.0)):
        left, right = (pictures.clip([(sign * factor * s, 0.0) for s in SWING], seed=3) for sign in (1.0, -1.0))
        halves = [np.concatenate([a[:, :64], b[:, 64:]], axis=1) for a, b in zip(left, right, strict=True)]
        pictures.folder(folder / name, halves)
        pictures.folder(folder / f"{name}_whole", pictures.clip([(factor * s, 0.0) for s in SWING]))
    return folder


def test_parts_that_move_against_each_other_are_warned_of(clips, capsys):
    pair = {"compare": clips / "magnified", "fps": FPS}
    found = measure(str(clips / "input"), **pair)
    (line,) = found.warnings
    assert line.endswith("the region's points do not move alike; choose one part with --roi")
    assert f"warning: {line}\n" in capsys.readouterr().err
    assert measure(str(clips / "input"), fps=FPS).warnings[0].endswith("with --roi, or --grid")
    for roi in ("0,0,46,96", "82,0,46,96"):
        one = measure(str(clips / "input"), roi=roi, **pair)
        assert one.warnings == ()
        assert one.comparison.ratio == pytest.approx(4.0, rel=0.03)


def test_both_clips_are_measured_at_the_same_points(clips, pictures):
    first, other = (pictures.rgb(pictures.texture(96, 128, seed=seed)) for seed in (0, 1))
    place = (0, 0, 128, 96)
    before = MotionTracker(first, place, "input")
    after = MotionTracker(other, place, "magnified", points=before.points)
    given = {tuple(point) for point in before.points}
    assert {tuple(point) for point in after.points} <= given
    assert len(after.points) > 0.8 * len(given)
    flat = np.full_like(first, 128)
    flat[:, 64:] = other[:, 64:]
    elsewhere = MotionTracker(flat, place, "magnified", points=before.points[before.points[:, 0] < 40])
    assert len(elsewhere.points)  # corners of its own, where there is nothing at those points


def points_that(*amplitudes, noise=0.004, frames=240):
    """(T, N, 2) px: points that vibrate along x by such amplitudes, with noise."""
    time = np.arange(frames) / FPS
    each = np.random.default_rng(0).normal(0.0, noise, (frames, len(amplitudes), 2))
    each[..., 0] += np.sin(2.0 * np.pi * FREQUENCY * time)[:, None] * np.array(amplitudes)
    return each


@pytest.mark.parametrize("size", [0.01, 0.1, 3.0])
def test_unlike(size):
    assert unlike(points_that(*[size] * 20), FPS) == 0.0
    assert unlike(points_that(*[size] * 18, 0.0, 0.0), FPS) == pytest.approx(0.1)  # the median bears them
    assert unlike(points_that(*[size, -size] * 10), FPS) > UNLIKE
    assert unlike(points_that(*[size] * 8, *[0.0] * 12), FPS) == pytest.approx(0.4)
    phases = points_that(*[size] * 20)
    phases[:, ::2] = np.roll(phases[:, ::2], round(FPS / FREQUENCY / 4), axis=0)  # a quarter of a period
    assert unlike(phases, FPS) > UNLIKE


def test_unlike_without_a_vibration():
    still = points_that(*[0.0] * 20)
    assert unlike(still, FPS) == 0.0
    drift = np.linspace(0.0, 1.0, len(still))[:, None]
    moved, apart = still.copy(), still.copy()
    moved[..., 1] += 3.0 * drift
    apart[:, :8, 1] += 3.0 * drift
    assert unlike(moved, FPS) == 0.0
    assert unlike(apart, FPS) == pytest.approx(0.4)
    apart[100:, 8:] = np.nan  # points that are lost for most of the clip do not count
    assert unlike(apart, FPS) == 0.0
    assert unlike(still[:, :1], FPS) == unlike(np.full_like(still, np.nan), FPS) == 0.0


@pytest.mark.parametrize("short", ["input", "magnified"])
def test_clips_of_different_length_are_compared_over_what_both_have(clips, tmp_path, pictures, short):
    names = {"input": clips / "input_whole", "magnified": clips / "magnified_whole"}
    frames = list(open_clip(names[short]))
    names[short] = pictures.folder(tmp_path / "short", frames[:40])
    found = measure(str(names["input"]), compare=names["magnified"], fps=FPS)
    assert found.frames == len(found.motion.displacement) == len(found.magnified.displacement) == 40
    longer = names["magnified" if short == "input" else "input"]
    assert found.warnings == (f"{names[short]}: 40 frames, {longer} has more; the first 40 of both are compared",)
    assert found.comparison.ratio == pytest.approx(4.0, rel=0.02)
    assert found.partial is None


def test_what_is_too_short_is_named(clips, tmp_path, pictures, capsys):
    pictures.folder(tmp_path / "short", list(open_clip(clips / "input_whole"))[:3])
    assert main(["measure", str(clips / "input_whole"), "--compare", str(tmp_path / "short")]) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'short'}: 3 frames; measuring motion takes at least 4" in error


def test_a_clip_cut_short_is_measured_as_far_as_it_goes(clips, tmp_path, capsys):
    frames = list(open_clip(clips / "input_whole"))
    with ClipWriter(tmp_path / "c.mkv", 128, 96, Fraction(60), codec="ffv1") as writer:
        for frame in frames:
            writer.write(frame)
    data = (tmp_path / "c.mkv").read_bytes()
    (tmp_path / "c.mkv").write_bytes(data[: len(data) // 2])
    table = tmp_path / "motion.csv"
    assert main(["measure", str(tmp_path / "c.mkv"), "--csv", str(table)]) == EXIT_PARTIAL
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].startswith(f"warning: {tmp_path / 'c.mkv'}: damaged or cut short")
    assert said[1].endswith(f"{tmp_path / 'c.mkv'} was measured as far as it could be read")
    assert 10 < len(table.read_text().splitlines()) - 1 < len(frames) - 10


def test_one_file_by_two_names_is_refused(clips, tmp_path, capsys):
    (tmp_path / "link").symlink_to(tmp_path)
    names = ["--csv", str(tmp_path / "t.csv"), "--spectrum_csv", str(tmp_path / "link" / "t.csv")]
    assert main(["measure", str(clips / "input"), *names]) == 2
    assert "spectrum_csv as well" in capsys.readouterr().err
    inside = ["--slice", "y=3", "--slice_image", str(clips / "input" / "s.png")]
    assert main(["measure", str(clips / "input"), *inside]) == 2
    assert "is in the folder of the input" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [tmp_path / "link"]
