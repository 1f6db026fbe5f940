"""A row of the appendix's experiments at the smallest size, from the supernet to the networks from scratch."""

import copy
import json
import math
from dataclasses import replace

import pytest
import torch

from lightning_mm.cost import cost
from lightning_mm.errors import InputError, Interrupted, TrainingDivergedError
from lightning_mm.losses import MagnificationLoss
from lightning_mm.models import MagnifierConfig
from lightning_mm.nas import appendix
from lightning_mm.nas.appendix import RowRecord, run_references, run_row
from lightning_mm.nas.evolution import EvolutionOptions
from lightning_mm.nas.inherited import Inherited
from lightning_mm.nas.spec import PaperRow, Preset, RowSpec
from lightning_mm.runs import Results
from lightning_mm.spaces import ChoiceSpace, Genotype
from lightning_mm.tasks import MagnifyTask, SupernetTask

SPACE = ChoiceSpace((1, 0, 0), 2, 8, stem_channels=2, tail_channels=4)
LOW, HIGH = SPACE.attainable
ROW = RowSpec("tiny", SPACE, LOW + 0.8 * (HIGH - LOW), PaperRow(True, 0.8, 5.0), "As small as can be.")
PRESET = Preset(
    configs=[],
    supernet_epochs=1,
    retrain_epochs=2,
    search_pairs=3,
    settings={
        "data.size": 16,
        "data.batch_size": 2,
        "data.epoch_samples": 4,
        "data.val_pairs": 3,
        "data.textures": 2,
        "data.texture_size": 128,
        "trainer.accelerator": "cpu",
        "run.latency_size": 0,
        "model.optim.lr": 1e-3,
    },
    supernet={"model.optim.lr": 2e-3, "model.residual_scale": 0.5},
    search=EvolutionOptions(6, 2, 3, 3, 3),
    seeds=[0, 1],
)
NAMES = ("found", "random", "plain")


def strict(path):
    return json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{path}: {name}"))


def work_of(monkeypatch):
    """(task, number) of each training step, and each network that is scored, from here on."""
    steps, scored = [], []
    for kind in (SupernetTask, MagnifyTask):

        def step(self, batch, batch_idx, original=kind.training_step, name=kind.__name__):
            steps.append((name, self.global_step))
            return original(self, batch, batch_idx)

        monkeypatch.setattr(kind, "training_step", step)

    def score(self, path, original=Inherited.__call__):
        scored.append(path)
        return original(self, path)

    monkeypatch.setattr(Inherited, "__call__", score)
    return steps, scored


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory, lines = tmp_path_factory.mktemp("appendix"), []
    with pytest.MonkeyPatch.context() as patch:
        work = work_of(patch)
        record = run_row(ROW, PRESET, directory, lines.append)
    return directory, record, lines, work


def test_a_row_is_complete(finished):
    directory, record, lines, (steps, _) = finished
    assert RowRecord.read(directory / "tiny") == RowRecord(**json.loads(json.dumps(record.__dict__)))
    strict(directory / "tiny/row.json")
    assert (record.name, record.description, record.max_gflops) == ("tiny", "As small as can be.", ROW.max_gflops)
    assert record.space == SPACE.to_dict()
    assert record.paper == {"trained": True, "ssim": 0.8, "gflops": 5.0}
    assert record.attainable == SPACE.attainable
    assert record.supernet == strict(directory / "tiny/supernet/supernet.json")
    assert (record.supernet["status"], record.supernet["steps"]) == ("trained", 2)
    assert steps == [("SupernetTask", n) for n in range(2)] + [("MagnifyTask", n) for n in range(4)] * 6
    assert set(record.networks) == set(NAMES)
    assert all(line.startswith("tiny: ") and "\n" not in line and "nan" not in line for line in lines)
    assert len(lines) == 1 + 3 + 6
    assert {path.name for path in (directory / "tiny").iterdir()} == {
        "row.json",
        "supernet",
        *(f"{name}-seed{seed}" for name in NAMES for seed in (0, 1)),
    }


def test_the_search_is_below_the_cap_and_takes_the_best(finished):
    _, record, _, (_, scored) = finished
    search = record.search
    assert len(scored) == len(set(scored)) == search["evaluated"]
    assert all(SPACE.admits(path, ROW.max_gflops) for path in scored)
    assert [count for count, _ in search["history"]] == [6, 12, 18]
    best = [value for _, value in search["history"]]
    assert best == sorted(best)
    assert search["ssim"] == best[-1]
    assert Genotype(tuple(search["genes"])) in scored
    assert 0.0 <= search["cost_percentile"] <= 1.0


