"""The training of a supernet: which networks a step trains, what moves, where it stops."""

import copy
import json
import math
from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import Callback
from small_spaces import ELASTIC, build
from torch.utils.data import DataLoader

from lightning_mm.callbacks import standard_callbacks
from lightning_mm.data.rendering import Pairs
from lightning_mm.errors import InputError, TrainingDivergedError
from lightning_mm.losses import LossConfig
from lightning_mm.metrics import ssim
from lightning_mm.spaces import ChoiceSpace, Genotype
from lightning_mm.tasks import OptimizerConfig, PathOptions, SupernetTask
from lightning_mm.tasks.supernet import PROBES

SIZE = 16
SPACE = ChoiceSpace((1, 0, 1), 3, 4, stem_channels=2, tail_channels=4)
LOW, HIGH = SPACE.attainable
CAP = (LOW + HIGH) / 2
RULES = {
    "uniform": PathOptions(),
    "capped": PathOptions("capped", CAP),
    "sandwich": PathOptions("sandwich", CAP),
    "distilling": PathOptions("sandwich", CAP, distil=1.0, distil_from=0.0),
}


def pairs(count=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = [torch.rand(count, 3, SIZE, SIZE, generator=generator) * 2 - 1 for _ in range(4)]
    return Pairs(*images, torch.linspace(2.0, 9.0, count))


def task_of(rule="uniform", space=SPACE, **options):
    torch.manual_seed(0)
    task = SupernetTask(space, RULES[rule] if isinstance(rule, str) else rule, **options)
    task.supernet.load_state_dict(build(space, residual_scale=task.supernet.residual_scale).state_dict())
    return task


def trainer(tmp_path, **options):
    plain = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return L.Trainer(default_root_dir=tmp_path, enable_model_summary=False, **plain | options)


def loader(batches):
    return DataLoader(batches, batch_size=None)


class Record(Callback):
    """Of each step: networks, loss, gradients and weights behind it."""

    def __init__(self):
        self.paths, self.losses, self.gradients, self.weights, self.distils = [], [], [], [], []

    def on_train_start(self, trainer, pl_module):
        self.weights.append(copy.deepcopy(pl_module.supernet.store.state_dict()))

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.paths.append(list(pl_module._drawn))
        self.distils.append(pl_module._distils())
        store = pl_module.supernet.store
        self.gradients.append({k: p.grad.clone() for k, p in store.items() if p.grad is not None})

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item())
        self.weights.append(copy.deepcopy(pl_module.supernet.store.state_dict()))


def fitted(task, tmp_path, batches, epochs=1, callbacks=(), **options):
    record = Record()
    fitting = trainer(tmp_path, max_epochs=epochs, callbacks=[record, *callbacks], enable_checkpointing=bool(callbacks))
    fitting.fit(task, loader(batches), loader([pairs()]), weights_only=True, **options)
    return record, fitting


def keys_of(task, *paths):
    """Names in the store of all weights of networks."""
    names = {path: [name for name, _ in task.supernet.parameters_of(path).items()] for path in paths}
    return {task.space.address(path, name).replace(".", "/") for path in paths for name in names[path]}


# --- Which networks ---


@pytest.mark.parametrize("rule", RULES)
def test_the_networks_of_a_step_are_a_function_of_seed_and_step(rule):
    draw = RULES[rule].draw
    expected = {(seed, step): draw(SPACE, seed, step) for seed in (0, 7) for step in range(30)}
    np.random.seed(3)  # noqa: NPY002  (what must not matter)
    torch.manual_seed(3)
    for (seed, step), paths in reversed(expected.items()):
        assert draw(SPACE, seed, step) == paths
    first, other = ([tuple(expected[seed, step]) for step in range(30)] for seed in (0, 7))
    assert first != other
    assert len(set(first)) > 20


