"""Designing temporal band-pass filters, and what they do to each frequency."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.signal import butter, firwin, sos2zpk

from lightning_mm.temporal.spec import FilterSpec, default_taps, parse_band

__all__ = ["Design", "FilterSpec", "design", "parse_band"]

_SETTLED = 0.01
_TITLES = {"fir": "FIR", "butterworth": "Butterworth", "iir": "difference of first-order low-passes"}


@dataclass(frozen=True, eq=False)
class Design:
    """A designed filter.

    Attributes:
        spec: What was asked for.
        fps: True frame rate in Hz.
        weights: Of a FIR: (taps,) float64, newest frame first; empty otherwise.
        sos: Of a Butterworth filter: (order, 6) float64 second-order sections; empty otherwise.
        rates: Of "iir": the share r = 1 - exp(-2 pi f / fs) of the new frame in each low-pass, for LOW and HIGH.
        raw_gain: Of "iir": the peak gain of the difference of low-passes, which it is divided by; 1 otherwise.
        peak: Frequency in Hz where the gain is 1: the band's centre for a FIR, near its geometric mean otherwise.
    """

    spec: FilterSpec
    fps: float
    weights: NDArray[np.float64]
    sos: NDArray[np.float64]
    rates: tuple[float, float]
    raw_gain: float
    peak: float

    @property
    def taps(self) -> int:
        """Frames in the window of a FIR; 0 for recursive filters, which have none."""
        return len(self.weights)

    @property
    def delay(self) -> int:
        """Frames of the future that a zero-phase filter needs; 0 for causal ones."""
        return (self.taps - 1) // 2 if self.spec.zero_phase else 0

    @property
    def settling(self) -> int:
        """Frames after which a start, or any other jump, has left the output: all of a FIR, to 1 % otherwise."""
        if self.spec.kind == "fir":
            return self.taps - 1
        poles = 1.0 - np.array(self.rates) if self.spec.kind == "iir" else np.asarray(sos2zpk(self.sos)[1])
        slowest = float(np.abs(poles).max())
        return math.ceil(math.log(_SETTLED) / math.log(slowest))

    def response(self, frequencies: ArrayLike) -> NDArray[np.complex128]:
        """What a sine of unit amplitude becomes: its gain is the absolute value, its phase the angle.

        Args:
            frequencies: In Hz, from 0 to half the frame rate, of any shape.

        Returns:
            Complex, of the same shape; real for a zero-phase filter, whose delay is taken off.
        """
        hertz = np.asarray(frequencies, dtype=np.float64)
        flat = hertz.ravel()
        delayed = np.exp(-2j * np.pi * flat / self.fps)
        if self.spec.kind == "butterworth":
            above, below = (polyval(delayed, part.T) for part in (self.sos[:, :3], self.sos[:, 3:]))
            found = np.prod(above / below, axis=0)
        elif self.spec.kind == "iir":
            found = _low_passes(self.rates, flat, self.fps) / self.raw_gain
        else:
            found = polyval(delayed, self.weights)
        if self.spec.zero_phase:
            found = (found * delayed**-self.delay).real
        return np.asarray(found).astype(np.complex128).reshape(hertz.shape)

    def gain(self, frequency: float) -> float:
        """Gain at a frequency in Hz."""
        return float(np.abs(self.response(frequency)))

    def phase(self, frequency: float) -> float:
        """Degrees in [-180, 180] by which a sine of this frequency is ahead (above 0) or behind."""
        return math.degrees(float(np.angle(self.response(frequency))))

    def group_delay(self, frequency: float) -> float:
        """Frames by which the envelope of a motion of this frequency is late."""
        if self.spec.kind == "fir":
            return 0.0 if self.spec.zero_phase else (self.taps - 1) / 2.0
        step = 1e-4 * min(self.spec.width, frequency)
        below, above = self.response([frequency - step, frequency + step])
        return -float(np.angle(above * np.conj(below))) / (4.0 * math.pi * step) * self.fps

    def edges(self) -> tuple[float, float]:
        """Frequencies in Hz between which the gain stays above 0.71 (-3 dB of that at ``peak``).

        Found on the response; 0 or half the frame rate where the gain does not fall so far.
        """
        level, nyquist = self.gain(self.peak) / math.sqrt(2.0), self.fps / 2.0
        grid = np.union1d(
            np.geomspace(self.spec.low * 1e-3, nyquist, 4096), np.linspace(0.0, nyquist, max(4096, 8 * self.taps))
        )
        found = []
        for side, default in ((grid[grid < self.peak][::-1], 0.0), (grid[grid > self.peak], nyquist)):
            fallen = np.flatnonzero(np.abs(self.response(side)) < level)
            if len(fallen) == 0:
                found.append(default)
                continue
            inside = side[fallen[0] - 1] if fallen[0] else self.peak
            found.append(float(brentq(lambda f: self.gain(f) - level, inside, side[fallen[0]])))  # type: ignore[arg-type]
        return found[0], found[1]

    def describe(self) -> list[str]:
        """Lines to print: what it is, its gains, what it does to time."""
        spec = self.spec
        form = f", {self.taps} taps ({_time(self.taps, self.fps)})" if spec.kind == "fir" else ""
        form += f" of order {spec.order}" if spec.kind == "butterworth" else ""
        form += ", zero phase" if spec.zero_phase else ", causal"
        low, high = self.edges()
        three = (spec.low, spec.centre, spec.high)
        gains = ", ".join(f"{self.gain(f):.2f} at {f:g} Hz" for f in three)
        lines = [
            f"temporal filter: {_TITLES[spec.kind]}{form}, {spec.low:g} to {spec.high:g} Hz at {self.fps:g} frames/s",
            f"gain {gains}, {self.gain(0.0):.2g} at 0 Hz; within 3 dB from {low:.4g} to {high:.4g} Hz",
        ]
        if spec.kind == "iir":
            lines.append(f"its own gain, {self.raw_gain:.3g} at {self.peak:.4g} Hz, is normalised to 1")
        if spec.zero_phase:
            lines.append(f"in step with the input; needs {self.delay} frames ({_time(self.delay, self.fps)}) ahead")
        else:
            lag = self.group_delay(spec.centre)
            phases = ", ".join(
                f"{round(self.phase(f))} degrees at {f:g} Hz" for f in (spec.low, spec.centre, spec.high)
            )
            lines.append(f"phase {phases}; group delay {lag:.3g} frames ({_time(lag, self.fps)})")
            lines.append(f"settles in {self.settling} frames ({_time(self.settling, self.fps)})")
        return lines


def design(spec: FilterSpec, fps: float, frames: int | None = None) -> Design:
    """Design a filter.

    A FIR is a Hamming-windowed band-pass whose gain at the band's centre is 1. A Butterworth filter has a gain of 1
    near the geometric mean of its edges, and 0.71 at the edges. The difference of two first-order low-passes, with
    r = 1 - exp(-2 pi f / fs), has a peak gain of only about (HIGH - LOW) / (HIGH + LOW), 0.33 for 4 to 8 Hz at
    60 frames per second, and is divided by it.

    Args:
        spec: What is asked for.
        fps: True frame rate in Hz.
        frames: Length of the clip where it is known: no window may be longer.

    Raises:
        InputError: As ``FilterSpec.check``.
    """
    fps = float(fps)
    spec.check(fps, frames)
    weights, sos, rates, raw_gain, peak = np.zeros(0), np.zeros((0, 6)), (0.0, 0.0), 1.0, spec.centre
    band = [spec.low, spec.high]
    if spec.kind == "fir":
        taps = spec.taps or default_taps(spec, fps, frames)
        weights = np.asarray(firwin(taps, band, pass_zero=False, fs=fps))
    elif spec.kind == "butterworth":
        sos = np.asarray(butter(spec.order, band, "bandpass", output="sos", fs=fps))
        # The geometric mean on the frequency axis of the analogue prototype.
        peak = math.atan(math.sqrt(math.prod(math.tan(math.pi * edge / fps) for edge in band))) * fps / math.pi
    else:
        low, high = (-math.expm1(-2.0 * math.pi * edge / fps) for edge in band)
        rates = (low, high)
        peak = _peak(rates, fps)
        raw_gain = float(np.abs(_low_passes(rates, np.array([peak]), fps))[0])
    return Design(spec, fps, weights, sos, rates, raw_gain, peak)


def _low_passes(rates: tuple[float, float], hertz: NDArray[np.float64], fps: float) -> NDArray[np.complex128]:
    """Response of the low-pass with the higher cut-off minus that of the other.

    With q = 1 - r, r_2 / (1 - q_2 / z) - r_1 / (1 - q_1 / z) is (r_2 - r_1)(1 - 1 / z) / ((1 - q_1 / z)(1 - q_2 / z)),
    in which close cut-offs and low frequencies cost no digits.
    """
    delayed = np.exp(-2j * np.pi * hertz / fps)
    change = -np.expm1(-2j * np.pi * hertz / fps)
    low, high = rates
    found = (high - low) * change / ((change + low * delayed) * (change + high * delayed))
    return found.astype(np.complex128)


def _peak(rates: tuple[float, float], fps: float) -> float:
    """Frequency in Hz of the greatest gain of the difference."""

    def loss(log: float) -> float:
        return -float(np.abs(_low_passes(rates, np.array([math.exp(log)]), fps))[0])

    # One maximum, for the gain rises from 0 and falls behind it.
    bounds = (math.log(min(rates) * fps * 1e-2), math.log(fps / 2.0))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-10})
    return math.exp(float(found.x))  # type: ignore[attr-defined]


def _time(frames: float, fps: float) -> str:
    seconds = frames / fps
    return f"{seconds * 1e3:.3g} ms" if seconds < 1.0 else f"{seconds:.3g} s"
