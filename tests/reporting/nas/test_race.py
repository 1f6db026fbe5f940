"""The page of a race, of made-up records with a known outcome."""

import random
import re

import pytest

from lightning_mm.cost import cost
from lightning_mm.errors import InputError
from lightning_mm.models import MagnifierConfig
from lightning_mm.nas.race import RaceRecord
from lightning_mm.nas.table import Measured, write_table
from lightning_mm.reporting.nas.race import write_race
from lightning_mm.reporting.nas.race_figures import finalists_figure, networks_figure, volume_figure
from lightning_mm.reporting.nas.race_records import read_race
from lightning_mm.reporting.run import DASH, signed
from tests.reporting.test_html import Page

HAND, FOUND = MagnifierConfig.proposed(), MagnifierConfig(decoder_depth=12)
SEEDS, CLAIM_SEEDS, RUNGS = [0, 1, 2], [100, 101, 102, 103, 104], [1, 2, 4]
NOISE = (0.0, 0.001, -0.001, 0.0005, -0.0005)


class FakeRace:
    """Writes a race that never ran."""

    def __init__(self, fake):
        self.fake, self.directory = fake, fake.directory
        spec = {"max_gflops": 10.0, "seconds": 400.0, "rungs": RUNGS, "final_epochs": 8, "seeds": SEEDS}
        spec |= {"claim_seeds": CLAIM_SEEDS, "margin": 0.0005, "reference_point": [0.8, 12.0]}
        self.record = RaceRecord("a race", "Of the <tests>.", "0" * 12, spec, "hand")
        self.rows, self.rng = [], random.Random(0)

    def network(self, name, arm, ssim, gflops, epochs=4):
        """Rows of a network up to a number of epochs; ``None`` for an SSIM diverges at the last of them."""
        reached = [rung for rung in RUNGS if rung <= epochs]
        for rung in reached:
            lost = ssim is None and rung == reached[-1]
            value = None if lost else (ssim or 0.9) - 0.02 * (reached[-1] - rung)
            status, seconds = "diverged" if lost else "trained", 10.0 * rung
            choices = {"encoder": "linear_9", "depth": 4}
            self.rows.append(Measured(name, arm, rung, 0, status, value, 1000, gflops, None, seconds, choices))
        return self.rows[-len(reached) :]

    def arm(self, name, networks=(), start=0.0, **values):
        """An arm that trained networks: (name, SSIM, GFLOPs, epochs)."""
        known, seconds, events = {row.architecture for row in self.rows}, start, []
        for label, ssim, gflops, epochs in networks:
            rows = [row for row in self.rows if row.architecture == label]
            for row in rows if label in known else self.network(label, name, ssim, gflops, epochs):
                seconds += 10.0
                event = {"seconds": seconds, "genes": ["linear_9", 4], "architecture": label, "epochs": row.epochs}
                events.append({**event, "ssim": row.ssim, "gflops": gflops})
        record = {"name": name, "events": events, "seconds": seconds, "duplicates": 3, "infeasible": 2}
        record |= {"diverged": sum(event["ssim"] is None for event in events), "exhausted": False, "supernet": {}}
        self.record.arms[name] = record | values

    def validity(self, count=24):
        """Random members of which the first rung's order is the last's, and inherited weights' the reverse."""
        for number in range(count):
            name = f"member{number:02}"
            self.network(name, "validity", 0.85 + 0.002 * number, self.rng.uniform(1, 9))
            self.record.validity.append(name)
            self.record.inherited[name] = 0.9 - 0.002 * number

    def finalist(self, name, arch, scores, origin=(), seeds=SEEDS):
        """A finalist and its final trainings, one for each seed."""
        report = cost(arch)
        entry = {"architecture": name, "genes": ["linear_9", 4], "arch": arch.to_dict(), "from": list(origin)}
        entry |= {"gflops": report.paper_gflops, "params": report.params}
        self.record.finalists.setdefault(name, entry)
        for seed, ssim in zip(seeds, scores, strict=False):
            where = f"final/{name}-seed{seed}"
            self.fake.run(where, ssim, role="variant", arch=arch, seed=seed, latency=12.0)
            self.record.runs.setdefault(name, {})[str(seed)] = where

    def subpixel(self, **means):
        for motion in (0.1, 0.5):
            for method, ssim in means.items():
                row = {"motion": motion, "alpha": 4.0 / motion, "noise": 0.0, "method": method, "ssim": ssim}
                self.record.subpixel.append({**row, "ssim_error": 0.01, "samples": 16})

    def write(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        self.record.write(self.directory)
        write_table(self.directory / "table.csv", self.rows)
        return self.directory


def noisy(mean, count):
    return [mean + NOISE[i % len(NOISE)] for i in range(count)]


@pytest.fixture
def race(fake):
    """A whole race whose chosen finalist wins: as good at fewer FLOPs."""
    made = FakeRace(fake)
    hand = ("hand", 0.93, 9.9, 4)
    made.arm("random", [hand, ("r1", 0.92, 5.0, 4), ("r2", 0.90, 3.0, 1), ("r3", None, 2.0, 2)])
    made.arm("halving", [hand, ("h1", 0.94, 6.0, 4), ("h2", 0.91, 2.0, 2)])
    training = {"status": "trained", "steps": 500, "device_seconds": 150.0, "inverted": True}
    training["ssim"] = {"largest": 0.5, "smallest": 0.6}
    search = {"evaluated": 48, "duplicates": 61, "infeasible": 6, "filled": 2, "seconds": 50.0}
    made.arm("supernet", [("s1", 0.925, 4.0, 4)], 200.0, supernet={"training": training, "search": search})
    made.validity()
    made.finalist("hand_designed", HAND, noisy(0.95, 3))
    made.finalist("hand_designed", HAND, noisy(0.951, 5), seeds=CLAIM_SEEDS)
    made.finalist("halving_best", FOUND, noisy(0.96, 3), ["halving"])
    made.finalist("random_best", MagnifierConfig(decoder_depth=8), noisy(0.94, 3), ["random"])
    made.finalist("random_member", MagnifierConfig(decoder_depth=4), noisy(0.92, 3))
    made.record.chosen = "halving_best"
    return made


def won(race, shift=0.004, subpixel=0.85):
    race.finalist("halving_best", FOUND, noisy(0.951 + shift, 5), seeds=CLAIM_SEEDS)
    race.subpixel(halving_best=subpixel, hand_designed=0.84, frame_b=0.7)
    return race.write()


def shown(directory):
    """The page and the Markdown."""
    path = write_race(directory)
    assert path == directory / "race.html"
    return Page(path.read_text(encoding="utf-8")), (directory / "race.md").read_text(encoding="utf-8")


def test_planted_winner_dominates(race):
    got, text = shown(won(race))
    for said in (got.text, text):
        assert "finalist (halving best) dominates the hand-designed network: difference of SSIM +0.0040" in said
        assert "chosen among 2 finalists by mean SSIM on 3 choosing seeds (0, 1, 2)" in said
        assert "the claim is on 5 fresh seeds (100, 101, 102, 103, 104)" in said
        assert "the paper's published 0.972 is not used" in said
        assert "Small budget" in said
        assert "300" in said
        assert "Test Processor" in said


def test_only_claim_seeds_decide(race):
    got, _ = shown(won(race, shift=-0.02))
    assert f"(halving best) did not win over the hand-designed network: SSIM {signed(-0.02)}" in got.text


def test_planted_copier_does_not_win(race):
    got, _ = shown(won(race, shift=0.02, subpixel=0.7))
    assert "did not win over the hand-designed network: subpixel test: 0.7000 against 0.8400" in got.text


def test_divergence_on_a_claim_seed_does_not_win(race):
    race.record.diverged = ["halving_best 104"]
    race.finalist("halving_best", FOUND, noisy(0.97, 4), seeds=CLAIM_SEEDS)
    race.subpixel(halving_best=0.85, hand_designed=0.84, frame_b=0.7)
    got, text = shown(race.write())
    assert "did not win over the hand-designed network: diverged on seed 104" in got.text
    assert re.search(r"halving best \(chosen\).*; seed 104 diverged \|", text)


def test_before_the_claim_nothing_is_decided(race):
    got, _ = shown(race.write())
    assert "It is undecided whether the chosen finalist (halving best) dominates" in got.text


def test_no_finalist(race):
    for name in ("halving_best", "random_best"):
        del race.record.finalists[name], race.record.runs[name]
    race.record.chosen = None
    got, _ = shown(race.write())
    assert "did not win over the hand-designed network: no arm returned another network" in got.text


def test_every_finalist_diverged(race):
    race.record.chosen = None
    race.record.diverged = ["halving_best 0", "random_best 2"]
    for name, seed in (("halving_best", "0"), ("random_best", "2")):
        del race.record.runs[name][seed]
    got, _ = shown(race.write())
    assert "every finalist diverged on a choosing seed" in got.text


def test_a_race_that_has_just_begun(fake):
    made = FakeRace(fake)
    made.arm("random", [("hand", 0.93, 9.9, 1)])
    got, text = shown(made.write())
    assert "Nothing can be said yet: the race has not come to its finalists." in got.text
    assert "No measurement at the last rung: random search" in got.text
    assert "No validity study" in text
    assert "volume" not in got.ids()


def test_one_arm_whose_trainings_all_diverged(fake):
    made = FakeRace(fake)
    made.arm("random", [("hand", None, 9.9, 1), ("r1", None, 3.0, 1)])
    got, text = shown(made.write())
    assert f"| random search | 20 | 2 | 0 | 0 | 3 | 2 | 2 | no | {DASH} | {DASH} | {DASH} |" in text
    assert "First all 0 networks" in got.text


def test_arms(race):
    _, text = shown(won(race))
    assert "| random search | 90 | 4 | 3 | 2 | 3 | 2 | 1 | no | 0.9200 (4) | 5.00 | 0.0200 |" in text
    assert "| multi-fidelity TPE | 80 | 3 | 3 | 2 | 3 | 2 | 0 | no | 0.9400 (4) | 6.00 | 0.0000 |" in text
    assert "took 200 s of the arm's 230 s" in text
    assert "inverted" in text
    assert "The search scored 48 networks (61 duplicates, 6 infeasible, 2 filled)." in text


def test_rankings_find_the_good_and_the_inverted_estimate(race):
    got = {item.name: item for item in read_race(won(race)).rankings}
    assert list(got) == [
        "SSIM after 1 epoch", "SSIM after 2 epochs", "SSIM with inherited weights", "GFLOPs alone", "parameters alone"
    ]  # fmt: skip
    first, inherited, flops = (got[n] for n in ("SSIM after 1 epoch", "SSIM with inherited weights", "GFLOPs alone"))
    assert (first.tau, first.networks, first.precision) == (pytest.approx(1.0), 24, 1.0)
    assert first.error == pytest.approx((2 * (2 * 24 + 5) / (9 * 24 * 23)) ** 0.5)
    assert first.trusted
    assert first.regret == 0.0
    assert inherited.tau == pytest.approx(-1.0)
    assert inherited.regret == pytest.approx(0.002 * 19)
    assert flops.tau == first.cost_tau
    assert got["parameters alone"].tau is None
    _, text = shown(race.directory)
    assert "SSIM after 1 epoch and SSIM after 2 epochs rank better than GFLOPs alone." in text


def test_diverged_members_are_left_out_of_the_ranking(race):
    race.network("lost", "validity", None, 3.0)
    race.record.validity.append("lost")
    made = read_race(won(race))
    assert {item.networks for item in made.rankings} == {24}
    assert "diverged or are not trained to the end: 1" in shown(race.directory)[1]


def test_few_members_are_said_to_be_few(race):
    race.record.validity = race.record.validity[:5]
    assert "This rests on 5 networks; below 20" in shown(won(race))[1]


def test_progress_counts_the_last_rung_alone(race):
    made = read_race(won(race))
    curves = {curve.arm: curve for curve in made.curves()}
    assert curves["random"].seconds == [30.0, 60.0]
    assert curves["random"].best == [0.93, 0.93]
    assert curves["random"].volume == pytest.approx([2.1 * 0.13, 2.1 * 0.13 + 4.9 * 0.12])
    assert (curves["supernet"].start, curves["supernet"].seconds) == (200.0, [230.0])
    lines = {trace.name: list(trace.x) for trace in volume_figure(made).data}
    assert lines["random search (2 networks)"][-1] == 90.0


def test_search_and_validation_pairs_are_never_on_one_axis(race):
    made = read_race(won(race))
    measured, final = networks_figure(made), finalists_figure(made)
    assert measured.layout.yaxis.title.text == "SSIM on the search pairs"
    assert final.layout.yaxis.title.text == "SSIM on the validation pairs"
    values = [y for trace in measured.data for y in trace.y if y is not None]
    assert max(values) == 0.94
    assert [trace.name for trace in final.data] == ["choosing seeds", "claim seeds"]
    assert {row.epochs for row in made.front} == {4}


def test_finalists_and_subpixel_tables(race):
    _, text = shown(won(race))
    assert re.search(r"\| halving best \(chosen\) \| multi-fidelity TPE \| [\d.]+ \| [\d,]+ \| 12.00 \| 0.9600 ", text)
    assert "| choice | hand-designed | halving best | random best | random member |" in text
    assert "| encoder | linear_9 | linear_9 | linear_9 | linear_9 |" in text
    assert "| return frame B | 0.7000 | 0.7000 | 0.7000 |" in text


def test_nothing_is_loaded_from_elsewhere_and_text_is_escaped(race):
    race.record.name = "<b>race</b> & co"
    directory = won(race)
    got, _ = shown(directory)
    assert not [attrs for _, attrs in got.tags if {"src", "href", "action", "data"} & attrs.keys()]
    assert not [tag for tag, _ in got.tags if tag in ("link", "iframe", "object", "embed", "tests")]
    policy = next(attrs["content"] for _, attrs in got.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    html = (directory / "race.html").read_text(encoding="utf-8")
    assert "<h1>&lt;b&gt;race&lt;/b&gt; &amp; co</h1>" in html
    assert "Of the &lt;tests&gt;." in html


def test_runs_that_are_not_comparable_are_told(race):
    directory = won(race)
    race.fake.run("final/hand_designed-seed100", 0.95, role="variant", arch=HAND, seed=100, steps=999)
    assert "warning" in shown(directory)[0].ids()


def test_missing_record_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"race\.json: cannot be read") as caught:
        write_race(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spoil", ["arms", "spec", "finalists", "chosen"])
def test_records_of_another_kind_are_one_line(race, spoil):
    values = {"arms": {"random": {}}, "spec": {"rungs": []}, "finalists": {"x": {}}, "chosen": "nobody"}
    setattr(race.record, spoil, values[spoil])
    with pytest.raises(InputError, match=r"race\.json: no record of") as caught:
        write_race(race.write())
    assert "\n" not in str(caught.value)


def test_missing_table_is_one_line(race):
    (won(race) / "table.csv").unlink()
    with pytest.raises(InputError, match=r"table\.csv"):
        write_race(race.directory)
