"""Image metrics with every setting stated, computed per image in float32 outside autocast.

SSIM settings alone move the value by more than the differences that the paper discusses, so each metric has a
definition in words and a fingerprint of it, which every results file carries.
"""

import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_mm.errors import first_line
from lightning_mm.models.precision import exact_float32
from lightning_mm.runs import fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

LpipsNet = Literal["off", "squeeze", "alex", "vgg"]

SSIM_SETTINGS: dict[str, Any] = {
    "window": "Gaussian, 11 x 11, sigma 1.5",
    "region": "every window that lies inside the image",
    "range": "[0, 255], data range 255, output clamped, not rounded",
    "channels": "RGB, mean",
    "constants": [0.01, 0.03],
    "arithmetic": "float32",
}
PSNR_SETTINGS = {"mse": "all channels and pixels of an image", "range": 255, "cap_db": 100, "mean": "over images"}
PSNR_CAP = 100.0
SSIM_MIN_SIZE = 11
LPIPS_MIN_SIZE = {"squeeze": 17, "alex": 31, "vgg": 16}


def definitions(lpips_net: LpipsNet = "off") -> dict[str, str]:
    """What each metric computes, in words with a fingerprint of its settings."""
    described = {
        "ssim": "; ".join(str(value) for value in SSIM_SETTINGS.values()) + f" [{fingerprint(SSIM_SETTINGS)}]",
        "psnr": "dB, MSE over an image's channels and pixels, mean over images, capped at 100"
        f" [{fingerprint(PSNR_SETTINGS)}]",
    }
    if lpips_net != "off":
        described["lpips"] = (
            f"LPIPS 0.1, network {lpips_net}, RGB in [-1, 1]; values of different networks do not compare"
        )
    return described


def ssim(output: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (Wang et al., 2004) with the settings of the paper's lab; see ``SSIM_SETTINGS``.

    Args:
        output: (B, 3, H, W) nominally in [-1, 1]; clamped. H and W >= 11.
        target: Same shape.

    Returns:
        (B,) float32.

    Raises:
        ValueError: The images are smaller than the window.
    """
    if min(output.shape[-2:]) < SSIM_MIN_SIZE:
        raise ValueError(f"SSIM of images of {tuple(output.shape[-2:])}: both sides must be >= {SSIM_MIN_SIZE}")
    # torchmetrics has no such setting: it pads by reflection, which moves the value by up to 0.03 on frames of 32 px.
    c1, c2 = ((k * 255.0) ** 2 for k in SSIM_SETTINGS["constants"])
    with exact_float32(output.device.type):
        x, y = _to_255(output), _to_255(target)
        mean_x, mean_y, xx, yy, xy = _windowed([x, y, x * x, y * y, x * y])
        both, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
        contrast = (2.0 * (xy - both) + c2) / (xx + yy - squares + c2)
        return ((2.0 * both + c1) / (squares + c1) * contrast).mean(dim=(1, 2, 3))


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio per image in dB; see ``PSNR_SETTINGS``. Arguments as of ``ssim``; (B,) float32."""
    from torchmetrics.functional.image import peak_signal_noise_ratio

    value = peak_signal_noise_ratio(_to_255(output), _to_255(target), data_range=255.0, dim=(1, 2, 3), reduction="none")
    return value.reshape(-1).clamp(max=PSNR_CAP)


def load_lpips(net: Literal["squeeze", "alex", "vgg"]) -> "tuple[nn.Module | None, str]":
    """The LPIPS network, or the reason why it cannot be had.

    The network's ImageNet weights come from torchvision, which downloads them once into ``TORCH_HOME``.

    Args:
        net: Backbone; the paper uses "vgg" (VGG16).

    Returns:
        The module, which maps two (B, 3, H, W) in [-1, 1] to (B, 1, 1, 1), and an empty string; or ``None`` and the
        reason.
    """
    try:
        import lpips
    except ImportError as error:
        return None, f"the lpips package does not import ({error})"
    try:
        with _quiet_download():
            module = lpips.LPIPS(net=net, verbose=False)
    except Exception as error:  # downloads and unreadable files raise many kinds
        home = os.environ.get("TORCH_HOME", str(Path("~/.cache/torch")))
        return None, f"torchvision's {net} weights cannot be read from {home} or downloaded ({first_line(error)})"
    return module.eval().requires_grad_(False), ""


def _windowed(images: list[Tensor]) -> tuple[Tensor, ...]:
    """Means (B, C, H - 10, W - 10) over Gaussian windows of images (B, C, H, W)."""
    # All at once as channels, and channels last: on a processor ten times as fast as an image at a time.
    stacked = torch.cat(images, dim=1).contiguous(memory_format=torch.channels_last)
    channels = stacked.shape[1]
    offset = torch.arange(SSIM_MIN_SIZE, device=stacked.device, dtype=stacked.dtype) - SSIM_MIN_SIZE // 2
    taps = torch.exp(-0.5 * (offset / 1.5).square())
    taps = (taps / taps.sum()).expand(channels, 1, 1, -1)
    rows = F.conv2d(stacked, taps.transpose(2, 3), groups=channels)
    return F.conv2d(rows, taps, groups=channels).split(images[0].shape[1], dim=1)


def _to_255(image: Tensor) -> Tensor:
    return (image.float().clamp(-1.0, 1.0) + 1.0) * 127.5


@contextmanager
def _quiet_download() -> "Iterator[None]":
    """Keep a download from hanging behind a closed network, and lpips' own calls from warning of deprecations."""
    import warnings

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(20.0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        socket.setdefaulttimeout(before)
