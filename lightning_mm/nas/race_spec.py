"""A race as data: ways of searching one space, on equal device seconds, and how the winner is tried."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from lightning_mm.configuration import QUIET, as_arguments, read_dataclass, require_name, require_settings
from lightning_mm.nas.evolution import EvolutionOptions
from lightning_mm.nas.spec import supernet_settings
from lightning_mm.runs import fingerprint
from lightning_mm.spaces import ElasticSpace

Arm = Literal["random", "halving", "supernet"]


@dataclass(frozen=True)
class SupernetOptions:
    """The supernet of a race's third arm.

    Args:
        epochs: Epochs of its training.
        settings: Dotted keys for it alone, such as model.residual_scale or model.paths.distil.
        search: Numbers of the evolutionary search that follows, once for each cap.
        caps: Shares of the cap that are searched under, so that candidates spread over costs.
        shortlist: Candidates per cap that are then trained for real.
    """

    epochs: int = 4
    settings: dict[str, Any] = field(default_factory=dict)
    search: EvolutionOptions = EvolutionOptions()  # noqa: RUF009  (frozen)
    caps: tuple[float, ...] = (0.4, 0.7, 1.0)
    shortlist: int = 8

    def __post_init__(self) -> None:
        """Refuse what is out of range."""
        if self.epochs < 1 or self.shortlist < 1:
            raise ValueError(f"supernet.epochs, supernet.shortlist = {self.epochs}, {self.shortlist}: must be >= 1")
        if not self.caps or not all(0.0 < share <= 1.0 for share in self.caps):
            raise ValueError(f"supernet.caps = {list(self.caps)}: must be shares of the cap in (0, 1]")


@dataclass(frozen=True)
class RaceSpec:
    """A race.

    Each arm trains candidates for real in rounds of successive halving, ranked by non-domination in SSIM and FLOPs;
    arms differ in where candidates come from. "random": drawn below the cap. "halving": multi-objective TPE, the plain
    multi-fidelity search. "supernet": the shortlist of a weight-entangled supernet, whose training counts.

    Args:
        name: Name; the directory is runs/NAME.
        description: One sentence.
        space: The space.
        max_gflops: Cap in 1e9 of the paper's FLOPs: the hand-designed network's cost.
        hand_designed: Experiment file of the network to be beaten; every arm begins with it.
        references: Further experiment files that are trained in the final, such as the baseline.
        configs: Experiment files that every training starts from.
        settings: Dotted keys that hold for every training.
        search_pairs: Pairs of the training split, kept out of training, that every choice rests on.
        seconds: Device seconds of each arm.
        arms: Which arms take part.
        rungs: Epochs after which the worse half of a round is dropped; the first is the cheapest estimate.
        round: Candidates of a round.
        supernet: The third arm's supernet.
        validity: Random members that are trained to the last rung, outside of the arms' seconds, to measure how well
            cheap estimates rank; below 20 a rank correlation says little.
        final_epochs: Epochs of the final trainings.
        seeds: Seeds that finalists are chosen by.
        claim_seeds: Fresh seeds on which the chosen one is compared with the hand-designed network.
        margin: How far the lower end of the 95 % interval may lie below equality for "not lower", fixed beforehand.
        reference_point: SSIM and GFLOPs that hypervolume is measured from.
    """

    name: str
    space: ElasticSpace
    max_gflops: float
    hand_designed: Path
    configs: list[Path]
    seconds: float
    search_pairs: int
    references: dict[str, Path] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    arms: list[Arm] = field(default_factory=lambda: list(get_args(Arm)))
    rungs: list[int] = field(default_factory=lambda: [1, 2, 4])
    round: int = 8
    supernet: SupernetOptions = SupernetOptions()
    validity: int = 24
    final_epochs: int = 8
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    claim_seeds: list[int] = field(default_factory=lambda: [100, 101, 102, 103, 104])
    margin: float = 0.0005
    reference_point: tuple[float, float] = (0.90, 12.0)
    description: str = ""

    def __post_init__(self) -> None:
        """Refuse what makes no race."""
        require_name(self.name)
        self.space.require_cap(self.max_gflops)
        if not self.seconds > 0:
            raise ValueError(f"seconds = {self.seconds}: must be > 0")
        if not self.rungs or sorted(set(self.rungs)) != list(self.rungs) or self.rungs[0] < 1:
            raise ValueError(f"rungs = {self.rungs}: must be increasing numbers of epochs, from 1")
        if self.round < 2 ** (len(self.rungs) - 1):
            raise ValueError(
                f"round = {self.round}: must be >= {2 ** (len(self.rungs) - 1)} for {len(self.rungs)} rungs"
            )
        if not self.arms or len(set(self.arms)) < len(self.arms):
            raise ValueError(f"arms = {self.arms}: must be one or more different ones of {get_args(Arm)}")
        if not self.seeds or set(self.seeds) & set(self.claim_seeds):
            raise ValueError(f"claim_seeds = {self.claim_seeds}: must be others than seeds = {self.seeds}")
        if self.validity < 0 or self.final_epochs < 1 or self.search_pairs < 1:
            raise ValueError("validity must be >= 0, final_epochs and search_pairs >= 1")
        require_settings(self.settings)

    def candidate_arguments(self, run_dir: Path, arch: dict[str, Any], epochs: int) -> list[str]:
        """Command-line arguments of a candidate's short training: constant rate, so that rungs are of one training."""
        own = {"trainer.max_epochs": epochs, "data.search_pairs": self.search_pairs, "run.dir": str(run_dir)}
        own |= {"model.arch": arch, "model.optim.schedule": "constant", "seed_everything": 0}
        return as_arguments(self.configs, {**self.settings, **own, **QUIET})

    def final_arguments(self, run_dir: Path, arch: dict[str, Any], seed: int) -> list[str]:
        """Command-line arguments of a final training, measured on the validation pairs."""
        own = {"trainer.max_epochs": self.final_epochs, "run.dir": str(run_dir), "model.arch": arch}
        own |= {"data.seed": seed, "seed_everything": seed}
        return as_arguments(self.configs, {**self.settings, **own, **QUIET})

    def supernet_arguments(self, run_dir: Path) -> list[str]:
        """Command-line arguments of the supernet's training."""
        own = {"model.space": self.space.to_dict(), "model.paths.rule": "sandwich"}
        own |= {"model.paths.max_gflops": self.max_gflops, "trainer.max_epochs": self.supernet.epochs}
        own |= {"data.search_pairs": self.search_pairs, "run.dir": str(run_dir)}
        settings = supernet_settings(self.settings)
        return as_arguments(self.configs, {**settings, **own, **self.supernet.settings, **QUIET})

    def budget(self) -> str:
        """Fingerprint of what the arms' measurements depend on; arms, seconds, seeds and epochs may be extended."""
        files = {str(path): path.read_text(encoding="utf-8") for path in self.configs}
        plain = {"settings": self.settings, "files": files, "pairs": self.search_pairs}
        return fingerprint({**plain, "space": self.space.to_dict(), "supernet": asdict(self.supernet)})


def read_race(path: Path) -> RaceSpec:
    """Read a race's YAML file.

    Raises:
        InputError: The file is missing, a key is unknown, or a value is wrong.
    """
    missing = "no such file; the races that ship are in sweeps/races/"
    return read_dataclass(
        path, RaceSpec, missing, files=lambda spec: (*spec.configs, spec.hand_designed, *spec.references.values())
    )
