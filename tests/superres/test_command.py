"""The command that goes through Table A1: its table and record, interruption, settings, wrong input."""

import json
import re

import pytest
import torch
import yaml

from lightning_mm.cli import main
from lightning_mm.superres.mdsr import MDSR, SCALES, MDSRConfig
from lightning_mm.superres.spec import read_spec
from lightning_mm.superres.stages import Row, Stages
from lightning_mm.superres.table import PAPER, markdown, write_table
from lightning_mm.superres.task import SuperResolutionTask
from lightning_mm.tasks.prune import RemovalConfig

TINY = {
    "description": "tiny",
    "epochs": 2,
    "removal_epochs": 2,
    "tune_epochs": 1,
    "network": {"channels": 4, "encoder_blocks": 1, "decoder_blocks": 2},
    "data": {
        **{"patch": 4, "batch_size": 1, "epoch_steps": 3},
        **{"textures": 1, "texture_size": 64, "val_images": 1, "val_size": 24},
    },
    "removals": [{"part": part, "component": "block", "weight": 10.0, "lr": 0.5} for part in ("encoder", "decoder")],
}


@pytest.fixture(scope="module")
def spec_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("spec") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path


@pytest.fixture(scope="module")
def finished(spec_file, tmp_path_factory):
    directory = tmp_path_factory.mktemp("superres") / "table"
    assert main(["superres", str(spec_file), "--dir", str(directory)]) == 0
    return directory


def record_of(directory):
    return json.loads((directory / "table_a1.json").read_text())


def params(**blocks):
    with torch.device("meta"):
        return sum(p.numel() for p in MDSR(MDSRConfig(**{**TINY["network"], **blocks})).parameters())


def test_the_record_holds_each_row_and_how_it_came_about(finished):
    record = record_of(finished)
    rows = record["rows"]
    assert rows.keys() == {"reference", "encoder", "decoder"}
    assert [rows[name]["mark"] for name in ("reference", "encoder", "decoder")] == ["-", "x", "x"]
    assert rows["encoder"]["removed"] == [f"encoder.x{scale}.0" for scale in SCALES]
    assert rows["decoder"]["removed"] == ["decoder.0", "decoder.1"]
    assert rows["reference"]["params"] == params()
    assert rows["encoder"]["params"] == params(encoder_blocks=0)
    assert rows["decoder"]["params"] == params(decoder_blocks=0)
    assert {row["steps"] for row in rows.values()} == {15}
    assert record["settings"]["removals.encoder.lr"] == 0.5
    assert record["settings"]["network.decoder_blocks"] == 2
    assert record["paper"] == PAPER
    assert "8 bits" in record["psnr"]
    assert {"torch", "lightning"} <= record["versions"].keys()
    assert record["hardware"]["threads"] == torch.get_num_threads()


def test_the_table_shows_the_papers_differences_as_it_prints_them(finished):
    table = (finished / "table_a1.md").read_text()
    line = next(line for line in table.splitlines() if line.startswith("| - Decoder"))
    assert "34.93 (-0.68) | 31.02 (-0.63) | 28.99 (-0.58) | 2.05 (-36.5%)" in line
    line = next(line for line in table.splitlines() if line.startswith("| - Encoder"))
    assert "| x (3 of 3) |" in line
    assert "35.61 | 31.64 (-0.01) | 29.57 | 2.00 (-38.1%)" in line
    shares = {name: 100 * (params(**{f"{name}_blocks": 0}) / params() - 1) for name in ("encoder", "decoder")}
    for name, share in shares.items():
        line = next(line for line in table.splitlines() if line.startswith(f"| - {name.title()}"))
        assert f"({share:+.1f}%)" in line
    assert "trained for 15 steps, the reference too" in table


