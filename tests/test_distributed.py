"""What ends a training from outside, without processes of its own; tests/test_ddp.py has real ones."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
from torch.distributed import DistNetworkError

from lightning_mm.distributed import (
    COLLECTIVE_TIMEOUT,
    SETUP_TIMEOUT,
    Interruptible,
    allow_setup,
    check_launcher,
    processes,
)
from lightning_mm.errors import InputError, Interrupted


def trainer_of(**options):
    plain = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return L.Trainer(enable_model_summary=False, **plain | options)


@pytest.fixture
def child():
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def trainer(child, tmp_path):
    """Of two processes, one of them started by this one."""
    found = trainer_of(devices=2, default_root_dir=tmp_path)
    found.strategy._launcher = SimpleNamespace(procs=[child])
    return found


def lost(message):
    return RuntimeError(f"[../third_party/gloo/gloo/transport/tcp/pair.cc:538] {message}")


ENDS = [
    (OSError(errno.ENOSPC, "No space left on device", "a.ckpt"), "a.ckpt: No space left on device, at step 0; again"),
    (OSError(errno.ENOSPC, "No space left on device"), "{dir}: No space left on device, at step 0; again"),
    (lost("Connection closed by peer"), "another process of this training has ended or hangs, at step 0; again"),
    (DistNetworkError("timed out"), "another process of this training has ended or hangs, at step 0; again"),
    (KeyboardInterrupt(), "interrupted at step 0; again"),
]


@pytest.mark.parametrize(("error", "message"), ENDS)
def test_what_can_be_continued_is_said_in_one_line_and_ends_the_other_processes(
    error, message, trainer, child, tmp_path
):
    observed = trainer.strategy.launcher.procs
    with pytest.raises(Interrupted) as found, Interruptible(trainer, "again"):
        raise error
    assert str(found.value) == message.format(dir=tmp_path)
    assert child.poll() == -signal.SIGKILL
    assert observed == [], "Lightning's observer would kill this process for it"


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), RuntimeError("a mistake")])
def test_other_errors_pass_and_end_the_other_processes(error, trainer, child):
    with pytest.raises(type(error)) as found, Interruptible(trainer, "again"):
        raise error
    assert found.value is error
    assert child.poll() == -signal.SIGKILL


def test_one_process_loses_no_other(tmp_path):
    with pytest.raises(RuntimeError, match="gloo"), Interruptible(trainer_of(default_root_dir=tmp_path), "again"):
        raise lost("Connection closed by peer")


def test_a_good_end_leaves_the_other_processes_to_theirs(trainer, child):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with Interruptible(trainer, "again"):
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    assert child.poll() is None
    assert trainer.strategy.launcher.procs == [child]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_interrupt_whatever_comes_of_them(number, trainer):
    def train():
        with Interruptible(trainer, "again"):
            # As the Trainer is about to train; its own handler would begin a collective.
            trainer._signal_connector.register_signal_handlers()
            assert signal.getsignal(number).__self__.trainer is trainer
            try:
                signal.raise_signal(number)
            except KeyboardInterrupt:
                assert trainer.strategy.launcher.procs == [], "before the other process can end"
                raise lost("Connection closed by peer") from None

    with pytest.raises(Interrupted, match=r"^interrupted at step 0; again$"):
        train()


RANKS = """
import os, signal, time
from types import SimpleNamespace as Name
from lightning_mm.distributed import Interruptible, LightningEnvironment

rank = os.fork()
if rank == 0:
    strategy = Name(cluster_environment=LightningEnvironment(), launcher=None)
    with Interruptible(Name(strategy=strategy, local_rank=1, _signal_connector=Name()), ""):
        print(os.getpid(), flush=True)
        time.sleep(600)
signal.pause()
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_a_rank_that_was_started_by_the_main_process_leaves_signals_to_it_and_ends_with_it():
    with subprocess.Popen([sys.executable, "-c", RANKS], stdout=subprocess.PIPE, text=True) as main:
        rank = int(main.stdout.readline())
        os.kill(rank, signal.SIGINT)
        time.sleep(1.5)
        assert "S (sleeping)" in Path(f"/proc/{rank}/status").read_text()
        main.kill()
        assert main.stdout.read() == "", "at the end of the other, too"


@pytest.mark.parametrize("strategy", ["ddp", "auto", "ddp_find_unused_parameters_true"])
def test_every_strategy_of_several_processes_waits_for_setup_and_then_not_for_long(strategy):
    trainer = trainer_of(devices=2, strategy=strategy)
    allow_setup(trainer)
    assert trainer.strategy._timeout == SETUP_TIMEOUT
    assert 60 <= COLLECTIVE_TIMEOUT.total_seconds() <= 120
    assert processes(trainer) == 2


def test_processes_are_those_of_all_nodes():
    assert processes(trainer_of(devices=2, num_nodes=3, strategy="ddp")) == 6
    assert processes(trainer_of()) == 1


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork", "ddp_notebook"])
def test_forked_and_spawned_processes_are_refused(strategy):
    with pytest.raises(InputError, match=r"trainer.strategy: .* use ddp"):
        check_launcher(trainer_of(devices=2, strategy=strategy))


@pytest.mark.parametrize(("started", "devices", "nodes"), [(2, 1, 1), (2, 4, 1), (4, 2, 1)])
def test_as_many_processes_as_torchrun_has_started(monkeypatch, started, devices, nodes):
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("WORLD_SIZE", started), ("RANK", 0), ("LOCAL_RANK", 0)):
        monkeypatch.setenv(name, str(value))
    strategy = "ddp" if devices > 1 else "auto"
    with pytest.raises(InputError, match=f"torchrun has started {started} processes|trainer.devices"):
        check_launcher(trainer_of(devices=devices, num_nodes=nodes, strategy=strategy))
    monkeypatch.setenv("WORLD_SIZE", str(devices * nodes))
    check_launcher(trainer_of(devices=devices, num_nodes=nodes, strategy=strategy))
