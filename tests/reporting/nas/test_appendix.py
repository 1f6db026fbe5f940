"""The page, Markdown and CSV of the NAS appendix, from made-up records."""

import csv
import json
from dataclasses import asdict

import pytest

from lightning_mm.cost import cost
from lightning_mm.errors import InputError
from lightning_mm.models import MagnifierConfig
from lightning_mm.nas.appendix import RowRecord
from lightning_mm.reporting.nas.appendix import write_appendix
from lightning_mm.reporting.nas.appendix_figures import history, scatter
from lightning_mm.reporting.nas.appendix_records import read_appendix
from lightning_mm.reporting.nas.appendix_table import RESULTS, SEARCH
from lightning_mm.reporting.nas.blocks import blocks_svg, of_arch, of_genes
from lightning_mm.reporting.run import TIMES
from lightning_mm.spaces import ChoiceSpace, Genotype
from tests.reporting.test_html import Page

SPACE = ChoiceSpace(encoder_blocks=(2, 1, 1), decoder_blocks=3, decoder_channels=8)
GENES = {
    "found": ("conv7", "skip", "conv5", "conv3", "skip", "conv7", "conv7"),
    "random": ("conv3", "conv5", "skip", "conv3", "conv3", "conv5", "skip"),
    "plain": ("conv3",) * 7,
}
DIVERGED = {
    "status": "diverged",
    "step": 212,
    "reason": "loss is nan",
    "gradient_norm": 3.25e9,
    "paths": ["conv7 skip conv5"],
    "steps": 211,
    "seconds": 9.0,
    "largest_gradient_norm": 4.5e9,
    "inverted": False,
}


def write_row(directory, name, paper=None, **changes):
    """A row's record; with networks unless it diverged."""
    record = RowRecord(
        name, "A row.", 10.0, SPACE.attainable, SPACE.to_dict(), paper or {"trained": True, "ssim": None}, "fingerprint"
    )
    record.supernet = {"status": "trained", "steps": 4321, "seconds": 77.0, "largest_gradient_norm": 5.25}
    record.supernet |= {"inverted": False}
    record.search = {
        "genes": list(GENES["found"]),
        "ssim": 0.7123,
        "evaluated": 120,
        "duplicates": 31,
        "infeasible": 17,
        "filled": 2,
        "cost_percentile": 0.43,
        "history": [[20, 0.701], [40, 0.7123]],
        "seconds": 12.5,
    }
    for network, genes in GENES.items():
        found = SPACE.cost(Genotype(genes))
        record.networks[network] = {
            "genes": list(genes),
            "arch": SPACE.config(Genotype(genes)).to_dict(),
            "gflops": found.paper_gflops,
            "params": found.params,
            "runs": [],
            "diverged": [],
        }
    for key, value in changes.items():
        setattr(record, key, value)
    record.write(directory / name)
    return record


def trained(fake, row, network, scores, **values):
    """Runs of a network from scratch, entered in its row's record."""
    arch = SPACE.config(Genotype(GENES[network]))
    fake.seeds(f"{row}/{network}", scores, role="variant", arch=arch, **values)
    record = RowRecord.read(fake.directory / row)
    record.networks[network]["runs"] = [f"{network}-seed{seed}" for seed in range(len(scores))]
    record.write(fake.directory / row)


@pytest.fixture
def rows(fake):
    """One row that is done, one whose supernet diverged, one without trainings, and a reference."""
    directory = fake.directory
    write_row(directory, "a", {"trained": True, "ssim": 0.824, "gflops": 4.96})
    trained(fake, "a", "found", [0.900, 0.904])
    trained(fake, "a", "random", [0.890, 0.891])
    trained(fake, "a", "plain", [0.910, 0.912])
    write_row(directory, "e", {"trained": False}, supernet=DIVERGED, search={}, networks={})
    write_row(directory, "f", {"trained": False})
    fake.seeds("proposed", [0.93, 0.94], role="reference", arch=MagnifierConfig.proposed())
    return directory


