"""The training task on its own: schedule, losses, metrics, what it saves."""

import math
from urllib.error import URLError

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader

from lightning_mm.classical.linear import magnify_linear
from lightning_mm.data.rendering import Pairs
from lightning_mm.errors import TrainingDivergedError
from lightning_mm.losses import LossConfig
from lightning_mm.metrics import psnr, ssim
from lightning_mm.models import MagnifierConfig
from lightning_mm.tasks.magnify import FLOORS, MagnifyTask
from lightning_mm.tasks.pairs import OptimizerConfig

ARCH = MagnifierConfig(encoder_channels=2, decoder_depth=1, decoder_channels=4)
SIZE = 16


def pairs(count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = [torch.rand(count, 3, SIZE, SIZE, generator=generator) * 2 - 1 for _ in range(4)]
    return Pairs(*images, torch.linspace(2.0, 9.0, count))


@pytest.fixture
def task():
    torch.manual_seed(0)
    return MagnifyTask(ARCH)


@pytest.fixture
def logged(task, monkeypatch):
    """What the task logs, without a Trainer."""
    found = {}
    monkeypatch.setattr(task, "log", lambda name, value, **kwargs: found.__setitem__(name, value))
    monkeypatch.setattr(task, "log_dict", lambda values, **kwargs: found.update(values))
    return found


def trainer(tmp_path, **options):
    plain = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return L.Trainer(default_root_dir=tmp_path, enable_model_summary=False, **plain | options)


def loader(batches):
    return DataLoader(batches, batch_size=None)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "exponential"])
def test_the_warm_up_rises_linearly_to_the_peak(schedule):
    optim = OptimizerConfig(warmup_steps=4, schedule=schedule)
    assert [optim.factor(step, 100) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_the_constant_schedule_stays():
    assert {OptimizerConfig().factor(step, 10) for step in (0, 5, 9, 10, 1000)} == {1.0}


def test_the_cosine_schedule_ends_at_one_per_cent():
    optim = OptimizerConfig(warmup_steps=10, schedule="cosine")
    assert optim.factor(10, 110) == 1.0
    assert optim.factor(60, 110) == pytest.approx((1.0 + 0.01) / 2)
    assert optim.factor(35, 110) == pytest.approx(0.01 + 0.99 * (1 + math.sqrt(0.5)) / 2)
    assert optim.factor(110, 110) == pytest.approx(0.01)
    assert optim.factor(500, 110) == pytest.approx(0.01)
    values = [optim.factor(step, 110) for step in range(10, 111)]
    assert values == sorted(values, reverse=True)


def test_a_warm_up_as_long_as_the_training_is_no_division_by_zero():
    optim = OptimizerConfig(warmup_steps=10, schedule="cosine")
    assert all(0.0 < optim.factor(step, 10) <= 1.0 for step in range(12))


def test_the_exponential_schedule_falls_by_three_per_cent_every_3000_steps():
    optim = OptimizerConfig(schedule="exponential")
    found = [optim.factor(step, 0) for step in (0, 2999, 3000, 5999, 6000, 30_000)]
    assert found == pytest.approx([1.0, 1.0, 0.97, 0.97, 0.97**2, 0.97**10])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": 0.0}, r"OptimizerConfig\.lr = 0\.0"),
        ({"lr": math.nan}, r"OptimizerConfig\.lr = nan"),
        ({"lr": 1.0}, r"OptimizerConfig\.lr"),
        ({"betas": (0.9, 1.0)}, r"OptimizerConfig\.betas"),
        ({"betas": (-0.1, 0.9)}, r"OptimizerConfig\.betas"),
        ({"warmup_steps": -1}, r"OptimizerConfig\.warmup_steps = -1"),
    ],
)
def test_values_that_cannot_train_are_refused_by_name(values, message):
    with pytest.raises(ValueError, match=message):
        OptimizerConfig(**values)


def test_step_0_does_not_depend_on_the_number_of_steps():
    # configure_optimizers relies on it.
    for schedule in ("constant", "cosine", "exponential"):
        for warmup in (0, 3):
            optim = OptimizerConfig(schedule=schedule, warmup_steps=warmup)
            assert optim.factor(0, 1) == optim.factor(0, 10_000)


