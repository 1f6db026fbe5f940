"""Timing several pieces of work in turns, so that what slows the machine for a while slows all alike."""

import time
from collections.abc import Callable, Mapping
from typing import TypedDict

import torch

from lightning_mm.machine import is_out_of_memory
from lightning_mm.timing import calls_to_measure, clock

MIN_ROUNDS, MAX_ROUNDS = 3, 50
WARM_UP = 20
"""Frames to warm up, in at most a quarter of the time of the measurement."""


class Seconds(TypedDict):
    """What a piece of work took: seconds that passed, and seconds of this process on the processor."""

    passed: float
    processor: float


Block = Callable[[], Seconds]


def interleaved(blocks: Mapping[tuple[str, int], Block], seconds: float) -> dict[tuple[str, int], list[Seconds]]:
    """Take turns, A B A B, so that what slows the machine for a while slows all alike.

    Args:
        blocks: Each does its work once and says what it took.
        seconds: Time for each; a round that the slowest would not finish in it is not begun, but ``MIN_ROUNDS`` are
            done, and ``MAX_ROUNDS`` at most.

    Returns:
        Seconds of each round, equally many of all.
    """
    found: dict[tuple[str, int], list[Seconds]] = {key: [] for key in blocks}
    for number in range(MAX_ROUNDS if blocks else 0):
        spent = [[both["passed"] for both in values] for values in found.values()]
        if number >= MIN_ROUNDS and any(sum(values) + max(values) > seconds for values in spent):
            break
        for key, block in blocks.items():
            found[key].append(block())
    return found


def warm_up(work: Callable[[], object], device: torch.device, seconds: float) -> tuple[int, str | None]:
    """Do the work until it is warm.

    Args:
        work: One frame.
        device: Where it is done.
        seconds: Time for the measurement to come; what does not do ``MIN_ROUNDS`` frames in it is left out.

    Returns:
        How many frames to time in a row; and why the work is left out, or ``None``.
    """
    one = block_of(work, device, 1)
    try:
        last = one()["passed"]
        if MIN_ROUNDS * last > seconds:
            last = one()["passed"]  # the first one compiles, chooses algorithms, or encodes the reference
        if MIN_ROUNDS * last > seconds:
            return 0, f"one frame took {last:.1f} s, so that {MIN_ROUNDS} do not fit into {seconds:g} s"
        spent = last
        for _ in range(WARM_UP - 1):
            if spent > seconds / 4:
                break
            last = one()["passed"]
            spent += last
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return 0, "out of memory"
    return calls_to_measure(last), None


def block_of(work: Callable[[], object], device: torch.device, frames: int) -> Block:
    """So many frames in a row, timed."""

    def block() -> Seconds:
        start, computed = clock(device), time.process_time()
        for _ in range(frames):
            work()
        return {"passed": clock(device) - start, "processor": time.process_time() - computed}

    return block