def test_every_row_has_as_many_columns(finished):
    lines = [line for line in (finished / "table_a1.md").read_text().splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1


def test_some_survivors_are_a_triangle_and_none_removed_a_dash(spec_file, tmp_path):
    psnr = {f"x{scale}": 30.0 for scale in SCALES}
    rows = {
        "reference": Row(psnr, psnr, 100, [], {}, 1),
        "encoder": Row(psnr, psnr, 100, [], {"encoder.x2.0": 0.1}, 1),
        "decoder": Row({**psnr, "x3": 29.996}, psnr, 90, ["decoder.0"], {"decoder.0": 1.0, "decoder.1": 0.2}, 1),
    }
    table = markdown(write_table(read_spec(spec_file, {}), rows, tmp_path))
    assert re.search(r"\| - Encoder \| - \(0 of 1\) \| 30.00 \| 30.00 \| 30.00 \| 0.00 \|", table)
    assert re.search(r"\| - Decoder \| triangle \(1 of 2\) \| 30.00 \| 30.00 \| 30.00 \| 0.00 \(-10.0%\) \|", table)


def test_what_is_done_is_not_done_again(finished, spec_file, monkeypatch, capsys):
    monkeypatch.setattr(Stages, "_train", lambda *_: pytest.fail("trains again"))
    before = record_of(finished)
    assert main(["superres", str(spec_file), "--dir", str(finished)]) == 0
    assert record_of(finished)["rows"] == before["rows"]
    assert "| - Encoder |" in capsys.readouterr().out


@pytest.mark.parametrize("moment", [4, 17, 21], ids=["shared", "encoder, learn", "encoder, tune"])
def test_an_interrupted_table_comes_out_the_same(finished, spec_file, tmp_path, monkeypatch, capsys, moment):
    step, seen = SuperResolutionTask.training_step, []

    def interrupted(self, batch, batch_idx):
        seen.append(batch_idx)
        if len(seen) == moment:
            raise KeyboardInterrupt
        return step(self, batch, batch_idx)

    monkeypatch.setattr(SuperResolutionTask, "training_step", interrupted)
    command = ["superres", str(spec_file), "--dir", str(tmp_path / "table")]
    assert main(command) == 75
    assert "run the same command again" in capsys.readouterr().err
    assert not (tmp_path / "table/table_a1.json").exists()
    assert main(command) == 0
    assert record_of(tmp_path / "table")["rows"] == record_of(finished)["rows"]


def test_with_switches_that_stay_at_zero_a_row_is_the_reference(spec_file, tmp_path):
    still = RemovalConfig("encoder", "block", weight=1e-12, lr=1e-12)
    spec = read_spec(spec_file, {"epochs": 1, "removal_epochs": 1})
    stages = Stages(spec, tmp_path, lambda line: None)
    reference, row = stages.row(), stages.row(still)
    assert row.removed == []
    assert row.params == reference.params
    assert row.psnr == pytest.approx(reference.psnr, abs=0.01)


def refused(args, here, capsys):
    before = sorted(here.rglob("*"))
    assert main(["superres", *args]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert sorted(here.rglob("*")) == before
    return err


BAD = {
    "unknown key": ({"network.depth": 3}, "network.depth"),
    "unknown section": ({"networks.channels": 3}, "networks"),
    "text for a number": ({"epochs": "many"}, "epochs"),
    "no epoch": ({"tune_epochs": 0}, "tune_epochs = 0: must be >= 1"),
    "no blocks": ({"network.decoder_blocks": 0}, "network.decoder_blocks = 0: must be >= 1"),
    "patch": ({"data.patch": 2}, "ScaleDataConfig.patch = 2: must be >= 4"),
    "precision": ({"precision": "8-bit"}, "precision = 8-bit: must be one of 32-true"),
    "threshold": ({"removals": [{"part": "encoder", "component": "block", "threshold": 1.5}]}, "threshold"),
    "part": (
        {"removals": [{"part": "manipulator", "component": "block"}]},
        "of manipulator; must be one each of encoder",
    ),
    "nothing": ({"removals": []}, "removals: of nothing"),
    "component": ({"removals": [{"part": "decoder", "component": "relu"}]}, "component = relu; must be block"),
    "photos": ({"data.photos": "no-such-photos"}, "no-such-photos"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_settings_are_refused_by_name(name, spec_file, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings, named = BAD[name]
    assert named in refused([str(spec_file), "--settings", json.dumps(settings)], tmp_path, capsys)


def test_a_missing_file_is_named(tmp_path, capsys):
    line = refused([str(tmp_path / "none.yaml")], tmp_path, capsys)
    assert "none.yaml: no such file; smoke.yaml, cpu.yaml and full.yaml" in line


def test_a_directory_of_another_table_is_refused(finished, spec_file, capsys):
    args = [str(spec_file), "--dir", str(finished), "--settings", '{"data.patch": 8}']
    assert "holds a table with data.patch = 4, not 8; choose another directory" in refused(args, finished, capsys)


def test_a_directory_whose_settings_are_broken_is_refused(spec_file, tmp_path, capsys):
    (tmp_path / "settings.json").write_text("{")
    line = refused([str(spec_file), "--dir", str(tmp_path)], tmp_path, capsys)
    assert "settings.json: not the settings of a table" in line


@pytest.mark.parametrize("name", ["smoke", "cpu", "full"])
def test_the_files_that_ship_can_be_read(name, request):
    spec = read_spec(request.config.rootpath / f"experiments/superres/{name}.yaml", {})
    assert name == "smoke" or spec.network == MDSRConfig()
    assert [removal.part for removal in spec.removals] == ["encoder", "decoder"]
    assert all(removal.lr * spec.removal_epochs * spec.data.epoch_steps > 2 for removal in spec.removals)
