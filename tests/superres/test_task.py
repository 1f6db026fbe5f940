"""Training of MDSR: PSNR as super-resolution counts it, the penalty, the omegas, and what a cut leaves."""

import lightning as L
import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from lightning_mm.errors import TrainingDivergedError
from lightning_mm.models.switches import cut, insert_switches
from lightning_mm.superres.data import ScaleDataConfig, ScaleDataModule, upscale
from lightning_mm.superres.mdsr import MDSR, SCALES, MDSRConfig
from lightning_mm.superres.stages import blocks_of
from lightning_mm.superres.task import SuperResolutionTask, cropped_psnr
from lightning_mm.tasks import OptimizerConfig
from lightning_mm.tasks.prune import RemovalConfig

ARCH = MDSRConfig(channels=4, encoder_blocks=2, decoder_blocks=2)
PAIRS = ScaleDataConfig(patch=6, batch_size=2, epoch_steps=9, textures=2, texture_size=64, val_images=2, val_size=24)
OPTIM = OptimizerConfig(lr=1e-3, betas=(0.9, 0.999))


def to_bytes(image):
    return np.rint((image.numpy().clip(-1, 1) + 1.0) * 127.5).astype(np.uint8)


@pytest.mark.parametrize("scale", SCALES)
def test_psnr_is_that_of_8_bit_images_without_the_border(scale):
    rng = torch.Generator().manual_seed(scale)
    target = (torch.randint(0, 256, (2, 3, 24, 36), generator=rng) / 127.5) - 1.0
    output = target + 0.05 * torch.randn(target.shape, generator=rng)
    output[..., : scale - 1, :] = 1.0  # a border that is wrong does not count
    found = cropped_psnr(output, target, scale)
    for value, one, other in zip(found, output, target, strict=True):
        inner = (slice(None), slice(scale, -scale), slice(scale, -scale))
        expected = peak_signal_noise_ratio(to_bytes(other)[inner], to_bytes(one)[inner])
        assert float(value) == pytest.approx(expected, abs=1e-3)


def trainer(**options):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}
    return L.Trainer(accelerator="cpu", enable_progress_bar=False, **quiet, **options)


def fitted(network, removal=None, **options):
    L.seed_everything(0, verbose=False)
    task = SuperResolutionTask(network, OPTIM, removal)
    runner = trainer(max_epochs=1, limit_val_batches=0, **options)
    runner.fit(task, datamodule=ScaleDataModule(PAIRS, 0))
    return task


def test_the_bicubic_reference_is_measured_beside_the_network():
    data = ScaleDataModule(PAIRS, 0)
    found = trainer().test(SuperResolutionTask(MDSR(ARCH), OPTIM), datamodule=data, verbose=False)[0]
    assert found.keys() == {f"test/{who}_x{scale}" for who in ("psnr", "bicubic") for scale in SCALES}
    for batch in data.val_dataloader():
        pairs = data.on_after_batch_transfer(batch, 0)
        inner = (slice(None), slice(pairs.scale, -pairs.scale), slice(pairs.scale, -pairs.scale))
        both = zip(upscale(pairs.low, pairs.scale), pairs.high, strict=True)
        values = [peak_signal_noise_ratio(to_bytes(high)[inner], to_bytes(up)[inner]) for up, high in both]
        assert found[f"test/bicubic_x{pairs.scale}"] == pytest.approx(np.mean(values), abs=1e-3)


@pytest.mark.parametrize("module", ["encoder", "decoder"])
def test_a_strong_penalty_leads_every_switch_to_one_and_no_further(module):
    network = MDSR(ARCH)
    switches = insert_switches(network, blocks_of(network, module), "identity")
    fitted(network, RemovalConfig(module, "block", weight=100.0, lr=0.5))
    assert [switch.omega.item() for switch in switches.values()] == [1.0] * {"encoder": 6, "decoder": 2}[module]
    x = torch.randn(1, 3, 7, 5)
    with torch.no_grad():
        before = {scale: network(x, scale) for scale in SCALES}
        assert cut(network, 0.5) == list(switches)
        for scale in SCALES:
            torch.testing.assert_close(network(x, scale), before[scale])
    less = MDSR(MDSRConfig(4, 0, 2) if module == "encoder" else MDSRConfig(4, 2, 0))
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == sum(parameter.numel() for parameter in less.parameters())


def test_without_a_pull_switches_stay_near_zero_and_none_is_cut():
    network = MDSR(ARCH)
    insert_switches(network, blocks_of(network, "decoder"), "identity")
    fitted(network, RemovalConfig("decoder", "block", weight=1e-9, lr=1e-3))
    assert cut(network, 0.5) == []
    assert network.state_dict().keys() == MDSR(ARCH).state_dict().keys()


def test_a_part_of_the_blocks_can_be_cut_and_the_rest_computes_the_same():
    network = MDSR(ARCH)
    switches = insert_switches(network, blocks_of(network, "encoder"), "identity")
    switches["encoder.x3.1"].omega.data.fill_(1.0)
    x = torch.randn(1, 3, 6, 6)
    with torch.no_grad():
        before = {scale: network(x, scale) for scale in SCALES}
        assert cut(network, 0.5) == ["encoder.x3.1"]
        for scale in SCALES:
            torch.testing.assert_close(network(x, scale), before[scale])


def test_the_omegas_have_their_own_learning_rate():
    network = MDSR(ARCH)
    switches = insert_switches(network, blocks_of(network, "decoder"), "identity")
    groups = fitted(network, RemovalConfig("decoder", "block", lr=0.03)).optimizers().param_groups
    assert [group["lr"] for group in groups] == [1e-3, 0.03]
    assert {id(p) for p in groups[1]["params"]} == {id(switch.omega) for switch in switches.values()}
    together = {id(p) for group in groups for p in group["params"]}
    assert together == {id(p) for p in network.parameters()}


def test_a_loss_that_is_no_number_ends_the_training():
    network = MDSR(ARCH)
    network.tail.bias.data.fill_(float("nan"))
    with pytest.raises(TrainingDivergedError, match="loss became nan at step 0"):
        fitted(network)
