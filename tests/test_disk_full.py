"""A disk that becomes full while a checkpoint is written, on a real small file system in a mount namespace."""

import os
import shutil
import subprocess
import sys

import pytest
import torch
from test_resume import TINY, assert_same, outcome

ARGS = [*TINY, "--run.latency_size=0", "--model.arch.encoder_channels=8", "--model.arch.decoder_channels=8"]
FIT = " ".join([sys.executable, "-m", "lightning_mm", "fit", *ARGS])
# Full in the second epoch; then there is room.
SCRIPT = f"""
mount -t tmpfs -o size=$1 tmpfs disk
code=0; {FIT} --run.dir=disk/run 2> errors || code=$?
echo $code > code
cp -r disk/run stopped
mount -o remount,size=16m disk
{FIT} --run.dir=disk/run
cp -r disk/run finished
"""
INTERRUPTED = 75


def in_namespace(script, where, *args):
    command = ["unshare", "--map-root-user", "--mount", "sh", "-ec", script, "sh", *args]
    return subprocess.run(command, cwd=where, capture_output=True, text=True)


@pytest.fixture
def here(tmp_path):
    """A directory with a mount point."""
    (tmp_path / "disk").mkdir()
    if shutil.which("unshare") is None or in_namespace("mount -t tmpfs tmpfs disk", tmp_path).returncode != 0:
        pytest.skip("this machine lets no user mount a file system in a namespace of its own")
    return tmp_path


def test_a_full_disk_costs_no_checkpoint_and_the_run_goes_on(here, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    subprocess.run([*FIT.split(), "--run.dir=undisturbed"], cwd=here, check=True, capture_output=True)
    size = (here / "undisturbed/checkpoints/last.ckpt").stat().st_size
    small = sum(path.stat().st_size for path in (here / "undisturbed").rglob("*") if path.is_file()) - 2 * size
    # The best and the last checkpoint have room, a third beside them has not.
    assert small < size / 2
    done = in_namespace(SCRIPT, here, str(int(2.75 * size) // 4096 * 4096))
    assert done.returncode == 0, done.stderr

    assert int((here / "code").read_text()) == INTERRUPTED
    (line,) = (here / "errors").read_text().splitlines()
    assert line.startswith("lightning-mm: ")
    assert "disk/run/checkpoints/last.ckpt: No space left on device, at step 6" in line
    assert line.endswith("run the same command again to continue from disk/run/checkpoints/last.ckpt")
    assert sorted(os.listdir(here / "stopped/checkpoints")) == ["best.ckpt", "last.ckpt"]
    assert torch.load(here / "stopped/checkpoints/last.ckpt", weights_only=True)["epoch"] == 0
    assert not (here / "stopped/results.json").exists()
    assert_same(outcome(here / "finished"), outcome(here / "undisturbed"))
