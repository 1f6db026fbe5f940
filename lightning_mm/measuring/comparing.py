"""How much larger a motion is in a magnified clip than in the clip it was made of."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightning_mm.errors import InputError
from lightning_mm.measuring.motion import Motion
from lightning_mm.measuring.spectrum import amplitudes_at, direction_at


@dataclass(frozen=True)
class Comparison:
    """Amplitudes of one vibration before and after magnification.

    Attributes:
        frequency: Hz.
        before: Amplitude in the input, px, zero to peak.
        after: Amplitude in the magnified clip, px, zero to peak.
        direction: (2,) unit vector (x, y) along which the input vibrates.
    """

    frequency: float
    before: float
    after: float
    direction: NDArray[np.float64]

    @property
    def ratio(self) -> float:
        """The magnification that was reached."""
        return self.after / self.before if self.before > 0.0 else math.nan


def compared(before: Motion, after: Motion) -> Comparison:
    """Compare at the input's strongest vibration, or the magnified clip's where the input's drowns in noise.

    Amplitudes are those of the second half of the clips, since a causal temporal filter takes time to settle.

    Args:
        before: Of the input.
        after: Of the magnified clip, with as many frames; gaps (NaN) are bridged.

    Raises:
        InputError: The region was lost in more than half of the magnified clip.
    """
    known, frames = int((after.features > 0).sum()), len(after.features)
    if 2 * known < frames:
        raise InputError(
            f"the region was found in {known} of {frames} magnified frames only; choose another region, or a "
            "smaller alpha"
        )
    peaks = before.peaks() or after.peaks()
    frequency = peaks[0].frequency if peaks else before.dominant()[0]
    half = frames // 2
    amplitude = [
        float(amplitudes_at(motion.displacement[half:], before.fps, [frequency])[0, 0]) for motion in (before, after)
    ]
    axis = direction_at(before.displacement, before.fps, frequency)
    return Comparison(frequency, amplitude[0], amplitude[1], axis)