@pytest.mark.parametrize("rule", ["capped", "distilling"])
def test_training_takes_these_networks_also_when_it_is_resumed(rule, tmp_path):
    batches = [pairs(seed=n) for n in range(3)]
    whole, _ = fitted(task_of(rule, path_seed=5), tmp_path, batches, epochs=2)
    assert whole.paths == [RULES[rule].draw(SPACE, 5, step) for step in range(6)]
    assert whole.distils == [rule == "distilling"] * 6
    first, half = fitted(task_of(rule, path_seed=5), tmp_path, batches)
    half.save_checkpoint(tmp_path / "half.ckpt")
    again, _ = fitted(task_of(rule, path_seed=5), tmp_path, batches, epochs=2, ckpt_path=tmp_path / "half.ckpt")
    assert first.paths + again.paths == whole.paths
    assert first.losses + again.losses == whole.losses
    for name, value in whole.weights[-1].items():
        assert torch.equal(again.weights[-1][name], value), name


@pytest.mark.filterwarnings("ignore:.*exists and is not empty.*")
def test_averaged_weights_are_those_of_the_uninterrupted_training(tmp_path):
    """EMA copies the whole task, supernet and space with it."""
    batches, scale = [pairs(seed=n) for n in range(2)], {"residual_scale": "learnable"}
    whole, again = task_of("sandwich", **scale), task_of("sandwich", **scale)
    fitted(whole, tmp_path, batches, 2, standard_callbacks(tmp_path / "whole", 0.9))
    fitted(task_of("sandwich", **scale), tmp_path, batches, 1, standard_callbacks(tmp_path / "half", 0.9))
    last = tmp_path / "half/checkpoints/last.ckpt"
    record, _ = fitted(again, tmp_path, batches, 2, standard_callbacks(tmp_path / "half", 0.9), ckpt_path=last)
    averaged = again.supernet.store.state_dict()
    for name, value in whole.supernet.store.state_dict().items():
        assert torch.equal(averaged[name], value), name
    assert any(not torch.equal(averaged[name], value) for name, value in record.weights[-1].items())


def test_capped_draws_are_below_the_cap_and_uniform_ones_are_the_spaces():
    assert {len(RULES[rule].draw(SPACE, 0, 0)) for rule in ("uniform", "capped")} == {1}
    capped = [RULES["capped"].draw(SPACE, 0, step)[0] for step in range(200)]
    uniform = [RULES["uniform"].draw(SPACE, 0, step)[0] for step in range(200)]
    assert max(map(SPACE.flops, capped)) <= CAP * 1e9 < max(map(SPACE.flops, uniform))


@pytest.mark.parametrize("space", [SPACE, ELASTIC])
def test_a_sandwich_is_the_largest_the_smallest_and_two_others(space):
    low, high = space.attainable
    cap = low + 0.3 * (high - low)
    for step in range(30):
        largest, *others, smallest = PathOptions("sandwich", cap).draw(space, 1, step)
        assert len(others) == 2
        for end, path in ((-1, largest), (0, smallest)):
            for choice, value in zip(space.choices, path.values, strict=True):
                if (choice.ordered and not choice.structural) or space is SPACE:
                    assert value == choice.values[end]
        assert all(space.admits(path, cap) for path in others)
    costs = [space.flops(p) for step in range(30) for p in PathOptions("sandwich", cap).draw(space, 1, step)[1:3]]
    assert min(costs) < (low + 0.1 * (high - low)) * 1e9
    assert max(costs) > (low + 0.2 * (high - low)) * 1e9


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rule": "capped"}, "PathOptions.rule = capped: needs max_gflops"),
        ({"rule": "uniform", "max_gflops": 5.0}, "PathOptions.rule = uniform: sees no max_gflops; use capped"),
        ({"distil": 1.0}, "PathOptions.distil = 1.0"),
        ({"rule": "sandwich", "distil": -1.0}, "PathOptions.distil = -1.0"),
        ({"rule": "sandwich", "distil_from": 1.5}, "PathOptions.distil_from = 1.5"),
    ],
)
def test_rules_that_do_not_go_together_are_refused(values, message):
    with pytest.raises(ValueError, match=r"^PathOptions\.") as caught:
        PathOptions(**values)
    assert message in str(caught.value)


