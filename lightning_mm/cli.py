"""The program ``lightning-mm``: bad input ends in one line and exit code 2, an interruption in 75."""

import os
import sys
import warnings

from lightning_mm import __version__
from lightning_mm.commands import COMMANDS
from lightning_mm.errors import (
    EXIT_BAD_INPUT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_PARTIAL,
    EXIT_PIPE_CLOSED,
    InputError,
    Interrupted,
    PartialInputError,
    TrainingDivergedError,
)


def main(args: list[str]) -> int:
    """Run one command.

    Args:
        args: Arguments behind the program's name.

    Returns:
        Exit code: 0 done, 1 training diverged, 2 bad input, 3 only part of the input could be read, 75 interrupted but
        resumable.
    """
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # of Lightning 2.6.6 on torch >= 2.11; nothing to act on
    if not args or args[0] in ("-h", "--help"):
        print(_overview())
        return 0 if args else EXIT_BAD_INPUT
    if args[0] == "--version":
        print(f"lightning_mm {__version__}")
        return 0
    name, rest = args[0], args[1:]
    if name not in COMMANDS:
        return _fail(f"no command '{name}'; there are {', '.join(COMMANDS)}")
    try:
        COMMANDS[name](rest)
    except InputError as error:
        message, code = f"error: {error}", EXIT_BAD_INPUT
    except Interrupted as error:
        message, code = str(error), EXIT_INTERRUPTED
    except PartialInputError as error:
        message, code = str(error), EXIT_PARTIAL
    except TrainingDivergedError as error:
        message, code = f"training diverged: {error}", EXIT_FAILED
    except KeyboardInterrupt:
        message, code = "interrupted", EXIT_INTERRUPTED
    else:
        return 0
    # Of the processes that train together, the first of each node speaks.
    if name != "fit" or os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")) == "0":
        print(f"lightning-mm: {message}", file=sys.stderr)
    return code


def run() -> None:
    """Entry point of the installed command."""
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # who reads what is printed has had enough, such as "head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = EXIT_PIPE_CLOSED
    sys.exit(code)


def _overview() -> str:
    lines = [f"lightning_mm {__version__}: learning-based video motion magnification", ""]
    lines += ["usage: lightning-mm COMMAND [OPTIONS]   (lightning-mm COMMAND --help explains its options)", ""]
    lines += [f"  {name:10s} {(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join(lines)


def _fail(message: str) -> int:
    print(f"lightning-mm: error: {message}", file=sys.stderr)
    return EXIT_BAD_INPUT
