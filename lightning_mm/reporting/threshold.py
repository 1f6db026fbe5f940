"""The paper's yardsticks, importable without any plotting library."""

VISUAL_THRESHOLD_SSIM = 0.966
"""SSIM that 20 participants rated "adequate" (3 on a scale of 0 to 5): Section 4.2 and Appendix F of the paper.

The paper fits it on its own validation set and its own SSIM, so on other pairs it is orientation and no criterion.
"""

PAPER_TRAINING_SAMPLES = 95_000
"""Size of the paper's training set (Section 4.1); its models see it many times (Table 1: 300 epochs)."""


def reaches_threshold(ssim: float | None) -> bool | None:
    """Whether an SSIM is at or above the paper's line; ``None`` for an absent SSIM."""
    return None if ssim is None else ssim >= VISUAL_THRESHOLD_SSIM
