"""One thin LightningModule per training command."""

from lightning_mm.tasks.magnify import MagnifyTask
from lightning_mm.tasks.pairs import OptimizerConfig
from lightning_mm.tasks.prune import PruneTask, RemovalConfig
from lightning_mm.tasks.supernet import PathOptions, SupernetTask

__all__ = ["MagnifyTask", "OptimizerConfig", "PathOptions", "PruneTask", "RemovalConfig", "SupernetTask"]
