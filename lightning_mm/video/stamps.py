"""Time stamps of a video's frames: are they evenly spaced, and if not, which frame is nearest to an even grid?"""

from array import array
from collections.abc import Generator, Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from numpy.typing import NDArray

Stamps = NDArray[np.int64]


def read_stamps(container: Any, stream: Any) -> Stamps | None:
    """Presentation time of every frame in ticks of the stream, ascending, without decoding (8 bytes a frame).

    ``None`` where not every packet has one, as in AVI, or where time runs backwards, as in recordings that were simply
    joined: such files have no other times than their frame rate.
    """
    stamps, latest = array("q"), None
    try:
        for packet in container.demux(stream):
            if not packet.size or packet.is_discard:
                continue
            backwards = latest is not None and packet.dts is not None and packet.dts < latest
            if packet.pts is None or backwards:
                return None
            latest = packet.dts
            stamps.append(packet.pts)
    except FFmpegError:
        pass  # reading the frames will say so
    return np.sort(np.frombuffer(stamps, np.int64)) if stamps else None


def is_variable(stamps: Stamps) -> bool:
    """Whether frames are unevenly spaced: by more than half a frame, beyond the rounding to ticks.

    Either two neighbours are closer than half or further than one and a half of the median spacing, as where a frame
    was dropped, or the frames drift from a constant rate by more than half a frame, as where a phone lengthens its
    exposure. Rounding to ticks is no unevenness: Matroska counts whole milliseconds, in which frames at 1900 per second
    come in ones and twos.
    """
    if len(stamps) < 3:
        return False
    spacing = np.diff(stamps)
    median = float(np.median(spacing))
    if (spacing > 1.5 * median + 1).any() or (spacing < 0.5 * median - 1).any():
        return True
    mean = float(stamps[-1] - stamps[0]) / len(spacing)
    drift = stamps - stamps[0] - mean * np.arange(len(stamps))
    return bool(np.ptp(drift) / 2 > 0.5 * mean + 1)


def grid_rate(stamps: Stamps, tick: Fraction, average: Fraction, nominal: Fraction | None) -> Fraction:
    """Rate of the even grid for unevenly spaced frames, in frames per second.

    That is the average, so that the number of frames hardly changes; but where frames are merely missing, the nominal
    rate that the others keep, as the average would shift every one of them.
    """
    if not nominal:
        return average
    spacing = Fraction(float(np.median(np.diff(stamps)))) * tick
    kept = abs(1 / nominal - spacing) <= tick and abs(nominal / average - 1) < Fraction(1, 10)
    return nominal if kept else average


def nearest(
    frames: Iterable[VideoFrame], tick: Fraction, start: Fraction, rate: Fraction, first: int = 0
) -> Generator[VideoFrame]:
    """For each point of an even grid of times the frame nearest to it: the last point is that of the last frame.

    Args:
        frames: Frames in order of their times, beginning no later than the one nearest to the first point.
        tick: Unit of their time stamps in seconds.
        start: Time of the grid's point 0 in seconds.
        rate: Points per second.
        first: Point to begin with.

    Yields:
        Frames; the same one again where several points are nearest to it, and none of those nearest to no point.
    """
    number, before, before_time = first, None, Fraction(0)
    for frame in frames:
        time = before_time + 1 / rate if frame.pts is None else frame.pts * tick
        while before is not None and start + number / rate < (before_time + time) / 2:
            yield before
            number += 1
        before, before_time = frame, time
    while before is not None and start + number / rate < before_time + 1 / (2 * rate):
        yield before
        number += 1
