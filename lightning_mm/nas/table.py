"""The tabular benchmark: a CSV of all measured networks."""

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path

from lightning_mm.runs import write_text_atomically


@dataclass(frozen=True)
class Measured:
    """One measurement."""

    architecture: str
    arm: str
    epochs: int
    seed: int
    status: str
    ssim: float | None
    params: int
    gflops: float
    latency_ms: float | None
    seconds: float
    choices: dict[str, int | str] = field(default_factory=dict)


def write_table(path: Path, rows: list[Measured]) -> None:
    """Write."""
    text = io.StringIO()
    names = [n for n in Measured.__dataclass_fields__ if n != "choices"]
    keys = list(rows[0].choices)
    w = csv.writer(text, lineterminator="\n")
    w.writerow([*names, *(f"choice.{k}" for k in keys)])
    for r in rows:
        w.writerow([*("" if getattr(r, n) is None else getattr(r, n) for n in names), *(r.choices[k] for k in keys)])
    write_text_atomically(path, text.getvalue())


def read_table(path: Path) -> list[Measured]:
    """Read."""

    def value(t: str) -> int | str:
        return int(t) if t.lstrip("-").isdigit() else t

    out = []
    with open(path, newline="") as f:
        for d in csv.DictReader(f):
            c = {k[7:]: value(v) for k, v in d.items() if k.startswith("choice.")}
            out.append(
                Measured(
                    d["architecture"],
                    d["arm"],
                    int(d["epochs"]),
                    int(d["seed"]),
                    d["status"],
                    float(d["ssim"]) if d["ssim"] else None,
                    int(d["params"]),
                    float(d["gflops"]),
                    float(d["latency_ms"]) if d["latency_ms"] else None,
                    float(d["seconds"]),
                    c,
                )
            )
    return out
