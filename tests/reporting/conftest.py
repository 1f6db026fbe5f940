"""A sweep that never ran: run directories with results that only have to look like real ones."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image

from lightning_mm.cost import cost
from lightning_mm.models import MagnifierConfig
from lightning_mm.runs import Results


class FakeSweep:
    """Writes runs below a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(self, where, ssim, role="trial", overrides=None, arch=None, lpips=0.2, absent=None, **budget):
        overrides = {} if overrides is None else overrides
        fields = {k.removeprefix("model.arch."): v for k, v in overrides.items() if k.startswith("model.arch.")}
        config = arch or MagnifierConfig(**fields)
        run_dir = self.directory / where
        results = Results(
            name=run_dir.name,
            role=role,
            overrides=overrides,
            arch=config.to_dict(),
            cost=asdict(cost(config)),
            metrics={"ssim": ssim, "psnr": 27.125, "lpips": lpips},
            absent=absent or {},
            floors={
                "frame_b": {"ssim": 0.8712, "psnr": 23.1, "lpips": 0.41},
                "linear_eulerian": {"ssim": 0.8641, "psnr": 22.7, "lpips": None},
            },
            definitions={"ssim": "SSIM of the test, fingerprint 3fa91b22c0de"},
            validation={"name": "synthetic", "pairs": 64, "height": 96, "width": 128, "digest": "9c1e77b0a2f4"},
            budget={"steps": 300, "samples": 2400, "batch_size": 8, "crop": 96, "precision": "32-true", "seed": 7}
            | {"train_seconds": 61.0}
            | budget,
            hardware={"device": "cpu", "processor": "Test Processor", "threads": 2},
            versions={"python": "3.11.9", "torch": "2.13.0"},
            commit="0123456789abcdef+changes",
        )
        results.write(run_dir)
        Image.new("RGB", (32, 16), (200, 40, 90)).save(run_dir / "samples.png")
        return run_dir

    def trial(self, number, ssim, **arch):
        return self.run(f"trials/{number:04d}", ssim, overrides={f"model.arch.{k}": v for k, v in arch.items()})

    def references(self, proposed=0.9195, baseline=0.9342):
        self.run("references/proposed", proposed, role="reference")
        self.run("references/baseline", baseline, role="reference", arch=MagnifierConfig.baseline())

    def sweep_file(self, **values):
        (self.directory / "sweep.json").write_text(json.dumps(values))


@pytest.fixture
def fake(tmp_path):
    """An empty sweep to write runs into."""
    return FakeSweep(tmp_path / "smoke")


@pytest.fixture
def sweep_dir(fake):
    """Three trials (one dominates the hand-designed model), two references and a sweep file."""
    fake.trial(0, 0.9, decoder_depth=4, decoder_channels=8, bottleneck=8, encoder="linear")
    fake.trial(1, 0.925, decoder_depth=12, decoder_channels=16, bottleneck=4, encoder="linear")
    fake.trial(2, 0.912, decoder_depth=12, decoder_channels=32, bottleneck=2, encoder="residual")
    fake.references()
    fake.sweep_file(
        name="smoke",
        description="A sweep of the tests",
        target_trials=5,
        counts={"complete": 3, "failed": 1, "pruned": 0, "running": 0, "waiting": 1},
        failures=[{"number": 3, "reason": "loss is not finite at step 12"}],
        storage="sqlite:///study.db",
        command="lightning-mm sweep sweeps/smoke.yaml",
    )
    return fake.directory
