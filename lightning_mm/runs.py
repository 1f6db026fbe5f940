"""What a run leaves behind: a directory with ``results.json``, the one interface between running and reporting.

::

    RUN_DIR/
      config.yaml          the full resolved configuration
      results.json         see Results
      samples.png          fixed validation pairs, one row each: frame A, frame B, target, output
      checkpoints/         last.ckpt (to continue), best.ckpt (highest validation SSIM)
      logs/version_N/      metrics.csv of each start
"""

import hashlib
import json
import os
import platform
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

from lightning_mm.errors import InputError

RESULTS_FILE = "results.json"
SAMPLES_FILE = "samples.png"
ARCH_PREFIX = "model.arch."
"""What the dotted keys of an architecture's fields begin with."""

SCHEMA = 1


@dataclass
class Results:
    """Everything a report says about one trained model. Plain JSON types only.

    Attributes:
        name: Name of the run.
        role: "trial" of a sweep, "reference" or "variant" (named ones, trained on a sweep's budget) or "run".
        overrides: The hyperparameters that distinguish this run within its sweep, dotted key to value.
        arch: Fields of ``MagnifierConfig``.
        cost: Fields of ``CostReport``: params, paper_flops, macs, flops_two_per_mac, receptive_field, height, width.
        metrics: "ssim", "psnr" (dB) and "lpips" on the validation pairs; ``None`` where absent.
        absent: Reason for each metric that is ``None``.
        floors: The same metrics for methods that need no training: "frame_b" (returns its input) and "linear_eulerian".
        definitions: In words with a fingerprint, what each metric computes.
        validation: Identity of the validation pairs: "name", "pairs", "height", "width", "digest".
        budget: "steps", "samples" and "batch_size" (over all devices), "crop", "precision", "seed", "train_seconds"
            (validation included), "samples_per_second" (over all devices and the whole training, without validation).
        hardware: "device", "devices" (processes that trained), "processor", "threads" (of each).
        latency: Fields of ``Latency`` (milliseconds per frame of video), and "precision"; empty where not measured.
        versions: Versions of Python and the packages that numbers depend on.
        commit: Git commit, with "+changes" when the tree differs from it; ``None`` outside a checkout.
        config: The full resolved configuration.
        protocols: What ``evaluate`` found on a checkpoint of this run: by protocol its "summary" of numbers, their
            "settings", and the file name of the "checkpoint". Empty in files that were written before there was such.
        schema: Version of this layout.
    """

    name: str
    role: str
    overrides: dict[str, Any]
    arch: dict[str, Any]
    cost: dict[str, Any]
    metrics: dict[str, float | None]
    absent: dict[str, str]
    floors: dict[str, dict[str, float | None]]
    definitions: dict[str, str]
    validation: dict[str, Any]
    budget: dict[str, Any]
    hardware: dict[str, Any]
    latency: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: package_versions())
    commit: str | None = field(default_factory=lambda: git_commit())
    config: dict[str, Any] = field(default_factory=dict)
    protocols: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def device_name(self) -> str | None:
        """What it was trained on: the name of the GPU, or of the processor."""
        return self.hardware.get("processor" if self.hardware.get("device") == "cpu" else "device")

    def write(self, run_dir: Path) -> Path:
        """Write ``results.json`` into a run directory, whole or not at all."""
        path = run_dir / RESULTS_FILE
        write_text_atomically(path, json.dumps(asdict(self), indent=2, allow_nan=False) + "\n")
        return path

    @classmethod
    def read(cls, run_dir: Path) -> "Results":
        """Read a run directory's ``results.json``.

        Raises:
            InputError: The file is missing, not JSON, or of another schema.
        """
        path = run_dir / RESULTS_FILE
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; a run writes it when it finishes") from None
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror})") from None
        except ValueError as error:
            raise InputError(f"{path}: not valid JSON ({error})") from None
        known = {f.name: str(f.type) for f in fields(cls)}
        data = {"protocols": {}, **data} if isinstance(data, dict) else data
        if not isinstance(data, dict) or data.get("schema") != SCHEMA or set(data) != known.keys():
            raise InputError(f"{path}: not a results file of schema {SCHEMA}")
        for name, kind in known.items():
            if kind.startswith("dict") and not isinstance(data[name], dict):
                raise InputError(f"{path}: {name} is {data[name]!r}, must be an object")
        return cls(**data)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file so that a reader, or a crash, sees the old or the new content and nothing between."""
    with atomic_file(path) as file:
        file.write(text.encode())


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes its name when it is complete and on the disk; what had the name stands until then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside it, for a move from another file system would be a copy, which a full disk cuts short.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(path: Path, option: str, folder: bool = False) -> None:
    """Find before long work that a file, or files in a folder, could not be written behind it.

    Args:
        path: What is to be written, or the folder that it goes to; neither need exist.
        option: The option that names it, for the message.
        folder: Whether it is a folder.

    Raises:
        InputError: It cannot be written.
    """
    if path.exists() and path.is_dir() != folder:
        found, wanted = ("a file", "a directory") if folder else ("a directory", "a file to write")
        raise InputError(f"{option} {path}: is {found}, must be {wanted}")
    start = (path if folder else path.parent).absolute()
    nearest = next(parent for parent in (start, *start.parents) if parent.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise InputError(f"{option} {path}: {nearest} must be a directory that can be written to")


def fingerprint(value: Any) -> str:
    """Short stable digest of plain data: the first 12 hex digits of the SHA-256 of its canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in ("lightning_mm", "torch", "lightning", "torchmetrics", "lpips", "optuna", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def git_commit() -> str | None:
    """Commit of the checkout that this package lies in, with "+changes" when its tree differs; ``None`` elsewhere."""
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--abbrev=40", "--dirty=+changes", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