def test_a_cap_that_nothing_meets_is_refused():
    with pytest.raises(InputError, match="this space attains"):
        SupernetTask(SPACE, PathOptions("sandwich", LOW / 2))


# --- What a step does ---


@pytest.mark.parametrize(
    ("rule", "residual_scale"),
    [("uniform", 1.0), ("capped", "learnable"), ("sandwich", 0.1), ("distilling", "learnable")],
)
def test_candidates_that_were_not_drawn_do_not_move(rule, residual_scale, tmp_path):
    """Not by momentum either, of steps in which they were."""
    task = task_of(rule, residual_scale=residual_scale, optim=OptimizerConfig(lr=1e-2))
    record, _ = fitted(task, tmp_path, [pairs(seed=n) for n in range(5)])
    rested = 0
    for step, paths in enumerate(record.paths):
        own = keys_of(task, *paths)
        own |= {key.replace("/conv2/weight", "/scale") for key in own if key.endswith("/conv2/weight")}
        own &= set(task.supernet.store)
        before, after = record.weights[step], record.weights[step + 1]
        moved = {name for name in before if not torch.equal(before[name], after[name])}
        assert moved <= own
        assert record.gradients[step].keys() == own
        assert moved >= {name for name, gradient in record.gradients[step].items() if gradient.abs().max() > 1e-6}
        earlier = set().union(*(record.gradients[n].keys() for n in range(step)))
        rested += len(earlier - own)
    assert rested > 0


def by_hand(task, batch, path):
    """Loss and output of one network of the supernet, from its definition."""

    def measure(magnifier):
        a, b, c = (magnifier.encode(frame) for frame in batch[:3])
        output = magnifier(batch.frame_a, batch.frame_b, batch.alpha)
        loss = (output - batch.target).abs().mean()
        return loss + (a.texture - c.texture).abs().mean() + (b.shape - c.shape).abs().mean(), output

    return task.supernet.run(path, measure)


@pytest.mark.parametrize("rule", RULES)
def test_the_loss_is_the_mean_over_the_networks(rule, tmp_path):
    task, reference, batch = task_of(rule), task_of(rule), pairs()
    record, _ = fitted(task, tmp_path, [batch])
    results = [by_hand(reference, batch, path) for path in record.paths[0]]
    losses = [loss for loss, _ in results]
    if rule == "distilling":
        teacher = results[0][1].detach()
        losses[1:] = [(loss + F.l1_loss(output, teacher)) / 2.0 for loss, output in results[1:]]
    assert record.losses == [pytest.approx((sum(losses) / len(losses)).item(), rel=1e-5)]
    (sum(losses) / len(losses)).backward()
    for name, value in reference.supernet.store.items():
        if value.grad is not None:
            scale = value.grad.abs().max().item()
            torch.testing.assert_close(record.gradients[0][name], value.grad, rtol=0, atol=1e-4 * scale + 1e-7)


def test_nothing_reaches_the_teacher_through_the_target(tmp_path):
    """Weights that the largest network alone has get the same gradient, however much the others are to be like it."""
    records = {}
    for distil in (0.0, 3.0):
        options = PathOptions("sandwich", CAP, distil=distil, distil_from=0.0)
        records[distil], _ = fitted(task_of(options), tmp_path, [pairs()])
    paths = records[0.0].paths[0]
    assert paths == records[3.0].paths[0]
    task = task_of("sandwich")
    teacher = keys_of(task, paths[0]) - keys_of(task, *paths[1:])
    others = keys_of(task, *paths[1:]) - keys_of(task, paths[0])
    plain, distilled = (record.gradients[0] for record in records.values())
    assert len(teacher) > 4
    assert len(others) > 4
    assert any(plain[name].abs().max() > 1e-4 for name in teacher)
    assert all(torch.equal(plain[name], distilled[name]) for name in teacher)
    assert any(not torch.allclose(plain[name], distilled[name], rtol=0.05) for name in others)


