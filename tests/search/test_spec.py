"""Sweep files: what is read is what was written, and every mistake is refused by name before anything starts."""

from pathlib import Path

import optuna
import pytest
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
    spec = read_spec(path)
    assert yaml.safe_load(path.read_text())["name"] == path.stem
    spec.check(tmp_path / "check")
    archs = {name: build(spec.arguments(tmp_path, {}, name)).model.arch for name in spec.references}
    assert archs == {"proposed": MagnifierConfig.proposed(), "baseline": MagnifierConfig.baseline()}
    assert round(cost(archs["proposed"]).paper_gflops, 3) == 9.861
