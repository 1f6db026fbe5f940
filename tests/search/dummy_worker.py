"""Workers whose training is a pause, as processes of their own: ``dummy_worker.py URL DIRECTORY SECONDS NUMBER``.

They are forked from one that has imported everything; it prints their numbers, and at last their exit codes.
Each training leaves a line in ``log.txt`` of the directory when it begins and one when it ends.
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


def main() -> None:
    """Start workers and wait for them."""
    children = []
    for _ in range(int(sys.argv[4])):
        if (child := os.fork()) == 0:
            work()
            return
        children.append(child)
    print(*children, flush=True)
    print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children), flush=True)


def work() -> None:
    """Work until nothing is left."""
    url, directory, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    storage = open_storage(url, announce=lambda line: print(line, file=sys.stderr, flush=True))
    sweep = join(storage, None, directory)

    def log(line: str) -> None:
        with open(directory / "log.txt", "a") as file:
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


if __name__ == "__main__":
    main()