@pytest.mark.parametrize(("begin", "expected"), [(0.0, 0), (1 / 3, 2), (1.0, 6)])
def test_distillation_begins_behind_its_share_of_the_training(begin, expected, tmp_path):
    options = PathOptions("sandwich", CAP, distil=1.0, distil_from=begin)
    record, _ = fitted(task_of(options), tmp_path, [pairs(seed=n) for n in range(3)], epochs=2)
    assert record.distils == [False] * expected + [True] * (6 - expected)


def test_a_training_lowers_the_loss(tmp_path):
    torch.manual_seed(0)
    task = SupernetTask(SPACE, RULES["distilling"], optim=OptimizerConfig(lr=1e-2))
    record, _ = fitted(task, tmp_path, [pairs()] * 20)
    assert np.mean(record.losses[-5:]) < 0.95 * record.losses[0]


def test_validation_measures_four_fixed_networks(tmp_path):
    task, batches = task_of(), [pairs(2, 1), pairs(2, 2), pairs(1, 3)]
    measured = trainer(tmp_path).validate(task, loader(batches), verbose=False)[0]
    assert measured.keys() == {"val/ssim", *(f"val/ssim_{name}" for name in PROBES)}
    assert measured["val/ssim"] == measured["val/ssim_largest"]
    assert task.probes["largest"] == Genotype(("conv7",) * 5)
    assert task.probes["smallest"] == Genotype(("skip",) * 5)
    assert task.probes == task_of("sandwich", path_seed=9).probes, "whatever the training"
    assert len(set(task.probes.values())) == 4
    with torch.no_grad():
        for name, path in task.probes.items():
            magnifier = task.supernet.export(path)
            values = torch.cat([ssim(magnifier(b.frame_a, b.frame_b, b.alpha).clamp(-1, 1), b.target) for b in batches])
            assert values.shape == (5,)
            assert measured[f"val/ssim_{name}"] == pytest.approx(values.mean().item(), rel=1e-5)


def test_a_checkpoint_holds_plain_types_and_the_store_alone(tmp_path):
    task = task_of("sandwich", ELASTIC, residual_scale="learnable", optim=OptimizerConfig(betas=(0.9, 0.95)))
    _, fitting = fitted(task, tmp_path, [pairs()])
    fitting.save_checkpoint(tmp_path / "task.ckpt")
    checkpoint = torch.load(tmp_path / "task.ckpt", weights_only=True)
    assert set(checkpoint["state_dict"]) == {f"supernet.store.{name}" for name in task.supernet.store}
    parameters = checkpoint["hyper_parameters"]
    assert parameters["space"] == ELASTIC.to_dict()
    assert parameters["paths"] == {"rule": "sandwich", "max_gflops": CAP, "distil": 0.0, "distil_from": 1 / 3}
    assert parameters["optim"]["betas"] == [0.9, 0.95]
    json.dumps(dict(parameters))


# --- Divergence ---


