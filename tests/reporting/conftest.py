"""A sweep that never ran: run directories with results that only have to look like real ones."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_mm.cost import cost
from lightning_mm.models import MagnifierConfig
from lightning_mm.runs import Results


class FakeSweep:
    """Writes runs below a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(
        self, where, ssim, role="trial", overrides=None, arch=None, lpips=0.2, absent=None, latency=None, config=None,
        device="cpu", floor=0.8712, **budget
    ):  # fmt: skip
        overrides = {} if overrides is None else overrides
        fields = {k.removeprefix("model.arch."): v for k, v in overrides.items() if k.startswith("model.arch.")}
        arch = arch or MagnifierConfig(**fields)
        run_dir = self.directory / where
        results = Results(
            name=run_dir.name,
            role=role,
            overrides=overrides,
            arch=arch.to_dict(),
            cost=asdict(cost(arch)),
            metrics={"ssim": ssim, "psnr": 27.125, "lpips": lpips},
            absent=absent or {},
            floors={
                "frame_b": {"ssim": floor, "psnr": 23.1, "lpips": 0.41},
                "linear_eulerian": {"ssim": 0.8641, "psnr": 22.7, "lpips": None},
            },
            definitions={"ssim": "SSIM of the test, fingerprint 3fa91b22c0de"},
            validation={"name": "synthetic", "pairs": 64, "height": 96, "width": 128, "digest": "9c1e77b0a2f4"},
            budget={"steps": 300, "samples": 2400, "batch_size": 8, "crop": 96, "precision": "32-true", "seed": 7}
            | {"train_seconds": 61.0}
            | budget,
            hardware={"device": device, "processor": "Test Processor", "threads": 2},
            latency={} if latency is None else timing(latency),
            versions={"python": "3.11.9", "torch": "2.13.0"},
            commit="0123456789abcdef+changes",
            config=config or {},
        )
        results.write(run_dir)
        self.samples(run_dir)
        return run_dir

    def samples(self, run_dir):
        """Four pairs of 96 x 128: red A, green B, blue target, and an output that is grey by the pair's number."""
        pixels = np.zeros((4, 96, 4, 128, 3), np.uint8)
        for column in range(3):
            pixels[:, :, column, :, column] = 200
        pixels[:, :, 3] = (40 * np.arange(4))[:, None, None, None]
        Image.fromarray(pixels.reshape(384, 512, 3)).save(run_dir / "samples.png")

    def trial(self, number, ssim, seed=None, latency=None, **arch):
        """One trial, of one seed among several where one is given."""
        where = f"trials/{number:04d}" + ("" if seed is None else f"-seed{seed}")
        overrides = {f"model.arch.{k}": v for k, v in arch.items()}
        return self.run(where, ssim, overrides=overrides, latency=latency, **({} if seed is None else {"seed": seed}))

    def seeds(self, where, scores, **values):
        """One model trained with seeds 0, 1, ...: a run for each score."""
        for seed, ssim in enumerate(scores):
            self.run(f"{where}-seed{seed}", ssim, seed=seed, **values)

    def references(self, proposed=0.9195, baseline=0.9342):
        self.run("references/proposed", proposed, role="reference")
        self.run("references/baseline", baseline, role="reference", arch=MagnifierConfig.baseline())

    def sweep_file(self, **values):
        (self.directory / "sweep.json").write_text(json.dumps(values))


def timing(ms):
    """A latency of 384 x 384."""
    return {
        "ms": ms, "lower_ms": 0.9 * ms, "upper_ms": 1.2 * ms, "height": 384, "width": 384, "precision": "32-true"
    }  # fmt: skip


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
    )
    return fake.directory
