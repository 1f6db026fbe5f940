"""``sweep promote``: from a model that a sweep has found to an experiment file for its full-length training."""

from pathlib import Path
from typing import Any

import yaml

from lightning_mm.errors import InputError
from lightning_mm.reporting.collect import collect
from lightning_mm.reporting.model import Model
from lightning_mm.reporting.run import without_seed
from lightning_mm.reporting.sweep import Sweep
from lightning_mm.runs import require_writable, write_text_atomically

HAND_DESIGNED = Path("experiments/proposed.yaml")
_SEEDS = (0, 1, 2)


def promote(directory: Path, trial: str | None = None, output: Path | None = None) -> Path:
    """Write the experiment file of a model on a sweep's Pareto front, for a full-length training with several seeds.

    Args:
        directory: Directory of the sweep, such as runs/tradeoff.
        trial: Number of the trial, such as 0007, as the report names it. When left out, the highest SSIM among those
            that dominate the hand-designed model, or on the front where none does.
        output: File to write; experiments/SWEEP-TRIAL.yaml when left out. It must not exist.

    Returns:
        The file.

    Raises:
        InputError: There is no such sweep or trial, the trial is not on the front, or the file exists.
    """
    sweep = collect(directory)
    model = _choose(sweep, trial)
    number = _number(model)
    path = output or Path("experiments") / f"{sweep.name}-{number}.yaml"
    if path.exists():
        raise InputError(f"output {path}: exists; choose another, or delete it")
    require_writable(path, "output")
    write_text_atomically(path, _text(sweep, model, path.stem))
    print(f"wrote {path}: {model.label}, {_figures(model)}")
    print("train it and the hand-designed model at full length, once per seed, and compare them:")
    for config in (path, HAND_DESIGNED):
        for seed in _SEEDS:
            more = f"--seed_everything {seed} --data.seed {seed} --run.dir runs/full/{config.stem}-seed{seed}"
            print(f'  make train CONFIG={config} ARGS="{more}"')
    print("  lightning-mm report runs/full --compare true")
    return path


def _choose(sweep: Sweep, trial: str | None) -> Model:
    front = [model for front in sweep.fronts() for model in front if model.is_trial]
    if not front:
        raise InputError(f"{sweep.directory}: no trial is on its Pareto front")
    if trial is None:
        better = [model for model in front if sweep.dominates_hand_designed(model)]
        return max(better or front, key=lambda model: model.ssim or 0.0)
    wanted = trial.removeprefix("trial ").zfill(4)
    for model in sweep.trials:
        if _number(model) == wanted:
            if model not in front:
                names = ", ".join(one.label for one in front)
                raise InputError(f"trial {trial}: not on the Pareto front of {sweep.directory}; on it are {names}")
            return model
    raise InputError(f"trial {trial}: no such finished trial in {sweep.directory}")


def _text(sweep: Sweep, model: Model, name: str) -> str:
    results, budget = model.results, model.results.budget
    config: dict[str, Any] = {"model": {"arch": {k: v for k, v in results.arch.items() if v is not None}}}
    for key, value in results.overrides.items():
        tree = config
        *parts, last = key.split(".")
        for part in parts:
            tree = tree.setdefault(part, {})
        tree[last] = value
    config["run"] = {"dir": f"runs/{name}"}
    seeds = f"seed{'s' if len(model.seeds) > 1 else ''} {', '.join(map(str, model.seeds))}"
    lines = [
        f"Found by the sweep '{sweep.name}' as {model.label}: {_figures(model)}, after",
        f"{budget['samples']:,} samples of {budget['crop']} px, {budget['precision']}, {seeds}, on "
        f"{results.device_name}.",
        "As the other files here it is merged into base.yaml; the budget of the sweep is not part of it.",
    ]
    return "".join(f"# {line}\n" for line in lines) + yaml.safe_dump(config, sort_keys=False)


def _number(model: Model) -> str:
    return without_seed(model.path.name, model.first.seed)


def _figures(model: Model) -> str:
    gflops, params = model.results.cost["paper_flops"] / 1e9, model.results.cost["params"]
    return f"SSIM {model.ssim:.4f} at {gflops:.2f} G of the paper's FLOPs and {params:,} parameters"
