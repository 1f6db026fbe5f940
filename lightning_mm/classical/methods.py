"""The classical methods by name."""

from collections.abc import Callable

from lightning_mm.classical.linear import LinearEulerian
from lightning_mm.classical.phase import PhaseBased
from lightning_mm.classical.riesz import Riesz
from lightning_mm.method import Method

METHODS: dict[str, Callable[[], Method]] = {"linear": LinearEulerian, "phase": PhaseBased, "riesz": Riesz}
