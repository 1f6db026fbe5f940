"""Make ``import torchvision`` possible beside a CPU-only torch.

torchvision's Linux wheels on the public registry are built for CUDA. Beside a CPU-only torch their compiled operators
do not load, and on import torchvision registers a meta kernel for two operators whose schemas are then unknown, which
raises ``RuntimeError: operator torchvision::nms does not exist`` and takes ``lightning``, ``torchmetrics`` and
``lpips`` down with it. Declaring the two schemas first is enough: everything in torchvision that is written in Python
then works.

This runs once, from ``lightning_mm/__init__.py``, before anything can import torchvision, and does nothing where
torchvision is not installed, is already imported, or has a library that fits the installed torch.
"""

import importlib.metadata
import sys

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_library: torch.library.Library | None = None


def declare_torchvision_operators() -> bool:
    """Declare the operator schemas that torchvision's import needs, if they would be missing.

    Returns:
        Whether the schemas were declared by this call.
    """
    global _library
    if _library is not None or "torchvision" in sys.modules or torch.version.cuda is not None:
        return False
    try:
        version = importlib.metadata.version("torchvision")
    except importlib.metadata.PackageNotFoundError:
        return False
    if "+cpu" in version:
        return False
    _library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS.values():
        _library.define(schema)
    return True
