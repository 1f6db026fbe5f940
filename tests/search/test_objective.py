"""From a slot to its outcome: what is not admitted is not trained, and what fails is never complete."""

import json
import math
from types import SimpleNamespace

import optuna
import pytest
import torch
from optuna.trial import TrialState

from lightning_mm.cost import cost
from lightning_mm.errors import InputError, TrainingDivergedError
from lightning_mm.runs import Results
from lightning_mm.search import objective as module
from lightning_mm.search.objective import Objective, TakenOverError
from lightning_mm.search.slots import Slot


class FakeFit:
    """Stands for training: records what is asked for, and returns results or raises."""

    def __init__(self):
        self.calls, self.raises, self.ssim, self.latency = [], None, [0.9], [5.0]

    def __call__(self, args, role, overrides, callbacks):
        self.calls.append((args, role, overrides))
        if self.raises is not None:
            raise self.raises
        number = len(self.calls) - 1
        ssim, latency = self.ssim[number % len(self.ssim)], self.latency[number % len(self.latency)]
        metrics, empty = {"ssim": ssim}, [{}] * 5
        return Results(
            "x", role, overrides, {}, {"paper_flops": 2e9}, metrics, *empty, {"device": "cpu"}, {"ms": latency}
        )


@pytest.fixture
def fake_fit(monkeypatch):
    fake = FakeFit()
    monkeypatch.setattr(module, "fit", fake)
    return fake


@pytest.fixture
def outcome(open_sweep):
    """The outcome of the first slot of a kind, of a sweep with changes to its content."""

    def outcome(role="trial", mine=lambda: True, wandb="off", **changes):
        sweep = open_sweep(**changes)
        board = sweep.searched if role == "trial" else sweep.boards[0]
        claimed = board.claim()
        while claimed[0].role != role:
            claimed = board.claim()
        slot, trial = claimed
        found = Objective(sweep.spec, sweep.directory, wandb)(slot, trial, mine)
        outcome.trial, outcome.sweep = board.trials()[trial.number], sweep
        return found

    return outcome


def option(args, key):
    return next(arg.split("=", 1)[1] for arg in args if arg.startswith(f"--{key}="))


def test_values_are_the_mean_over_seeds(outcome, fake_fit):
    fake_fit.ssim, fake_fit.latency = [0.8, 0.9], [3.0, 5.0]
    found = outcome(seeds=[3, 8], objectives=["ssim", "latency"])
    assert found.state == TrialState.COMPLETE
    assert found.values == pytest.approx((0.85, 4.0))
    told = [(option(a, "data.seed"), option(a, "seed_everything"), option(a, "run.dir")) for a, _, _ in fake_fit.calls]
    directory = outcome.sweep.directory
    assert told == [
        ("3", "3", str(directory / "trials/0000-seed3")),
        ("8", "8", str(directory / "trials/0000-seed8")),
    ]


def test_one_seed_needs_no_name(outcome, fake_fit):
    assert outcome().values == (0.9, 2.0)
    assert option(fake_fit.calls[0][0], "run.dir") == str(outcome.sweep.directory / "trials/0000")
    assert fake_fit.calls[0][1:] == ("trial", outcome.trial.params)


def test_variants_and_references_are_trained_as_their_files_say(outcome, fake_fit):
    assert outcome("reference").state == TrialState.COMPLETE
    assert "deep.yaml" in fake_fit.calls[0][0]
    assert fake_fit.calls[0][1:] == ("reference", {})
    found = outcome("variant", name="other", references={}, variants={"wide": {"model.arch.decoder_channels": 6}})
    assert found.state == TrialState.COMPLETE
    assert fake_fit.calls[1][1:] == ("variant", {"model.arch.decoder_channels": 6})
    assert option(fake_fit.calls[1][0], "model.arch.decoder_channels") == "6"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None])
