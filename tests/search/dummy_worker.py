"""Workers whose training is a pause, each in a process of its own.

Each training leaves a line in ``log.txt`` of the directory when it begins and one when it ends; what workers say goes
to ``said.txt``.
"""

import os
import random
import sys
import time
from pathlib import Path

from optuna.trial import TrialState

from lightning_mm.search.objective import Outcome
from lightning_mm.search.storage import open_storage
from lightning_mm.search.study import join
from lightning_mm.search.worker import Worker


def work(url: str, directory: str, seconds: float) -> None:
    """Work until nothing is left."""
    where = Path(directory)
    said = os.open(where / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    storage = open_storage(url, announce=lambda line: print(line, file=sys.stderr, flush=True))
    sweep = join(storage, None, where)

    def log(line: str) -> None:
        with open(where / "log.txt", "a") as file:
            file.write(line + "\n")

    def train(slot, trial, mine) -> Outcome:
        values = sweep.spec.suggest(trial) if slot.role == "trial" else {"model.arch.decoder_depth": 9}
        log(f"begin {slot.key} {os.getpid()}")
        time.sleep(random.uniform(0.5, 1.5) * seconds)
        log(f"end {slot.key} {os.getpid()}")
        depth = values["model.arch.decoder_depth"]
        return Outcome(TrialState.COMPLETE, (0.5 + 0.1 * depth, float(depth)), note="")

    Worker(sweep, train, beat=0.5).run()
    storage.close()
