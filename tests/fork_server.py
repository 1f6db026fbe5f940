"""A process that has imported everything once: others are forked from it, for what must happen in processes of its own.

Run as a program, this file is that process. It takes a command per line of its standard input: to fork a child that
calls a function of a module, or to wait for one of its children.
"""

import gc
import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace
from typing import Any, TextIO

from tiny_settings import TINY

ROOT = Path(__file__).parents[1]
FORK = multiprocessing.get_context("fork")


class ForkServer:
    """The process, as tests see it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen([sys.executable, __file__], stdin=-1, stdout=-1, env=_environment(), text=True)

    def fork(self, module: str, function: str, *arguments: object) -> int:
        """Fork a child in this directory, a session of its own, nothing to read, standard output in standard error.

        Args:
            module: Name of a module of the package or of the tests.
            function: Called in the child; what it returns or exits with is the exit code.
            arguments: Of the function; plain JSON.

        Returns:
            The child's process number.
        """
        pid = self._ask({"module": module, "function": function, "arguments": arguments, "directory": os.getcwd()})
        assert pid is not None
        return pid

    def poll(self, pid: int) -> int | None:
        """Exit code of a child if it has ended, below zero for a signal."""
        return self._ask({"poll": pid})

    def wait(self, pid: int) -> int:
        """Exit code of a child when it has ended, below zero for a signal."""
        found = self._ask({"wait": pid})
        assert found is not None
        return found

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(60) == 0
        self._process.stdout.close()

    def _ask(self, command: object) -> int | None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def fork_commands_of(module: ModuleType) -> None:
    """Let a module fork ``lightning-mm`` from this child of the server, where it would start it by ``Popen``."""
    module.subprocess = SimpleNamespace(**{**vars(subprocess), "Popen": ForkedCommand})


class ForkedCommand:
    """``lightning-mm`` in a fork of this process, in place of ``subprocess.Popen``.

    Args:
        command: ``python -m lightning_mm`` or ``python .../lightning-mm``, and arguments.
        env: As of ``Popen``, and so on.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        cwd: None = None,
        stdin: int | None = None,
        stdout: Any = None,
        stderr: int | None = None,
        text: bool = False,
        start_new_session: bool = False,
        pass_fds: Iterable[int] = (),
    ) -> None:
        arguments = list(command[3 if command[1] == "-m" else 2 :])
        reading, writing = os.pipe() if stdout == subprocess.PIPE else (None, stdout and stdout.fileno())
        # A fork has all that "stdin" and "pass_fds" could say; errors go where the output does.
        assert stderr in (None, subprocess.STDOUT)
        self._process = FORK.Process(
            target=_be_command, args=(arguments, dict(env), reading, writing, start_new_session)
        )
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        self.stdout = None
        if reading is not None:
            os.close(writing)
            self.stdout = os.fdopen(reading, "r" if text else "rb")

    @property
    def returncode(self) -> int | None:
        """Exit code, when it has ended."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Exit code, when it has ended."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Exit code, once it has ended."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("lightning-mm", timeout or 0.0)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


class ServedCommand:
    """``lightning-mm`` in a child of the server, in place of ``subprocess.Popen``, its output in a file.

    Args:
        server: The server.
        command: ``python -m lightning_mm`` and arguments.
        env: As of ``Popen``.
        stdout: The file.
        more: As of ``Popen``; a child of the server has all that they could say but open files.
    """

    def __init__(
        self, server: ForkServer, command: Sequence[str], env: Mapping[str, str], stdout: TextIO, **more: object
    ) -> None:
        self._server = server
        self.pid = server.fork("fork_server", "be_served", list(command[3:]), dict(env), stdout.name)

    def poll(self) -> int | None:
        """Exit code, when it has ended."""
        return self._server.poll(self.pid)

    def wait(self, timeout: float | None = None) -> int:
        """Exit code, once it has ended."""
        return self._server.wait(self.pid)

    def terminate(self) -> None:
        """Send SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)


def be_served(arguments: list[str], env: dict[str, str], output: str) -> int:
    """Be ``lightning-mm``."""
    from lightning_mm.cli import main

    for descriptor in (1, 2):
        os.dup2(os.open(output, os.O_WRONLY | os.O_APPEND), descriptor)
    os.environ.clear()
    os.environ.update(env)
    return main(arguments)


@contextmanager
def serving(program: str) -> Iterator[subprocess.Popen]:
    """Run a program of the tests with pipes to its standard input and output; it ends when its input does."""
    process = subprocess.Popen([sys.executable, program], stdin=-1, stdout=-1, env=_environment(), text=True)
    yield process
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def _be_command(
    arguments: list[str], env: dict[str, str], reading: int | None, writing: int | None, new_session: bool
) -> None:
    from lightning_mm.cli import main

    if new_session:
        os.setsid()
    if reading is not None:
        os.close(reading)
    if writing is not None:
        for descriptor in (1, 2):
            os.dup2(writing, descriptor)
        os.close(writing)
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        signal.signal(number, handler)
    os.environ.clear()
    os.environ.update(env)
    sys.argv[1:] = arguments
    sys.exit(main(arguments))


def serve() -> None:
    """Obey commands until standard input ends."""
    import torch

    import lightning_mm.cli
    import lightning_mm.search.command

    torch.set_num_threads(1)
    before = dict(os.environ)
    with TemporaryDirectory() as directory, redirect_stdout(StringIO()):
        # What every child would import and make for itself.
        settings = {**TINY, "trainer.enable_progress_bar": False, "run.latency_size": 0, "run.dir": f"{directory}/run"}
        assert lightning_mm.cli.main(["fit", *(f"--{key}={value}" for key, value in settings.items())]) == 0
    os.environ.clear()
    os.environ.update(before)
    children = {}
    for line in sys.stdin:
        command = json.loads(line)
        if "function" not in command:
            ((how, pid),) = command.items()
            if how == "wait":
                children[pid].join()
            print(json.dumps(children[pid].exitcode), flush=True)
            continue
        function = getattr(importlib.import_module(command["module"]), command["function"])
        gc.freeze()  # or each child would copy all of it when it collects garbage
        child = FORK.Process(target=_be_child, args=(command["directory"], function, command["arguments"]))
        child.start()
        children[child.pid] = child
        print(child.pid, flush=True)


def _be_child(directory: str, function: Callable[..., int | None], arguments: list[Any]) -> None:
    os.setsid()
    os.chdir(directory)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    sys.exit(function(*arguments))


if __name__ == "__main__":
    serve()