def test_what_is_not_finite_is_never_complete(outcome, fake_fit, value):
    fake_fit.ssim = [value]
    found = outcome()
    assert found.state == TrialState.FAIL
    assert found.values is None
    assert found.reason == f"diverged: ssim is {math.nan if value is None else value}"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TrainingDivergedError("the loss became nan at step 7"), "diverged: the loss became nan at step 7"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "out of memory: CUDA out of memory. Tried"),
        (MemoryError(), "out of memory: MemoryError"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried"),
            "out of memory: [enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried",
        ),
    ],
    ids=["diverged", "cuda", "python", "cpu"],
)
def test_failures_have_their_reason(outcome, fake_fit, error, reason):
    fake_fit.raises = error
    assert (outcome().state, outcome(name="again").reason) == (TrialState.FAIL, reason)


@pytest.mark.parametrize("error", [InputError("photos: no such folder"), RuntimeError("a mistake of the program")])
def test_other_errors_are_no_outcome(outcome, fake_fit, error):
    fake_fit.raises = error
    with pytest.raises(type(error), match=str(error)):
        outcome()


def test_real_memory_is_recognised():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert module.is_out_of_memory(caught.value)


def test_what_misses_a_constraint_is_not_trained_and_the_sampler_knows(outcome, fake_fit, content):
    content["space"]["model.arch.decoder_depth"]["init_args"] = {"low": 3, "high": 3}
    found = outcome(constraints={"flops": 0.1, "params": 5.0}, seed=1)
    assert (found.state, found.infeasible, fake_fit.calls) == (TrialState.PRUNED, True, [])
    assert found.reason.startswith("flops ")
    assert "> 0.1" in found.reason
    attrs = outcome.trial.system_attrs
    excess = {key.rpartition(":")[2]: value for key, value in attrs.items() if key.startswith("constraints")}
    assert excess["flops"] > 0 > excess["params"]


def test_constraints_are_those_of_the_model_that_would_be_trained(open_sweep, content):
    content["settings"]["model.arch.upsample_channels"] = 6
    sweep = open_sweep(constraints={"flops": 1.0})
    slot, trial = sweep.searched.claim()
    objective = Objective(sweep.spec, sweep.directory)
    objective._refuse(slot, trial, values := sweep.spec.suggest(trial))
    built = module.build(sweep.spec.arguments(sweep.directory, values)).model.arch
    attrs = trial.storage.get_trial_system_attrs(trial._trial_id)
    assert attrs["constraints:flops"] == pytest.approx(cost(built).paper_gflops - 1.0)


def test_references_are_trained_whether_they_meet_the_constraints_or_not(outcome, fake_fit, tmp_path):
    (tmp_path / "deep.yaml").write_text("model: {arch: {decoder_depth: 3}}")
    found = outcome("reference", constraints={"flops": 0.26})
    assert (found.state, len(fake_fit.calls)) == (TrialState.COMPLETE, 1)
    assert outcome.trial.params["model.arch.decoder_depth"] == 3
    assert any(key.endswith("flops") for key in outcome.trial.system_attrs)


def test_combinations_that_cannot_be_built_are_not_admitted(outcome, fake_fit, content):
    # Each end of each range is fine beside the first value of the others, so this is found out by trying only.
    blocks = {"class_path": "CategoricalDistribution", "init_args": {"choices": [4, 5]}}
    encoder = {"class_path": "CategoricalDistribution", "init_args": {"choices": ["linear", "residual"]}}
    space = {"model.arch.encoder_channels": blocks, "model.arch.encoder": encoder}
    sweep_seed = next(s for s in range(50) if _draws_odd_residual(s))
    found = outcome(space=space, references={}, sampler="random", seed=sweep_seed)
    assert found.infeasible
    assert found.reason.startswith("cannot be built: ")
    assert fake_fit.calls == []


def _draws_odd_residual(seed):
    from lightning_mm.search.study import _samplers

    study = optuna.create_study(sampler=_samplers(SimpleNamespace(seed=seed, sampler="random"))(0))
    trial = study.ask()
    channels = trial.suggest_categorical("model.arch.encoder_channels", [4, 5])
    return (channels, trial.suggest_categorical("model.arch.encoder", ["linear", "residual"])) == (5, "residual")


def test_runs_are_told_apart_in_w_and_b(outcome, fake_fit):
    outcome(wandb="offline")
    args = fake_fit.calls[0][0]
    found = [option(args, f"run.{key}") for key in ("wandb", "wandb_group", "wandb_job_type", "wandb_tags")]
    assert found[:3] == ["offline", "tiny", "search"]
    assert json.loads(found[3]) == ["tiny", "search"]


