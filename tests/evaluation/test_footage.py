"""Real footage: a clip of the test's own, whose frequency and amplitude are known."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_mm.errors import InputError
from lightning_mm.evaluation import footage
from lightning_mm.evaluation.clips import rendered_clip, textured_scene
from lightning_mm.evaluation.methods import FRAME_B
from lightning_mm.evaluation.protocol import Options
from lightning_mm.magnification.frames import to_frame

pytest.importorskip("cv2", reason="OpenCV (extra 'measure') is not installed")
CLIPS = Path(__file__).parents[2].parent / "shared" / "data" / "clips"
FORK = "280,60,140,100"
SIZE, FPS, FREQUENCY, PEAK = 96, 250.0, 32.1, 0.3
DIRECTION = (0.6, 0.8)


@pytest.fixture(scope="module")
def scene():
    return textured_scene(1, SIZE, None, torch.device("cpu"))


def motion_of(frames):
    return PEAK * np.sin(2.0 * math.pi * FREQUENCY * np.arange(frames) / FPS)


@pytest.fixture(scope="module")
def clip(scene, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    for number, frame in enumerate(rendered_clip(*scene, SIZE, motion_of(48), DIRECTION)):
        Image.fromarray(to_frame(frame)).save(folder / f"{number:03d}.png")
    return folder


def options_of(clip, **more):
    given = {"footage": clip, "footage_fps": FPS, "footage_frequency": FREQUENCY, "footage_alpha": 8.0}
    return {**given, "footage_frames": 40, **more}


def test_an_exact_magnifier_has_the_frequency_and_alpha_times_the_amplitude(scene, clip, bench):
    exact = iter([*rendered_clip(*scene, SIZE, 8.0 * motion_of(40), DIRECTION)])
    record = footage.run(bench({"exact": lambda a, b, alpha: next(exact)}, **options_of(clip)))
    rows = {row["method"]: row for row in record.tables["footage"]}
    assert rows["input"]["amplitude_px"] == pytest.approx(PEAK, abs=0.02)
    assert rows["input"]["frequency_error_hz"] == pytest.approx(0.0, abs=0.1)
    assert rows["exact"]["amplitude_px"] == pytest.approx(8.0 * PEAK, abs=0.02)
    assert rows["exact"]["amplitude_ratio"] == pytest.approx(PEAK / rows["input"]["amplitude_px"], rel=0.01)
    assert rows["exact"]["frequency_hz"] == pytest.approx(FREQUENCY, abs=0.05)
    assert rows[FRAME_B]["amplitude_ratio"] == pytest.approx(1.0 / 8.0, abs=0.001)
    assert np.abs(record.settings["direction_xy"]) == pytest.approx(DIRECTION, abs=0.02)
    assert record.settings["frames"] == 40
    assert len(record.tables["footage_waveforms"]) == 3 * 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"footage": Path("none.mp4")}, "none.mp4: no such file"),
        ({"footage_fps": None}, "needs --footage_fps"),
        ({"footage_frequency": None}, "needs --footage_fps, the rate"),
        (
            {"footage_frequency": 200.0},
            "footage_frequency = 200: must be at least 12.5, two cycles in 40 frames, and below",
        ),
        ({"footage_frequency": 3.0}, "footage_frequency = 3"),
        ({"footage_frequency": 10.0, "footage_frames": 60}, "at least 10.4167, two cycles in 48 frames"),
        ({"footage_frames": 3}, "footage_frames = 3: must be >= 16"),
        ({"footage_alpha": -1.0}, "footage_alpha = -1.0"),
        ({"footage_roi": "90,0,10,10"}, "must lie inside the frame of 96 x 96"),
        ({"footage_fps": -3.0}, "fps = -3.0"),
    ],
)
def test_what_cannot_be_judged_is_refused_before(clip, change, message):
    with pytest.raises(InputError, match=message):
        footage.check(Options(**options_of(clip, **change)))


def test_a_clip_that_is_too_short_is_named(clip, tmp_path):
    for path in sorted(clip.iterdir())[:5]:
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="5 frames"):
        footage.check(Options(**options_of(tmp_path)))


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the clips for development are not there")
def test_a_tuning_fork_vibrates_at_its_frequency(bench):
    fork = CLIPS / "tuning_fork_32hz_250fps.mp4"
    options = {"footage": fork, "footage_fps": 250.0, "footage_frequency": 32.1, "footage_frames": 100}
    record = footage.run(bench({}, footage_roi=FORK, **options))
    row = record.tables["footage"][0]
    assert row["frequency_hz"] == pytest.approx(32.1, abs=0.2)
    assert row["amplitude_px"] > 0.1