def test_training_lowers_the_loss_and_follows_the_schedule(tmp_path):
    torch.manual_seed(0)
    task = MagnifyTask(ARCH, optim=OptimizerConfig(lr=5e-3, warmup_steps=3, schedule="cosine"))
    losses, rates = [], []

    class Record(L.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            losses.append(outputs["loss"].item())

        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            rates.append(optimizer.param_groups[0]["lr"])

    trainer(tmp_path, max_epochs=2, callbacks=[Record()]).fit(task, loader([pairs()] * 15), loader([pairs()]))
    assert losses[-1] < 0.9 * losses[0]
    assert rates == pytest.approx([5e-3 * task.optim.factor(step, 30) for step in range(30)])


def test_the_training_loss_is_that_of_the_magnified_frame(task, logged):
    batch = pairs()
    loss = task.training_step(batch, 0)
    output = task.magnifier(batch.frame_a, batch.frame_b, batch.alpha)
    a, b, c = (task.magnifier.encode(frame) for frame in (batch.frame_a, batch.frame_b, batch.frame_c))
    expected = [
        (output - batch.target).abs().mean(),
        (a.texture - c.texture).abs().mean(),
        (b.shape - c.shape).abs().mean(),
    ]
    torch.testing.assert_close(loss, sum(expected))
    names = ("reconstruction", "texture", "shape")
    torch.testing.assert_close([logged[f"train/{name}"] for name in names], expected)
    assert logged["train/loss"] is loss


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_training_and_names_the_step(value, tmp_path):
    bad = pairs()._replace(target=torch.full((2, 3, SIZE, SIZE), value))
    task = MagnifyTask(ARCH)
    with pytest.raises(TrainingDivergedError, match=rf"{value}.*step 2"):
        trainer(tmp_path, max_epochs=1).fit(task, loader([pairs(), pairs(), bad, pairs()]), loader([pairs()]))
    assert all(parameter.isfinite().all() for parameter in task.parameters())


def test_validation_means_are_over_images_with_an_uneven_last_batch(task, tmp_path):
    batches = [pairs(2, 1), pairs(2, 2), pairs(1, 3)]
    measured = trainer(tmp_path).validate(task, loader(batches), verbose=False)[0]
    with torch.no_grad():
        outputs = [task.eval()(b.frame_a, b.frame_b, b.alpha).clamp(-1, 1) for b in batches]
    for name, metric in (("ssim", ssim), ("psnr", psnr)):
        values = torch.cat([metric(output, b.target) for output, b in zip(outputs, batches, strict=True)])
        assert values.shape == (5,)
        assert measured[f"val/{name}"] == pytest.approx(values.mean().item(), rel=1e-5)
    assert measured.keys() == {"val/ssim", "val/psnr"}


def test_the_test_measures_the_floors_beside_the_output(task, tmp_path):
    batches = [pairs(2, 1), pairs(1, 2)]
    measured = trainer(tmp_path).test(task, loader(batches), verbose=False)[0]
    validated = trainer(tmp_path).validate(task, loader(batches), verbose=False)[0]
    assert measured["test/ssim"] == validated["val/ssim"]
    methods = {
        "frame_b": lambda b: b.frame_b,
        "linear_eulerian": lambda b: magnify_linear(b.frame_a, b.frame_b, b.alpha),
    }
    assert methods.keys() == set(FLOORS)
    for floor, method in methods.items():
        for name, metric in (("ssim", ssim), ("psnr", psnr)):
            values = torch.cat([metric(method(b), b.target) for b in batches])
            assert measured[f"test/{floor}_{name}"] == pytest.approx(values.mean().item(), rel=1e-5)


class FakeLpips(torch.nn.Module):
    """As LPIPS: (B, 1, 1, 1), one value per image."""

    def forward(self, output, target):
        assert output.dtype == target.dtype == torch.float32
        return (output - target).square().mean(dim=(1, 2, 3), keepdim=True)


def test_lpips_is_measured_per_image_too(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_mm.tasks.magnify.load_lpips", lambda net: (FakeLpips(), ""))
    task = MagnifyTask(ARCH, lpips="squeeze")
    batches = [pairs(2, 1), pairs(1, 2)]
    measured = trainer(tmp_path).test(task, loader(batches), verbose=False)[0]
    expected = torch.cat([(b.frame_b - b.target).square().mean(dim=(1, 2, 3)) for b in batches]).mean().item()
    assert measured["test/frame_b_lpips"] == pytest.approx(expected, rel=1e-5)
    assert measured.keys() >= {"test/lpips", "test/linear_eulerian_lpips"}
    assert task.absent == {}


def test_lpips_that_cannot_be_had_is_absent_with_the_reason(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise URLError("no way out")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    task = MagnifyTask(ARCH, lpips="squeeze")
    measured = trainer(tmp_path).validate(task, loader([pairs()]), verbose=False)[0]
    assert measured.keys() == {"val/ssim", "val/psnr"}
    assert str(tmp_path) in task.absent["lpips"]


def test_lpips_that_nobody_asked_for_is_absent_for_that_reason(task):
    assert task.absent == {"lpips": "not asked for"}


def test_a_checkpoint_holds_plain_types_and_no_weights_of_the_criterion(tmp_path, monkeypatch):
    weights = tmp_path / "vgg.pth"
    torch.save({}, weights)
    monkeypatch.setattr(
        "lightning_mm.losses._vgg16", lambda path: (torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3)), (0,))
    )
    task = MagnifyTask(ARCH, LossConfig(perceptual=0.1, perceptual_weights=weights, perceptual_crop=16))
    assert any(name.startswith("criterion.") for name in task.state_dict())
    ours = trainer(tmp_path, max_epochs=1)
    ours.fit(task, loader([pairs()]), loader([pairs()]))
    ours.save_checkpoint(tmp_path / "task.ckpt")

    checkpoint = torch.load(tmp_path / "task.ckpt", weights_only=True)
    assert set(checkpoint["state_dict"]) == {f"magnifier.{name}" for name in task.magnifier.state_dict()}
    assert checkpoint["hyper_parameters"]["arch"] == ARCH.to_dict()
    assert checkpoint["hyper_parameters"]["loss"]["perceptual_weights"] == str(weights)

    def plain(value):
        if isinstance(value, dict | list):
            return all(plain(v) for v in (value.values() if isinstance(value, dict) else value))
        return value is None or type(value) in (int, float, str, bool)

    assert plain(dict(checkpoint["hyper_parameters"]))

    # It loads again, for which the criterion keeps its own weights.
    other = MagnifyTask(ARCH, LossConfig(perceptual=0.1, perceptual_weights=weights, perceptual_crop=16))
    kept = {name: value.clone() for name, value in other.state_dict().items() if name.startswith("criterion.")}
    again = trainer(tmp_path, max_epochs=2)
    again.fit(other, loader([pairs()]), loader([pairs()]), ckpt_path=tmp_path / "task.ckpt", weights_only=True)
    assert again.global_step == 2
    assert all(torch.equal(other.state_dict()[name], value) for name, value in kept.items())


def test_forward_is_the_magnifier(task):
    batch = pairs()
    args = (batch.frame_a, batch.frame_b, batch.alpha)
    assert torch.equal(task(*args), task.magnifier(*args))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize(("algorithm", "limit"), [("norm", 1e-3), ("value", 1e-5), (None, 1e-3)])
def test_gradients_are_clipped(precision, algorithm, limit, tmp_path, monkeypatch):
    """Also for the fused optimiser in mixed precision, which the Trainer's own clipping refuses."""
    torch.manual_seed(0)
    task = MagnifyTask(ARCH)
    seen = []
    original = task.configure_gradient_clipping

    def clip(optimizer, *args, **kwargs):
        original(optimizer, *args, **kwargs)
        assert optimizer.defaults["fused"]
        seen.append(torch.cat([p.grad.flatten() for p in task.magnifier.parameters()]))

    monkeypatch.setattr(task, "configure_gradient_clipping", clip)
    options = {"gradient_clip_val": limit, "gradient_clip_algorithm": algorithm, "precision": precision}
    fitting = trainer(tmp_path, max_steps=2, **options)
    fitting.fit(task, loader([pairs(), pairs(seed=1)]), loader([pairs()]))
    assert len(seen) == 2
    for gradient in seen:
        reached = gradient.abs().max() if algorithm == "value" else gradient.norm()
        assert reached.item() == pytest.approx(limit, rel=1e-3)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # of torch.compile itself
def test_compiled_parts_keep_their_names_and_their_function():
    torch.manual_seed(0)
    plain = MagnifyTask(ARCH)
    compiled = MagnifyTask(ARCH, compile=True)
    compiled.load_state_dict(plain.state_dict())
    assert all(part._compiled_call_impl is not None for part in compiled.magnifier.children())
    assert all(part._compiled_call_impl is None for part in plain.magnifier.children())
