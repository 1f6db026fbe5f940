"""What a user asks of a temporal filter, and what is refused."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from lightning_mm.errors import InputError

Kind = Literal["fir", "butterworth", "iir"]
KINDS: tuple[Kind, ...] = get_args(Kind)

MIN_TAPS, MAX_TAPS, MAX_DEFAULT_TAPS = 3, 65535, 1025
MAX_ORDER = 8


def parse_band(text: str) -> tuple[float, float]:
    """The two frequencies of "LOW,HIGH", in Hz; whether they make a band is for ``FilterSpec.check``.

    Raises:
        InputError: It is not two numbers.
    """
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--band {text}: must be LOW,HIGH, two frequencies in Hz, such as 4,8") from None
    return low, high


@dataclass(frozen=True)
class FilterSpec:
    """A temporal band-pass filter.

    Frequencies are always hertz of the true frame rate, that of the camera, which ``--fps`` gives where the container
    states another. The two numbers 0.04 and 0.4 that go with recursive filters in earlier work are coefficients per
    frame, not hertz: with r = 1 - exp(-2 pi f / fs) they are 0.19 and 2.4 Hz at 30 frames per second.

    Attributes:
        kind: "fir" is a windowed band-pass of linear phase, the sharpest and the one with a zero-phase form;
            "butterworth" is recursive, flat in its band; "iir" is the difference of two first-order low-passes, the
            cheapest and the least selective.
        low: Lower edge of the band in Hz.
        high: Upper edge in Hz.
        taps: Length of a FIR's window in frames, odd; ``default_taps`` when left out.
        order: Order of a Butterworth filter: each edge falls by 6 dB per octave times this.
        zero_phase: Of a FIR: take the delay off, so that what comes out is in step with what went in. That needs
            (taps - 1) / 2 frames of the future.
    """

    kind: Kind
    low: float
    high: float
    taps: int | None = None
    order: int = 1
    zero_phase: bool = False

    @property
    def centre(self) -> float:
        """Middle of the band in Hz."""
        return (self.low + self.high) / 2.0

    @property
    def width(self) -> float:
        """Width of the band in Hz."""
        return self.high - self.low

    def check(self, fps: float, frames: int | None = None) -> None:
        """Refuse what cannot be designed.

        Args:
            fps: True frame rate in Hz.
            frames: Length of the clip where it is known.

        Raises:
            InputError: An option is out of range, or does not go with another.
        """
        if self.kind not in KINDS:
            raise InputError(f"--filter {self.kind}: must be {', '.join(KINDS[:-1])} or {KINDS[-1]}")
        if not (math.isfinite(fps) and fps > 0.0):
            raise InputError(f"--fps {fps:g}: must be the true frame rate in Hz, a number above 0")
        self._check_band(fps)
        if self.kind != "butterworth" and self.order != 1:
            raise InputError(f"--order {self.order}: goes with --filter butterworth, not with {self.kind}")
        if not 1 <= self.order <= MAX_ORDER:
            raise InputError(f"--order {self.order}: must be a whole number from 1 to {MAX_ORDER}")
        if self.kind != "fir" and self.zero_phase:
            raise InputError(f"--zero_phase true: goes with --filter fir, not with {self.kind}, which is causal")
        if self.kind != "fir" and self.taps is not None:
            raise InputError(f"--taps {self.taps}: goes with --filter fir, not with {self.kind}")
        if self.kind == "fir":
            self._check_taps(frames)

    def _check_band(self, fps: float) -> None:
        band, nyquist = f"--band {self.low:g},{self.high:g}", fps / 2.0
        accepted = f"accepted is 0 < LOW < HIGH < {nyquist:g} Hz, half of --fps {fps:g}"
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise InputError(f"{band}: must be two finite numbers; {accepted}")
        if self.low <= 0.0:
            raise InputError(f"{band}: LOW must be above 0; {accepted}")
        if self.low >= self.high:
            raise InputError(f"{band}: LOW must be below HIGH; {accepted}")
        if self.high >= nyquist:
            raise InputError(f"{band}: HIGH is not below the Nyquist frequency; {accepted}, the true frame rate")

    def _check_taps(self, frames: int | None) -> None:
        longest = MAX_TAPS if frames is None else min(MAX_TAPS, _odd_below(frames))
        if frames is not None and frames < MIN_TAPS:
            given = "--filter fir" if self.taps is None else f"--taps {self.taps}"
            raise InputError(
                f"{given}: the clip has {frames} {'frame' if frames == 1 else 'frames'}, fewer than the shortest "
                f"window of {MIN_TAPS}; use --filter butterworth or iir"
            )
        if self.taps is None:
            return
        accepted = f"accepted are odd numbers from {MIN_TAPS} to {longest}"
        if self.taps < MIN_TAPS or self.taps % 2 == 0:
            raise InputError(f"--taps {self.taps}: must be odd and at least {MIN_TAPS}; {accepted}")
        if frames is not None and self.taps > frames:
            raise InputError(f"--taps {self.taps}: the window is longer than the clip of {frames} frames; {accepted}")
        if self.taps > longest:
            raise InputError(f"--taps {self.taps}: the window is too long; {accepted}")


def resolving_taps(low: float, high: float, fps: float) -> int:
    """Taps of a FIR that tells a band from what lies beside it: two over its width, or over its lower edge if less.

    The transition of a Hamming window of T seconds is 3.3 / T Hz wide, centred on the band's edge, where the gain is
    about a half. With T = 2 / width the gain is 0.60 at the edges and below 0.01 a band's width outside them. A
    lower edge nearer to 0 than the width needs as much room below it, or slow drift comes through: at 1 to 9 Hz and
    20 frames per second, 5 taps pass 0.93 of it, 41 taps 0.004. Twice as long windows only sharpen the edges (gain
    0.50 there) for twice the memory and twice the delay.
    """
    return math.ceil(2.0 * fps / min(high - low, low)) | 1


def default_taps(spec: FilterSpec, fps: float, frames: int | None = None) -> int:
    """``resolving_taps``, in step, and no more than the clip has frames or than ``MAX_DEFAULT_TAPS``.

    A causal window of T taps is (T - 1) / 2 frames late. Added to motion that it is half a period behind, its output
    would undo motion rather than amplify it. So the delay is made a whole number of periods of the band's centre,
    to the nearest frame, where the bounds leave room for one.
    """
    longest = MAX_DEFAULT_TAPS if frames is None else min(MAX_DEFAULT_TAPS, _odd_below(frames))
    taps = max(MIN_TAPS, min(resolving_taps(spec.low, spec.high, fps), longest))
    if spec.zero_phase:
        return taps
    period = fps / spec.centre
    periods = math.ceil((taps - 1) / 2 / period)
    if round(periods * period) > (longest - 1) // 2:
        periods = math.floor((longest - 1) / 2 / period)
    return 2 * round(periods * period) + 1 if periods else taps


def _odd_below(frames: int) -> int:
    return frames if frames % 2 else frames - 1
