"""Named variants: paired differences from the unchanged recipe against numbers worked out by hand."""

import io

import pytest
from rich.console import Console

from lightning_mm.reporting.collect import collect
from lightning_mm.reporting.html import page
from lightning_mm.reporting.table import print_table
from lightning_mm.reporting.variants import variants


@pytest.fixture
def sweep(fake):
    """Three variants, one of which lacks a seed."""
    scores = {"recipe": [0.80, 0.84], "slow": [0.81, 0.83], "no_averaging": [0.70]}
    settings = {"recipe": {}, "slow": {"model.optim.lr": 1e-4}, "no_averaging": {"run.ema_decay": 0.0}}
    for name, values in scores.items():
        for seed, ssim in enumerate(values):
            overrides = {**settings[name], "data.seed": seed, "seed_everything": seed}
            fake.run(f"variants/{name}-seed{seed}", ssim, role="variant", overrides=overrides, seed=seed)
    return collect(fake.directory)


def printed(sweep):
    console = Console(file=io.StringIO(), width=200)
    print_table(sweep, console)
    return console.file.getvalue().split("variants", 1)[1]


def test_seeds_are_put_together(sweep):
    assert {v.label: (v.seeds, v.settings) for v in variants(sweep)} == {
        "recipe": ([0, 1], {}),
        "slow": ([0, 1], {"model.optim.lr": 1e-4}),
        "no_averaging": ([0], {"run.ema_decay": 0.0}),
    }


def test_means_spreads_and_differences_seed_by_seed(sweep):
    text = printed(sweep)
    slow = next(line for line in text.splitlines() if line.strip().startswith("slow"))
    # (0.81 - 0.80, 0.83 - 0.84): mean 0, standard deviation 0.01 * sqrt(2); of the scores themselves likewise.
    for part in ("0, 1", "0.8200 ± 0.0141", "0.0000 ± 0.0141", "27.12 ± 0.00", "model.optim.lr = 0.0001"):
        assert part in slow, slow
    single = next(line for line in text.splitlines() if line.strip().startswith("no_averaging"))
    assert "0.7000" in single
    assert "\N{MINUS SIGN}0.1000" in single
    assert "± 0" not in single


def test_the_page_has_them_and_a_sweep_without_variants_has_no_such_part(sweep, sweep_dir, fake):
    assert "0.8200 ± 0.0283" in page(sweep)
    for run in sweep.runs:
        (run.path / "results.json").unlink()
    assert 'id="variants"' not in page(collect(fake.directory))
