"""The network: plain torch, knows nothing of training, data or video."""

from lightning_mm.models.config import BlockKind, MagnifierConfig
from lightning_mm.models.encoder import Representation
from lightning_mm.models.magnifier import Magnifier

__all__ = ["BlockKind", "Magnifier", "MagnifierConfig", "Representation"]
