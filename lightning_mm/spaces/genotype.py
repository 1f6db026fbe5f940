"""One member of a search space as data."""

from dataclasses import dataclass

Value = int | str


@dataclass(frozen=True)
class Choice:
    """One decision of a search space.

    Args:
        name: Its name; a gene of every genotype.
        values: What can be chosen, cheapest first unless ``structural``.
        ordered: Whether the values are sizes, so that neighbours are alike.
        structural: Whether the order of the values by cost depends on the other genes.

    Raises:
        ValueError: There is nothing to choose from, or a value comes twice.
    """

    name: str
    values: tuple[Value, ...]
    ordered: bool = False
    structural: bool = False

    def __post_init__(self) -> None:
        """Refuse an empty choice and doubled values."""
        if not self.values or len(set(self.values)) < len(self.values):
            raise ValueError(f"{self.name} = {list(self.values)}: must be one or more different values")


@dataclass(frozen=True)
class Genotype:
    """A value for every choice of a space, in the space's order; hashable, and nothing else.

    Args:
        values: The genes.
    """

    values: tuple[Value, ...]

    def __str__(self) -> str:
        """The genes, as "conv3 skip conv5"."""
        return " ".join(str(value) for value in self.values)