def markdown_cells(text, row):
    """Cells of a row in the first Markdown table, by header."""
    lines = [line.strip("| \n").split(" | ") for line in text.splitlines() if line.startswith("|")]
    body = next(line for line in lines if line[0] == row)
    return dict(zip(lines[0], body, strict=True))


def test_each_number_stands_where_it_belongs(rows):
    write_appendix(rows)
    found = markdown_cells((rows / "nas.md").read_text(), "a")
    assert found["Enc."] == "4"
    assert found["Dec."] == "3"
    assert found["Ch."] == "8"
    assert found["Max FLOPs [G]"] == "10"
    assert found["Trainable: ours"] == "yes"
    assert found["SSIM, search pairs: found, inherited weights"] == "0.7123"
    assert found["SSIM, validation pairs, from scratch: found"] == "0.9020 ± 0.0028"
    assert found["SSIM, validation pairs, from scratch: random"] == "0.8905 ± 0.0007"
    assert found["SSIM, validation pairs, from scratch: plain"] == "0.9110 ± 0.0014"
    assert found["SSIM, paper's set"] == "0.824"
    assert found["FLOPs [G]: found"] == f"{SPACE.cost(Genotype(GENES['found'])).paper_gflops:.2f}"
    assert found["FLOPs [G]: paper"] == "4.96"


def test_the_page_has_all_columns_and_the_search_s_numbers(rows):
    html = write_appendix(rows).read_text(encoding="utf-8")
    got = Page(html)
    for column in (*RESULTS, *SEARCH):
        assert column.title in got.text
    for number in ("4,321", "5.25", "120", "31", "17", "43 %", "0.9020 ± 0.0028"):
        assert number in got.text
    for part in ("Steps 300", "Samples seen 2,400 (batch size 8)", "Crop 96", "Precision 32-true", "Seeds 0, 1"):
        assert part in got.text
    assert "cpu, Test Processor, 2 threads" in got.text
    assert "search pairs, which are of the training split" in got.text


def test_the_csv_has_every_row_unrounded(rows):
    write_appendix(rows)
    with open(rows / "nas.csv", newline="", encoding="utf-8") as file:
        a, e, f = csv.DictReader(file)
    assert float(a["found_ssim_validation_pairs"]) == pytest.approx(0.902)
    assert a["inherited_ssim_search_pairs"] == "0.7123"
    assert (a["paper_ssim"], a["paper_gflops"], a["found_seeds"]) == ("0.824", "4.96", "2")
    assert (e["supernet_status"], e["supernet_step"], e["supernet_reason"]) == ("diverged", "212", "loss is nan")
    assert e["found_gflops"] == ""
    assert f["found_ssim_validation_pairs"] == ""
    assert float(f["found_gflops"]) > 0


def test_each_set_of_pairs_has_a_panel_of_its_own(rows):
    panels = {trace.name: (trace.yaxis or "y", tuple(trace.y)) for trace in scatter(read_appendix(rows)).data}
    assert panels["found, inherited weights"] == ("y", (0.7123, 0.7123))
    assert panels["found"] == ("y2", (pytest.approx(0.902),))
    assert panels["random, of the same cost"][0] == "y2"
    assert panels["hand-designed, on the same budget"] == ("y2", (pytest.approx(0.935),))
    assert panels["paper: found by NAS"] == ("y3", (0.824,))
    assert panels["paper: hand-designed"] == ("y3", (0.972, 0.971))


def test_error_bars_are_the_spread_over_seeds(rows):
    (found,) = (trace for trace in scatter(read_appendix(rows)).data if trace.name == "found")
    assert found.error_y.array == (pytest.approx(0.002828, abs=1e-6),)


def test_the_threshold_is_drawn_with_ours_only_where_it_is_near(rows, fake):
    def levels():
        return [shape.y0 for shape in scatter(read_appendix(rows)).layout.shapes if shape.yref == "y2"]

    assert levels() == [0.8712, 0.966]
    fake.seeds("proposed", [0.55, 0.55], role="reference", arch=MagnifierConfig.proposed())
    for name in GENES:
        trained(fake, "a", name, [0.5])
    assert levels() == [0.8712]


