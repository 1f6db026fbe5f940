"""What is known of the runs in a directory: on which budget each was started, and whether it diverged."""

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_mm.errors import InputError
from lightning_mm.reproduction.spec import Job
from lightning_mm.runs import RESULTS_FILE, fingerprint, write_text_atomically

LEDGER_FILE, LOCK_FILE = "runs.json", "runs.json.lock"


class Ledger:
    """``runs.json`` of a directory, by the name of the run: "budget", a fingerprint, and the reason for "diverged".

    Args:
        directory: Of all runs.

    Attributes:
        inherited: Descriptor of the lock while it is ``held``: a process that inherits it keeps the directory held for
            as long as it lives, also when the one that started it is killed.

    Raises:
        InputError: The file is no such file.
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / LEDGER_FILE
        self.inherited: tuple[int, ...] = ()
        self._known = self._read()

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise InputError(f"{self.path}: not valid JSON ({error})") from None
        entries = found.values() if isinstance(found, dict) else [found]
        if not all(isinstance(entry, dict) and "budget" in entry for entry in entries):
            raise InputError(f"{self.path}: not a file of 'lightning-mm reproduce'")
        return found

    @contextmanager
    def held(self) -> Iterator[None]:
        """Train in the directory alone: two commands would train one run twice at a time, and lose each other's notes.

        Raises:
            InputError: Another command, or a worker that outlived its own, holds the directory.
        """
        directory = self.path.parent
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / LOCK_FILE).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                advice = "wait until it has ended, or choose another directory (--dir)"
                raise InputError(f"{directory}: another 'lightning-mm reproduce' trains there; {advice}") from None
            self.inherited, self._known = (file.fileno(),), self._read()
            try:
                yield
            finally:
                self.inherited = ()

    def require_same(self, jobs: Sequence[Job]) -> None:
        """Refuse runs that were trained on another budget than a job asks for.

        Raises:
            InputError: One was; the message names it.
        """
        for job in jobs:
            known = self._known.get(job.directory.name)
            if known is not None and known["budget"] != budget_of(job):
                advice = "choose another directory (--dir), or delete the run and its entry in runs.json"
                raise InputError(f"{job.directory}: was trained with other settings or files; {advice}")
            if known is None and (job.directory / RESULTS_FILE).exists():
                raise InputError(f"{job.directory}: is no run of 'lightning-mm reproduce'; choose another directory")

    def missing(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs that have neither a result nor diverged."""
        gone = self.diverged()
        return [job for job in jobs if not (job.directory / RESULTS_FILE).exists() and job.directory.name not in gone]

    def diverged(self) -> dict[str, str]:
        """Reason for each run that diverged."""
        return {name: known["diverged"] for name, known in self._known.items() if "diverged" in known}

    def note(self, job: Job, diverged: str | None = None) -> None:
        """Record that a run is started, or that it diverged."""
        entry = {"budget": budget_of(job)} | ({} if diverged is None else {"diverged": diverged})
        self._known[job.directory.name] = entry
        write_text_atomically(self.path, json.dumps(self._known, indent=2) + "\n")


def budget_of(job: Job) -> str:
    """Fingerprint of all that decides what a job trains: its arguments, and what the files that they name hold."""
    files = [value for option, value in zip(job.arguments, job.arguments[1:], strict=False) if option == "--config"]
    told = {file: Path(file).read_text(encoding="utf-8") for file in files}
    others = [argument for argument in job.arguments if not argument.startswith("--run.dir=")]
    return fingerprint({"files": told, "arguments": others, "kind": job.kind})
