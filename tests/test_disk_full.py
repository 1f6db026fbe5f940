"""A disk that becomes full while a checkpoint is written, on a real small file system in a mount namespace."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fork_server import ForkedCommand
from test_resume import TINY, assert_same, outcome

ARGS = [*TINY, "--model.arch.encoder_channels=8", "--model.arch.decoder_channels=8"]
INTERRUPTED = 75
NEW_MOUNTS, NEW_USERS = 0x00020000, 0x10000000  # of the system call unshare


def enter_namespace():
    """Be root in a namespace of users and mounts of one's own; Python has ``os.unshare`` from 3.12 on."""
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS | NEW_USERS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        Path(f"/proc/self/{name}").write_text(text)
    mount("--make-rprivate", "/")


def mount(*args):
    subprocess.run(["mount", *args], check=True)


def try_to_mount():
    enter_namespace()
    mount("-t", "tmpfs", "tmpfs", "disk")


def fit(run_dir, said):
    command = [sys.executable, "-m", "lightning_mm", "fit", *ARGS, f"--run.dir={run_dir}"]
    with open(said, "w") as file:
        return ForkedCommand(command, os.environ, stdout=file, stderr=subprocess.STDOUT).wait()


def train_on_a_small_disk(size):
    """Full in the second epoch; then there is room."""
    enter_namespace()
    mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", "disk")
    Path("code").write_text(str(fit("disk/run", "said")))
    shutil.copytree("disk/run", "stopped")
    mount("-o", "remount,size=16m", "disk")
    code = fit("disk/run", "said again")
    shutil.copytree("disk/run", "finished")
    return code


@pytest.fixture
def here(tmp_path, monkeypatch, fork_server):
    """A directory with a mount point."""
    (tmp_path / "disk").mkdir()
    monkeypatch.chdir(tmp_path)
    if fork_server.wait(fork_server.fork("test_disk_full", "try_to_mount")) != 0:
        pytest.skip("this machine lets no user mount a file system in a namespace of its own")
    return tmp_path


def test_a_full_disk_costs_no_checkpoint_and_the_run_goes_on(here, fork_server):
    def call(function, *args):
        return fork_server.wait(fork_server.fork("test_disk_full", function, *args))

    assert call("fit", "undisturbed", "said of the undisturbed") == 0
    size = (here / "undisturbed/checkpoints/last.ckpt").stat().st_size
    small = sum(path.stat().st_size for path in (here / "undisturbed").rglob("*") if path.is_file()) - 2 * size
    # The best and the last checkpoint have room, a third beside them has not.
    assert small < size / 2
    assert call("train_on_a_small_disk", int(2.75 * size) // 4096 * 4096) == 0

    assert int((here / "code").read_text()) == INTERRUPTED
    (line,) = (here / "said").read_text().splitlines()
    assert line.startswith("lightning-mm: ")
    assert "disk/run/checkpoints/last.ckpt: No space left on device, at step 6" in line
    assert line.endswith("run the same command again to continue from disk/run/checkpoints/last.ckpt")
    assert sorted(os.listdir(here / "stopped/checkpoints")) == ["best.ckpt", "last.ckpt"]
    assert torch.load(here / "stopped/checkpoints/last.ckpt", weights_only=True)["epoch"] == 0
    assert not (here / "stopped/results.json").exists()
    assert_same(outcome(here / "finished"), outcome(here / "undisturbed"))
