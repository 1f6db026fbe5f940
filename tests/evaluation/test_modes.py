"""Modes of video: what is due worked out by hand, and a classical method that does what is due."""

import cmath
import math

import pytest

from lightning_mm.classical.phase import PhaseBased
from lightning_mm.classical.steerable import OCTAVE
from lightning_mm.evaluation import modes
from lightning_mm.evaluation.methods import return_frame_b, streaming_method
from lightning_mm.evaluation.modes import MODES, Mode
from lightning_mm.method import Encoded, Method
from lightning_mm.temporal import FilterSpec

BY_NAME = {mode.name: mode for mode in MODES}


def test_responses_by_hand():
    assert BY_NAME["static"].response() == 1.0
    # 6 Hz at 60 frames per second: a tenth of a turn from frame to frame.
    step = BY_NAME["dynamic"].response()
    assert abs(step) == pytest.approx(2.0 * math.sin(math.pi / 10.0))
    assert step == pytest.approx(1.0 - cmath.exp(-2j * math.pi / 10.0))
    zero = BY_NAME["fir 4 to 8 Hz, zero phase"].response()
    assert zero == pytest.approx(1.0, abs=1e-6)
    assert abs(BY_NAME["fir 12 to 20 Hz, zero phase"].response()) < 0.03


def test_methods_without_a_form_for_streams_are_left_out():
    assert streaming_method(return_frame_b) is None


class Still(Method):
    """Gives the frame back whatever is asked for."""

    def encode(self, frames):
        return Encoded((frames,), frames, (frames.shape[-2], frames.shape[-1]))

    def render(self, encoded, change, alpha):
        return encoded.carrier


def test_the_protocol(bench, monkeypatch):
    pytest.importorskip("cv2", reason="OpenCV (extra 'measure') is not installed")
    chosen = [BY_NAME["static"], BY_NAME["dynamic"], BY_NAME["butterworth 4 to 8 Hz"]]
    outside = Mode("outside", FilterSpec("fir", 12.0, 20.0, taps=15, zero_phase=True))
    monkeypatch.setattr(modes, "MODES", (*chosen, outside))
    monkeypatch.setattr(modes, "MOTIONS", (0.2,))
    monkeypatch.setattr(modes, "FACTORS", (5.0,))
    known = {"phase": PhaseBased(OCTAVE), "still": Still()}
    monkeypatch.setattr(modes, "streaming_method", known.get)
    record = modes.run(bench({name: name for name in known}, size=96))
    rows = {(row["mode"], row["method"]): row for row in record.tables["modes"]}
    assert len(rows) == 8
    assert rows["static", "phase"]["expected"] == pytest.approx(1.0)
    for mode in chosen:
        row = rows[mode.name, "phase"]
        assert row["ratio"] == pytest.approx(1.0, abs=0.12)
        assert abs(row["angle"]) < 5.0
        # What does not magnify shows the input, in whichever mode.
        assert rows[mode.name, "still"]["measured"] == pytest.approx(0.2, abs=0.01)
    assert rows["outside", "phase"]["measured"] == pytest.approx(0.2, abs=0.02)
    assert record.summary["still"]["static"] == pytest.approx(0.2, abs=0.01)
