"""Weights: those that ship by name, files of one's own by path."""

from lightning_mm.weights.checkpoint import load_weights
from lightning_mm.weights.file import WeightsInfo, read_weights, write_weights
from lightning_mm.weights.loading import SHIPPED, load_magnifier, read_magnifier

__all__ = [
    "SHIPPED",
    "WeightsInfo",
    "load_magnifier",
    "load_weights",
    "read_magnifier",
    "read_weights",
    "write_weights",
]
