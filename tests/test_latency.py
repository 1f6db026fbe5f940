"""Latency: what is timed is one encoder pass, one manipulator and one decoder per frame."""

from collections import Counter

import pytest
import torch

from lightning_mm import latency
from lightning_mm.models import Magnifier, MagnifierConfig


@pytest.fixture
def magnifier():
    return Magnifier(MagnifierConfig(encoder_channels=2, decoder_depth=1, decoder_channels=4))


def test_a_frame_is_encoded_manipulated_and_decoded_once(magnifier, monkeypatch):
    calls = Counter()
    for name in ("encode", "manipulate", "decode"):
        method = getattr(magnifier, name)

        def counted(*args, name=name, method=method):
            calls[name] += 1
            return method(*args)

        monkeypatch.setattr(magnifier, name, counted)
    found = latency.frame_latency(magnifier, (20, 36))
    assert calls["manipulate"] == calls["decode"] == calls["encode"] - 1 > latency.REPEATS
    assert (found.height, found.width) == (20, 36)
    assert 0 < found.lower_ms <= found.ms <= found.upper_ms


def test_milliseconds_of_a_clock_that_the_work_moves(magnifier, monkeypatch):
    class Timed:
        def __init__(self, work, device):
            assert device == torch.device("cpu")
            self.durations = iter([0.004, 0.002, 0.003, 0.001, 0.005])

        def seconds(self):
            return next(self.durations)

    monkeypatch.setattr(latency, "Timed", Timed)
    found = latency.frame_latency(magnifier, (8, 8))
    assert (found.lower_ms, found.ms, found.upper_ms) == pytest.approx((2.0, 3.0, 4.0))
