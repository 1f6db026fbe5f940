"""Where the SSIM of visual acceptability comes from: the ``threshold`` command (Section 4.2, Appendix F)."""
