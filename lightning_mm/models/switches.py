"""Learning to remove: switches that lead a network's components to where they can be left out (Section 5.1).

A switch computes F(x) = (1 - omega) A_o(x) + omega A_t(x) (Eq. 3), A_o the component as it is and A_t what is left
without it. omega is learned, with ``penalty`` in the loss, and what ends above a threshold is cut out of the structure.
For any network: ``insert_switches``, then for each step the loss with ``penalty``, the optimiser and ``clamp_``, and
``cut`` at the end.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch
from torch import Tensor, nn

Component = Literal["identity", "skip"]
_LISTED = 20


@runtime_checkable
class HasBranch(Protocol):
    """A residual block that can be without its skip connection: block(x, ...) = x + block.branch(x, ...)."""

    def branch(self, x: Tensor, /, *args: Any, **kwargs: Any) -> Tensor:
        """What the block adds to x, its scale included."""
        ...


class Switch(nn.Module):
    """One component and what is left without it: (1 - omega) A_o(x) + omega A_t(x) (Eq. 3).

    Args:
        original: A_o, a module whose first argument and result are tensors of one shape; further arguments are handed
            on to it.
        component: "identity": A_t(x) = x, for an activation, or a whole residual block. "skip": A_t is the branch of a
            residual block, which has to be ``HasBranch``.

    Attributes:
        omega: Scalar parameter, float32, 0 at the start; ``clamp_`` keeps it in [0, 1].

    Raises:
        ValueError: ``component`` is unknown, or "skip" for a module without ``branch``.
    """

    def __init__(self, original: nn.Module, component: Component = "identity") -> None:
        super().__init__()
        if component not in get_args(Component):
            raise ValueError(f"component = {component!r}: must be one of {get_args(Component)}")
        if component == "skip" and not isinstance(original, HasBranch):
            raise ValueError(f"a {type(original).__name__} says not what its branch is: it has no method 'branch'")
        self.original, self.component = original, component
        # An in-place component overwrites its input, which the mix still needs.
        self._overwrites = any(getattr(module, "inplace", False) for module in original.modules())
        anywhere = next(original.parameters(), None)
        self.omega = nn.Parameter(torch.zeros((), device=None if anywhere is None else anywhere.device))

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Map x as the component does at omega = 0, and as without it at omega = 1.

        Raises:
            ValueError: The component gives another shape than x's, so that it cannot be left out.
        """
        own = x.clone() if self._overwrites else x
        if self.component == "skip":
            assert isinstance(self.original, HasBranch)
            return (1.0 - self.omega) * x + self.original.branch(own, *args, **kwargs)
        output = self.original(own, *args, **kwargs)
        if output.shape != x.shape:
            shapes = f"from shape {tuple(x.shape)} to {tuple(output.shape)}"
            raise ValueError(f"a {type(self.original).__name__} leads {shapes}: the identity cannot take its place")
        return (1.0 - self.omega) * output + self.omega * x

    def resolved(self, removed: bool) -> nn.Module:
        """The module that computes the same as the switch at omega = 1 where ``removed``, else at omega = 0."""
        if not removed:
            return self.original
        return Bypass() if self.component == "identity" else WithoutSkip(self.original)


class Bypass(nn.Module):
    """The identity, in the place of a module that was cut out; arguments behind the first are ignored."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Give back x."""
        return x


class WithoutSkip(nn.Module):
    """A residual block's branch alone.

    Args:
        block: The block.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Map x by the branch."""
        assert isinstance(self.block, HasBranch)
        return self.block.branch(x, *args, **kwargs)


