"""Running sweeps: complete, resumable, refusing what does not fit, recording failures as failures."""

import json
import math
from pathlib import Path

import optuna
import pytest

from lightning_mm.cli import main
from lightning_mm.errors import InputError, Interrupted, TrainingDivergedError
from lightning_mm.runs import Results
from lightning_mm.search import sweep as module
from lightning_mm.search.spec import read_spec
from lightning_mm.search.sweep import Sweep


def make(content, write, directory, **kwargs):
    return Sweep(read_spec(write(content)), directory, f"sqlite:///{directory / 'study.db'}", **kwargs)


def trials_of(directory, name="tiny"):
    return optuna.load_study(study_name=name, storage=f"sqlite:///{directory / 'study.db'}").trials


@pytest.fixture
def fake_fit(monkeypatch, tmp_path):
    """Replace training by a formula; records the runs and can be made to fail."""

    class Fake:
        def __init__(self):
            self.runs, self.fail_at, self.error = [], None, None

        def __call__(self, args, role="run", overrides=None):
            self.runs.append((role, dict(overrides or {}), args))
            if role == "trial" and len([r for r in self.runs if r[0] == "trial"]) == self.fail_at:
                raise self.error
            depth = (overrides or {}).get("model.arch.decoder_depth", 0)
            ssim = math.nan if self.error == "nan" else 0.5 + 0.1 * depth
            return Results("x", role, overrides or {}, {}, {"paper_flops": depth * 10**9}, {"ssim": ssim}, *[{}] * 6)

    fake = Fake()
    monkeypatch.setattr(module, "fit", fake)
    return fake


def test_end_to_end(content, write, tmp_path, capsys):
    directory = tmp_path / "runs"
    assert main(["sweep", str(write(content)), "--dir", str(directory)]) == 0
    results = [Results.read(path.parent) for path in sorted(directory.rglob("results.json"))]
    assert [r.role for r in results].count("reference") == 1
    trials = trials_of(directory)
    assert len(trials) == 3
    for trial in trials:
        found = Results.read(directory / "trials" / trial.user_attrs["run"])
        assert found.overrides == trial.params
        assert found.arch["decoder_depth"] == trial.params["model.arch.decoder_depth"]
        assert trial.values == [found.metrics["ssim"], found.cost["paper_flops"] / 1e9]
    assert len({json.dumps([r.budget["steps"], r.validation, r.budget["crop"]]) for r in results}) == 1
    assert "0.966" in (directory / "report.html").read_text(encoding="utf-8")
    assert "proposed" in capsys.readouterr().out

    before = {path: path.stat().st_mtime_ns for path in directory.rglob("last.ckpt")}
    assert main(["sweep", str(write(content)), "--dir", str(directory)]) == 0
    assert {path: path.stat().st_mtime_ns for path in directory.rglob("last.ckpt")} == before
    assert len(trials_of(directory)) == 3


def test_running_again_tops_up(content, write, tmp_path, fake_fit):
    make(content, write, tmp_path).run()
    make({**content, "trials": 5}, write, tmp_path).run()
    assert [t.state.name for t in trials_of(tmp_path)] == ["COMPLETE"] * 5
    state = json.loads((tmp_path / "sweep.json").read_text())
    assert (state["counts"]["complete"], state["target_trials"]) == (5, 5)


def test_progress_counts_references_and_trials(content, write, tmp_path, fake_fit):
    seen = []
    make(content, write, tmp_path).run(lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_variants_are_trained_in_directories_of_their_own(content, write, tmp_path, fake_fit):
    del content["space"]
    variants = {"a": {"model.arch.decoder_depth": 2}, "b": {"model.arch.decoder_depth": 5}}
    seen = []
    sweep = make(content | {"variants": variants}, write, tmp_path)
    sweep.run(lambda done, total: seen.append((done, total)))
    assert [(role, keys.get("model.arch.decoder_depth")) for role, keys, _ in fake_fit.runs] == [
        ("reference", None),
        ("variant", 2),
        ("variant", 5),
    ]
    directories = [Path(arg.split("=", 1)[1]) for _, _, args in fake_fit.runs for arg in args if "run.dir=" in arg]
    assert [path.relative_to(sweep.directory).as_posix() for path in directories] == [
        "references/proposed",
        "variants/a",
        "variants/b",
    ]
    assert seen[-1] == (3, 3)


def test_settings_of_the_command_line_prevail(content, write, tmp_path):
    directory = tmp_path / "runs"
    content |= {"variants": {"plain": {}}, "references": {}}
    del content["space"]
    settings = json.dumps({"data.val_pairs": 3})
    assert main(["sweep", str(write(content)), "--dir", str(directory), "--settings", settings]) == 0
    found = Results.read(directory / "variants/plain")
    assert (found.role, found.validation["pairs"]) == ("variant", 3)


def test_divergence_fails_the_trial_with_a_reason_and_not_the_sweep(content, write, tmp_path, fake_fit):
    fake_fit.fail_at, fake_fit.error = 2, TrainingDivergedError("the loss became nan at step 7")
    make(content, write, tmp_path).run()
    assert [t.state.name for t in trials_of(tmp_path)] == ["COMPLETE", "FAIL", "COMPLETE"]
    state = json.loads((tmp_path / "sweep.json").read_text())
    assert state["failures"] == [{"number": 1, "reason": "the loss became nan at step 7"}]
    assert state["counts"]["failed"] == 1
    runs = len(fake_fit.runs)
    make(content, write, tmp_path).run()
    assert len(fake_fit.runs) == runs + 1  # the reference is looked at again; no trial is


def test_non_finite_ssim_is_never_complete(content, write, tmp_path, fake_fit):
    fake_fit.error = "nan"
    make(content, write, tmp_path).run()
    assert {t.state.name for t in trials_of(tmp_path)} == {"FAIL"}


def test_interrupted_trial_continues_in_its_own_directory(content, write, tmp_path, fake_fit):
    fake_fit.fail_at, fake_fit.error = 2, Interrupted("stopped")
    with pytest.raises(Interrupted):
        make(content, write, tmp_path).run()
    interrupted = fake_fit.runs[-1]
    fake_fit.fail_at = None
    make(content, write, tmp_path).run()
    again = next(run for run in fake_fit.runs[len(fake_fit.runs) - 3 :] if run[0] == "trial")
    assert again == interrupted  # same values, same directory
    states = [t.state.name for t in trials_of(tmp_path)]
    assert states.count("COMPLETE") == 3
    assert states.count("FAIL") == 1


def test_another_space_under_the_same_name_is_refused(content, write, tmp_path, fake_fit):
    make(content, write, tmp_path).run()
    content["space"]["model.arch.decoder_depth"] = {"class_path": "IntDistribution", "init_args": {"low": 1, "high": 9}}
    with pytest.raises(InputError, match="another space"):
        make(content, write, tmp_path).run()


def test_unusable_storage(content, write, tmp_path, fake_fit):
    with pytest.raises(InputError, match="not a usable study storage"):
        Sweep(read_spec(write(content)), tmp_path, "nosuchdb://x").run()


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_samplers_are_reproducible(content, write, tmp_path, fake_fit, sampler):
    content |= {"sampler": sampler, "trials": 6}
    for name in ("one", "two"):
        make(content, write, tmp_path / name).run()
    assert [t.params for t in trials_of(tmp_path / "one")] == [t.params for t in trials_of(tmp_path / "two")]
