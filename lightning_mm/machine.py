"""The machine that something runs on: what it is, and how busy."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from lightning_mm.errors import InputError

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")


def hardware(device: torch.device) -> dict[str, Any]:
    """What numbers depend on: "device" (the GPU's name, or the kind of device), "processor" and "threads"."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": processor(),
        "threads": torch.get_num_threads(),
    }


def processor() -> str:
    """Name of this machine's processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def load() -> float | None:
    """Processes that wanted a processor over the last minute, this one included; ``None`` where that is not known."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def is_busy(load: float | None, cores: int) -> bool:
    """Whether a load is so high that times on the processor are longer than on a quiet machine."""
    return load is not None and load > cores / 2


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory has run out, which only Python and GPUs say by its type."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY)


@contextmanager
def with_threads(threads: int | None) -> Iterator[None]:
    """Have torch compute with so many threads; as many as before for ``None``.

    Raises:
        InputError: Fewer than one.
    """
    if threads is not None and threads < 1:
        raise InputError(f"threads = {threads}: must be >= 1")
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def pick_device(name: str) -> torch.device:
    """The device of a name; "auto" is CUDA where there is a CUDA device, else the CPU.

    Raises:
        InputError: No such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # which the device "meta" cannot
    except (RuntimeError, AssertionError, NotImplementedError):
        gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
        accepted = ", ".join(["auto", "cpu", *gpus])
        raise InputError(f"device = '{name}': not available here; accepted: {accepted}") from None
    return device
