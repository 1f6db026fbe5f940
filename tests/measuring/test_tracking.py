"""Measured motion against motion that was put in."""

import csv
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as shifted

from lightning_mm.cli import main
from lightning_mm.errors import InputError
from lightning_mm.measuring.command import measure
from lightning_mm.measuring.motion import Motion, track

pytest.importorskip("cv2", reason="OpenCV (extra 'measure') is not installed")
CLIPS = Path(__file__).parents[2].parent / "shared" / "data" / "clips"
FPS = 60.0


def write_frames(folder, motion):
    """A textured picture moved by (x, y) px per frame, exactly up to spline interpolation."""
    folder.mkdir()
    texture = gaussian_filter(np.random.default_rng(0).normal(size=(96, 128)), 1.5, mode="wrap")
    texture = 128.0 + 90.0 * texture / np.abs(texture).max()
    for number, (x, y) in enumerate(motion):
        image = shifted(texture, (y, x), order=5, mode="grid-wrap")
        Image.fromarray(np.clip(np.rint(image), 0, 255).astype(np.uint8)).save(folder / f"{number:04d}.png")
    return folder


@pytest.mark.parametrize(("amplitude", "frequency", "angle"), [(0.2, 6.0, 0.0), (1.5, 7.3, 0.6), (0.05, 11.0, 1.5)])
def test_sinusoid_is_measured(tmp_path, amplitude, frequency, angle):
    phase = 2.0 * math.pi * frequency * np.arange(60) / FPS
    motion = amplitude * np.sin(phase)[:, None] * [math.cos(angle), math.sin(angle)]
    measured = track(write_frames(tmp_path / "frames", motion), fps=FPS)
    found_frequency, peak_to_peak = measured.dominant()
    assert found_frequency == pytest.approx(frequency, abs=0.1)
    assert peak_to_peak == pytest.approx(2.0 * amplitude, abs=0.02)
    np.testing.assert_allclose(measured.displacement, motion, rtol=0, atol=0.0125)


def test_spectrum_of_an_analytic_ellipse():
    phase = 2.0 * math.pi * 5.0 * np.arange(120) / FPS
    drift = np.linspace(0.0, 3.0, 120)
    motion = Motion(np.stack([2.0 * np.sin(phase) + drift, 0.5 * np.cos(phase)], axis=1), np.ones(120, int), FPS)
    frequency, peak_to_peak = motion.dominant()
    assert frequency == pytest.approx(5.0, abs=0.02)
    assert peak_to_peak == pytest.approx(4.0, rel=0.01)
    bins, amplitude = motion.spectrum()
    assert bins[-1] == FPS / 2
    assert bins[np.argmax(amplitude[:, 0])] == pytest.approx(5.0)


def test_region_decides_what_is_measured(tmp_path):
    folder = write_frames(tmp_path / "frames", [(0.0, 0.0)] * 8)
    for number, path in enumerate(sorted(folder.iterdir())):
        picture = np.asarray(Image.open(path)).copy()
        picture[:, 64:] = np.roll(picture[:, 64:], number, axis=0)
        Image.fromarray(picture).save(path)
    still, moving = (track(folder, roi, FPS).peak_to_peak for roi in ("4,4,40,80", "84,20,36,40"))
    assert still[1] < 0.05
    assert moving[1] == pytest.approx(7.0, abs=0.2)


def test_csv(tmp_path, capsys):
    folder = write_frames(tmp_path / "frames", [(0.1 * n, 0.0) for n in range(6)])
    measure(folder, fps=FPS, csv=tmp_path / "motion.csv")
    rows = list(csv.DictReader((tmp_path / "motion.csv").read_text().splitlines()))
    assert [float(row["time_s"]) for row in rows] == pytest.approx([n / FPS for n in range(6)], abs=1e-6)
    assert float(rows[-1]["x_px"]) == pytest.approx(0.5, abs=0.03)
    assert "6 frames at 60 fps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("roi", "said"),
    [("1,2,3", "X,Y,WIDTH,HEIGHT"), ("a,b,c,d", "X,Y,WIDTH,HEIGHT"), ("100,0,64,10", "inside"), ("0,0,0,5", "inside")],
)
def test_bad_region(tmp_path, roi, said, capsys):
    folder = write_frames(tmp_path / "frames", [(0.0, 0.0)] * 4)
    assert main(["measure", str(folder), "--roi", roi]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_nothing_to_track(tmp_path):
    for number in range(4):
        Image.new("L", (64, 64), 128).save(tmp_path / f"{number}.png")
    with pytest.raises(InputError, match="no corner"):
        track(tmp_path)


def test_too_few_frames(tmp_path):
    with pytest.raises(InputError, match="2 frames"):
        track(write_frames(tmp_path / "frames", [(0.0, 0.0)] * 2))


def test_without_opencv():
    code = (
        "import sys; sys.modules['cv2'] = None; from lightning_mm.cli import main; sys.exit(main(['measure', 'x.mp4']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "lightning_mm[measure]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the development clips are not there")
def test_tuning_fork_vibrates_at_its_frequency(tmp_path):
    from lightning_mm.video.clip import open_clip

    for number, frame in enumerate(open_clip(CLIPS / "tuning_fork_32hz_250fps.mp4", 250.0)):
        if number == 64:
            break
        Image.fromarray(frame[60:160, 280:420]).save(tmp_path / f"{number:03d}.png")
    frequency, peak_to_peak = track(tmp_path, fps=250.0).dominant()
    assert frequency == pytest.approx(32.1, abs=0.5)
    assert 0.3 < peak_to_peak < 4.0
