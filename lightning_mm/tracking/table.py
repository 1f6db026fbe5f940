"""The trade-off of a sweep as rows: one per finished run."""

import csv
import io
import json
from typing import Any

from lightning_mm.reporting.collect import Sweep

COLUMNS = (
    *("name", "role", "overrides", "params", "paper_gflops", "latency_ms", "ssim", "psnr", "lpips"),
    *("threshold", "threshold_kind", "reaches_threshold", "seed", "steps", "device", "commit", "path"),
)


def trade_off(sweep: Sweep) -> list[dict[str, Any]]:
    """One row per finished run, in the sweep's order.

    Returns:
        Rows with ``COLUMNS``: "overrides" by dotted key, "latency_ms" on "device", "psnr" in dB, "threshold" the SSIM
        of visual acceptability, "path" relative to the sweep's directory; ``None`` where a run has no such figure.
    """
    return [
        {
            "name": run.label,
            "role": run.results.role,
            "overrides": run.results.overrides,
            "params": run.results.cost["params"],
            "paper_gflops": run.gflops,
            "latency_ms": run.results.latency.get("ms"),
            **{name: run.metric(name) for name in ("ssim", "psnr", "lpips")},
            "threshold": sweep.threshold.value,
            "threshold_kind": sweep.threshold.kind,
            "reaches_threshold": sweep.threshold.reaches(run.ssim),
            "seed": run.results.budget.get("seed"),
            "steps": run.results.budget.get("steps"),
            "device": run.results.device_name,
            "commit": run.results.commit,
            "path": str(run.path.relative_to(sweep.directory)),
        }
        for run in sweep.runs
    ]


def cells(row: dict[str, Any]) -> list[Any]:
    """A row's values in the order of ``COLUMNS``, overrides as JSON."""
    return [json.dumps(row[name]) if name == "overrides" else row[name] for name in COLUMNS]


def as_csv(rows: list[dict[str, Any]]) -> str:
    """Rows as CSV with a header; what is absent is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(cells(row) for row in rows)
    return text.getvalue()
