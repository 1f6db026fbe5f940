"""Physical accuracy: the conversion worked out by hand, and waveforms whose errors are known."""

import math

import numpy as np
import pytest

from lightning_mm.evaluation import vibration
from lightning_mm.evaluation.methods import FRAME_B
from lightning_mm.evaluation.slices import ZOOM, sharpest_edge, sliced
from lightning_mm.evaluation.vibration import ALPHA, FPS, FRAMES, INPUT, Vibration, accuracy

PHASE = 2.0 * math.pi * 20.0 * np.arange(FRAMES) / FPS


def test_the_papers_vibration_in_millimetres_and_pixels():
    """(2 pi 20)^2 = 15791.37; 4.11 / 15791.37 = 0.26027 mm; 0.1 / (2 * 5.86e-6) = 8532.42 px per metre."""
    paper = Vibration()
    assert paper.peak_mm == pytest.approx(0.260269, abs=1e-6)
    assert paper.pixels_per_mm == pytest.approx(8.53242, abs=1e-5)
    assert paper.peak_px == pytest.approx(2.22073, abs=1e-4)
    assert 20.0 * paper.peak_px == pytest.approx(44.41, abs=0.01)
    assert Vibration(frequency=21.0).peak_px == pytest.approx(2.0143, abs=1e-3)
    # Taken for an angular frequency, the paper's 20 would make 88 px of it.
    assert paper.peak_px < 88.0 / 30.0
    assert Vibration(focal_length=10.0).peak_px == pytest.approx(0.222073, abs=1e-5)


def test_errors_of_a_known_waveform():
    ideal = 4.0 * np.sin(PHASE)
    found = accuracy(3.6 * np.sin(PHASE + 0.1) + 0.36 * np.sin(2 * PHASE) + 0.2, Vibration(), ideal)
    assert found["amplitude_px"] == pytest.approx(3.6)
    assert found["amplitude_error_percent"] == pytest.approx(-10.0)
    assert found["phase_error_degrees"] == pytest.approx(math.degrees(0.1))
    assert found["distortion_percent"] == pytest.approx(10.0)
    assert found["frequency_error_hz"] == pytest.approx(0.0, abs=0.1)
    assert found["residual_px"] == pytest.approx(0.0, abs=1e-9)


def test_a_wrong_frequency_is_told():
    off = np.sin(2.0 * math.pi * 20.5 * np.arange(FRAMES) / FPS)
    assert accuracy(off, Vibration(), np.sin(PHASE))["frequency_error_hz"] == pytest.approx(0.5, abs=0.01)


def test_what_is_lost_has_no_errors():
    assert set(accuracy(np.full(FRAMES, np.nan), Vibration(), np.sin(PHASE)).values()) == {None}


def test_the_protocol(bench):
    pytest.importorskip("cv2", reason="OpenCV (extra 'measure') is not installed")
    record = vibration.run(bench({}, size=96))
    target, given, copied = (record.summary[name] for name in ("target", INPUT, FRAME_B))
    assert abs(target["amplitude_error_percent"]) < 0.5
    assert abs(target["frequency_error_hz"]) < 0.02
    assert abs(target["phase_error_degrees"]) < 0.5
    assert target["distortion_percent"] < 1.0
    assert abs(given["frequency_error_hz"]) < 0.2
    assert copied["amplitude_error_percent"] == pytest.approx(-95.0, abs=0.5)
    assert record.settings["vibration"]["peak_px"] == pytest.approx(0.222073, abs=1e-5)
    assert record.settings["paper"]["peak_px"] == pytest.approx(2.2207, abs=1e-4)
    waveform = [row for row in record.tables["vibration_waveforms"] if row["method"] == "target"]
    assert len(waveform) == FRAMES
    peak = ALPHA * 0.222073
    for row in waveform:
        assert row["expected"] == pytest.approx(peak * math.sin(2.0 * math.pi * 20.0 * row["time_s"]), abs=1e-4)
        assert row["measured"] == pytest.approx(row["expected"], abs=0.03)
    picture = record.pictures["vibration_slices"]
    assert (picture == [228, 26, 28]).all(axis=-1).sum() > 3 * FRAMES, "the expected sine is drawn"


def test_the_slice_is_taken_across_the_strongest_vertical_edge():
    frame = np.full((60, 80, 3), 100, np.uint8)
    frame[20:40, 50:] = 220
    frame[:, 2:] += 30  # at the side, where the slice would leave the frame
    row, column = sharpest_edge(frame, 12)
    assert (20 <= row < 40, column) == (True, 49)
    moved = [np.roll(frame, shift, axis=1) for shift in (0, 3)]
    picture = sliced(moved, row, column, 10, np.array([0.0, 3.0]))
    assert picture.shape == (22 * ZOOM, 2 * ZOOM, 3)
    assert (picture[:, 0, 0] == 250).sum() == pytest.approx(11 * ZOOM, abs=2)
    assert (picture[:, -1, 0] == 250).sum() == pytest.approx(8 * ZOOM, abs=2)
