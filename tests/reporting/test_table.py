import io

import pytest
from rich.console import Console

from lightning_mm.errors import InputError
from lightning_mm.reporting.collect import collect
from lightning_mm.reporting.provenance import fit_command
from lightning_mm.reporting.table import print_table
from lightning_mm.reporting.verdict import verdict


def printed(directory, width=200):
    console = Console(file=io.StringIO(), width=width)
    print_table(collect(directory), console)
    return console.file.getvalue()


def row_of(text, label):
    return next(line for line in text.splitlines() if line.strip().startswith(label))


def test_rows_are_sorted_by_ssim_and_complete(sweep_dir):
    text = printed(sweep_dir)
    labels = ["baseline", "trial 0001", "proposed", "trial 0002", "trial 0000", "return frame B", "linear Eulerian"]
    places = [text.index(row_of(text, label)) for label in labels]
    assert places == sorted(places)
    best = row_of(text, "trial 0001")
    for part in ("decoder_depth=12", "encoder=linear", "0.9250", "+0.0055", "27.12", "0.2000", "yes", "no"):
        assert part in best
    assert "9.86" in row_of(text, "proposed")
    assert "726,323" in row_of(text, "proposed")
    assert "41.33" in row_of(text, "baseline")


def test_caption_states_what_the_numbers_rest_on(sweep_dir):
    text = " ".join(printed(sweep_dir).split())
    for part in (
        "300 steps",
        "2,400 (batch size 8) samples seen",
        "crop 96",
        "precision 32-true",
        "seeds 7",
        "Test Processor",
        "digest 9c1e77b0a2f4",
        "paper's own validation set",
        "no verdict on the architectures",
    ):
        assert part in text


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_number_is_cut_on_a_narrow_terminal(sweep_dir, width):
    text = printed(sweep_dir, width)
    for part in ("(paper's", "count) [G]", "0.9342", "+0.0055", "726,323", "≥ 0.966", "0.2000"):
        assert part in text
    assert "…" not in text


def test_absent_metric_is_named_with_its_reason(fake):
    fake.run("trials/0000", 0.9, lpips=None, absent={"lpips": "weights are missing"})
    text = printed(fake.directory)
    assert "absent" in row_of(text, "trial 0000")
    assert "LPIPS absent (all runs): weights are missing" in text


def test_run_without_ssim_comes_last_and_is_on_no_front(fake):
    fake.trial(0, None, decoder_depth=0)
    fake.trial(1, 0.5, decoder_depth=1)
    text = printed(fake.directory)
    assert text.index("trial 0001") < text.index("trial 0000")
    assert "yes" not in row_of(text, "trial 0000")


def test_difference_needs_a_reference_of_the_same_budget(fake):
    fake.references()
    fake.run("trials/0000", 0.95, steps=600, samples=4800)
    text = printed(fake.directory)
    assert "+0.0305" not in text
    assert "WARNING: not comparable, the runs differ in steps" in text


def test_verdict_counts(sweep_dir, fake):
    text = " ".join(verdict(collect(sweep_dir)))
    assert "1 of 3 trials dominates the hand-designed model" in text
    assert "trial 0001" in text
    assert "None of 5 trained models reaches the paper's SSIM of 0.966" in text
    fake.trial(4, 0.99, decoder_depth=1)
    fake.trial(5, 0.3, decoder_depth=2)
    text = " ".join(verdict(collect(sweep_dir)))
    assert "2 of 5 trials dominate the hand-designed model" in text
    assert "1 of 7 trained models reaches the paper's SSIM of 0.966 (trial 0004)" in text
    assert "1 of 7 does not even beat returning frame B unchanged: trial 0005" in text


def test_verdict_without_any_score(fake):
    fake.trial(0, None)
    assert verdict(collect(fake.directory)) == ["No run has an SSIM, so there is nothing to judge."]


def test_commands_are_flags_of_the_overrides_or_of_the_whole_architecture(sweep_dir):
    runs = {run.label: run.results for run in collect(sweep_dir).runs}
    assert " ".join(fit_command(runs["trial 0001"])) == (
        "lightning-mm fit --config experiments/base.yaml --model.arch.decoder_depth=12 "
        "--model.arch.decoder_channels=16 --model.arch.bottleneck=4 --model.arch.encoder=linear"
    )
    baseline = " ".join(fit_command(runs["baseline"]))
    assert "'--model.arch.encoder_blocks=[3,2,2]'" in baseline
    assert "--model.arch.manipulator_block=true" in baseline


def test_equal_names_are_told_apart_by_path(fake):
    fake.run("a/same", 0.9, role="run")
    fake.run("b/same", 0.8, role="run")
    assert [run.label for run in collect(fake.directory).runs] == ["same (a/same)", "same (b/same)"]


def test_wrong_input(tmp_path, fake):
    with pytest.raises(InputError, match="no such directory"):
        collect(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no finished run"):
        collect(tmp_path)
    fake.trial(0, 0.9)
    (fake.directory / "sweep.json").write_text("[1]")
    with pytest.raises(InputError, match=r"sweep\.json: not a sweep file"):
        collect(fake.directory)
    (fake.directory / "sweep.json").write_text("{")
    with pytest.raises(InputError, match=r"sweep\.json: not valid JSON"):
        collect(fake.directory)
