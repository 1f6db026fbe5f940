"""The task that trains switches: its loss, its two rates, its checkpoints."""

import lightning as L
import pytest
import torch

from lightning_mm.data.rendering import Pairs
from lightning_mm.models import MagnifierConfig
from lightning_mm.tasks import MagnifyTask, OptimizerConfig, PruneTask, RemovalConfig

ARCH = MagnifierConfig(
    "residual", (1, 0, 1), encoder_channels=2, manipulator_block=True, decoder_depth=3, decoder_channels=4, bottleneck=2
)
BLOCKS = {"encoder": ["encoder.0", "encoder.1"], "manipulator": ["manipulator.0"]}
BLOCKS["decoder"] = ["decoder.0", "decoder.1", "decoder.2"]


def pairs(count=2, side=16):
    generator = torch.Generator().manual_seed(0)
    a, b, c, target = (torch.rand(count, 3, side, side, generator=generator) * 2 - 1 for _ in range(4))
    return Pairs(a, b, c, target, torch.full((count,), 3.0))


def task_of(removal, **more):
    torch.manual_seed(0)
    task = PruneTask(removal, ARCH, **more)
    for parameter in task.magnifier.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    task.log = task.log_dict = lambda *args, **kwargs: None
    return task


@pytest.mark.parametrize("component", ["relu", "skip", "block"])
@pytest.mark.parametrize("part", BLOCKS)
def test_the_loss_is_that_of_the_task_and_the_penalty(part, component):
    task = task_of(RemovalConfig(part, component, power=2.0, weight=0.3))
    plain = MagnifyTask(ARCH)
    plain.log = plain.log_dict = lambda *args, **kwargs: None
    plain.magnifier.load_state_dict(task.magnifier.state_dict())
    task.configure_model()
    task.configure_model()  # each loop of a Trainer calls it
    assert list(task.switches) == BLOCKS[part]
    batch = pairs()
    loss = plain.training_step(batch, 0)
    torch.testing.assert_close(task.training_step(batch, 0), loss + 0.3 * 1.0)
    first = next(iter(task.switches.values()))
    first.omega.data.fill_(0.5)
    with torch.no_grad():
        rest = task.training_step(batch, 0) - 0.3 * (1.0 - 0.25 / len(task.switches))
    torch.testing.assert_close(rest, task.pair_loss(task.magnifier, batch)[0])


def test_the_omegas_have_a_constant_rate_and_the_weights_their_schedule():
    task = task_of(RemovalConfig("decoder", "block", lr=0.05), optim=OptimizerConfig(lr=1e-3, warmup_steps=9))
    task.configure_model()
    task._trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
    configured = task.configure_optimizers()
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    weights, omegas = optimizer.param_groups
    assert [id(p) for p in omegas["params"]] == [id(switch.omega) for switch in task.switches.values()]
    together = {id(p) for p in (*weights["params"], *omegas["params"])}
    assert together == {id(p) for p in task.magnifier.parameters()}
    assert len(weights["params"]) + 3 == len(together)
    assert (weights["lr"], omegas["lr"]) == pytest.approx((1e-4, 0.05))
    assert [factor(4) for factor in scheduler.lr_lambdas[1:]] == [1.0]


def test_a_checkpoint_has_the_curve():
    task = task_of(RemovalConfig("decoder", "relu"))
    task.configure_model()
    task.curve = [(0, [0.0, 0.0, 0.0]), (20, [0.1, 0.25, 0.5])]
    checkpoint = {"state_dict": task.state_dict()}
    task.on_save_checkpoint(checkpoint)
    other = task_of(RemovalConfig("decoder", "relu"))
    other.on_load_checkpoint(checkpoint)
    assert other.curve == task.curve


def test_a_part_without_the_component_is_refused():
    with pytest.raises(ValueError, match=r"part = 'encoder', component = 'relu': the encoder \(linear\)"):
        PruneTask(RemovalConfig("encoder", "relu"))
