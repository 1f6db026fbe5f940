"""The one exception that means "the input is wrong", as opposed to "the program is wrong"; exit codes."""

from typing import Any

EXIT_FAILED, EXIT_BAD_INPUT, EXIT_PARTIAL, EXIT_INTERRUPTED, EXIT_PIPE_CLOSED = 1, 2, 3, 75, 141


class InputError(ValueError):
    """Bad input: a file, option or value that the user gave and can correct.

    The command line prints its message as one line and exits with code 2, without a traceback. The message
    names the value, the place it came from and what is accepted.
    """


class Interrupted(RuntimeError):
    """Work was stopped and can be continued; the message says why and how (exit code 75).

    By the user (SIGINT, SIGTERM), a full disk, or the loss of another process of the same training.
    """


class PartialInputError(RuntimeError):
    """The input was cut short: what could be read of it was worked on and written (exit code 3)."""


class TrainingDivergedError(RuntimeError):
    """Training ended because a number is no longer finite; the message says which and at which step (exit code 1).

    Args:
        message: The message.
        details: What a report may want to know: "step", "gradient_norm" (the last finite one), "paths".
    """

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


def one_line(error: BaseException) -> str:
    """An error's whole message without line breaks; the name of its kind where it has no message."""
    return " ".join(_lines(error))


def first_line(error: BaseException) -> str:
    """The first line of an error's message; the name of its kind where it has no message."""
    return _lines(error)[0]


def _lines(error: BaseException) -> list[str]:
    return [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
