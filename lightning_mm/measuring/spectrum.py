"""Spectra of displacement: amplitudes, the floor that noise makes, and the peaks above it."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.signal import find_peaks, welch

SEGMENT = 1024
"""Frames of a segment: longer clips are cut into such, half overlapping, and the power of all is averaged, so that a
vibration whose frequency wanders stays one peak."""
ABOVE_FLOOR = 4.0
"""A peak is one from so many times the noise floor. White noise in a plane reaches it once in 10^10 bins."""

Displacement = NDArray[np.floating]

_SMALLEST = 1e-5
_NEIGHBOURS, _STEEPEST = 12, 2.0


@dataclass(frozen=True)
class Spectrum:
    """Amplitude spectrum of the displacement of one or more points.

    A sine of amplitude a px gives a peak of height a (Hann window, linear trend removed).

    Attributes:
        frequencies: (F,) Hz, 0 to half the frame rate.
        components: (F, N, D) px: amplitude of each point along each of its D axes.
    """

    frequencies: NDArray[np.float64]
    components: NDArray[np.float64]

    @classmethod
    def of(cls, displacement: Displacement, fps: float) -> "Spectrum":
        """The spectrum of displacement over time.

        Args:
            displacement: (T, D) of one or (T, N, D) px of N points, T at least 4; gaps (NaN) are bridged by straight
                lines.
            fps: Frames per second.
        """
        values = bridged(displacement.reshape(len(displacement), -1))
        length = min(len(values), SEGMENT)
        frequencies, power = welch(
            values, fps, "hann", nperseg=length, detrend="linear", scaling="spectrum", axis=0
        )  # fmt: skip
        amplitude = np.sqrt(2.0 * np.maximum(power, 0.0))
        axes = displacement.shape[-1]
        return cls(frequencies, amplitude.reshape(len(frequencies), -1, axes))

    @property
    def resolution(self) -> float:
        """Hz from one bin to the next."""
        return float(self.frequencies[1])

    @property
    def amplitudes(self) -> NDArray[np.float64]:
        """(F, N) px: root of the sum of squares over the axes."""
        return np.sqrt(np.square(self.components).sum(axis=2))

    @property
    def amplitude(self) -> NDArray[np.float64]:
        """(F,) px: root mean square over the points."""
        return np.sqrt(np.square(self.components).sum(axis=2).mean(axis=1))

    @property
    def floor(self) -> NDArray[np.float64]:
        """(F,) px: what noise alone makes of ``amplitude``; see ``noise_floor``."""
        return noise_floor(self.amplitude[:, None])[:, 0]

    @property
    def noise(self) -> float:
        """Noise floor in px, the median over frequencies."""
        return float(np.median(self.floor[1:]))


@dataclass(frozen=True)
class Peak:
    """One component of a motion.

    Attributes:
        frequency: Hz, refined between bins.
        amplitude: px, zero to peak, along the component's own direction; root mean square over points.
        strength: Height over the noise floor.
    """

    frequency: float
    amplitude: float
    strength: float


def noise_floor(amplitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    """What noise alone makes of spectra: the running median over frequencies, which a few peaks do not move.

    Noise need not be white: drift and shake of a camera rise towards low frequencies by a power of the frequency, which
    is estimated there (the median slope, Theil and Sen) and does not count as a peak.

    Args:
        amplitudes: (F, N) px.

    Returns:
        (F, N) px, at least 1e-5.
    """
    inner = np.maximum(amplitudes[1:], _SMALLEST)
    rank = np.log(np.arange(1, len(inner) + 1))
    reach = min(_NEIGHBOURS, max(len(inner) - 1, 1))
    low = slice(0, min(2 * reach + 1, len(inner)))
    first, second = np.triu_indices(len(rank[low]), 1)
    rise = np.zeros(inner.shape[1])
    if len(first):
        logs = np.log(inner[low])
        slopes = (logs[second] - logs[first]) / (rank[second] - rank[first])[:, None]
        rise = np.clip(np.median(slopes, axis=0), -_STEEPEST, 0.0)
    whitening = np.exp(rank[:, None] * rise)
    flat = median_filter(inner / whitening, (2 * reach + 1, 1), mode="reflect") * whitening
    return np.maximum(np.concatenate([flat[:1], flat]), _SMALLEST)


def peaks_of(displacement: Displacement, fps: float, most: int = 5) -> list[Peak]:
    """The peaks of the spectrum that stand out of the noise, the largest first.

    Frequencies come from a parabola through the logarithm of three bins; amplitudes from sines of all peaks and a
    straight line fitted together, so that one peak does not leak into another.

    Args:
        displacement: (T, D) or (T, N, D) px; gaps are NaN.
        fps: Frames per second.
        most: Peaks at most.
    """
    spectrum = Spectrum.of(displacement, fps)
    height, floor = spectrum.amplitude, spectrum.floor
    found = prominent(height, ABOVE_FLOOR * floor)
    found = found[np.argsort(height[found])[::-1]][:most]
    frequencies = np.array([refined(height, int(k)) for k in found]) * spectrum.resolution
    fitted = _mean_amplitudes(displacement, fps, frequencies)
    # What a larger peak or the trend has leaked is gone once all are fitted together.
    own = fitted >= 0.5 * height[found]
    found, frequencies = found[own], frequencies[own]
    fitted = fitted if own.all() else _mean_amplitudes(displacement, fps, frequencies)
    strength = height[found] / floor[found]
    peaks = [Peak(float(f), float(a), float(s)) for f, a, s in zip(frequencies, fitted, strength, strict=True)]
    return sorted(peaks, key=lambda peak: -peak.amplitude)


def _mean_amplitudes(displacement: Displacement, fps: float, frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sqrt(np.square(amplitudes_at(displacement, fps, frequencies.tolist())).mean(axis=1))


def prominent(height: NDArray[np.float64], least: NDArray[np.float64]) -> NDArray[np.intp]:
    """Bins of peaks at least so high (F,) that do not ride on the slope of a larger one."""
    found, _ = find_peaks(height, height=least, prominence=0.0, distance=2)
    slopes = find_peaks(height, prominence=0.0)
    prominence = dict(zip(slopes[0].tolist(), slopes[1]["prominences"], strict=True))
    return np.array([k for k in found if prominence.get(int(k), 0.0) >= 0.5 * height[k]], dtype=np.intp)


def refined(height: NDArray[np.float64], k: int) -> float:
    """Place of a peak between bins: the top of the parabola through the logarithms of three (Hann window)."""
    if not 0 < k < len(height) - 1:
        return float(k)
    left, middle, right = np.log(height[k - 1 : k + 2] + 1e-30)
    bend = left - 2.0 * middle + right
    return k + (float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0.0 else 0.0)


def amplitudes_at(displacement: Displacement, fps: float, frequencies: list[float]) -> NDArray[np.float64]:
    """Amplitudes of sines fitted together with a straight line, by least squares.

    A clip longer than ``SEGMENT`` is fitted in parts, as in ``Spectrum``, and the root mean square of all is taken.

    Args:
        displacement: (T, D) or (T, N, D) px; gaps are NaN.
        fps: Frames per second.
        frequencies: Hz; none twice.

    Returns:
        (len(frequencies), N) px, zero to peak: of the ellipse that a point traces the larger half axis.
    """
    axes = displacement.shape[-1]
    values = bridged(displacement.reshape(len(displacement), -1))
    if not len(frequencies):
        return np.zeros((0, values.shape[1] // axes))
    length = min(len(values), SEGMENT)
    squares = []
    for start in range(0, len(values) - length + 1, max(1, length - length // 2)):
        fitted = _sines(values[start : start + length], fps, frequencies)
        ellipses = fitted.reshape(len(frequencies), 2, -1, axes).transpose(0, 2, 1, 3)
        squares.append(np.square(np.linalg.norm(ellipses, ord=2, axis=(2, 3))))
    return np.sqrt(np.mean(squares, axis=0))


def direction_at(displacement: Displacement, fps: float, frequency: float) -> NDArray[np.float64]:
    """Unit vector (x, y) along which one point vibrates most at a frequency, pointing right, or else down.

    Args:
        displacement: (T, 2) px as (x, y); gaps are NaN.
        fps: Frames per second.
        frequency: Hz.
    """
    axis = np.linalg.svd(_sines(bridged(displacement), fps, [frequency])[0])[2][0]
    return axis if axis[np.argmax(np.abs(axis))] > 0.0 else -axis


def sines_at(displacement: Displacement, fps: float, frequency: float) -> NDArray[np.float64]:
    """Sine and cosine parts (2, N, D) in px of points (T, N, D) at a frequency in Hz, beside a straight line each."""
    flat = bridged(displacement.reshape(len(displacement), -1))
    return _sines(flat, fps, [frequency])[0].reshape(2, *displacement.shape[1:])


def _sines(values: NDArray[np.float64], fps: float, frequencies: list[float]) -> NDArray[Any]:
    """(F, 2, C): sine and cosine parts at frequencies in series (T, C), fitted together with a straight line."""
    phase = 2.0 * math.pi / fps * np.arange(len(values))[:, None] * np.asarray(frequencies, np.float64)
    line = np.stack([np.ones(len(values)), np.linspace(-1.0, 1.0, len(values))], axis=1)
    design = np.concatenate([np.sin(phase), np.cos(phase), line], axis=1)
    fitted = np.linalg.lstsq(design, values, rcond=None)[0]
    count = len(frequencies)
    return np.stack([fitted[:count], fitted[count : 2 * count]], axis=1)


def bridged(values: Displacement) -> NDArray[np.float64]:
    """(T, C) series with gaps (NaN) bridged by straight lines; one that is all gap becomes 0."""
    values = np.array(values, np.float64)
    time = np.arange(len(values))
    for column in np.flatnonzero(~np.isfinite(values).all(axis=0)):
        known = np.isfinite(values[:, column])
        values[:, column] = np.interp(time, time[known], values[known, column]) if known.any() else 0.0
    return values