def insert_switches(
    network: nn.Module, select: str | type[nn.Module] | Sequence[str | type[nn.Module]], component: Component
) -> dict[str, Switch]:
    """Put a switch around each selected module of a network, in place.

    Args:
        network: Any network; what it computes does not change, for each omega is 0.
        select: Which modules: dotted names, also with the wildcards of ``fnmatch`` ("*" stands for dots too), or their
            types; one, or several.
        component: What a switch leads to; see ``Switch``.

    Returns:
        The switches by the dotted names of their modules, in the order of the network. A module that has several names
        gets one switch, under the first of them.

    Raises:
        ValueError: A name or type selects nothing, selected modules lie in one another, a module without ``branch`` is
            to lose its skip connection, or the network has switches already. The network is then as it was.
    """
    if found := switches_of(network):
        raise ValueError(f"the network has switches already ({_listed(found)}): cut them first")
    chosen = _select(network, [select] if isinstance(select, str | type) else list(select))
    built: dict[int, Switch] = {}
    anywhere = next(network.parameters(), None)
    for name, module in chosen.items():
        if id(module) in built:
            continue
        try:
            built[id(module)] = Switch(module, component)
        except ValueError as error:
            raise ValueError(f"'{name}': {error}") from None
        if anywhere is not None:  # also for modules without parameters
            built[id(module)].omega.data = built[id(module)].omega.data.to(anywhere.device)
    inserted: dict[str, Switch] = {}
    for name, module in chosen.items():
        _replace(network, name, built[id(module)])
        if built[id(module)] not in inserted.values():
            inserted[name] = built[id(module)]
    return inserted


def switches_of(network: nn.Module) -> dict[str, Switch]:
    """The switches in a network by their dotted names."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Switch)}


def penalty(switches: Mapping[str, Switch], power: float) -> Tensor:
    """L_rm = mean(1 - omega^p) (Eq. 5): 1 with everything in place, 0 with everything removed.

    Args:
        switches: The switches, one at least.
        power: p >= 1. The pull towards removal is p omega^(p - 1) for each switch: with p = 1 the same everywhere, with
            p > 1 none at omega = 0, where only the task's own gradient moves a switch, and strongest at omega = 1.

    Returns:
        A scalar in [0, 1].
    """
    omegas = torch.stack([switch.omega for switch in switches.values()])
    return (1.0 - omegas.pow(power)).mean()


@torch.no_grad()
def clamp_(switches: Mapping[str, Switch]) -> None:
    """Project each omega to [0, 1], in place; for after an optimiser's step."""
    for switch in switches.values():
        switch.omega.clamp_(0.0, 1.0)


def cut(network: nn.Module, threshold: float) -> list[str]:
    """Take all switches out of a network, and with them the components whose omega lies above a threshold; in place.

    Afterwards the network computes what it did with omega = 1 for what was removed and omega = 0 for the rest.

    Args:
        network: A network with switches.
        threshold: tau, in (0, 1).

    Returns:
        Dotted names of what was removed, in the order of the network.

    Raises:
        ValueError: The threshold is out of range, or there is no switch.
    """
    if not 0.0 < threshold < 1.0:
        raise ValueError(f"threshold = {threshold!r}: must be in (0, 1)")
    found = switches_of(network)
    if not found:
        raise ValueError(f"the {type(network).__name__} has no switches to cut")
    modules = {name: switch.resolved(switch.omega.item() > threshold) for name, switch in found.items()}
    removed = [name for name, switch in found.items() if modules[name] is not switch.original]
    by_switch = {id(switch): modules[name] for name, switch in found.items()}
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if isinstance(module, Switch):
            _replace(network, name, by_switch[id(module)])
    return removed


def _select(network: nn.Module, wanted: list[str | type[nn.Module]]) -> dict[str, nn.Module]:
    modules = {name: module for name, module in network.named_modules(remove_duplicate=False) if name}
    chosen: set[str] = set()
    for want in wanted:
        if isinstance(want, str):
            found = {name for name in modules if fnmatchcase(name, want)}
            there = modules
        else:
            found = {name for name, module in modules.items() if isinstance(module, want)}
            there = dict.fromkeys(type(module).__name__ for module in modules.values())
        if not found:
            what = f"named '{want}'" if isinstance(want, str) else f"of type {want.__name__}"
            raise ValueError(f"select: no module {what} in the {type(network).__name__}; there are {_listed(there)}")
        chosen |= found
    if not chosen:
        raise ValueError(f"select: nothing; there are {_listed(modules)}")
    # A module goes with all of its names.
    identities = {id(modules[name]) for name in chosen}
    result = {name: module for name, module in modules.items() if id(module) in identities}
    for name in result:
        parents = [name[:place] for place, character in enumerate(name) if character == "."]
        if outer := next((parent for parent in parents if parent in result), None):
            raise ValueError(f"select: '{name}' lies in '{outer}', which is selected too")
    return result


def _replace(network: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, module)


def _listed(names: Mapping[str, object]) -> str:
    shown = list(names)[:_LISTED]
    return ", ".join(shown) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