def test_the_networks_are_found_random_and_plain(finished):
    _, record, _, _ = finished
    genes = {name: Genotype(tuple(network["genes"])) for name, network in record.networks.items()}
    assert list(genes["found"].values) == record.search["genes"]
    assert genes["plain"] == Genotype(("conv3",) * 3)
    assert SPACE.canonical(genes["random"]) != SPACE.canonical(genes["found"])
    for name, network in record.networks.items():
        report = cost(MagnifierConfig(**network["arch"]))
        assert MagnifierConfig(**network["arch"]).canonical() == SPACE.config(genes[name]).canonical()
        assert (network["gflops"], network["params"]) == (report.paper_gflops, report.params)
        assert network["gflops"] <= ROW.max_gflops
    spread = ROW.max_gflops - LOW
    assert abs(record.networks["random"]["gflops"] - record.networks["found"]["gflops"]) < 0.2 * spread


def test_every_network_is_trained_from_scratch_once_per_seed(finished):
    directory, record, _, _ = finished
    for name, network in record.networks.items():
        assert network["runs"] == [f"{name}-seed0", f"{name}-seed1"]
        assert network["diverged"] == []
        for seed, run in enumerate(network["runs"]):
            results = Results.read(directory / "tiny" / run)
            assert (results.role, results.overrides) == ("variant", {"network": name})
            assert MagnifierConfig(**results.arch).canonical() == MagnifierConfig(**network["arch"]).canonical()
            assert (results.budget["seed"], results.budget["steps"]) == (seed, 4)
            assert results.validation["pairs"] == 3
            assert "training" not in results.validation["name"], "reported on the validation pairs, not the search's"
            assert results.config["data"]["search_pairs"] == 0
            assert results.config["model"]["optim"]["lr"] == 1e-3


def test_the_supernet_is_trained_with_its_own_settings_below_the_cap(finished):
    directory, _, _, _ = finished
    checkpoint = torch.load(directory / "tiny/supernet/checkpoints/last.ckpt", weights_only=True)
    parameters = checkpoint["hyper_parameters"]
    assert (parameters["optim"]["lr"], parameters["residual_scale"]) == (2e-3, 0.5)
    assert parameters["paths"] == {"rule": "capped", "max_gflops": ROW.max_gflops, "distil": 0.0, "distil_from": 1 / 3}
    free = replace(ROW, max_gflops=2 * HIGH)
    (paths,) = [a for a in PRESET.supernet_arguments(free, directory) if a.startswith("--model.paths=")]
    assert paths == '--model.paths={"rule": "uniform"}'


def test_running_again_does_nothing_again(finished, monkeypatch):
    directory, record, _, _ = finished
    before = {path: path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}
    text = (directory / "tiny/row.json").read_text()
    steps, scored = work_of(monkeypatch)
    lines = []
    again = run_row(ROW, PRESET, directory, lines.append)
    assert (steps, scored) == ([], [])
    assert json.dumps(again.__dict__) == json.dumps(record.__dict__)
    assert (directory / "tiny/row.json").read_text() == text
    rewritten = {"config.yaml", "row.json"}
    assert all(path.stat().st_mtime_ns == time for path, time in before.items() if path.name not in rewritten)
    assert len(lines) == 1


