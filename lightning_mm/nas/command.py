"""The commands ``lightning-mm nas ...``."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lightning_mm.errors import InputError
from lightning_mm.nas.appendix import run_references, run_row
from lightning_mm.nas.spec import read_preset, read_row
from lightning_mm.runs import require_writable

ROWS = "sweeps/nas_?.yaml"


def appendix(preset: Path, rows: list[Path] | None = None, dir: Path | None = None) -> Path:
    """Reproduce the paper's NAS appendix: one-shot search under each of its constraints, networks retrained, a page.

    The same command continues what was interrupted, and does nothing again that is done.

    Args:
        preset: Budget, such as sweeps/presets/smoke.yaml.
        rows: Files of constraint rows; sweeps/nas_a.yaml to nas_f.yaml when left out.
        dir: Directory for everything; runs/nas_PRESET when left out.
    """
    budget = read_preset(preset)
    files = rows or sorted(Path().glob(ROWS))
    if not files:
        raise InputError(f"rows: none given, and no {ROWS} here")
    specs = [read_row(path) for path in files]
    if len({spec.name for spec in specs}) < len(specs):
        raise InputError(f"rows = {[str(path) for path in files]}: two of them have one name")
    directory = dir or Path("runs") / f"nas_{preset.stem}"
    require_writable(directory, "dir", folder=True)
    say: Callable[[str], None] = partial(print, file=sys.stderr, flush=True)
    for spec in specs:
        run_row(spec, budget, directory, say)
    run_references(budget, directory, say)
    return directory
