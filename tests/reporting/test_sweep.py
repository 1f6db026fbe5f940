"""Which runs count, what the objectives are, and how a budget study is judged."""

import io

import pytest
from rich.console import Console

from lightning_mm.errors import InputError
from lightning_mm.models import MagnifierConfig
from lightning_mm.reporting.collect import collect
from lightning_mm.reporting.html import page
from lightning_mm.reporting.provenance import provenance
from lightning_mm.reporting.scatter import scatter
from lightning_mm.reporting.table import print_table
from lightning_mm.reporting.verdict import verdict

TRADE_OFF, LATENCY = ["ssim", "flops"], ["ssim", "latency"]


def trial(number, state, **more):
    return {"number": number, "run": f"trials/{number:04d}", "state": state, **more}


def printed(directory, width=120):
    console = Console(file=io.StringIO(), width=width)
    print_table(collect(directory), console)
    return console.file.getvalue()


def test_only_runs_of_complete_trials_count(fake):
    fake.references(proposed=0.90, baseline=0.91)
    fake.trial(0, 0.92, seed=0, decoder_depth=4)
    fake.trial(1, 0.99, seed=0, decoder_depth=5)  # the best of all, but its second seed diverged
    fake.trial(2, 0.98, decoder_depth=6)
    fake.trial(3, 0.97, decoder_depth=7)  # lost once, then complete
    trials = [
        trial(0, "complete", values=[0.92, 9.0]),
        trial(1, "failed", reason="the loss became nan at step 9"),
        trial(2, "running"),
        trial(3, "lost"),
        trial(4, "complete", values=[0.97, 9.0]) | {"run": "trials/0003"},
    ]
    fake.sweep_file(objectives=TRADE_OFF, trials=trials)
    sweep = collect(fake.directory)
    assert [model.label for model in sweep.models] == ["trial 0003", "trial 0000", "baseline", "proposed"]
    assert [(run.label, state) for run, state in sweep.left_out] == [
        ("trial 0001-seed0", "failed"),
        ("trial 0002", "running"),
    ]
    html = page(sweep)
    assert "comes from complete trials with finite values only" in html
    assert "trial 0001-seed0 (failed), trial 0002 (running)" in html
    assert "<strong>trial 0001</strong>: the loss became nan at step 9" in html
    assert "the best trial, trial 0003, SSIM 0.9700" in html


def test_without_any_that_counts_there_is_no_report(fake):
    fake.trial(0, 0.9, decoder_depth=4)
    fake.sweep_file(trials=[trial(0, "failed")])
    with pytest.raises(InputError, match="none of its 1 finished runs is of a complete trial"):
        collect(fake.directory)


def test_every_state_is_counted_and_references_are_not_trials(fake):
    fake.references()
    states = ["complete", "pruned", "pruned", "infeasible", "failed", "failed", "lost", "running", "waiting"]
    trials = [trial(i, state, reason="out of memory" if state == "failed" else None) for i, state in enumerate(states)]
    trials.append(trial(0, "complete", values=[0.9, 1.0]) | {"run": "references/proposed"})
    fake.sweep_file(target_trials=12, trials=trials)
    text = " ".join(printed(fake.directory).split())
    expected = "1 complete, 2 pruned, 1 infeasible, 2 failed, 1 lost, 1 running, 1 waiting, 12 asked for"
    assert f"Trials: {expected}; only complete ones" in text
    html = page(collect(fake.directory))
    for name, count in (("asked for", 12), ("complete", 1), ("pruned", 2), ("infeasible", 1), ("lost", 1)):
        assert f"<dt>{name}</dt><dd>{count}</dd>" in html
    assert "<strong>trial 0004, trial 0005</strong>: out of memory" in html


def test_latency_as_objective_decides_front_and_domination(fake):
    fake.run("references/proposed", 0.90, role="reference", latency=10.0)
    slow, quick = {"model.arch.decoder_depth": 2}, {"model.arch.decoder_depth": 72}
    fake.run("trials/0000", 0.91, overrides=slow, latency=20.0)  # fewer FLOPs, but slower
    fake.run("trials/0001", 0.92, overrides=quick, latency=5.0)  # more FLOPs, but quicker
    fake.sweep_file(objectives=LATENCY)
    sweep = collect(fake.directory)
    assert [plane.cost for plane in sweep.planes] == ["latency", "flops"]
    assert [[m.label for m in front] for front in sweep.fronts()] == [["trial 0001"]]
    assert "1 of 2 trials dominates the hand-designed model on this budget (no more latency" in " ".join(verdict(sweep))
    figure = scatter(sweep)
    assert "384 pixels, 32-true, batch 1, on cpu, Test Processor, 2 threads" in figure.layout.xaxis.title.text
    points = next(trace for trace in figure.data if trace.name == "bottleneck 1/4")
    assert list(points.x) == [5.0, 20.0]
    assert list(points.error_x.array) == pytest.approx([1.0, 4.0])  # third quartile minus median
    fake.sweep_file(objectives=TRADE_OFF)
    sweep = collect(fake.directory)
    assert [[m.label for m in front] for front in sweep.fronts()] == [["trial 0000", "trial 0001"]]
    assert [plane.cost for plane in sweep.planes] == ["flops", "latency"]
    assert '<div id="scatter-latency"' in page(sweep)


