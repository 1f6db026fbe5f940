"""The tables that ship: every row builds the paper's network, and every budget trains it."""

import shutil
from pathlib import Path

import pytest
import yaml

from lightning_mm.configuration import build
from lightning_mm.cost import cost
from lightning_mm.errors import InputError
from lightning_mm.models import MagnifierConfig
from lightning_mm.reproduction.spec import jobs, read_budget, read_table

ROOT = Path(__file__).parents[2]
TABLES = sorted(path.stem for path in (ROOT / "experiments/tables").glob("*.yaml"))
BUDGETS = sorted(path.stem for path in (ROOT / "experiments/budgets").glob("*.yaml"))
# No reading of these rows of Fig. 5 that is known meets what is printed; the proposed model's parameters are printed
# with the manipulator's block, which its FLOPs leave out.
NEARLY = {("linear_encoder", "gflops"), ("narrow_upsampling", "gflops"), ("perceptual", "params")}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def arch_of(files):
    """The architecture that configuration files merge to, read without this project's parser."""
    found = {}
    for file in files:
        found |= (yaml.safe_load(Path(file).read_text()).get("model") or {}).get("arch") or {}
    return MagnifierConfig(**found)


@pytest.mark.parametrize("name", TABLES)
def test_every_row_has_the_papers_parameters_and_flops(name):
    table = read_table(Path(f"experiments/tables/{name}.yaml"))
    for row_name, row in table.trained.items():
        if row.kind == "removal":
            continue  # what is printed is what was left; tests/removal has it
        found = cost(arch_of([*table.configs, *row.files]))
        ours = {"params": found.params / 1e3, "gflops": found.paper_gflops}
        for what, value in ours.items():
            printed = getattr(row.paper, what)
            if printed is None:
                continue
            if (row_name, what) in NEARLY:
                assert value == pytest.approx(printed, rel=0.02), (row_name, what)
            else:
                digits = 2 if printed < 10 else 0 if what == "params" else 1
                assert round(value, digits) == printed, (row_name, what)


# What the paper prints in brackets: SSIM and LPIPS minus those of the reference row.
PRINTED_DIFFERENCES = {
    "1": {
        "encoder_relu": (-0.001, 0.007),
        "encoder_skip": (-0.003, 0.015),
        "encoder_block": (-0.002, 0.006),
        "manipulator_relu": (-0.001, 0.001),
        "manipulator_skip": (0.0, 0.001),
        "manipulator_block": (-0.001, 0.002),
        "decoder_relu": (-0.014, 0.072),
        "decoder_skip": (-0.009, 0.051),
        "decoder_block": (-0.035, 0.137),
    },
    "2": {
        "d3_c112": (-0.009, 0.041),
        "d6_c80": (-0.002, 0.011),
        "d12_c56": (0.001, -0.005),
        "d15_c48": (0.002, -0.008),
        "d36_c32": (0.004, -0.019),
        "d144_c16": (0.003, -0.016),
    },
    "A7": {"e13_d8": (-0.001, 0.003), "e22_d6": (-0.003, 0.018), "e28_d5": (-0.005, 0.022)},
}


@pytest.mark.parametrize("name", PRINTED_DIFFERENCES)
def test_printed_numbers_differ_as_the_paper_prints_it(name):
    table = read_table(Path(f"experiments/tables/{name}.yaml"))
    reference = table.rows[table.reference].paper
    rows = {row: one.paper for row, one in table.rows.items() if row != table.reference}
    found = {
        row: tuple(getattr(one, metric) - getattr(reference, metric) for metric in ("ssim", "lpips"))
        for row, one in rows.items()
    }
    assert found == {row: pytest.approx(pair, abs=1e-9) for row, pair in PRINTED_DIFFERENCES[name].items()}


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_a_training_that_can_start(name, budget, monkeypatch, tmp_path):
    table = read_table(Path(f"experiments/tables/{name}.yaml"))
    work = jobs(
        table, read_budget(Path(f"experiments/budgets/{budget}.yaml")), tmp_path, {"model.loss.perceptual": 0.0}
    )
    one = [job for job in work if job.seed == work[0].seed and job.kind == "training"]
    for job in one[:: max(1, len(one) - 1)]:  # the first and the last: they differ in architecture alone
        cli = build([*job.arguments, "--trainer.accelerator=cpu", "--trainer.precision=32-true"])
        row = table.rows[job.row]
        assert cli.model.arch == arch_of([*table.configs, *row.files])
        assert cli.options.dir == job.directory


