"""Weights & Biases: a run per run directory, a workspace as code, a command that uploads what was kept offline."""
