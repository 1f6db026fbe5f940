"""Table A1 as data: network, pairs, budget and removal, read from a YAML file of experiments/superres/."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from lightning_mm.configuration import PRECISIONS, as_arguments, read_dataclass
from lightning_mm.models.block_forms import Part
from lightning_mm.superres.data import ScaleDataConfig
from lightning_mm.superres.mdsr import MDSRConfig
from lightning_mm.tasks import OptimizerConfig
from lightning_mm.tasks.pairs import plain
from lightning_mm.tasks.prune import RemovalConfig

MODULES: tuple[Part, ...] = ("encoder", "decoder")


@dataclass(frozen=True)
class SuperResolutionSpec:
    """What Table A1 is made of, on some budget.

    Args:
        description: One sentence.
        epochs: Epochs of the training that all rows start from.
        removal_epochs: Epochs in which the switches are learned.
        tune_epochs: Epochs behind the cut, on the task's loss alone.
        network: Size of MDSR.
        data: Pairs.
        optim: Optimiser and schedule of each stage; Lim et al. (2017) use Adam with 1e-4, halved every 200,000 steps.
        removals: What is removed, a row each: part "encoder" or "decoder", component "block".
        precision: As Lightning calls it.
        seed: Seed of the weights and the training pairs.
    """

    description: str
    epochs: int
    removal_epochs: int
    tune_epochs: int
    network: MDSRConfig = MDSRConfig()  # noqa: RUF009  (frozen)
    data: ScaleDataConfig = ScaleDataConfig()  # noqa: RUF009
    optim: OptimizerConfig = OptimizerConfig(lr=1e-4, betas=(0.9, 0.999))  # noqa: RUF009
    removals: list[RemovalConfig] = field(default_factory=lambda: [RemovalConfig(p, "block") for p in MODULES])
    precision: str = "32-true"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be carried out."""
        for name in ("epochs", "removal_epochs", "tune_epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}: must be >= 1")
        for name in ("encoder_blocks", "decoder_blocks"):
            if getattr(self.network, name) < 1:
                raise ValueError(f"network.{name} = 0: must be >= 1, for there would be nothing to remove")
        parts = [removal.part for removal in self.removals]
        if not parts or not set(parts) <= set(MODULES) or len(set(parts)) < len(parts):
            raise ValueError(f"removals: of {', '.join(parts) or 'nothing'}; must be one each of {', '.join(MODULES)}")
        for removal in self.removals:
            if removal.component != "block":
                raise ValueError(f"removals: component = {removal.component}; must be block, as in Table A1")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision = {self.precision}: must be one of {', '.join(PRECISIONS)}")

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON data, dotted keys to values."""
        values = asdict(self)
        values |= {f"removals.{one['part']}": one for one in values.pop("removals")}
        flat: dict[str, Any] = {}
        for name, value in values.items():
            flat |= {f"{name}.{k}": v for k, v in plain(value).items()} if isinstance(value, dict) else {name: value}
        return flat


def read_spec(path: Path, settings: dict[str, Any]) -> SuperResolutionSpec:
    """Read a YAML file.

    Args:
        path: The file.
        settings: Dotted keys that are changed, with their values.

    Raises:
        InputError: The file is missing, a key is unknown, or a value is wrong.
    """

    def change(parser: ArgumentParser, parsed: Namespace) -> None:
        parsed.update(parser.parse_args(as_arguments([], settings), namespace=parsed))

    missing = "no such file; smoke.yaml, cpu.yaml and full.yaml of experiments/superres ship"
    return read_dataclass(path, SuperResolutionSpec, missing, change)
