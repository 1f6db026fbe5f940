"""Intervals against scipy's own tests, and what is said of them."""

import random
import re

import pytest
from scipy import stats

from lightning_mm.cli import main
from lightning_mm.errors import InputError
from lightning_mm.models import MagnifierConfig
from lightning_mm.reporting.collect import collect
from lightning_mm.reporting.comparison import compare, notes, sentences
from lightning_mm.reporting.report import report

FOUND = MagnifierConfig(decoder_depth=12, decoder_channels=48)


def scores(rng, mean, count):
    return [round(rng.gauss(mean, 0.004), 6) for _ in range(count)]


def compared(fake, **models):
    """The difference of each model but the hand-designed one, for scores by name or (scores by seed) by name."""
    for name, values in models.items():
        by_seed = values if isinstance(values, dict) else dict(enumerate(values))
        arch = MagnifierConfig.proposed() if name == "proposed" else FOUND
        for seed, ssim in by_seed.items():
            fake.run(f"{name}-seed{seed}", ssim, role="run", arch=arch, seed=seed)
    return {item.model.label: item for item in compare(collect(fake.directory))}


@pytest.mark.parametrize("seed", range(5))
def test_interval_paired_by_seed_is_that_of_scipy(fake, seed):
    rng = random.Random(seed)
    a, b = scores(rng, 0.95, 5), scores(rng, 0.947, 5)
    got = compared(fake, found=a, proposed=b)["found"].difference
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert got.method == "paired"
    assert got.value == pytest.approx(sum(a) / 5 - sum(b) / 5)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("n", "m"), [(3, 4), (2, 2), (6, 2)])
def test_interval_of_other_seeds_is_welch_s(fake, n, m):
    rng = random.Random(n)
    a, b = scores(rng, 0.95, n), scores(rng, 0.947, m)
    got = compared(fake, found={100 + i: v for i, v in enumerate(a)}, proposed=b)["found"].difference
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert got.method == "Welch"
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high))


def test_only_common_seeds_are_paired(fake):
    found = compared(fake, found={0: 0.95, 1: 0.96, 7: 0.5}, proposed={0: 0.94, 1: 0.945, 2: 0.99})["found"]
    expected = stats.ttest_rel([0.95, 0.96], [0.94, 0.945]).confidence_interval(0.95)
    assert found.difference.seeds == (2, 2)
    assert (found.difference.low, found.difference.high) == pytest.approx((expected.low, expected.high))


def test_one_common_seed_is_no_pair(fake):
    a, b = {0: 0.95, 8: 0.96}, {0: 0.94, 1: 0.945}
    got = compared(fake, found=a, proposed=b)["found"].difference
    expected = stats.ttest_ind(list(a.values()), list(b.values()), equal_var=False).confidence_interval(0.95)
    assert got.method == "Welch"
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([0.960, 0.961, 0.962], "found is better in SSIM than proposed, by 3 seeds each"),
        ([0.920, 0.921, 0.922], "found is worse in SSIM than proposed, by 3 seeds each"),
        ([0.930, 0.961, 0.944], "found and proposed are not told apart in SSIM by 3 seeds each"),
        ([0.960], "found: SSIM +0.0190 against proposed, by 1 and 3 seeds: no interval"),
    ],
)
def test_the_outcome_in_words(fake, found, words):
    comparisons = list(compared(fake, found=found, proposed=[0.940, 0.941, 0.942]).values())
    (sentence,) = sentences(comparisons)
    assert sentence.startswith(words)
    assert any("at least two seeds" in note for note in notes(comparisons)) is (len(found) == 1)


def test_equal_scores_of_all_seeds_have_an_interval_of_no_width(fake):
    got = compared(fake, found={5: 0.95, 6: 0.95}, proposed=[0.95, 0.95])["found"].difference
    assert (got.value, got.low, got.high, got.word) == (0.0, 0.0, 0.0, "not told apart")


def test_the_hand_designed_model_is_found_by_its_architecture(fake):
    for seed in (0, 1):
        fake.run(f"ours-seed{seed}", 0.94, role="run", seed=seed)
        fake.run(f"found-seed{seed}", 0.95, role="run", arch=FOUND, seed=seed)
    (reference, found) = compare(collect(fake.directory))
    assert reference.is_reference
    assert reference.model.label == "ours"
    assert found.reference is reference.model


def test_by_name_before_by_architecture(fake):
    fake.run("again", 0.94, role="run", seed=0, config={"model": {"loss": {"ssim": 0.0}}})
    fake.run("proposed", 0.93, role="run", seed=0)
    assert [item.model.label for item in compare(collect(fake.directory)) if item.is_reference] == ["proposed"]


def test_models_of_another_budget_are_not_compared(fake):
    fake.run("proposed", 0.94, role="run")
    fake.run("longer", 0.99, role="run", arch=FOUND, steps=999)
    lines = sentences(compare(collect(fake.directory)))
    assert lines == ["longer: no hand-designed model trained on the same budget, so it is compared with none."]


def test_without_a_hand_designed_model_there_is_nothing_to_compare(fake):
    fake.run("found", 0.95, role="run", arch=FOUND)
    with pytest.raises(InputError, match=r"--compare: .* no hand-designed model .*; found found"):
        report(fake.directory, compare=True)
    assert not (fake.directory / "report.html").exists()


def test_command_line_prints_and_writes_it(fake, capsys):
    compared(fake, found=[0.960, 0.961, 0.962], proposed=[0.940, 0.941, 0.942], once=[0.941])
    assert main(["report", str(fake.directory), "--compare", "true"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    html = re.sub(r"\s+", " ", (fake.directory / "report.html").read_text())
    for text in (out, html):
        assert "found is better in SSIM than proposed, by 3 seeds each (+0.0200, 95 % interval" in text
        assert "An interval needs at least two seeds of both models" in text
    assert '<div id="comparison"' in html
    assert "0.9610 ± 0.0010" in html
    assert main(["report", str(fake.directory)]) == 0
    assert "95 % interval" not in capsys.readouterr().out
    assert 'id="compared"' not in (fake.directory / "report.html").read_text()


def test_of_many_models_the_first_are_drawn_and_written_about_and_all_are_in_the_table(fake, capsys):
    fake.run("proposed", 0.9, role="run")
    for number in range(50):
        fake.run(f"m{number:02d}", 0.99 - 0.001 * number, role="run", arch=MagnifierConfig(decoder_depth=number + 40))
    report(fake.directory, compare=True)
    html = (fake.directory / "report.html").read_text()
    section = html.split('<section id="compared">')[1].split("</section>")[0]
    table = section.split('<table class="plain numbers">')[1]
    assert table.count("<tr") == 1 + 51
    assert "<summary>42 more</summary>" in section
    assert "Drawn are the 40 models" in section
    assert '"m39"' in section.split("<table")[0]
    assert '"m40"' not in section.split("<table")[0]
    out = capsys.readouterr().out
    assert "Of many models only the first are shown here; the page has all." in out
    assert "m07: SSIM" in out
    assert "m08: SSIM" not in out
