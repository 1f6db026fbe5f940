"""The workspace names what runs really log; it is built and serialised without a server."""

import sys

import pytest

from lightning_mm.errors import InputError
from lightning_mm.runs import Results
from lightning_mm.tracking.workspace import architecture_keys, serialise, study_workspace

NAMES = ("xAxis", "yAxis", "zAxis", "accessor")


@pytest.fixture(scope="module")
def results(study):
    return [Results.read(study / name) for name in ("first", "second")]


@pytest.fixture(scope="module")
def view(results):
    keys = [f"model.arch.{key}" for key in results[0].arch]
    return serialise(study_workspace("depths", ["depths"], keys, "lightning_mm"))


def panels(view):
    return [panel for section in view["spec"]["section"]["panelBankConfig"]["sections"] for panel in section["panels"]]


def named(panel):
    """Fields of runs that a panel shows."""
    config = panel["config"]
    found = [config[name] for name in NAMES if name in config] + config.get("metrics", []) + config.get("mediaKeys", [])
    found += [column["accessor"] for column in config.get("columns", [])]
    return found + ([f"summary:{config['targetKey']}"] if "targetKey" in config else [])


def columns(view):
    return [name for name in view["spec"]["section"]["runSets"][0]["runFeed"]["columnOrder"] if name[:4] != "run:"]


def test_the_panels_are_those_of_a_trade_off(view):
    kinds = [panel["viewType"] for panel in panels(view)]
    assert sorted(kinds) == sorted(
        [
            *["Scatter Plot"] * 2,
            *["Run History Line Plot"] * 2,
            *("Parallel Coordinates Plot", "Parameter Importance", "Media Browser", "Run Comparer"),
        ]
    )
    cost, latency = (named(panel) for panel in panels(view) if panel["viewType"] == "Scatter Plot")
    assert cost == ["summary:paper_gflops", "summary:ssim", "config:model.value.arch.bottleneck"]
    assert latency == ["summary:latency_ms", *cost[1:]]
    curves = [named(panel) for panel in panels(view) if panel["viewType"] == "Run History Line Plot"]
    assert curves == [["trainer/global_step", "val/ssim"], ["trainer/global_step", "train/loss"]]


def test_a_real_run_has_every_field_that_is_named(view, study, offline_runs):
    (run,) = offline_runs(study / "second")
    wanted = [name for panel in panels(view) for name in named(panel)] + columns(view)
    assert len(wanted) > 20
    assert [name for name in wanted if name not in run.fields()] == []


def test_a_misspelt_field_would_be_found(study, offline_runs):
    (run,) = offline_runs(study / "second")
    view = serialise(study_workspace("depths", [], ["model.arch.botleneck"], "lightning_mm"))
    wanted = [name for panel in panels(view) for name in named(panel)]
    assert [name for name in wanted if name not in run.fields()] == ["config:model.value.arch.botleneck"]


def test_it_shows_the_runs_of_the_study_and_not_its_table(view):
    told = view["spec"]["section"]["runSets"][0]["filters"]["filters"]
    found = [(item["key"]["section"], item["key"]["name"], item["op"], item["value"]) for item in told]
    assert found == [("run", "jobType", "!=", "report"), ("run", "group", "IN", ["depths"])]
    assert told[1]["connector"] == "AND"


def test_without_groups_it_shows_all_runs(results):
    view = serialise(study_workspace("all", [], ["model.arch.decoder_depth"], "lightning_mm"))
    told = view["spec"]["section"]["runSets"][0]["filters"]["filters"]
    assert [item["key"]["name"] for item in told] == ["jobType"]


@pytest.mark.parametrize("group", ["it's", 'a"b', "lr=3", "a<b", "back\\slash"])
def test_a_group_that_filters_would_distort_is_refused(group):
    with pytest.raises(InputError, match=r"run\.wandb_group = .* can't express"):
        study_workspace("x", [group], [], "lightning_mm")


@pytest.mark.parametrize("group", ["depths 2", "tiefe-ü", "a/b.c", "(x) [y]", "x and y"])
def test_the_name_of_a_group_arrives_as_it_is(group):
    view = serialise(study_workspace("x", [group, "other"], [], "lightning_mm"))
    assert view["spec"]["section"]["runSets"][0]["filters"]["filters"][1]["value"] == [group, "other"]


def test_coordinates_are_what_differs_else_everything_plain(results):
    assert architecture_keys(results) == ["model.arch.decoder_depth"]
    alone = architecture_keys(results[:1])
    assert {"model.arch.encoder", "model.arch.bottleneck", "model.arch.decoder_depth"} <= set(alone)
    assert "model.arch.encoder_blocks" not in alone  # a list has no place on an axis


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(InputError, match=r"needs wandb-workspaces: pip install 'lightning_mm\[dashboard\]'"):
        study_workspace("x", [], [], "lightning_mm")
