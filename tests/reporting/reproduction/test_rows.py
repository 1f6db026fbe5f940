"""Differences, answers and cells of a table against numbers worked out by hand and by scipy."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from lightning_mm.models import MagnifierConfig
from lightning_mm.removal.record import Removal
from lightning_mm.reporting.reproduction import figures
from lightning_mm.reporting.reproduction.cells import as_csv, columns, markdown
from lightning_mm.reporting.reproduction.page import page, text
from lightning_mm.reporting.reproduction.rows import table_of
from lightning_mm.reporting.run import signed
from lightning_mm.reproduction.command import Reproduction
from lightning_mm.reproduction.spec import Budget, Printed, Question, Row, TableSpec
from lightning_mm.reproduction.speed import Speeds
from lightning_mm.runs import Results

A, B, C = (0.71, 0.72, 0.75), (0.74, 0.73, 0.79), (0.70, 0.72, 0.74)
LEFT_OUT = {"b": "one frame took 9.0 s"}
FPS = {"a": {"fps": 2.0, "lower": 1.9, "upper": 2.1}}
SPEEDS = Speeds(FPS, LEFT_OUT, 384, 384, "cpu", "Test Processor", 2, "float32", "x", load=0.5, cores=2)


def made(fake, scores, printed=None, absent=None, speeds=SPEEDS, asks=()):
    """A reproduction of rows by name with an SSIM for each seed."""
    printed = printed or {}
    rows = {name: Row(f"row {name}", Printed(ssim=printed.get(name)), [Path(f"{name}.yaml")]) for name in scores}
    questions = [Question(*one) for one in asks]
    spec = TableSpec("mine", "Mine", [Path("base.yaml")], rows, next(iter(scores)), questions)
    results = {}
    for name, values in scores.items():
        arch = MagnifierConfig(decoder_depth=len(name) + 1)
        paths = [
            fake.run(f"{name}-seed{seed}", ssim, role="run", arch=arch, seed=seed)
            for seed, ssim in enumerate(values)
            if ssim is not None
        ]
        results[name] = [(path, Results.read(path)) for path in paths]
    return Reproduction(spec, Budget(), fake.directory, results, absent or {}, {}, speeds, {}, "the command")


def test_differences_are_paired_by_seed(fake):
    table = table_of(made(fake, {"a": A, "b": B}))
    found = table.difference(table["b"])
    expected = stats.ttest_rel(B, A).confidence_interval(0.95)
    assert (found.value, found.low, found.high) == pytest.approx((sum(B) / 3 - sum(A) / 3, expected.low, expected.high))
    assert table.difference(table["a"]) is None
    assert columns(table)["SSIM minus reference"][0] == "\N{EN DASH}"


def test_a_seed_that_one_row_lacks_counts_for_none(fake):
    table = table_of(made(fake, {"a": A, "b": (None, *B[1:])}))
    expected = stats.ttest_rel(B[1:], A[1:])
    assert table.difference(table["b"]).value == pytest.approx(sum(B[1:]) / 2 - sum(A[1:]) / 2)
    assert table.difference(table["b"]).low == pytest.approx(expected.confidence_interval(0.95).low)


def test_the_order_against_the_papers_is_kendalls_tau(fake):
    scores = {"a": (0.7,), "bb": (0.9,), "ccc": (0.8,), "dddd": (0.6,)}
    printed = {"a": 0.95, "bb": 0.97, "ccc": 0.96, "dddd": 0.98}
    tau = stats.kendalltau([0.95, 0.97, 0.96, 0.98], [0.7, 0.9, 0.8, 0.6]).statistic
    assert f"Kendall's tau {signed(tau, 2)} over 4 rows" in table_of(made(fake, scores, printed)).agreement()
    assert table_of(made(fake, scores, {"a": 0.95, "bb": 0.97, "ccc": 0.96})).agreement() is None
    assert table_of(made(fake, dict.fromkeys(scores, (0.7,)), printed)).agreement() is None  # none has an order


def test_answers_say_what_the_interval_says(fake):
    asks = [("Is b better?", "b", "a"), ("And c?", "c", "a"), ("And d?", "d", "a")]
    clearly = tuple(value + 0.05 + 0.001 * seed for seed, value in enumerate(A))
    table = table_of(made(fake, {"a": A, "b": clearly, "c": C, "d": ()}, {"a": 0.9, "b": 0.91}, asks=asks))
    better, equal, none = (table.answer(question) for question in table.made.table.questions)
    said = "Is b better? row b against row a: better here, SSIM +0.0510 (95 % interval +0.0485 to +0.0535, 3 seeds)"
    assert better == f"{said}; the paper: +0.010."
    assert "row c against row a: not told apart here" in equal
    assert equal.endswith("the paper prints no SSIM of both.")
    assert none == "And d? row d against row a: not trained here; the paper prints no SSIM of both."


def test_columns_without_anything_are_left_out(fake):
    table = table_of(made(fake, {"a": A, "b": B}))
    assert "FPS" in columns(table)
    assert not any(header.endswith("(paper)") for header in columns(table))
    assert "FPS" not in columns(table_of(made(fake, {"a": A}, speeds=replace(SPEEDS, rows={}))))
    head, rule, *rows = markdown(table).splitlines()
    assert {line.count("|") for line in (head, rule, *rows)} == {len(columns(table)) + 1}


def test_lpips_is_compared_as_ssim_is(fake):
    table = table_of(made(fake, {"a": A, "b": B}))
    for row, (mine, its) in zip(table.rows, ((0.19, 0.180), (0.25, 0.187)), strict=True):
        for run in row.model.runs:
            run.results.metrics["lpips"] = mine + 0.001 * run.seed
        object.__setattr__(row.row, "paper", Printed(lpips=its))
    found = columns(table)
    assert found["LPIPS minus reference"][1].startswith("+0.0600 (")
    assert found["LPIPS minus reference (paper)"][1] == "+0.007"


def test_a_busy_machine_is_told_beside_the_speeds(fake):
    busy = replace(SPEEDS, load=1.7)
    told = "FPS may be low: in the minute before, the machine's load was 1.7 on 2 processors. Delete mine_fps.json"
    assert told in text(table_of(made(fake, {"a": A}, speeds=busy)))
    for quiet in (SPEEDS, replace(busy, cores=8), replace(busy, device="a GPU")):
        assert "FPS may be low" not in text(table_of(made(fake, {"a": A}, speeds=quiet)))


def test_printed_numbers_have_the_papers_digits(fake):
    table = table_of(made(fake, {"a": A, "b": B}))
    for row, its in zip(table.rows, (Printed(967, 41.3, 0.98, 0.19, 9.6), Printed(17288, 9.86, 0.972)), strict=True):
        object.__setattr__(row.row, "paper", its)
    found = {header: cells for header, cells in columns(table).items() if header.endswith("(paper)")}
    assert found["params [K] (paper)"] == ["967", "17,288"]
    assert found["FLOPs [G] (paper)"] == ["41.3", "9.86"]
    assert found["FPS (paper)"] == ["9.6", "\N{EN DASH}"]
    assert found["SSIM (paper)"] == ["0.980", "0.972"]
    assert found["LPIPS (paper)"] == ["0.190", "\N{EN DASH}"]


def test_runs_that_do_not_compare_are_named_but_not_for_the_two_parts_of_a_removal(fake):
    reproduction = made(fake, {"a": A, "b": B})
    for path, results in reproduction.results["b"]:
        results.budget["steps"] = 200
        Removal({}, "baseline", 1, 100, [], {}, {}, {}, {}).write(path)
    told = text(table_of(reproduction))
    assert "Not all runs are comparable; they differ in steps: " in told
    assert "Not all runs are comparable" in page(table_of(reproduction))
    rows = {**reproduction.table.rows, "b": replace(reproduction.table.rows["b"], kind="removal")}
    cut = replace(reproduction, table=replace(reproduction.table, rows=rows))
    told = text(table_of(cut))
    assert "Not all runs are comparable" not in told + page(table_of(cut))
    assert "Rows of removals are trained for 1 epochs with switches, then behind the cut" in told
    counts = [(one["switch_steps"], one["steps"]) for one in csv.DictReader(as_csv(table_of(cut)).splitlines())]
    assert counts == [("0", "300")] * 3 + [("100", "200")] * 3
    cut.results["b"][0][1].validation["digest"] = "another"
    assert "they differ in validation set: " in text(table_of(cut))


def test_what_is_missing_and_what_is_below_the_floor_is_said(fake):
    found = text(table_of(made(fake, {"a": A, "b": ()}, absent={"b": ["seed 0 diverged: nan"]})))
    assert "| row b |" in found
    assert "row b: seed 0 diverged: nan." in found
    assert "row b: no FPS: one frame took 9.0 s." in found
    assert "No row reaches the SSIM of an unmagnified frame" in found  # the fake's floor is 0.8712
    assert "No row reaches" not in text(table_of(made(fake, {"a": (0.9, 0.91, 0.92)})))


def test_figures_hold_the_numbers_of_the_table(fake):
    table = table_of(made(fake, {"a": A, "b": B, "c": C}, {"a": 0.97, "b": 0.972, "c": 0.96}))
    ours, papers = figures.differences(table).data
    assert list(papers.x) == pytest.approx([0.002, -0.01])
    for number, row in enumerate(("b", "c")):
        found = table.difference(table[row])
        ends = (ours.x[number] - ours.error_x.arrayminus[number], ours.x[number] + ours.error_x.array[number])
        assert ends == pytest.approx((found.low, found.high))
    assert figures.differences(table_of(made(fake, {"a": A}))) is None
    assert figures.speed(table) is None  # the paper prints no FPS of these


def test_the_page_is_whole_and_escapes_what_it_is_given(fake):
    reproduction = made(fake, {"a": A, "<b>": B}, {"a": 0.9, "<b>": 0.95})
    found = page(table_of(reproduction))
    assert "row &lt;b&gt;" in found
    assert "row <b>" not in found
    assert found.count("<section") == found.count("</section>") >= 4
