"""The command ``lightning-mm report``."""

from pathlib import Path

from lightning_mm.reporting.collect import collect
from lightning_mm.reporting.comparison import compare as compared_with_hand_designed
from lightning_mm.reporting.html import page
from lightning_mm.reporting.table import print_table
from lightning_mm.reporting.threshold import PAPER_THRESHOLD, Threshold
from lightning_mm.reporting.writing import write_report

REPORT_FILE = "report.html"


def report(directory: Path, output: Path | None = None, compare: bool = False, threshold: Path | None = None) -> Path:
    """Compare the runs below a directory: prints a table and writes one self-contained HTML page.

    Args:
        directory: Directory of a sweep, or any directory with runs below it (for example runs/smoke).
        output: File to write the page to; by default report.html in the directory.
        compare: Also set each model beside the hand-designed one trained on the same budget: mean and standard
            deviation over seeds, and the difference of their SSIM with its 95 % confidence interval.
        threshold: File of 'lightning-mm threshold' with the SSIM to draw the line of visual acceptability at; the
            paper's 0.966 when left out.

    Returns:
        The page that was written.

    Raises:
        InputError: The directory is missing or holds no finished run, nothing to compare with, the threshold is not
            readable or holds for other validation pairs, or the page cannot be written there.
    """
    sweep = collect(directory, PAPER_THRESHOLD if threshold is None else Threshold.read(threshold))
    comparisons = compared_with_hand_designed(sweep) if compare else []
    path = directory / REPORT_FILE if output is None else output
    write_report(path, {path: page(sweep, comparisons)})
    print_table(sweep, comparisons=comparisons)
    print(f"Report: {path}")
    return path