@pytest.mark.parametrize("other", [{"device": "NVIDIA H100"}, {"height": 720}, {"precision": "bf16-mixed"}])
def test_latencies_of_other_conditions_are_not_compared(fake, other):
    for number in range(3):
        fake.trial(number, 0.9, latency=10.0, decoder_depth=number + 2)
    path = fake.run("trials/0003", 0.95, overrides={"model.arch.decoder_depth": 9}, latency=1.0, **(
        other if "device" in other else {}
    )) / "results.json"  # fmt: skip
    if "device" not in other:
        ((key, value),) = other.items()
        old = '"height": 384' if key == "height" else '"precision": "32-true"\n  },\n  "versions"'
        new = old.replace("384", str(value)).replace("32-true", str(value))
        text = path.read_text()
        head, tail = text.split('"latency": {')
        assert old in tail
        path.write_text(head + '"latency": {' + tail.replace(old, new))
    sweep = collect(fake.directory)
    costs = {model.label: sweep.planes[1].of(model) for model in sweep.models}
    assert costs == {"trial 0000": 10.0, "trial 0001": 10.0, "trial 0002": 10.0, "trial 0003": None}
    assert "trial 0003 is left out: not measured, or under other conditions" in page(sweep)


def test_without_any_latency_there_is_no_second_scatter(sweep_dir):
    html = page(collect(sweep_dir))
    assert 'id="scatter-latency"' not in html
    assert "latency [ms]" not in html


def test_bound_of_a_budget_study_is_a_line_and_in_the_verdict(fake):
    fake.references(proposed=0.91)
    fake.trial(0, 0.92, decoder_depth=4)
    fake.trial(1, 0.90, decoder_depth=6)
    fake.sweep_file(objectives=["ssim"], constraints={"flops": 10.0, "params": 0.8})
    sweep = collect(fake.directory)
    lines = [shape for shape in scatter(sweep).layout.shapes if shape.x0 == shape.x1]
    assert [line.x0 for line in lines] == [10.0]
    assert "bound of the search: 10 G" in [note.text for note in scatter(sweep).layout.annotations]
    text = " ".join(verdict(sweep))
    assert "1 of 2 trials within 10 G FLOPs and 0.8 M parameters has a higher SSIM than the hand-designed model" in text
    fake.sweep_file(objectives=TRADE_OFF)
    assert not [shape for shape in scatter(collect(fake.directory)).layout.shapes if shape.x0 == shape.x1]


def test_hand_designed_model_by_architecture_but_not_of_a_search(fake):
    fake.run("references/ours", 0.91, role="reference")
    fake.run("trials/0000", 0.95, overrides={"model.arch.decoder_depth": 36})  # the same architecture, found by search
    fake.run("variants/recipe", 0.95, role="variant")
    found = {model.label: model.is_hand_designed for model in collect(fake.directory).models}
    assert found == {"ours": True, "trial 0000": False, "recipe": False}


@pytest.mark.parametrize("seeds", [1, 3])
def test_terminal_table_fits_120_columns(fake, seeds):
    for number, depth in enumerate((4, 36)):
        fake.seeds(
            f"trials/{number:04d}", [0.9 + 0.001 * s for s in range(seeds)], latency=1234.56,
            overrides={"model.arch.decoder_depth": depth, "model.arch.encoder": "residual"},
        )  # fmt: skip
    fake.run("references/baseline", 0.95, role="reference", arch=MagnifierConfig.baseline(), seed=0)
    text = printed(fake.directory)
    for part in ("≥ 0.966", "1234.56", "966,979", "encoder=residual", *(["±0.0010"] if seeds > 1 else [])):
        assert part in text
    assert "…" not in text


def test_many_models_are_capped_in_the_terminal_and_not_on_the_page(fake):
    for number in range(70):
        fake.trial(number, 0.90 + 0.0001 * number, decoder_depth=number + 2)
    fake.run("references/proposed", 0.1, role="reference")
    text = printed(fake.directory)
    rows = [line for line in text.splitlines() if line.strip().startswith("trial 0")]
    assert "proposed" in text
    assert len(rows) == 70  # every one of them is on the front: depth buys SSIM
    for number in range(70):
        fake.trial(number, 0.90 - 0.0001 * number, decoder_depth=number + 2)
    text = printed(fake.directory)
    assert len([line for line in text.splitlines() if line.strip().startswith("trial 0")]) == 50
    assert "20 more models are in the page alone." in text
    assert page(collect(fake.directory)).count('<tbody class="run') == 71


def test_time_outside_training_is_that_of_the_trial_less_every_seed_s_training(fake):
    fake.seeds("trials/0000", [0.91, 0.92], overrides={"model.arch.decoder_depth": 4}, train_seconds=61.0)
    fake.seeds("trials/0001", [0.91, 0.92], overrides={"model.arch.decoder_depth": 5}, train_seconds=40.0)
    fake.seeds("trials/0002", [0.91, 0.92], overrides={"model.arch.decoder_depth": 6}, train_seconds=40.0)
    trials = [
        {"number": number, "run": f"trials/{number:04d}", "state": state, "values": [0.9, 1.0]}
        | {"started": "2026-11-25T10:00:00", "ended": f"2026-11-25T10:0{minutes}:{seconds}"}
        for number, state, minutes, seconds in (
            (0, "complete", 2, "10"),
            (1, "complete", 1, "23"),
            (2, "failed", 9, "00"),
        )
    ]
    fake.sweep_file(name="timed", trials=trials)
    sweep = collect(fake.directory)
    assert sweep.seconds_outside_training() == [130 - 2 * 61, 83 - 2 * 40]
    assert dict(provenance(sweep))["Outside training"].startswith("median 5.5 s per model (")
