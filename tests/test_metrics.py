"""Metrics against independent implementations with the same stated settings."""

import os
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.signal import correlate2d
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from lightning_mm import metrics
from lightning_mm.metrics import definitions, load_lpips, psnr, ssim
from lightning_mm.models import MagnifierConfig
from lightning_mm.tasks.magnify import MagnifyTask

SHARED = Path(__file__).parents[1].parent / "shared"
needs_weights = pytest.mark.skipif(
    not (SHARED / "weights/torch_home").is_dir() or not (SHARED / "data/photos_val").is_dir(),
    reason="no shared LPIPS weights and photos beside the checkout",
)


def picture(height, width, seed=0):
    """Smooth structure with some noise, (3, H, W) in [-1, 1]."""
    rng = np.random.default_rng(seed)
    smooth, noise = rng.normal(size=(2, 3, height, width))
    return torch.from_numpy(4 * gaussian_filter(smooth, (0, 2, 2)) + 0.1 * noise).clamp(-1, 1).float()


DISTORTIONS = {
    "noise": lambda x: x + 0.1 * torch.from_numpy(np.random.default_rng(1).normal(size=x.shape)).float(),
    "blur": lambda x: torch.from_numpy(gaussian_filter(x.numpy(), (0, 1, 1))),
    "shift": lambda x: x.roll(1, dims=-1),
    "brightness": lambda x: 0.8 * x + 0.15,
    "one channel": lambda x: torch.cat([x[:1], x[1:2] * 0.3, x[2:]]),
    "flat": lambda x: torch.zeros_like(x),
}
SIZES = [(32, 32), (27, 41), (11, 11), (11, 30)]


def levels(image):
    return (image.double().clamp(-1, 1).numpy() + 1) * 127.5


def reference_ssim(output, target):
    """The formula of Wang et al. (2004) in float64 over every 11 x 11 window that lies in the image."""
    taps = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(taps, taps) / taps.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    channels = []
    for x, y in zip(levels(output), levels(target), strict=True):
        mean_x, mean_y, xx, yy, xy = (correlate2d(i, window, "valid") for i in (x, y, x * x, y * y, x * y))
        cov = xy - mean_x * mean_y
        variances = xx - mean_x**2 + yy - mean_y**2
        channels.append((2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (variances + c2)))
    return np.mean(channels)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", DISTORTIONS)
def test_ssim_is_the_stated_formula(name, size):
    target = picture(*size)
    output = DISTORTIONS[name](target)
    expected = reference_ssim(output, target)
    assert expected < 0.999
    assert ssim(output[None], target[None]).item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", DISTORTIONS)
def test_ssim_is_scikit_images_away_from_the_border(name):
    target = picture(48, 37)
    output = DISTORTIONS[name](target)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    images = [np.moveaxis(levels(image), 0, -1) for image in (output, target)]
    _, whole = structural_similarity(*images, channel_axis=-1, full=True, **settings)
    assert ssim(output[None], target[None]).item() == pytest.approx(whole[5:-5, 5:-5].mean(), abs=1e-4)


def test_ssim_is_symmetric_and_one_for_the_same_image():
    a, b = picture(20, 24)[None], picture(20, 24, seed=5)[None]
    torch.testing.assert_close(ssim(a, b), ssim(b, a))
    assert ssim(a, a).item() == pytest.approx(1.0, abs=1e-6)
    assert ssim(a, b).item() < 0.5


@pytest.mark.parametrize("metric", [ssim, psnr])
def test_values_outside_the_range_are_clamped(metric):
    target = picture(20, 20)[None]
    wild = target * 3 + 0.5
    torch.testing.assert_close(metric(wild, target), metric(wild.clamp(-1, 1), target), rtol=0, atol=0)
    torch.testing.assert_close(metric(target, wild), metric(target, wild.clamp(-1, 1)), rtol=0, atol=0)
    assert metric(wild, target).item() != metric(target, target).item()


