"""One thin LightningModule per training command."""

from lightning_mm.tasks.magnify import MagnifyTask, OptimizerConfig

__all__ = ["MagnifyTask", "OptimizerConfig"]