def test_a_diverged_supernet_is_told_in_full(rows):
    got = Page(write_appendix(rows).read_text(encoding="utf-8")).text
    told = (
        "e: the supernet diverged at step 212: loss is nan; last finite gradient norm 3.25e+09; path conv7 skip conv5."
    )
    assert told in got
    assert "4.5e+09" in got
    assert "2 of 3 supernets could be trained, e diverged; of these rows, the paper reports e and f as failed." in got
    assert markdown_cells((rows / "nas.md").read_text(), "e")["Trainable: ours"] == "no"


def test_missing_and_diverged_trainings_are_told(rows):
    record = RowRecord.read(rows / "f")
    record.networks["plain"]["diverged"] = [{"seed": 3, "reason": "loss is not finite at step 9"}]
    record.networks["random"]["runs"] = ["random-seed0"]  # and no such directory
    record.write(rows / "f")
    html = write_appendix(rows).read_text(encoding="utf-8")
    got = Page(html).text
    assert "f: found has not been trained from scratch yet." in got
    assert "f: random has not been trained from scratch yet." in got
    assert "f: plain, seed 3, diverged from scratch: loss is not finite at step 9." in got
    found = markdown_cells((rows / "nas.md").read_text(), "f")
    assert found["SSIM, validation pairs, from scratch: found"] == "not trained yet"
    assert found["SSIM, validation pairs, from scratch: plain"] == "diverged"


def test_rows_that_have_only_begun(tmp_path):
    write_row(tmp_path, "a", supernet={}, search={}, networks={})
    write_row(tmp_path, "b", search={}, networks={})
    got = Page(write_appendix(tmp_path).read_text(encoding="utf-8")).text
    assert "a: the supernet has not been trained yet." in got
    assert "b: not searched yet." in got
    assert "1 of 1 supernet could be trained" in got
    assert history(read_appendix(tmp_path).rows) is None


def test_the_verdict_compares_with_chance_and_with_the_hand_designed_model(rows):
    got = Page(write_appendix(rows).read_text(encoding="utf-8")).text
    assert "a higher SSIM than a random one of its cost in 1 of 1 row, in 1 of them by more than twice" in got
    assert "The network found is not above the hand-designed model on the same budget (SSIM 0.9350 ± 0.0071" in got
    assert "Small budget: at most 2,400 samples" in got
    assert "Nothing learned enough" not in got
    assert "too few steps" not in got


def test_the_verdict_with_one_seed_claims_no_difference(fake):
    write_row(fake.directory, "a")
    trained(fake, "a", "found", [0.95])
    trained(fake, "a", "random", [0.90])
    got = Page(write_appendix(fake.directory).read_text(encoding="utf-8")).text
    assert "in 1 of 1 row; with one seed each, the spread that chance alone gives is not known." in got


def test_what_lies_below_copying_is_not_ranked(fake):
    record = write_row(fake.directory, "a")
    record.search["cost_percentile"] = 0.03
    record.supernet["inverted"] = True
    record.write(fake.directory / "a")
    trained(fake, "a", "found", [0.5])
    got = Page(write_appendix(fake.directory).read_text(encoding="utf-8")).text
    assert (
        "Nothing learned enough to be ranked: the best of all networks trained from scratch reaches SSIM 0.5000" in got
    )
    assert "returning frame B unchanged 0.8712" in got
    assert "among the cheapest 10 % of its space in 1 of 1 search" in got
    assert "below its smallest in 1: signs" in got


def test_a_reference_of_another_budget_is_warned_of_and_not_compared(rows, fake):
    fake.seeds("proposed", [0.93, 0.94], role="reference", arch=MagnifierConfig.proposed(), steps=9000)
    got = Page(write_appendix(rows).read_text(encoding="utf-8"))
    assert "warning" in got.ids()
    assert "the hand-designed model on the same budget (SSIM" not in got.text