@pytest.mark.parametrize("metric", [ssim, psnr])
def test_every_image_has_its_own_value(metric):
    targets = torch.stack([picture(16, 20, seed) for seed in range(4)])
    outputs = torch.stack([distort(t) for t, distort in zip(targets, DISTORTIONS.values(), strict=False)])
    together = metric(outputs, targets)
    alone = torch.cat([metric(o[None], t[None]) for o, t in zip(outputs, targets, strict=True)])
    assert together.shape == (4,)
    assert len(set(together.tolist())) == 4
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("metric", [ssim, psnr])
def test_autocast_does_not_reach_the_metric(metric):
    target = picture(24, 24)[None]
    output = DISTORTIONS["noise"](target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16  # it is on
        inside = metric(output, target)
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, metric(output, target), rtol=0, atol=0)


@pytest.mark.parametrize("metric", [ssim, psnr])
def test_half_precision_images_are_measured_in_single_precision(metric):
    target = picture(24, 24)[None].bfloat16()
    output = DISTORTIONS["noise"](target[0].float())[None].bfloat16()
    torch.testing.assert_close(metric(output, target), metric(output.float(), target.float()), rtol=0, atol=0)


@pytest.mark.parametrize("size", [(10, 30), (30, 10), (1, 1)])
def test_ssim_refuses_images_smaller_than_its_window(size):
    with pytest.raises(ValueError, match=rf"\({size[0]}, {size[1]}\).*>= 11"):
        ssim(torch.zeros(1, 3, *size), torch.zeros(1, 3, *size))


@pytest.mark.parametrize("name", DISTORTIONS)
def test_psnr_is_scikit_images(name):
    target = picture(19, 23)
    output = DISTORTIONS[name](target)
    expected = peak_signal_noise_ratio(levels(target), levels(output), data_range=255)
    assert psnr(output[None], target[None]).item() == pytest.approx(expected, abs=1e-3)


def test_psnr_of_the_same_image_is_the_cap_and_spoils_no_mean():
    targets = torch.stack([picture(16, 16), picture(16, 16)])
    outputs = torch.stack([targets[0], targets[1] + 0.1 * (targets[1] < 0)])
    values = psnr(outputs, targets)
    assert values[0].item() == 100.0
    assert 20.0 < values[1].item() < 40.0


def test_psnr_is_not_pooled_over_images():
    targets = torch.zeros(2, 3, 12, 12)
    outputs = torch.stack([targets[0] + 0.2, targets[1] + 0.02])
    # A step of 0.2 in [-1, 1] is a tenth of the range: 20 dB; a tenth of that 40 dB. Pooled they would give 23 dB.
    torch.testing.assert_close(psnr(outputs, targets), torch.tensor([20.0, 40.0]), rtol=0, atol=1e-3)


def test_definitions_name_the_metrics_that_are_measured():
    assert set(definitions()) == {"ssim", "psnr"}
    assert set(definitions("vgg")) == {"ssim", "psnr", "lpips"}
    assert "network vgg" in definitions("vgg")["lpips"]
    assert definitions("vgg")["lpips"] != definitions("squeeze")["lpips"]


@pytest.mark.parametrize("settings", ["SSIM_SETTINGS", "PSNR_SETTINGS"])
def test_a_changed_setting_changes_the_fingerprint_of_its_metric_alone(settings, monkeypatch):
    before = definitions()
    changed = settings.split("_")[0].lower()
    for key, value in getattr(metrics, settings).items():
        monkeypatch.setattr(metrics, settings, {**getattr(metrics, settings), key: f"{value} or so"})
        after = definitions()
        assert [name for name in before if after[name][-14:] != before[name][-14:]] == [changed]
        monkeypatch.undo()
    assert definitions() == before


@pytest.fixture
def shared_home(monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(SHARED / "weights/torch_home"))


