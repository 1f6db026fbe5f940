"""The command ``lightning-mm superres``."""

import sys
from pathlib import Path
from typing import Any

from lightning_mm.data.bank import find_images
from lightning_mm.runs import require_writable
from lightning_mm.superres.spec import read_spec
from lightning_mm.superres.stages import REFERENCE, Stages
from lightning_mm.superres.table import TABLE_FILE, markdown, write_table


def superres(spec: Path, settings: dict[str, Any] | None = None, dir: Path | None = None) -> str:
    """Reproduce Table A1: train MDSR, a super-resolution network, and learn to remove the blocks of its modules.

    The same command continues what was interrupted, and does nothing again that is done.

    Args:
        spec: Network, pairs and budget, such as experiments/superres/smoke.yaml.
        settings: Dotted keys to change in it, such as '{network.channels: 32, epochs: 4}'.
        dir: Directory for everything; runs/superres_NAME when left out.
    """
    found = read_spec(spec, settings or {})
    for folder in filter(None, (found.data.photos, found.data.val_photos)):
        find_images(folder)  # so that one that is missing or empty is found before anything is trained
    directory = dir or Path("runs") / f"superres_{spec.stem}"
    require_writable(directory, "dir", folder=True)
    stages = Stages(found, directory, lambda line: print(line, file=sys.stderr, flush=True))
    rows = {REFERENCE: stages.row(), **{removal.part: stages.row(removal) for removal in found.removals}}
    return f"{markdown(write_table(found, rows, directory))}\nwrote {directory / TABLE_FILE}"