def test_nothing_is_loaded_from_elsewhere_and_text_is_escaped(rows):
    evil = "<img src=http://evil.example/x onerror=alert(1)></script>"
    record = RowRecord.read(rows / "e")
    record.supernet |= {"reason": evil, "paths": [evil]}
    record.write(rows / "e")
    record = RowRecord.read(rows / "f")
    record.name, record.networks["found"]["genes"] = evil, [evil] * 7
    record.write(rows / "f")
    html = write_appendix(rows).read_text(encoding="utf-8")
    assert "<img" not in html
    got = Page(html)
    assert not [tag for tag, _ in got.tags if tag in ("img", "link", "iframe", "object", "embed")]
    assert not [attrs for _, attrs in got.tags if {"src", "href", "action", "data"} & attrs.keys()]
    policy = next(attrs["content"] for _, attrs in got.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert got.text.count(evil) >= 4


BROKEN = {
    "not JSON": "{",
    "a list": "[]",
    "unknown key": lambda told: told | {"extra": 1},
    "networks are a list": lambda told: told | {"networks": []},
    "supernet is a number": lambda told: told | {"supernet": 3},
    "space without blocks": lambda told: told | {"space": {"init_args": {}}},
    "a network without genes": lambda told: told | {"networks": {"found": {"gflops": 1.0, "params": 1}}},
    "too few genes": lambda told: told | {"networks": {"found": told["networks"]["found"] | {"genes": ["conv3"]}}},
    "a network that is text": lambda told: told | {"networks": {"found": "none"}},
    "history of words": lambda told: told | {"search": {"history": [["many", 0.5]]}},
    "attainable of one": lambda told: told | {"attainable": [1.0]},
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_malformed_record_is_refused_in_one_line(name, tmp_path):
    write_row(tmp_path, "a")
    path, broken = tmp_path / "a/row.json", BROKEN[name]
    text = broken if isinstance(broken, str) else json.dumps(broken(json.loads(path.read_text())))
    path.write_text(text)
    with pytest.raises(InputError, match=r"a/row\.json: ") as caught:
        write_appendix(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "nas.html").exists()


def test_a_directory_without_rows_is_refused(tmp_path):
    with pytest.raises(InputError, match="no row in it"):
        write_appendix(tmp_path)


def test_blocks_are_those_of_the_genotype(rows):
    svg = blocks_svg([of_genes("a", "note", (2, 1, 1, 3), GENES["found"])])
    counts = {kind: svg.count(f'class="block {kind}"') for kind in ("conv3", "conv5", "conv7", "skip")}
    assert counts == {kind: GENES["found"].count(kind) for kind in counts}
    html = write_appendix(rows).read_text(encoding="utf-8")
    shown = [*GENES["found"], *GENES["random"]] * 2  # of rows a and f
    assert html.count('class="block skip"') == shown.count("skip")
    assert html.count('class="block conv7"') == shown.count("conv7")
    assert html.count('class="block conv3"') == shown.count("conv3") + 36  # and the proposed model's decoder
    assert html.count('class="network"') == 5


def test_hand_designed_networks_as_blocks():
    baseline = of_arch("baseline", "", asdict(MagnifierConfig.baseline()))
    parts = (baseline.common, baseline.texture, baseline.shape, baseline.decoder)
    assert [len(part) for part in parts] == [3, 2, 2, 9]
    assert (baseline.linear, baseline.manipulator) == ("", True)
    proposed = of_arch("proposed", "", MagnifierConfig.proposed().to_dict())
    assert (proposed.linear, proposed.manipulator, len(proposed.decoder)) == (f"linear, 9{TIMES}9", False, 36)
    assert len(proposed.common) == 0
    assert cost(MagnifierConfig.proposed()).paper_gflops == pytest.approx(9.86, abs=0.01)


def test_history_has_a_line_for_each_search(rows):
    lines = history(read_appendix(rows).rows).data
    assert [line.name for line in lines] == ["a", "f"]
    assert tuple(lines[0].y) == (0.701, 0.7123)
