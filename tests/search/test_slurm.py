"""sweeps/slurm.sh, as far as a shell can run it: ``srun`` and ``scontrol`` only write down their arguments."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "sweeps/slurm.sh"


@pytest.fixture
def submit(tmp_path):
    """Run the script with some environment; returns its exit code, what it said and what it ran."""

    def submit(*arguments, exits=0, **environment):
        log = tmp_path / "log"
        log.write_text("")
        for name, code in (("srun", exits), ("scontrol", 0)):
            (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {log}\nexit {code}\n')
            (tmp_path / name).chmod(0o755)
        env = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SLURM_JOB_ID": "7", **environment}
        done = subprocess.run(["bash", SCRIPT, *arguments], env=env, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr, log.read_text().splitlines()

    return submit


URL = {"OPTUNA_STORAGE": "postgresql://host/db"}


def test_a_task_is_one_worker(submit):
    code, _, ran = submit("sweeps/tradeoff.yaml", "--trials", "60", **URL)
    assert (code, ran) == (0, ["srun .venv/bin/lightning-mm sweep sweeps/tradeoff.yaml --trials 60 --workers 1"])


@pytest.mark.parametrize(
    ("environment", "job"),
    [({}, "7"), ({"SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "3"}, "5_3")],
)
def test_an_interrupted_task_asks_for_another_turn(submit, environment, job):
    code, _, ran = submit("a.yaml", exits=75, **URL, **environment)
    assert (code, ran[1:]) == (0, [f"scontrol requeue {job}"])


@pytest.mark.parametrize("exits", [1, 2, 137])
def test_other_failures_are_passed_on(submit, exits):
    code, _, ran = submit("a.yaml", exits=exits, **URL)
    assert (code, len(ran)) == (exits, 1)


@pytest.mark.parametrize("storage", [{}, {"OPTUNA_STORAGE": "sqlite:///study.db"}])
def test_storage_must_be_a_server(submit, storage):
    code, said, ran = submit("a.yaml", **storage)
    assert (code, ran) == (2, [])
    assert "must be a PostgreSQL URL" in said


def test_usage(submit):
    code, said, ran = submit(**URL)
    assert (code, ran) == (2, [])
    assert said.startswith("usage: sbatch")


def test_directives_come_before_the_first_command():
    lines = SCRIPT.read_text().splitlines()
    directives = [i for i, line in enumerate(lines) if line.startswith("#SBATCH")]
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    assert directives
    assert max(directives) < first  # sbatch stops reading there
    assert "#SBATCH --signal=TERM@120" in lines
