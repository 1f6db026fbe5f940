"""``python -m lightning_mm``: the same as the ``lightning-mm`` command."""

from lightning_mm.cli import run

run()