def test_an_interrupted_row_goes_on_where_it_was(finished, monkeypatch, tmp_path):
    """In the supernet, in the search, and in a network from scratch."""
    _, expected, _, (_, scored) = finished
    done, found = work_of(monkeypatch)
    stops = [(SupernetTask, 1), (Inherited, 9), (MagnifyTask, 4 + 3)]
    for kind, count in stops:
        name = "__call__" if kind is Inherited else "training_step"
        original, calls = getattr(kind, name), []

        def stop(self, *args, original=original, calls=calls, count=count):
            calls.append(self)
            if len(calls) > count:
                raise KeyboardInterrupt
            return original(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(kind, name, stop)
            with pytest.raises((Interrupted, KeyboardInterrupt)):
                run_row(ROW, PRESET, tmp_path, lambda line: None)
    record = run_row(ROW, PRESET, tmp_path, lambda line: None)
    assert [step for step in done if step[0] == "SupernetTask"] == [("SupernetTask", n) for n in (0, 0, 1)]
    # The second network's first epoch was complete, so its second begins anew.
    networks = [step for kind, step in done if kind == "MagnifyTask"]
    assert networks == [*range(4), *range(3), *range(2, 4), *(4 * list(range(4)))]
    assert found == scored[:9] + scored, "a search begins anew, and its result is kept"
    ours, theirs = copy.deepcopy(record.__dict__), copy.deepcopy(expected.__dict__)
    for values in (ours, theirs):
        for part in ("supernet", "search"):
            values[part] = {name: value for name, value in values[part].items() if not name.endswith("seconds")}
    assert json.dumps(ours) == json.dumps(theirs)


@pytest.mark.parametrize(
    "change",
    [
        {"preset": {"retrain_epochs": 3}},
        {"preset": {"search": EvolutionOptions(6, 2, 3, 3, 3, seed=1)}},
        {"preset": {"settings": {**PRESET.settings, "model.optim.lr": 5e-3}}},
        {"row": {"max_gflops": ROW.max_gflops + 0.01}},
        {"row": {"space": ChoiceSpace((1, 0, 0), 2, 8, stem_channels=2, tail_channels=6), "max_gflops": 6.0}},
    ],
    ids=lambda change: "-".join(next(iter(change.values()))),
)
def test_another_budget_in_the_same_directory_is_refused(change, finished, monkeypatch):
    directory, _, _, _ = finished
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    steps, scored = work_of(monkeypatch)
    with pytest.raises(InputError) as caught:
        run_row(replace(ROW, **change.get("row", {})), replace(PRESET, **change.get("preset", {})), directory, print)
    advice = "holds this row with another budget; choose another directory, or delete it"
    assert str(caught.value) == f"{directory / 'tiny'}: {advice}"
    assert (steps, scored) == ([], [])
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def test_a_supernet_that_diverges_ends_its_row(monkeypatch, tmp_path):
    monkeypatch.setattr(MagnificationLoss, "forward", spoiled(lambda step: step == 1))
    lines = []
    record = run_row(ROW, PRESET, tmp_path, lines.append)
    assert lines == ["tiny: the supernet diverged at step 1: the loss became nan at step 1"]
    assert record.supernet["status"] == "diverged"
    assert (record.search, record.networks) == ({}, {})
    assert strict(tmp_path / "tiny/row.json")["supernet"] == record.supernet
    steps, _ = work_of(monkeypatch)
    assert run_row(ROW, PRESET, tmp_path, lines.append).supernet == record.supernet
    assert steps == []


def spoiled(when):
    original = MagnificationLoss.forward

    def forward(self, *args):
        loss, terms = original(self, *args)
        return (loss * math.nan if when(args[-1]) else loss), terms

    return forward


def test_a_search_without_a_number_ends_its_row(monkeypatch, tmp_path):
    monkeypatch.setattr(Inherited, "__call__", lambda self, path: math.nan)
    lines = []
    record = run_row(ROW, PRESET, tmp_path, lines.append)
    assert lines[-1] == "tiny: no network of the search has an SSIM that is a number"
    assert record.supernet["status"] == "diverged"
    assert isinstance(record.supernet["step"], int)
    assert (record.search, record.networks) == ({}, {})
    strict(tmp_path / "tiny/row.json")


def test_a_network_that_diverges_is_recorded_once(monkeypatch, tmp_path):
    one = replace(PRESET, seeds=[0], retrain_epochs=1)
    original, calls = appendix.fit, []

    def fit(args, **options):
        calls.append(options["overrides"]["network"])
        if calls[-1] == "random":
            raise TrainingDivergedError("the loss became nan at step 1")
        return original(args, **options)

    monkeypatch.setattr(appendix, "fit", fit)
    lines = []
    record = run_row(ROW, one, tmp_path, lines.append)
    assert calls == list(NAMES)
    assert record.networks["random"]["runs"] == []
    assert record.networks["random"]["diverged"] == [{"seed": 0, "reason": "the loss became nan at step 1"}]
    assert "tiny: random, seed 0: diverged (the loss became nan at step 1)" in lines
    again = run_row(ROW, one, tmp_path, lines.append)
    assert calls == [*NAMES, "found", "plain"], "what has diverged would again"
    assert again.networks == json.loads(json.dumps(record.networks))


def test_a_plain_network_above_the_cap_is_left_out():
    plain = SPACE.cost(Genotype(("conv3",) * 3)).paper_gflops
    for cap, expected in ((plain - 1e-9, {"found", "random"}), (plain, set(NAMES))):
        row = replace(ROW, max_gflops=cap)
        found = appendix._networks(row, {"genes": ["skip", "conv3", "skip"]})
        assert set(found) == expected
        assert all(network["gflops"] <= cap for network in found.values())


def test_a_space_of_one_network_has_itself_for_a_random_one():
    space = ChoiceSpace((0, 0, 0), 1, 8, (3,), skip=False, stem_channels=2, tail_channels=4)
    row = RowSpec("one", space, 10.0, PaperRow(True))
    found = appendix._networks(row, {"genes": ["conv3"]})
    assert found["random"]["genes"] == found["found"]["genes"] == ["conv3"]


def test_references_are_trained_as_the_networks_are(monkeypatch, tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text("model: {arch: {encoder_channels: 2, decoder_depth: 1, decoder_channels: 4}}\n")
    preset = replace(PRESET, references={"small": file}, seeds=[3], retrain_epochs=1)
    lines = []
    run_references(preset, tmp_path, lines.append)
    results = Results.read(tmp_path / "small-seed3")
    assert (results.role, results.budget["seed"], results.arch["decoder_channels"]) == ("reference", 3, 4)
    assert lines == [f"small, seed 3: SSIM {results.metrics['ssim']:.4f}"]
    steps, _ = work_of(monkeypatch)
    run_references(preset, tmp_path, lines.append)
    assert steps == []


def test_a_record_that_is_none_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        RowRecord.read(tmp_path)
    for text in ("{", "[]", '{"name": "a"}', "3"):
        (tmp_path / "row.json").write_text(text)
        with pytest.raises(InputError, match="no record of 'lightning-mm nas appendix'"):
            RowRecord.read(tmp_path)