@pytest.fixture(scope="module")
def photo():
    """A photo's middle (1, 3, 65, 65) in [-1, 1]."""
    path = sorted((SHARED / "data/photos_val").glob("*.png"))[0]
    pixels = np.asarray(Image.open(path).convert("RGB"))
    y, x = pixels.shape[0] // 2, pixels.shape[1] // 2
    return torch.from_numpy(pixels[y : y + 129, x : x + 129].copy()).permute(2, 0, 1)[None].float() / 127.5 - 1


@needs_weights
def test_lpips_loads_frozen_and_measures(shared_home, photo):
    network, reason = load_lpips("squeeze")
    assert reason == ""
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    sharp, shifted = photo[..., :128, :128], photo[..., :128, 1:]
    assert network(sharp, sharp).item() == 0.0
    assert 0.005 < network(sharp, shifted).item() < 0.1  # 0.0282 for a whole photo
    blurred = [torch.from_numpy(gaussian_filter(sharp.numpy(), (0, 0, s, s))) for s in (0.5, 1.0, 2.0, 4.0)]
    values = [network(image, sharp).item() for image in blurred]
    assert values == sorted(values)
    assert values[0] < 0.5 * values[-1]


@needs_weights
@pytest.mark.filterwarnings("ignore:The parameter 'pretrained' is deprecated:UserWarning")  # lpips calls torchvision so
@pytest.mark.filterwarnings("ignore:Arguments other than a weight enum:UserWarning")
def test_lpips_is_the_package_called_directly(shared_home, photo):
    import lpips

    direct = lpips.LPIPS(net="squeeze", verbose=False)
    network, _ = load_lpips("squeeze")
    pair = photo[..., :64, :64], photo[..., 60:124, 60:124]
    with torch.no_grad():
        assert network(*pair).item() == direct(*pair).item() > 0.1


@needs_weights
def test_a_task_with_lpips_weights_keeps_them_to_itself(shared_home):
    task = MagnifyTask(MagnifierConfig(encoder_channels=2, decoder_depth=0, decoder_channels=2), lpips="squeeze")
    task.setup("fit")
    assert task.absent == {}
    assert "network squeeze" in task.metric_definitions()["lpips"]
    assert not any("lpips" in name or "lin" in name.split(".")[0] for name in task.state_dict())


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise URLError("no way out")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    return tmp_path


@pytest.mark.parametrize("net", ["squeeze", "vgg"])
def test_lpips_without_weights_gives_the_reason(net, no_network):
    network, reason = load_lpips(net)
    assert network is None
    assert net in reason
    assert str(no_network) in reason
    assert "no way out" in reason
    assert "\n" not in reason


@pytest.mark.parametrize("content", [b"", b"not a weights file"])
def test_lpips_with_broken_weights_gives_the_reason(content, no_network):
    (no_network / "hub/checkpoints").mkdir(parents=True)
    (no_network / "hub/checkpoints/squeezenet1_1-b8a52dc0.pth").write_bytes(content)
    network, reason = load_lpips("squeeze")
    assert network is None
    assert str(no_network) in reason
    assert "\n" not in reason


def test_a_task_without_lpips_weights_reports_it_absent_with_the_reason(no_network):
    task = MagnifyTask(MagnifierConfig(encoder_channels=2, decoder_depth=0, decoder_channels=2), lpips="squeeze")
    task.setup("fit")
    assert task.absent.keys() == {"lpips"}
    assert str(no_network) in task.absent["lpips"]
    assert set(task.metric_definitions()) == {"ssim", "psnr"}


def test_lpips_leaves_the_sockets_timeout_as_it_was(no_network):
    import socket

    before = socket.getdefaulttimeout()
    load_lpips("squeeze")
    assert socket.getdefaulttimeout() == before


def test_lpips_home_is_named_where_torch_has_its_own(monkeypatch, tmp_path):
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", lambda *a, **k: (_ for _ in ()).throw(URLError("none")))
    monkeypatch.setenv("HOME", str(tmp_path))
    _, reason = load_lpips("squeeze")
    assert os.path.join(".cache", "torch") in reason
