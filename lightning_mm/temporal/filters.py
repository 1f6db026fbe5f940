"""Temporal filters frame by frame: what they remember does not grow with the clip."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lightning_mm.temporal.design import Design
from lightning_mm.temporal.sections import Section, sections

_CPU_BLOCK, _ACCELERATOR_BLOCK = 2**18, 2**24
"""Numbers converted to floating point at a time: what a CPU's cache holds; what keeps an accelerator busy."""


class StreamingFilter:
    """A filter that takes one time step in and gives one out.

    The clip is taken to have been at rest before its first sample: all history equals it, and the output is the
    response to the difference to it. A constant input therefore gives exactly 0, whatever the gain at 0 Hz, and the
    start makes no transient of its own.

    A zero-phase filter gives, at call number t from 0, the output for time t - ``delay``. Whoever calls it ignores the
    first ``delay`` outputs, keeps (or reads a second time) what else belongs to the last ``delay`` samples, and after
    the clip's last sample passes that one ``delay`` times more. As many outputs are left as there were samples, each
    in step with its own, also of clips shorter than ``delay``. The clip then rests behind its end as before its start.

    Attributes:
        design: The filter.
        delay: Samples by which the output is late: 0 for causal filters, (taps - 1) / 2 for zero-phase ones.
    """

    def __init__(self, design: Design) -> None:
        self.design = design
        self.delay = design.delay
        self._states: list[_State] | None = None

    def __call__(self, sample: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """One time step.

        Args:
            sample: Tensors of any shapes, floating point or integers such as 8-bit frames, on any device; in every
                call as in the first. They are neither changed nor kept.

        Returns:
            A tensor for each, of the same shape, in the units of the sample (levels, of 8-bit frames); float64 for
            float64 samples, float32 for all others.

        Raises:
            ValueError: The sample is not like the first.
        """
        # State made in inference mode could not be written outside, and the other way round.
        with torch.inference_mode(False), torch.no_grad():
            if self._states is None:
                self._states = [self._start(tensor) for tensor in sample]
            return tuple(state(tensor) for state, tensor in zip(self._states, sample, strict=True))

    def reset(self) -> None:
        """Forget everything: the next sample is the first of another clip, and may have other shapes."""
        self._states = None

    def memory(self, sample_bytes: int, itemsize: int = 4) -> int:
        """Bytes that the filter holds between calls, however long the clip.

        Args:
            sample_bytes: Bytes of one sample, of all of its tensors together.
            itemsize: Bytes of a number in it: 1 for 8-bit frames, 4 for float32.
        """
        computed = sample_bytes // itemsize * max(itemsize, 4)
        if self.design.spec.kind == "fir":
            return self.design.taps * sample_bytes + computed
        states = 2 if self.design.spec.kind == "iir" else 2 * self.design.spec.order
        return (1 + states) * computed

    def _start(self, first: Tensor) -> "_State":
        if self.design.spec.kind == "fir":
            return _Window(first, self.design.weights)
        if self.design.spec.kind == "iir":
            return _Difference(first, self.design.rates, self.design.raw_gain)
        return _Sections(first, sections(self.design.spec, self.design.fps))


def streaming(design: Design) -> StreamingFilter:
    """A filter at rest."""
    return StreamingFilter(design)


class _State(ABC):
    """What is remembered of one tensor of the sample."""

    def __init__(self, first: Tensor) -> None:
        self.shape, self.dtype, self.device = first.shape, first.dtype, first.device
        self.computed = torch.float64 if first.dtype == torch.float64 else torch.float32
        self.first = first.to(self.computed, copy=True)

    def __call__(self, sample: Tensor) -> Tensor:
        if (sample.shape, sample.dtype, sample.device) != (self.shape, self.dtype, self.device):
            found, began = (f"{tuple(of.shape)} {of.dtype} on {of.device}" for of in (sample, self))
            raise ValueError(f"sample of {found}: the filter began with {began}")
        return self.step(sample)

    @abstractmethod
    def step(self, sample: Tensor) -> Tensor:
        """The output for a sample like the first."""

    def change(self, sample: Tensor) -> Tensor:
        return sample.to(self.computed).sub(self.first)


class _Window(_State):
    """The last samples, in a ring that is written in place: differences to the first, or integers as they came."""

    def __init__(self, first: Tensor, weights: np.ndarray) -> None:
        super().__init__(first)
        self.taps, self.number = len(weights), 0
        self.whole = not first.is_floating_point()
        self.strides = self.first.stride()  # dense, in the sample's memory format
        layout = (self.taps, *first.shape), (first.numel(), *self.strides)
        self.ring = torch.empty_strided(*layout, dtype=first.dtype, device=first.device)
        self.ring.copy_(first.expand_as(self.ring)) if self.whole else self.ring.zero_()
        # Twice, oldest first: the weights of the ring's rows are a slice of it wherever the newest row is.
        oldest_first = torch.from_numpy(weights[::-1].copy()).to(self.computed)
        self.weights = torch.cat((oldest_first, oldest_first)).to(first.device)

    def step(self, sample: Tensor) -> Tensor:
        row = self.number % self.taps
        self.number += 1
        self.ring[row].copy_(sample if self.whole else self.change(sample))
        weights = self.weights[self.taps - 1 - row : 2 * self.taps - 1 - row]
        flat = self.ring.as_strided((self.taps, sample.numel()), (sample.numel(), 1))
        direct = flat.dtype == self.computed
        found = torch.mv(flat.t(), weights) if direct else self._in_blocks(flat, weights)
        return found.as_strided(self.shape, self.strides)

    def _in_blocks(self, flat: Tensor, weights: Tensor) -> Tensor:
        """The weighted sum of rows of another type, of which only a block at a time exists in floating point."""
        found = torch.empty(flat.shape[1], dtype=self.computed, device=self.device)
        first = self.first.as_strided((flat.shape[1],), (1,))
        size = _CPU_BLOCK if self.device.type == "cpu" else _ACCELERATOR_BLOCK
        size = max(1, size // self.taps)
        for start in range(0, flat.shape[1], size):
            block = flat[:, start : start + size].to(self.computed)
            if self.whole:
                block.sub_(first[start : start + size])
            torch.mv(block.t(), weights, out=found[start : start + size])
        return found


class _Sections(_State):
    """Two state variables for each second-order section, in the form that keeps float32 exact at low frequencies."""

    def __init__(self, first: Tensor, chain: Sequence[Section]) -> None:
        super().__init__(first)
        self.chain = chain
        self.variables = [(torch.zeros_like(self.first), torch.zeros_like(self.first)) for _ in chain]

    def step(self, sample: Tensor) -> Tensor:
        signal = self.change(sample)
        for section, (band, low) in zip(self.chain, self.variables, strict=True):
            rest = signal - low
            signal = band * (section.gain / 2.0)
            low.add_(band, alpha=section.low_band).add_(rest, alpha=section.low_rest)
            band.add_(band, alpha=section.band_band).add_(rest, alpha=section.band_rest)
            signal.add_(band, alpha=section.gain / 2.0)
        return signal


class _Difference(_State):
    """Two first-order low-passes, the second of what the first leaves: the same as their difference, without its loss.

    With q = 1 - r, LP2 - LP1 = (r_2 - r_1) / (q_1 r_2) * LP2 (1 - LP1): no two nearly equal numbers are subtracted.
    """

    def __init__(self, first: Tensor, rates: tuple[float, float], raw_gain: float) -> None:
        super().__init__(first)
        self.low, self.high = rates
        self.scale = (self.high - self.low) / ((1.0 - self.low) * self.high) / raw_gain
        self.slow, self.fast = torch.zeros_like(self.first), torch.zeros_like(self.first)

    def step(self, sample: Tensor) -> Tensor:
        rest = self.change(sample).sub_(self.slow)
        self.slow.add_(rest, alpha=self.low)
        rest.mul_(1.0 - self.low)  # what is left once the low-pass has taken its share
        self.fast.add_(rest.sub_(self.fast), alpha=self.high)
        return self.fast * self.scale
