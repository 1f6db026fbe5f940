"""What commands that go through the frames of a clip show on standard error."""

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def warn(lines: Iterable[str]) -> None:
    """Print warnings, one line each."""
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)


def frames_bar() -> Progress:
    """A bar that counts frames and is gone at the end; none where standard error is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