def test_tables_that_share_rows_share_runs(tmp_path):
    budget = read_budget(Path("experiments/budgets/smoke.yaml"))
    tables = [read_table(Path(f"experiments/tables/{name}.yaml")) for name in ("2", "fig4", "fig5", "A7", "F")]
    found = [{job.directory.name: job.arguments for job in jobs(table, budget, tmp_path, {})} for table in tables]
    assert all("baseline-seed0" in runs for runs in found)
    for one in found:
        for other in found:
            assert all(one[run] == other[run] for run in one.keys() & other.keys())


def test_every_seed_is_a_run_of_its_own_with_its_samples(tmp_path):
    table, budget = read_table(Path("experiments/tables/fig4.yaml")), read_budget(Path("experiments/budgets/cpu.yaml"))
    work = jobs(table, budget, tmp_path, {"data.size": 40})
    assert len({job.directory for job in work}) == len(work) == 3 * len(budget.seeds)
    assert [job.seed for job in work] == [seed for seed in budget.seeds for _ in range(3)]
    for job in work:
        assert {f"--seed_everything={job.seed}", f"--data.seed={job.seed}", "--data.size=40"} <= set(job.arguments)


def test_removals_are_compared_with_as_long_a_training(tmp_path):
    table, budget = read_table(Path("experiments/tables/1.yaml")), read_budget(Path("experiments/budgets/cpu.yaml"))
    work = {job.row: job for job in jobs(table, budget, tmp_path, {"trainer.max_epochs": 5}) if job.seed == 0}
    assert f"--trainer.max_epochs={budget.switch_epochs + 5}" in work["baseline"].arguments
    for name, job in work.items():
        if name != "baseline":
            assert job.kind == "removal"
            assert {f"--trainer.max_epochs={budget.switch_epochs}", "--finetune_epochs=5"} <= set(job.arguments)


@pytest.mark.parametrize(
    ("name", "key", "message"),
    [
        ("1", "data.seed", "settings: data.seed: not used here; see --seeds"),
        ("1", "run.dir", "settings: run.dir: not used here"),
        ("2", "trainer.devices", "settings: trainer.devices: not used here; see --seeds, --dir and --workers"),
        ("1", "model.removal.part", "settings: model.removal.part: this is what the rows of table1 differ in"),
        ("2", "model.arch.bottleneck", "settings: model.arch.bottleneck: this is what the rows of table2 differ in"),
        ("2", "model.removal.lr", "settings: model.removal.lr: table2 removes nothing"),
    ],
)
def test_settings_that_would_do_nothing_or_make_rows_alike_are_refused(name, key, message, tmp_path):
    table = read_table(Path(f"experiments/tables/{name}.yaml"))
    budget = read_budget(Path("experiments/budgets/cpu.yaml"))
    with pytest.raises(InputError, match=message):
        jobs(table, budget, tmp_path, {key: 4})


BROKEN = [
    ({"reference": "none"}, "row 'none': must be one of a, b"),
    ({"questions": [{"asks": "?", "row": "c", "against": "a"}]}, "row 'c': must be one of a, b"),
    ({"configs": []}, "configs is empty"),
    ({"name": "a/b"}, "name = 'a/b'"),
    ({"rows": {"a": {"label": "a"}, "b": {"label": "b"}}}, "two of them would be trained in one directory"),
    ({"rows": {"a": {"label": "a", "files": ["none.yaml"]}}}, "names none.yaml, which is no file"),
    ({"rows": {"a": {"label": "a", "paper": {"sim": 1}}}}, "sim"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_a_wrong_table_is_refused_by_name(change, message, tmp_path):
    shutil.copy(ROOT / "experiments/base.yaml", tmp_path / "base.yaml")
    shutil.copy(ROOT / "experiments/proposed.yaml", tmp_path / "proposed.yaml")
    table = {
        "name": "mine",
        "title": "Mine",
        "configs": [str(tmp_path / "base.yaml")],
        "reference": "a",
        "rows": {"a": {"label": "a"}, "b": {"label": "b", "files": [str(tmp_path / "proposed.yaml")]}},
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({**table, **change}))
    with pytest.raises(InputError) as caught:
        read_table(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    path.write_text(yaml.safe_dump(table))
    assert read_table(path).run_name(read_table(path).rows["b"]) == f"{tmp_path.name}-proposed"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, "seeds = []"),
        ({"seeds": [1, 1]}, "seeds = [1, 1]"),
        ({"settings": {"run.dir": "x"}}, "settings: run.dir"),
        ({"fps_size": [0, 5]}, "fps_size"),
        ({"switch_epochs": 0}, "switch_epochs = 0"),
    ],
)
def test_a_wrong_budget_is_refused_by_name(change, message, tmp_path):
    path = tmp_path / "budget.yaml"
    path.write_text(yaml.safe_dump(change))
    with pytest.raises(InputError) as caught:
        read_budget(path)
    assert message in str(caught.value)
