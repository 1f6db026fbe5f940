"""The ``threshold fit`` command: from people's ratings to the SSIM that they call adequate."""

from pathlib import Path

from lightning_mm.calibration.bootstrap import Over
from lightning_mm.calibration.calibrate import calibrate, record
from lightning_mm.calibration.page import page
from lightning_mm.calibration.ratings import MAX_SCORE
from lightning_mm.errors import InputError
from lightning_mm.reporting.threshold import Threshold
from lightning_mm.reporting.writing import write_report
from lightning_mm.runs import require_writable

ADEQUATE = 3.0
"""The paper's score of "adequate similarity"."""

THRESHOLD_FILE, PAGE_FILE = "threshold.json", "threshold.html"
MIN_DRAWS = 100


def fit(
    scores: Path,
    score: float = ADEQUATE,
    draws: int = 10_000,
    seed: int = 0,
    over: Over | None = None,
    validation: str | None = None,
    out: Path = Path("runs/threshold"),
) -> None:
    """Fit people's ratings and find the SSIM at which they call the similarity adequate (Section 4.2, Appendix F).

    A quadratic through each model's mean score over its SSIM is solved for the score, on its rising branch and within
    the SSIM that was observed.

    Args:
        scores: CSV with the columns rater, sample, model, ssim and score, one line per rating, or with ssim and score
            alone, one line per model. Scores are from 0 (no similarity) to 5 (perfect); ssim is the model's on
            synthetic pairs.
        score: The score to find the SSIM of; 3 is adequate.
        draws: Number of bootstrap draws for the interval.
        seed: Seed of the draws.
        over: What the bootstrap draws: raters, samples, or both independently; raters when left out, samples where
            there is one rater. Pairs are drawn themselves.
        validation: Digest of the validation pairs that ssim was measured on, which results.json tells; reports on other
            pairs then refuse the line.
        out: Folder for threshold.json, which 'lightning-mm report --threshold' reads, and threshold.html.

    Raises:
        InputError: An argument or the file is wrong, the curve does not cross the score once in the observed range, or
            the folder cannot be written.
    """
    if not 0.0 <= score <= MAX_SCORE:
        raise InputError(f"--score {score:g}: must be from 0 to {MAX_SCORE:g}")
    if draws < MIN_DRAWS:
        raise InputError(f"--draws {draws}: must be >= {MIN_DRAWS}")
    if seed < 0:
        raise InputError(f"--seed {seed}: must be >= 0")
    if validation == "":
        raise InputError("--validation is empty: must be the digest of a validation set")
    require_writable(out, "--out", folder=True)
    found = calibrate(scores, score, draws, seed, over)
    what = f"{len(found.ratings.models)} {'pairs' if found.ratings.pairs else 'models'}"
    source = f"score {score:g} on a quadratic through {what} rated in {scores.name}"
    interval = None if found.bootstrap is None else found.bootstrap.interval
    # A file of a calibration may be read beside any run unless it names its pairs.
    pairs = None if validation is None else {"digest": validation}
    threshold = Threshold(found.value, "calibrated", source, interval, pairs)
    write_report(out, {out / PAGE_FILE: page(found, scores.name)})
    threshold.write(out / THRESHOLD_FILE, **record(found, draws, seed, over))
    print("\n".join(found.lines()))
    for name in (THRESHOLD_FILE, PAGE_FILE):
        print(f"wrote {out / name}")
