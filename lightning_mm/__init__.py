"""lightning_mm: train, search, judge and run learning-based video motion magnification."""

from importlib.metadata import PackageNotFoundError, version

from lightning_mm.torchvision_compat import declare_torchvision_operators

declare_torchvision_operators()

from lightning_mm.models import Magnifier, MagnifierConfig  # noqa: E402  (the declaration above must come first)
from lightning_mm.weights import load_magnifier  # noqa: E402

try:
    __version__ = version("lightning_mm")
except PackageNotFoundError:  # a checkout that is on the path but not installed
    __version__ = "0.0.0"

__all__ = ["Magnifier", "MagnifierConfig", "__version__", "load_magnifier"]