def test_pruning_looks_at_every_epoch_of_the_first_seed(open_sweep, content):
    content["settings"] |= {"trainer.max_epochs": 3}
    sweep = open_sweep(objectives=["ssim"], pruning={"min_resource": 1}, references={}, seeds=[0, 1])
    slot, trial = sweep.searched.claim()
    found = Objective(sweep.spec, sweep.directory)(slot, trial, lambda: True)
    assert found.state == TrialState.COMPLETE
    reported = sweep.searched.trials()[0].intermediate_values
    results = [Results.read(sweep.directory / f"trials/0000-seed{seed}") for seed in (0, 1)]
    assert sorted(reported) == [1, 2, 3]
    assert reported[3] == pytest.approx(results[0].metrics["ssim"], abs=1e-4)
    assert found.values == (pytest.approx((results[0].metrics["ssim"] + results[1].metrics["ssim"]) / 2),)


def test_a_pruned_training_ends_at_once(open_sweep, content):
    content["settings"] |= {"trainer.max_epochs": 3}
    sweep = open_sweep(objectives=["ssim"], pruning={"min_resource": 1}, references={})
    board = sweep.searched
    for _ in range(2):
        _, trial = board.claim()
        trial.report(0.99, 1)
        trial.should_prune()  # enters the rung
        board.finish(trial, TrialState.COMPLETE, (0.99,), None)
    slot, trial = board.claim()
    found = Objective(sweep.spec, sweep.directory)(slot, trial, lambda: True)
    assert found.state == TrialState.PRUNED
    assert found.reason.startswith("after epoch 1 of 3 with SSIM 0.")
    assert not (sweep.directory / "trials/0002/results.json").exists()


def test_what_is_another_process_s_is_not_trained_on(open_sweep):
    sweep = open_sweep()
    slot, trial = sweep.searched.claim()
    with pytest.raises(TakenOverError):
        Objective(sweep.spec, sweep.directory)(slot, trial, lambda: False)
    assert not (sweep.directory / "trials/0000/results.json").exists()


def test_slots_name_their_directories(open_sweep):
    sweep = open_sweep()
    objective = Objective(sweep.spec, sweep.directory)
    assert objective.run_dir(Slot("reference a", "reference", "a"), 0) == sweep.directory / "references/a"


def test_a_trial_that_was_pruned_before_its_process_died_stays_pruned(open_sweep, content, fake_fit):
    content["settings"] |= {"trainer.max_epochs": 3}
    sweep = open_sweep(objectives=["ssim"], pruning={"min_resource": 1}, references={})
    slot, trial = sweep.searched.claim()
    trial.set_user_attr("pruned", "after epoch 1 of 3 with SSIM 0.1")
    found = Objective(sweep.spec, sweep.directory)(slot, trial, lambda: True)
    assert (found.state, found.reason) == (TrialState.PRUNED, "after epoch 1 of 3 with SSIM 0.1")
    assert fake_fit.calls == []


def test_combinations_of_other_keys_are_not_admitted_either(open_sweep, content, fake_fit):
    batch = {"class_path": "CategoricalDistribution", "init_args": {"choices": [2, 4]}}
    samples = {"class_path": "CategoricalDistribution", "init_args": {"choices": [4, 3]}}
    for key in ("data.batch_size", "data.epoch_samples"):
        del content["settings"][key]
    sweep = open_sweep(space={"data.batch_size": batch, "data.epoch_samples": samples}, references={}, seed=0)
    slot, trial = sweep.searched.claim()
    objective = Objective(sweep.spec, sweep.directory)
    refused = objective._refuse(slot, trial, {"data.batch_size": 4, "data.epoch_samples": 3})
    assert refused.startswith("cannot be built: data.epoch_samples = 3")
    assert objective._refuse(slot, trial, {"data.batch_size": 2, "data.epoch_samples": 3}) is None


@pytest.mark.parametrize("text", ["CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"])
def test_libraries_without_memory_are_recognised(outcome, fake_fit, text):
    fake_fit.raises = RuntimeError(text)
    assert outcome().reason.startswith("out of memory: CUDA error")
