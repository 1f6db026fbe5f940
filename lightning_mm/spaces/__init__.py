"""Search spaces: what a search may choose, what each choice costs, and which network it means."""

from lightning_mm.spaces.choice import ChoiceSpace
from lightning_mm.spaces.elastic import ElasticSpace
from lightning_mm.spaces.genotype import Choice, Genotype, Value
from lightning_mm.spaces.space import SearchSpace, path_rng

__all__ = ["Choice", "ChoiceSpace", "ElasticSpace", "Genotype", "SearchSpace", "Value", "path_rng"]
