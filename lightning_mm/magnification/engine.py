"""The engine: frames in, magnified frames out, one for one, with memory that does not grow with the clip."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from lightning_mm.magnification.frames import Transfer, from_levels, half_range, levels
from lightning_mm.method import Encoded, Method, Signal
from lightning_mm.temporal.filters import StreamingFilter
from lightning_mm.video.colour import Frame

Due = tuple[Encoded, Signal]


class Motion(ABC):
    """What the motion of a frame is measured from, with the little that it takes to remember.

    Attributes:
        delay: Number of frames that what comes out lags behind what goes in.
    """

    delay: int = 0

    @abstractmethod
    def __call__(self, method: Method, frames: Tensor) -> Due | None:
        """Take the next frames.

        Args:
            method: Encodes them and takes differences.
            frames: (B, H, W, 3) as ``levels`` gives them.

        Returns:
            Encoded frames and the change of each, for as many as are due; ``None`` where none is.
        """


class Static(Motion):
    """Motion from one reference frame.

    Args:
        reference: The reference frame, (1, H, W, 3) as ``levels`` gives it; the first frame when left out.
    """

    def __init__(self, reference: Tensor | None = None) -> None:
        self._frame = reference
        self._signal: Signal | None = None

    def __call__(self, method: Method, frames: Tensor) -> Due:
        """See ``Motion``."""
        encoded = method.encode(from_levels(frames))
        signal = self._signal
        if signal is None:
            first = encoded if self._frame is None else method.encode(from_levels(self._frame))
            self._signal = signal = _take(first.signal, slice(0, 1))
            self._frame = None
        return encoded, method.difference(signal, encoded.signal)


class Dynamic(Motion):
    """Motion from the frame before; the first frame has none."""

    def __init__(self) -> None:
        self._last: Signal | None = None

    def __call__(self, method: Method, frames: Tensor) -> Due:
        """See ``Motion``."""
        encoded = method.encode(from_levels(frames))
        first = _take(encoded.signal, slice(0, 1)) if self._last is None else self._last
        before = _join([first, _take(encoded.signal, slice(0, -1))]) if len(frames) > 1 else first
        self._last = _take(encoded.signal, slice(-1, None))
        return encoded, method.difference(before, encoded.signal)


class Temporal(Motion):
    """Motion within a band of frequencies, by a temporal filter.

    A linear filter and an encoder that is linear may change places. Where a method allows it, frames are filtered,
    whose 8-bit values a window of many taps holds in a fifth of the memory of the shape, and each frame that is due is
    encoded then. Elsewhere the filter runs on the change since the first frame (Oh et al., 2018, filter the shape).

    Args:
        filter: State included, so for one stream only.
    """

    def __init__(self, filter: StreamingFilter) -> None:
        self._filter = filter
        self.delay = filter.delay
        self._waiting: deque[Any] = deque()
        self._first: Signal | None = None
        self._last: Signal | None = None
        self._moved: Signal | None = None

    def __call__(self, method: Method, frames: Tensor) -> Due | None:
        """See ``Motion``."""
        passed: list[Signal] = []
        due: list[Any] = []
        singles = frames.split(1) if method.frame_linear else _split(method.encode(from_levels(frames)), len(frames))
        for single in singles:
            self._waiting.append(single)
            sample = (_compact(single),) if isinstance(single, Tensor) else self._change(method, single.signal)
            filtered = self._filter(sample)
            if len(self._waiting) > self.delay:
                due.append(self._waiting.popleft())
                passed.append(filtered)
        if not due:
            return None
        if not method.frame_linear:
            return _joined(due), _join(passed)
        change = torch.cat([filtered[0] for filtered in passed]).permute(0, 3, 1, 2) / half_range(frames)
        return method.encode(from_levels(torch.cat(due))), method.encode_change(change)

    def _change(self, method: Method, signal: Signal) -> Signal:
        """Change since the first frame; of phases, added up from frame to frame."""
        if not method.wraps:
            self._first = signal if self._first is None else self._first
            return method.difference(self._first, signal)
        step = method.difference(signal if self._last is None else self._last, signal)
        self._last = signal
        self._moved = step if self._moved is None else tuple(a + b for a, b in zip(self._moved, step, strict=True))
        return self._moved


class Engine:
    """Magnifies one stream.

    Args:
        method: How motion is represented and amplified.
        motion: What it is measured from.
        alpha: Total motion factor; may be changed between frames.
        device: Where the method computes.

    Attributes:
        alpha: As given.
    """

    def __init__(self, method: Method, motion: Motion, alpha: float = 10.0, device: torch.device | str = "cpu") -> None:
        self.method, self.motion, self.alpha, self.device = method, motion, alpha, device
        self._last: Frame | None = None

    def push(self, frames: Sequence[Frame]) -> list[Frame]:
        """Take frames and give those that are due: as many, except that the first ``motion.delay`` are held back.

        Args:
            frames: RGB (H, W, 3), uint8 or uint16, at least one, of one size for all calls.

        Returns:
            Magnified frames of the same type, in order.
        """
        return self.begin(frames).frames()

    @torch.inference_mode()
    def begin(self, frames: Sequence[Frame]) -> "Begun":
        """``push`` that does not wait for the device; the frames that are due are asked for later."""
        self._last = frames[-1]
        due = self.motion(self.method, levels(frames, self.device))
        return Begun(None if due is None else Transfer(self.method.render(*due, self.alpha), like=frames[0]))

    def flush(self) -> list[Frame]:
        """The frames held back, for which the last one stands still; empty where none are, or a second time."""
        last = self._last
        if last is None:
            return []
        given = [frame for _ in range(self.motion.delay) for frame in self.push([last])]
        self._last = None
        return given


@dataclass(frozen=True)
class Begun:
    """What ``Engine.begin`` has begun.

    Attributes:
        transfer: The frames on their way; ``None`` where none are due.
    """

    transfer: Transfer | None

    def frames(self) -> list[Frame]:
        """The magnified frames that are due, when they are done."""
        return [] if self.transfer is None else self.transfer.frames()


def stream(engine: Engine, frames: Iterable[Frame], batch: int = 1) -> Iterator[Frame]:
    """Magnify a stream of frames, one out for one in.

    On a GPU the next batch is begun before the last one is waited for, so that reading, copying and computing overlap.

    Args:
        engine: A new one.
        frames: RGB (H, W, 3), uint8 or uint16.
        batch: Number of frames that are taken at a time.

    Yields:
        Magnified frames.
    """
    ahead = 1 if torch.device(engine.device).type == "cuda" else 0
    begun: deque[Begun] = deque()
    remaining = iter(frames)
    while held := list(islice(remaining, batch)):
        begun.append(engine.begin(held))
        if len(begun) > ahead:
            yield from begun.popleft().frames()
    while begun:
        yield from begun.popleft().frames()
    yield from engine.flush()


def _compact(frame: Tensor) -> Tensor:
    """Frames as filters keep them: 8 bits as they are, 16 bits as float32."""
    return frame if frame.dtype == torch.uint8 else frame.float()


def _mapped(values: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """Apply a function to the tensors in nested tuples and lists; everything else belongs to the whole batch."""
    if isinstance(values, Tensor):
        return function(values)
    if isinstance(values, tuple | list):
        return type(values)(_mapped(value, function) for value in values)
    return values


def _take(values: Any, part: slice) -> Any:
    return _mapped(values, lambda tensor: tensor[part])


def _split(encoded: Encoded, count: int) -> list[Encoded]:
    parts = [slice(n, n + 1) for n in range(count)]
    return [Encoded(_take(encoded.signal, part), _take(encoded.carrier, part), encoded.size) for part in parts]


def _join(values: Sequence[Any]) -> Any:
    """The reverse of taking apart: tensors at the same place in nested tuples and lists, one behind the other."""
    first = values[0]
    if isinstance(first, Tensor):
        return first if len(values) == 1 else torch.cat(list(values))
    if isinstance(first, tuple | list):
        return type(first)(_join(parts) for parts in zip(*values, strict=True))
    return first


def _joined(encoded: Sequence[Encoded]) -> Encoded:
    parts = [(one.signal, one.carrier) for one in encoded]
    signal, carrier = _join(parts)
    return Encoded(signal, carrier, encoded[0].size)
