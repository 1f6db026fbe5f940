"""Progress of a search against areas counted cell by cell and compute added up by hand."""

import itertools
import math
import random

import pytest

from lightning_mm.errors import InputError
from lightning_mm.pareto import Point, hypervolume
from lightning_mm.reporting.collect import collect
from lightning_mm.reporting.html import page
from lightning_mm.reporting.progress import progress


def area_by_cells(points, reference):
    """Area of the union of rectangles between each point and the reference: cells of the grid of all coordinates."""
    inside = [p for p in points if p.cost < reference.cost and p.quality > reference.quality]
    xs = sorted({p.cost for p in inside} | {reference.cost})
    ys = sorted({p.quality for p in inside} | {reference.quality})
    area = 0.0
    for (x0, x1), (y0, y1) in itertools.product(itertools.pairwise(xs), itertools.pairwise(ys)):
        if any(p.cost <= x0 and p.quality >= y1 for p in inside):
            area += (x1 - x0) * (y1 - y0)
    return area


@pytest.mark.parametrize("seed", range(30))
def test_hypervolume_equals_the_area_counted_by_cells(seed):
    rng = random.Random(seed)
    points = [Point(rng.randrange(12), rng.randrange(12)) for _ in range(rng.randrange(25))]
    reference = Point(9, 3)
    assert hypervolume(points, reference) == pytest.approx(area_by_cells(points, reference))


def test_hypervolume_of_nothing_and_of_the_unknown():
    assert hypervolume([], Point(1.0, 0.0)) == 0.0
    assert hypervolume([Point(None, 0.5), Point(0.5, math.nan), Point(2.0, 1.0)], Point(1.0, 0.0)) == 0.0


def record(number, state, begin, end, values=None, **more):
    """A trial that ran from and to a minute of the same hour."""
    times = {"started": f"2026-11-25T10:{begin:02d}:00", "ended": f"2026-11-25T10:{end:02d}:00"}
    return {"number": number, "run": f"trials/{number:04d}", "state": state, "values": values, **times, **more}


TRIALS = [
    record(0, "complete", 0, 10, [0.90, 10.0]),
    record(1, "complete", 0, 4, [0.88, 1.0]),  # ended first
    record(2, "failed", 10, 12),
    record(3, "pruned", 12, 13),
    record(4, "complete", 13, 20, [0.80, 20.0]),  # dominated
    record(5, "running", 20, 20) | {"ended": None},
    record(6, "lost", 14, 16),
    {"number": 7, "state": "complete", "run": "trials/0007", "values": [0.999, 0.1]},  # without times
    record(8, "complete", 0, 50, [0.95, 5.0]) | {"run": "references/proposed"},  # not of the search
]


@pytest.fixture
def sweep(fake):
    for trial in (0, 1, 4, 7):
        fake.trial(trial, 0.9, decoder_depth=trial + 1)
    fake.run("references/proposed", 0.89, role="reference")
    fake.sweep_file(objectives=["ssim", "flops"], trials=TRIALS)
    return lambda: collect(fake.directory)


def test_compute_is_that_of_all_trials_of_the_search_in_order_of_their_end(sweep):
    found = progress(sweep())
    assert [r.number for r in found.records] == [1, 0, 2, 3, 6, 4]
    assert found.seconds == [60.0 * minutes for minutes in (4, 14, 16, 17, 19, 26)]
    assert found.untimed == 1


def test_hypervolume_of_a_trade_off_study(sweep):
    found = progress(sweep())
    # Reference point: 1.1 times the highest cost of the timed complete trials, and SSIM 0.8712 of returning frame B.
    first = (math.log10(22) - math.log10(1)) * (0.88 - 0.8712)
    second = first + (math.log10(22) - math.log10(10)) * (0.90 - 0.88)
    assert found.values == pytest.approx([first, second, second, second, second, second])
    assert "reference point at 22 G FLOPs" in found.explanation
    assert "SSIM 0.8712 (returning frame B)" in found.explanation


def test_without_a_floor_the_reference_is_the_lowest_ssim(fake, sweep):
    for path in fake.directory.rglob("results.json"):
        path.write_text(path.read_text().replace('"ssim": 0.8712', '"ssim": null'))
    found = progress(sweep())
    assert "SSIM 0.8000 (the lowest of any complete trial)" in found.explanation
    assert found.values[0] == pytest.approx(math.log10(22) * 0.08)


def test_where_nothing_beats_the_floor_the_reference_is_the_lowest_ssim(fake, sweep):
    for path in fake.directory.rglob("results.json"):
        path.write_text(path.read_text().replace('"ssim": 0.8712', '"ssim": 0.999'))
    found = progress(sweep())
    assert (
        "SSIM 0.8000 (the lowest of any complete trial, as none beats returning frame B: 0.9990)" in found.explanation
    )
    assert found.values[0] == pytest.approx(math.log10(22) * 0.08)


def test_best_ssim_of_a_budget_study(fake, sweep):
    trials = [t | ({"values": t["values"][:1]} if t.get("values") else {}) for t in TRIALS]
    trials[4]["values"] = [0.93]
    fake.sweep_file(objectives=["ssim"], constraints={"flops": 12.0}, trials=trials)
    found = progress(sweep())
    assert found.values == [0.88, 0.90, 0.90, 0.90, 0.90, 0.93]
    assert "Best SSIM so far against compute" in page(sweep())


def test_time_zones_and_their_absence_do_not_matter(fake, sweep):
    trials = [dict(t) for t in TRIALS]
    trials[0] |= {"started": "2026-11-25T12:00:00+02:00", "ended": "2026-11-25T12:10:00+02:00"}
    fake.sweep_file(objectives=["ssim", "flops"], trials=trials)
    assert [r.number for r in progress(sweep()).records] == [1, 0, 2, 3, 6, 4]


def test_a_value_that_is_not_finite_does_not_count(fake, sweep):
    trials = [dict(t) for t in TRIALS]
    trials[1]["values"] = [float("nan"), 1.0]
    fake.sweep_file(objectives=["ssim", "flops"], trials=trials)
    found = progress(sweep())
    assert found.values[0] is None
    assert "trial 0001" not in {model.label for model in sweep().models}
    assert [(run.label, state) for run, state in sweep().left_out] == [("trial 0001", "not finite")]


def test_nothing_is_drawn_without_recorded_trials(sweep_dir):
    assert progress(collect(sweep_dir)) is None
    assert 'id="progress"' not in page(collect(sweep_dir))


@pytest.mark.parametrize("wrong", [{"started": "yesterday"}, {"values": ["high"]}, {"number": None}, {"params": 3}])
def test_a_wrong_record_is_named(fake, sweep, wrong):
    fake.sweep_file(trials=[TRIALS[0] | wrong])
    with pytest.raises(InputError, match=r"sweep\.json: trials: not a record of a trial"):
        sweep()


@pytest.mark.parametrize(
    "wrong", [{"trials": {}}, {"counts": [1]}, {"objectives": "ssim"}, {"failures": [3]}, {"constraints": {"flops": 0}}]
)
def test_a_wrong_part_of_the_sweep_file_is_named(fake, sweep, wrong):
    fake.sweep_file(**wrong)
    with pytest.raises(InputError, match=rf"sweep\.json: {next(iter(wrong))}"):
        sweep()
