"""Shared by all tests: one thread, so that the suite behaves alike on two cores and on sixty-four."""

import os

import torch

import lightning_mm  # noqa: F401  (declares torchvision's operators before lightning or torchmetrics import it)

torch.set_num_threads(1)
os.environ.pop("WANDB_MODE", None)  # or every training of the tests would be logged by it
