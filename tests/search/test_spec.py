"""Sweep files: what is read is what was written, and every mistake is refused by name before anything starts."""

from pathlib import Path

import optuna
import pytest
import torch
import yaml

from lightning_mm.configuration import build
from lightning_mm.cost import cost
from lightning_mm.errors import InputError
from lightning_mm.models import MagnifierConfig
from lightning_mm.search.reading import (
    architecture,
    check,
    from_stored_form,
    member,
    read_spec,
    reference_params,
    slots,
    stored_form,
)

ROOT = Path(__file__).parents[2]
SWEEPS = sorted(set((ROOT / "sweeps").glob("*.yaml")) - set((ROOT / "sweeps").glob("nas_*.yaml")))
LR = {"class_path": "FloatDistribution", "init_args": {"low": 1.0e-4, "high": 1.0e-2, "log": True}}


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
        check(read_spec(write(content)), tmp_path / "check")
    assert not (tmp_path / "check").exists()


def test_missing_file():
    with pytest.raises(InputError, match="no such sweep file"):
        read_spec(Path("nowhere.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_shipped_sweeps_are_valid_and_their_references_are_the_papers(path, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    # Its weights are on no machine without a network.
    monkeypatch.setattr("lightning_mm.losses.PerceptualDistance", lambda weights: torch.nn.Identity())
    spec = read_spec(path)
    assert yaml.safe_load(path.read_text())["name"] == path.stem
    check(spec, tmp_path / "check")
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


def test_variants_prevail_over_settings_and_seeds_over_the_files(content, write, tmp_path):
    content |= {"variants": {"wide": {"model.arch.decoder_channels": 6}, "plain": {}}, "seeds": [3, 5]}
    spec = read_spec(write(content))
    assert [slot.run for slot in spec.variant_slots()] == ["variants/plain", "variants/wide"]
    built = [build(spec.arguments(tmp_path, spec.overrides(slot, {}), seed=5)) for slot in spec.variant_slots()]
    assert [(cli.model.arch.decoder_channels, cli.datamodule.seed) for cli in built] == [(4, 5), (6, 5)]
    assert {cli.config.seed_everything for cli in built} == {5}
    assert spec.runs == 1 + 2 + 3


def test_a_sweep_of_variants_needs_no_space(content, write):
    del content["space"]
    with pytest.raises(InputError, match="space is empty"):
        read_spec(write(content))
    content["variants"] = {"plain": {}}
    spec = read_spec(write(content))
    assert (spec.target, spec.runs, spec.variant_slots()[0].name) == (0, 2, "plain")


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
        check(read_spec(write(content)), tmp_path / "check")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objectives": ["flops"]}, r"objectives = \['flops'\]: must be \[ssim, flops\]"),
        ({"objectives": ["ssim", "params"]}, "params"),
        ({"constraints": {"flops": 0}}, r"constraints.flops = 0.*must be > 0"),
        ({"constraints": {"latency": 5.0}}, "constraints.latency: no constraint; must be flops or params"),
        ({"constraints": {"flops": 5.0}, "space": {"model.optim.lr": LR}}, "no key of the space changes"),
        ({"pruning": {"min_resource": 2}}, r"pruning: needs objectives: \[ssim\]"),
        ({"objectives": ["ssim"], "pruning": {"min_resource": 0}}, "pruning.min_resource = 0"),
        ({"objectives": ["ssim"], "pruning": {"min_resource": 1, "reduction_factor": 1}}, "reduction_factor = 1"),
        ({"references": {"a/b": "deep.yaml"}}, "reference 'a/b'"),
        ({"sampler": "cmaes"}, "cmaes"),
        ({"sampler": "nsga2", "constraints": {"flops": 9.0}}, "sampler = nsga2: does not see"),
        ({"name": "tiny-named"}, "not end in -named"),
    ],
    ids=str,
)
def test_wrong_studies_are_refused(content, write, change, message):
    with pytest.raises(InputError, match=message):
        read_spec(write(content | change))


@pytest.mark.parametrize(("key", "value"), [("trainer.devices", 2), ("data.seed", 7)])
def test_what_the_sweep_decides_itself_is_refused_everywhere(content, write, key, value):
    choices = {"class_path": "CategoricalDistribution", "init_args": {"choices": [value]}}
    places = (
        {"settings": {**content["settings"], key: value}},
        {"space": {key: choices}},
        {"variants": {"x": {key: value}}},
    )
    for place in places:
        with pytest.raises(InputError, match=f"{key} = .*: not used here; "):
            read_spec(write(content | place))


def test_every_model_is_trained_on_one_device(content, write, tmp_path):
    assert build(read_spec(write(content)).arguments(tmp_path, {})).trainer.num_devices == 1


