"""The rate, the spacing and the step that frames are taken at, on clocks that are made up."""

import numpy as np
import pytest

from lightning_mm.live.magnifier import LiveMagnifier
from lightning_mm.live.pace import Pace
from lightning_mm.magnification.motions import make_plan


def taken(pace, indices, fps=30.0, busy=0.01, true_fps=None):
    for index in indices:
        pace.add(index, index / (true_fps or fps), index / fps, busy)


@pytest.mark.parametrize(("fps", "step", "true_fps"), [(30.0, 1, None), (29.97, 3, None), (25.0, 2, 600.0)])
def test_rates_are_those_of_the_scene_and_of_the_clock(fps, step, true_fps):
    pace = Pace()
    taken(pace, range(0, 40 * step, step), fps, true_fps=true_fps)
    assert pace.rate == pytest.approx((true_fps or fps) / step)
    assert pace.source_rate == pytest.approx(true_fps or fps)
    assert pace.shown == pytest.approx(fps / step)
    assert pace.uneven(step) == 0.0


def test_only_the_last_seconds_count():
    pace = Pace()
    taken(pace, range(300), fps=60.0)
    for number in range(1, 61):
        pace.add(300 + number, 5.0 + number / 15.0, 5.0 + number / 15.0, 0.01)
    assert pace.rate == pytest.approx(15.0)


def test_nothing_is_known_before_there_is_enough():
    pace = Pace()
    assert (pace.rate, pace.shown, pace.uneven(1), pace.measured()) == (0.0, 0.0, 0.0, False)
    taken(pace, range(30), fps=30.0)
    assert not pace.measured()  # 0.97 s
    taken(pace, [30], fps=30.0)
    assert pace.measured()
    pace.restart()
    taken(pace, range(5), fps=2.0)  # 2 s of five frames
    assert not pace.measured()


def test_uneven_gaps_are_counted():
    pace = Pace()
    taken(pace, [0, 1, 3, 4, 6, 7, 9, 10, 12])
    assert pace.uneven(1) == pytest.approx(4 / 8)
    assert pace.uneven(2) == pytest.approx(4 / 8)
    assert pace.rate == pytest.approx(30.0 * 8 / 12)


@pytest.mark.parametrize("fps", [10.0, 30.0, 240.0])
@pytest.mark.parametrize("load", [0.2, 0.9, 0.97, 1.2, 1.95, 2.6, 7.3])
def test_the_step_is_the_smallest_that_can_be_kept_up_with(fps, load):
    pace = Pace()
    taken(pace, range(0, 80, 4), fps, busy=load / fps)
    step = pace.fitting_step()
    assert load <= step
    assert step == 1 or load > 0.9 * (step - 1)


def test_a_smaller_step_needs_time_to_spare():
    pace = Pace()
    taken(pace, range(0, 80, 2), busy=0.9 / 30.0)
    assert pace.fitting_step() == 1
    assert pace.fitting_step(now=2) == 2
    pace.restart()
    taken(pace, range(0, 80, 2), busy=0.5 / 30.0)
    assert pace.fitting_step(now=2) == 1


class Steps:
    """A source and a machine of which each frame takes so many seconds; what a session does, without waiting."""

    def __init__(self, magnifier, fps):
        self.magnifier, self.pace, self.fps = magnifier, Pace(), fps
        self.clock, self.index, self.tunings = 0.0, 0, []

    def run(self, seconds, busy):
        end = self.clock + seconds
        while self.clock < end:
            step = self.magnifier.step if self.magnifier.even else 1
            ready = int(np.floor(self.clock * self.fps))
            self.index = max(self.index + step, ready)
            arrived = self.index / self.fps
            self.clock = max(self.clock, arrived) + busy
            self.pace.add(self.index, arrived, arrived, busy)
            if self.magnifier.tune(self.pace):
                self.pace.restart()
                self.tunings.append(round(self.clock, 2))


def temporal(band="3,5", **options):
    return LiveMagnifier(None, make_plan(10.0, "temporal", band=band, filter="butterworth", **options), "cpu")


def test_the_filter_holds_for_the_rate_that_is_reached():
    magnifier = temporal()
    steps = Steps(magnifier, 30.0)
    assert not magnifier.magnifies
    steps.run(5.0, busy=0.05)  # 1.5 frames of the source
    assert magnifier.step == 2
    assert magnifier.tuning.design.fps == pytest.approx(15.0, rel=1e-3)
    assert magnifier.tuning.design.gain(4.0) > 0.98
    assert (len(steps.tunings), magnifier.magnifies) == (1, True)
    assert steps.tunings[0] < 1.6
    assert steps.pace.uneven(2) == 0.0
    assert steps.pace.rate == pytest.approx(15.0, rel=1e-3)


def test_a_change_of_the_rate_is_followed_and_a_hiccup_is_not():
    magnifier = temporal()
    steps = Steps(magnifier, 60.0)
    steps.run(4.0, busy=0.01)
    steps.run(0.3, busy=0.05)
    steps.run(4.0, busy=0.01)
    assert (magnifier.tuning.count, magnifier.step) == (1, 1)
    steps.run(6.0, busy=0.03)
    assert (magnifier.tuning.count, magnifier.step) == (2, 2)
    assert magnifier.tuning.rate == pytest.approx(30.0, rel=1e-3)
    steps.fps, steps.index = 24.0, int(steps.clock * 24.0)  # a camera that slows down in the dark
    steps.pace.restart()
    steps.run(6.0, busy=0.005)
    assert magnifier.step == 1
    assert magnifier.tuning.rate == pytest.approx(24.0, rel=1e-3)


def test_a_band_beyond_the_rate_is_said_and_nothing_magnified():
    magnifier = temporal("8,12")
    steps = Steps(magnifier, 30.0)
    steps.run(4.0, busy=0.05)
    assert not magnifier.magnifies
    (line,) = magnifier.tuning.warnings
    assert "8 to 12 Hz needs more than 24 frames per second, and 15 are reached" in line
    steps.run(8.0, busy=0.005)
    assert magnifier.magnifies
    assert magnifier.tuning.warnings == ()
