"""Sweep files: what is read is what was written, and every mistake is refused by name before anything starts."""

from pathlib import Path

import optuna
import pytest
import torch
import yaml

from lightning_mm.cost import cost
from lightning_mm.errors import InputError
from lightning_mm.models import MagnifierConfig
from lightning_mm.search.spec import read_spec
from lightning_mm.training import build

ROOT = Path(__file__).parents[2]


def test_reads_distributions(content, write):
    spec = read_spec(write(content))
    assert spec.space["model.arch.decoder_depth"] == optuna.distributions.IntDistribution(1, 3)
    assert spec.space["model.arch.encoder"].choices == ("linear", "residual")
    assert spec.references == {"proposed": Path("deep.yaml")}


def test_arguments_merge_in_order_and_build(content, write, tmp_path):
    spec = read_spec(write(content))
    cli = build(spec.arguments(tmp_path / "run", {"model.arch.decoder_depth": 2}, "proposed"))
    assert cli.model.arch.decoder_depth == 2  # the override beats the reference's 4
    assert cli.model.arch.encoder_channels == 4  # from the base file
    assert cli.datamodule.size == 16
    assert cli.options.dir == tmp_path / "run"


def test_suggests_from_every_kind_of_distribution(content, write):
    content["space"]["model.optim.lr"] = {
        "class_path": "FloatDistribution",
        "init_args": {"low": 1e-4, "high": 1e-2, "log": True},
    }
    spec = read_spec(write(content))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask()
        assert spec.suggest(trial) == trial.params
        for key, value in trial.params.items():
            assert spec.space[key]._contains(spec.space[key].to_internal_repr(value))


def test_digest_changes_with_space_settings_and_files_but_not_with_trials(content, write):
    digests = [read_spec(write(content)).digest()]
    changes = (
        {"settings": {**content["settings"], "data.size": 32}},
        {"space": {"model.arch.encoder": content["space"]["model.arch.encoder"]}},
    )
    digests += [read_spec(write({**content, **change})).digest() for change in changes]
    assert read_spec(write({**content, "trials": 99})).digest() == digests[0]
    Path("base.yaml").write_text("seed_everything: 1\n")
    digests.append(read_spec(write(content)).digest())
    assert len(set(digests)) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nmae": "x"}, "nmae"),
        ({"name": "a/b"}, "a/b"),
        ({"space": {}}, "space is empty"),
        ({"trials": 0}, "trials = 0"),
        ({"sampler": "grid"}, "sampler"),
        ({"configs": ["missing.yaml"]}, "missing.yaml"),
        ({"references": {"proposed": "gone.yaml"}}, "gone.yaml"),
        ({"space": {"run.dir": {"class_path": "IntDistribution", "init_args": {"low": 1, "high": 2}}}}, "run.dir"),
        ({"space": {"model.arch.x": {"class_path": "IntDistribution", "init_args": {"low": 1, "hi": 2}}}}, "hi"),
        (
            {"space": {"model.arch.x": {"class_path": "IntDistribution", "init_args": {"low": 5, "high": 2}}}},
            "model.arch.x",
        ),
        (
            {"space": {"data.size": {"class_path": "IntDistribution", "init_args": {"low": 16, "high": 32}}}},
            "data.size",
        ),
    ],
    ids=str,
)
def test_mistakes_in_the_file_are_named(content, write, change, said):
    path = write({**content, **change})
    with pytest.raises(InputError) as caught:
        read_spec(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "arguments"),
    [
        ("model.arch.decoder_dept", {"low": 1, "high": 2}),
        ("model.arch.decoder_depth", {"low": -1, "high": 2}),
        ("model.arch.bottleneck", {"low": 2, "high": 6}),
    ],
)
def test_space_is_checked_by_building(content, write, tmp_path, key, arguments):
    content["space"] = {key: {"class_path": "IntDistribution", "init_args": arguments}}
    with pytest.raises(InputError, match=key.replace(".", r"\.")):
        read_spec(write(content)).check(tmp_path / "check")
    assert not (tmp_path / "check").exists()


def test_missing_file():
    with pytest.raises(InputError, match="no such sweep file"):
        read_spec(Path("nowhere.yaml"))


@pytest.mark.parametrize("path", sorted((ROOT / "sweeps").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_sweeps_are_valid_and_their_references_are_the_papers(path, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    # Its weights are on no machine without a network.
    monkeypatch.setattr("lightning_mm.losses.PerceptualDistance", lambda weights: torch.nn.Identity())
    spec = read_spec(path)
    assert yaml.safe_load(path.read_text())["name"] == path.stem
    spec.check(tmp_path / "check")
    archs = {name: build(spec.arguments(tmp_path, {}, name)).model.arch for name in spec.references}
    papers = {"proposed": MagnifierConfig.proposed(), "baseline": MagnifierConfig.baseline()}
    assert archs == {name: papers[name] for name in spec.references}
    assert spec.space.keys() == set() or archs == papers, "a search is compared with the paper's models"


def test_candidates_for_tiny_cost_a_tenth_of_the_proposed_model(monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    spec = read_spec(ROOT / "sweeps/tiny.yaml")
    costs = [cost(build(spec.arguments(tmp_path, keys)).model.arch).paper_gflops for keys in spec.variants.values()]
    tenth = cost(MagnifierConfig.proposed()).paper_gflops / 10
    assert len(costs) >= 4
    assert all(0.9 * tenth < found < 1.1 * tenth for found in costs)


def test_variants_are_run_with_every_seed_and_prevail_over_settings(content, write, tmp_path):
    content |= {"variants": {"wide": {"model.arch.decoder_channels": 6}, "plain": {}}, "seeds": [3, 5]}
    spec = read_spec(write(content))
    runs = spec.variant_runs()
    assert [name for name, _ in runs] == ["plain-seed3", "wide-seed3", "plain-seed5", "wide-seed5"]
    built = [build(spec.arguments(tmp_path, keys)) for _, keys in runs]
    assert [(cli.model.arch.decoder_channels, cli.datamodule.seed) for cli in built] == [(4, 3), (6, 3), (4, 5), (6, 5)]
    assert spec.runs == 1 + 4 + 3


def test_a_sweep_of_variants_needs_no_space(content, write):
    del content["space"]
    with pytest.raises(InputError, match="space is empty"):
        read_spec(write(content))
    content["variants"] = {"plain": {}}
    spec = read_spec(write(content))
    assert (spec.target, spec.runs, spec.variant_runs()[0][0]) == (0, 2, "plain")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": {"a/b": {}}}, "variant 'a/b'"),
        ({"variants": {"x": {"run.dir": "y"}}}, "run.dir: no hyperparameter"),
        ({"seeds": [1, 1]}, r"seeds = \[1, 1\]"),
        ({"seeds": []}, "seeds"),
    ],
)
def test_wrong_variants_are_refused(content, write, change, message):
    with pytest.raises(InputError, match=message):
        read_spec(write(content | change))


def test_a_variant_that_cannot_be_built_is_named(content, write, tmp_path):
    content["variants"] = {"odd": {"model.arch.encoder_channels": 5}}
    with pytest.raises(InputError, match=r"variant 'odd'.*encoder_channels = 5"):
        read_spec(write(content)).check(tmp_path / "check")