@pytest.mark.parametrize("rule", ["capped", "sandwich"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_training_with_what_a_report_wants(rule, value, tmp_path):
    bad = pairs()._replace(target=torch.full((2, 3, SIZE, SIZE), value))
    task, record = task_of(rule), Record()
    fitting = trainer(tmp_path, max_epochs=1, callbacks=[record])
    with pytest.raises(TrainingDivergedError, match=f"^the loss became {value} at step 2$") as caught:
        fitting.fit(task, loader([pairs(), pairs(seed=1), bad, pairs()]), loader([pairs()]))
    norm = math.sqrt(sum(gradient.double().square().sum().item() for gradient in record.gradients[1].values()))
    expected = {"step": 2, "paths": [str(path) for path in RULES[rule].draw(SPACE, 0, 2)]}
    assert caught.value.details == {**expected, "gradient_norm": pytest.approx(norm, rel=1e-5)}
    for name, parameter in task.supernet.store.items():
        assert torch.equal(parameter, record.weights[-1][name]), "the last step that was good"
        assert parameter.isfinite().all()
    assert task.largest_gradient_norm >= task.gradient_norm == caught.value.details["gradient_norm"]


@pytest.mark.parametrize("step", [0, 2])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_gradient_that_is_no_number_ends_training_before_it_moves_anything(value, step, tmp_path):
    task, record, seen = task_of("sandwich"), Record(), []

    def spoil(gradient):
        seen.append(task.global_step)
        return gradient * value if task.global_step == step else gradient

    task.supernet.store["decoder/out/2/bias"].register_hook(spoil)
    fitting = trainer(tmp_path, max_epochs=1, callbacks=[record])
    with pytest.raises(TrainingDivergedError, match=f"^the gradient norm became (nan|inf) at step {step}$") as caught:
        fitting.fit(task, loader([pairs(seed=n) for n in range(4)]), loader([pairs()]))
    assert seen[-1] == step
    details = caught.value.details
    assert (details["step"], len(details["paths"])) == (step, 4)
    assert (details["gradient_norm"] is None) if step == 0 else math.isfinite(details["gradient_norm"])
    assert all(torch.equal(p, record.weights[-1][name]) for name, p in task.supernet.store.items())
    assert math.isfinite(task.largest_gradient_norm)


def test_an_overflow_under_float16_is_the_loss_scalers_business(monkeypatch):
    task = task_of()
    logged = {}
    monkeypatch.setattr(SupernetTask, "trainer", SimpleNamespace(precision="16-mixed"))
    monkeypatch.setattr(task, "log", logged.__setitem__)
    monkeypatch.setattr(task, "clip_gradients", lambda *args: None)
    for value, expected in ((2.0, 2.0), (math.inf, 2.0), (math.nan, 2.0), (1.0, 2.0)):
        task.supernet.store["decoder/out/2/bias"].grad = torch.tensor([value, 0.0, 0.0])
        task.configure_gradient_clipping(None, 1.0, None)
        assert task.largest_gradient_norm == expected, "what is reported is a number"
    assert task.gradient_norm == logged["train/gradient_norm"] == 1.0


@pytest.mark.parametrize("limit", [1e-3, None])
def test_gradients_are_clipped_and_their_norm_is_that_before(limit, tmp_path):
    task, record = task_of("sandwich"), Record()
    fitting = trainer(tmp_path, max_steps=1, callbacks=[record], gradient_clip_val=limit)
    before = []
    original = task.configure_gradient_clipping

    def clip(*args, **kwargs):
        before.append(torch.cat([p.grad.flatten() for p in task.supernet.parameters() if p.grad is not None]).norm())
        original(*args, **kwargs)
        after = torch.cat([p.grad.flatten() for p in task.supernet.parameters() if p.grad is not None]).norm()
        assert after.item() == pytest.approx(limit or before[0].item(), rel=1e-3)

    task.configure_gradient_clipping = clip
    fitting.fit(task, loader([pairs()]), loader([pairs()]))
    assert task.gradient_norm == pytest.approx(before[0].item(), rel=1e-5)
    assert fitting.callback_metrics["train/gradient_norm"].item() == pytest.approx(before[0].item(), rel=1e-5)


def test_the_terms_of_the_loss_can_be_chosen(tmp_path):
    task = task_of("capped", loss=LossConfig(texture=0.0, shape=0.0))
    record, _ = fitted(task, tmp_path, [pairs()])
    reference = task_of("capped")
    output = reference.supernet(*pairs()[:2], pairs().alpha, record.paths[0][0])
    assert record.losses == [pytest.approx((output - pairs().target).abs().mean().item(), rel=1e-5)]
