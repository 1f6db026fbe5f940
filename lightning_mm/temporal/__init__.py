"""Temporal filters: bands in hertz of the true frame rate, designed once, run frame by frame with bounded memory."""

from lightning_mm.temporal.advice import advice
from lightning_mm.temporal.design import Design, FilterSpec, design, parse_band
from lightning_mm.temporal.filters import StreamingFilter, streaming
from lightning_mm.temporal.presets import PRESETS, Preset, preset

__all__ = [
    "PRESETS",
    "Design",
    "FilterSpec",
    "Preset",
    "StreamingFilter",
    "advice",
    "design",
    "parse_band",
    "preset",
    "streaming",
]
