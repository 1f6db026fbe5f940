"""Which process holds a trial, and whether it is still alive."""

import os
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

BEAT_S = 20.0
"""Seconds between two signs of life of a process that holds a trial."""

GRACE_S = 180.0
"""Seconds without one after which a process counts as dead; one of this machine that has ended does at once."""


def holder() -> str:
    """This process, in a form that others can look up: machine, process number and when it started."""
    return f"{_machine()} {os.getpid()} {_started(os.getpid())}"


def is_gone(text: str) -> bool | None:
    """Whether the process that a text of ``holder`` names has ended; ``None`` where it is on another machine."""
    machine, pid, started = text.rsplit(" ", 2)
    if machine != _machine():
        return None
    return _started(int(pid)) != started


@dataclass
class Watch:
    """Watches signs of life, by this process's own clock: the clocks of other machines may differ.

    Attributes:
        grace: Seconds without a new sign after which a process counts as dead.
    """

    grace: float = GRACE_S
    _seen: dict[int, tuple[object, float]] = field(default_factory=dict)
    _last_look: float = 0.0

    def lost(self, signs: Mapping[int, tuple[str | None, object]]) -> dict[int, str]:
        """Trials whose process is dead, with the reason.

        Args:
            signs: For every running trial the text of ``holder`` and its latest sign of life.
        """
        now = time.monotonic()
        if now - self._last_look > self.grace / 2:
            # This process was asleep, or the database was gone: for as long nobody could leave a sign.
            self._seen.clear()
        self._last_look = now
        found = {}
        for number, (who, beat) in signs.items():
            before, since = self._seen.get(number, (None, now))
            if number not in self._seen or before != beat:
                self._seen[number], since = (beat, now), now
            if who is not None and is_gone(who):
                found[number] = f"its process died ({_shown(who)})"
            elif now - since > self.grace:
                found[number] = f"no sign of life for {self.grace:.0f} s ({_shown(who)})"
        self._seen = {number: seen for number, seen in self._seen.items() if number in signs}
        return found


def _shown(who: str | None) -> str:
    if who is None:
        return "unknown process"
    machine, pid, _ = who.rsplit(" ", 2)
    return f"process {pid} on {machine.split('/')[0]}"


def _machine() -> str:
    try:  # machines can have one host name, and so can the containers of a machine
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            own = f"{file.read().strip()[:8]}-{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        own = str(uuid.getnode())
    return f"{socket.gethostname()}/{own}"


def _started(pid: int) -> str:
    """When a process started, in the kernel's ticks (numbers of processes are used again); "" where it has ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except FileNotFoundError:
        return "" if os.path.isdir("/proc/self") else _alive(pid)
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]  # a zombie has ended and only its parent has not asked yet


def _alive(pid: int) -> str:
    """As ``_started`` on systems without /proc, where it can only be said that some process has the number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "?"