def test_directions_follow_the_objectives(content, write):
    names = [
        [d.name for d in read_spec(write(content | {"objectives": o})).directions]
        for o in (["ssim"], ["ssim", "latency"])
    ]
    assert names == [["MAXIMIZE"], ["MAXIMIZE", "MINIMIZE"]]


def test_pruning_that_never_happens_is_refused(content, write, tmp_path):
    content |= {"objectives": ["ssim"], "pruning": {"min_resource": 1}}  # of one epoch in all
    with pytest.raises(InputError, match=r"min_resource = 1: must be < trainer.max_epochs = 1"):
        check(read_spec(write(content)), tmp_path)


def test_constraints_that_nothing_meets_are_refused_with_what_can_be_had(content, write, tmp_path):
    content["constraints"] = {"flops": 0.001}
    spec = read_spec(write(content))
    with pytest.raises(InputError, match=r"constraints flops <= 0.001: met by none") as caught:
        check(spec, tmp_path)
    base = build(spec.arguments(tmp_path, {})).model.arch
    ends = [{"model.arch.decoder_depth": d, "model.arch.encoder": e} for d in (1, 3) for e in ("linear", "residual")]
    costs = [cost(architecture(base, keys)).paper_gflops for keys in ends]
    assert f"flops are {min(costs):.3g} to {max(costs):.3g}" in str(caught.value)
    check(read_spec(write(content | {"constraints": {"flops": min(costs)}})), tmp_path)


def test_violations_are_the_excess_over_each_bound(content, write):
    spec = read_spec(write(content | {"constraints": {"flops": 9.0, "params": 0.8}}))
    excess = spec.violations(cost(MagnifierConfig.proposed()))
    assert excess == pytest.approx({"flops": 0.861, "params": -0.073677}, abs=1e-3)


def test_a_study_keeps_all_that_a_worker_needs(content, write, tmp_path):
    content |= {"objectives": ["ssim"], "pruning": {"min_resource": 1}, "constraints": {"flops": 5.0}, "seeds": [1, 2]}
    content["settings"]["trainer.max_epochs"] = 3
    spec = read_spec(write(content))
    stored = yaml.safe_load(yaml.safe_dump(stored_form(spec)))
    for name in ("base.yaml", "deep.yaml"):
        Path(name).unlink()
    copy = from_stored_form(stored, tmp_path / "elsewhere")
    fields = set(spec.__dataclass_fields__) - {"configs", "references"}
    assert {name: getattr(copy, name) for name in fields} == {name: getattr(spec, name) for name in fields}
    built = build(copy.arguments(tmp_path, {}, "proposed", 2))
    assert (built.model.arch.decoder_depth, built.model.arch.encoder_channels, built.datamodule.seed) == (4, 4, 2)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "elsewhere").rglob("*.yaml")}
    from_stored_form(stored, tmp_path / "elsewhere")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "elsewhere").rglob("*.yaml")} == before
    del stored["spec"]["pruning"]
    with pytest.raises(InputError, match="another version"):
        from_stored_form(stored, tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("reference", "params"),
    [
        ({"decoder_depth": 3}, {"model.arch.decoder_depth": 3, "model.arch.encoder": "linear"}),
        (
            {"decoder_depth": 1, "encoder": "residual"},
            {"model.arch.decoder_depth": 1, "model.arch.encoder": "residual"},
        ),
        ({"decoder_depth": 4}, None),  # beyond the range
        ({"decoder_depth": 3, "manipulator_block": True}, None),  # differs in something that is not searched
    ],
)
def test_references_inside_the_space_are_members_of_it(content, write, tmp_path, reference, params):
    Path("deep.yaml").write_text(yaml.safe_dump({"model": {"arch": reference}}))
    spec = read_spec(write(content))
    base = build(spec.arguments(tmp_path, member(spec))).plain_config()
    assert reference_params(spec, "proposed", tmp_path, base) == params
    named, members = slots(spec, tmp_path)
    assert (named if params is None else members)[0].key == "reference proposed"
    assert [slot.run for slot in members][-3:] == ["trials/0000", "trials/0001", "trials/0002"]
    assert len(named) + len(members) == spec.runs


def test_a_reference_that_averages_otherwise_is_no_member(content, write, tmp_path):
    Path("deep.yaml").write_text(yaml.safe_dump({"model": {"arch": {"decoder_depth": 3}}, "run": {"ema_decay": 0.5}}))
    assert [slot.key for slot in slots(read_spec(write(content)), tmp_path)[0]] == ["reference proposed"]
    decay = {"class_path": "FloatDistribution", "init_args": {"low": 0.0, "high": 0.9}}
    content["space"]["run.ema_decay"] = decay
    assert slots(read_spec(write(content)), tmp_path)[1][0].params["run.ema_decay"] == 0.5
