"""Workers whose training is a pause, as processes of their own.

This program imports everything once and then takes jobs, each a line of JSON on its standard input with the keys "url",
"directory", "seconds" and "number": it forks that many workers, prints their process numbers in one line, and in
another their exit codes when all have ended. Each training leaves a line in ``log.txt`` of the directory when it begins
and one when it ends; what workers say goes to ``said.txt``.
"""

import gc
import json
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
    """Take jobs until standard input ends."""
    gc.freeze()  # or each worker would copy all of it when it collects garbage
    for line in sys.stdin:
        job = json.loads(line)
        children = []
        for _ in range(job["number"]):
            if (child := os.fork()) == 0:
                work(job["url"], Path(job["directory"]), job["seconds"])
                sys.stderr.flush()
                os._exit(0)
            children.append(child)
        print(*children, flush=True)
        print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children), flush=True)


def work(url: str, directory: Path, seconds: float) -> None:
    """Work until nothing is left."""
    said = os.open(directory / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
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
