"""A supernet: one store of weights from which every network of a search space takes its own."""

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lightning_mm.models.config import MagnifierConfig
from lightning_mm.models.magnifier import Magnifier

Initialisation = Literal["magnifier", "library", "kaiming", "xavier", "normal"]
Path = TypeVar("Path", bound=Hashable)
_Result = TypeVar("_Result")
_SCALE = "scale"


class Subnets(Protocol[Path]):
    """What a supernet must know of a search space; ``SearchSpace`` is one."""

    def covers(self) -> list[Path]:
        """Networks that together have every weight at its largest."""
        ...

    def config(self, path: Path, /) -> MagnifierConfig:
        """The network of a path."""
        ...

    def address(self, path: Path, name: str, /) -> str:
        """Name in the store of a parameter of that network."""
        ...


class SuperNet(nn.Module):
    """Networks of a search space over shared weights; which one is computed is an argument of ``forward``.

    A network's weights are views of the store: all of a tensor, or its leading channels and the centre of its kernel
    where the store's is larger. From these it is computed as any ``Magnifier``, so ``export`` gives the same function.

    Args:
        space: The networks, and where each keeps its weights.
        initialisation: "magnifier" is that of ``Magnifier``; "library" is torch's default; "kaiming" and "xavier" are
            normal with variance 2 / fan_in and 2 / (fan_in + fan_out); "normal" has a standard deviation of 0.02, cut
            at two of them (Oh et al., 2018). All but the first start biases at zero, "library" excepted.
        residual_scale: Factor on the branch of every residual block: a number, or "learnable", one per candidate that
            starts at 0.1. It is part of the second convolution in what is exported.

    Attributes:
        space: As given.
        store: The weights by name, "/" for ".".
    """

    def __init__(
        self,
        space: Subnets[Any],
        initialisation: Initialisation = "magnifier",
        residual_scale: float | Literal["learnable"] = 1.0,
    ) -> None:
        super().__init__()
        self.space, self.residual_scale = space, residual_scale
        found: dict[str, list[Tensor]] = {}
        for path in space.covers():
            magnifier = Magnifier(space.config(path))
            initialise(magnifier, initialisation)
            for name, parameter in magnifier.named_parameters():
                found.setdefault(space.address(path, name), []).append(parameter.detach())
        self.store = nn.ParameterDict({_key(name): _largest(tensors) for name, tensors in found.items()})
        if residual_scale == "learnable":
            for name in [name for name in self.store if name.endswith("/conv2/weight")]:
                self.store[name.replace("/conv2/weight", f"/{_SCALE}")] = nn.Parameter(torch.tensor(0.1))
        self._skeleton = lru_cache(maxsize=512)(_skeleton)

    def forward(self, frame_a: Tensor, frame_b: Tensor, alpha: Tensor | float, path: Hashable) -> Tensor:
        """Magnify with one network.

        Args:
            frame_a: Reference frames, (B, 3, H, W) in [-1, 1].
            frame_b: Current frames, same shape and range.
            alpha: Total motion factor, number or (B,).
            path: Which network.

        Returns:
            Magnified frames (B, 3, H, W).
        """
        return self.run(path, lambda magnifier: magnifier(frame_a, frame_b, alpha))

    def run(self, path: Hashable, function: Callable[[Magnifier], _Result]) -> _Result:
        """Call a function with one network as a ``Magnifier``; gradients go to the store.

        The network must not be kept beyond the call.
        """
        caller = self._skeleton(self.space.config(path))
        state = {f"magnifier.{name}": value for name, value in self.parameters_of(path).items()}
        return functional_call(caller, state, (function,))

    def parameters_of(self, path: Hashable) -> dict[str, Tensor]:
        """Parameters of one network by their names in a ``Magnifier``, as views of the store."""
        config = self.space.config(path)
        concatenated = "decoder.down.0.weight" if config.downsamplings else "decoder.project_in.weight"
        found: dict[str, Tensor] = {}
        for name, parameter in self._skeleton(config).magnifier.named_parameters():
            key = _key(self.space.address(path, name))
            groups = 2 if name == concatenated else 1
            value = _cut(self.store[key], parameter.shape, groups)
            if block := key.rpartition("/conv2/")[0]:  # which residual blocks alone have
                value = self._scaled(value, block)
            found[name] = value
        return found

    def export(self, path: Hashable) -> Magnifier:
        """One network as an ordinary ``Magnifier`` with weights of its own, on the store's device."""
        magnifier = Magnifier(self.space.config(path), initialise=False)
        with torch.no_grad():
            magnifier.load_state_dict({name: value.clone() for name, value in self.parameters_of(path).items()})
        return magnifier.to(next(iter(self.store.values())).device)

    def _scaled(self, value: Tensor, block: str) -> Tensor:
        if isinstance(self.residual_scale, str):
            return value * self.store[f"{block}/{_SCALE}"]
        return value if self.residual_scale == 1.0 else value * self.residual_scale


def initialise(magnifier: Magnifier, initialisation: Initialisation) -> None:
    """Draw a magnifier's weights anew; see ``SuperNet``."""
    if initialisation == "magnifier":
        return
    for module in magnifier.modules():
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None
            if initialisation == "library":
                module.reset_parameters()
                continue
            nn.init.zeros_(module.bias)
            if initialisation == "kaiming":
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            elif initialisation == "xavier":
                nn.init.xavier_normal_(module.weight)
            else:
                nn.init.trunc_normal_(module.weight, std=0.02, a=-0.04, b=0.04)


class _Caller(nn.Module):
    """A network whose parameters ``functional_call`` replaces while a function has it."""

    def __init__(self, magnifier: Magnifier) -> None:
        super().__init__()
        self.magnifier = magnifier

    def forward(self, function: Callable[[Magnifier], _Result]) -> _Result:
        return function(self.magnifier)


def _skeleton(config: MagnifierConfig) -> _Caller:
    with torch.device("meta"):
        return _Caller(Magnifier(config, initialise=False))


def _key(name: str) -> str:
    return name.replace(".", "/")


def _largest(tensors: list[Tensor]) -> nn.Parameter:
    """The largest of tensors that share weights; widened with values of the same spread where none has every side."""
    shape = torch.Size(max(sides) for sides in zip(*(tensor.shape for tensor in tensors), strict=True))
    best = max(tensors, key=Tensor.numel)
    if best.shape != shape:
        wide = torch.randn(shape) * best.std()
        wide[tuple(slice(side) for side in best.shape)] = best
        best = wide
    return nn.Parameter(best.clone())


def _cut(tensor: Tensor, shape: torch.Size, groups: int) -> Tensor:
    """Leading channels and centre of the kernel; with ``groups``, the leading channels in of each group."""
    if tensor.shape == shape:
        return tensor
    if groups > 1 and tensor.shape[1] != shape[1]:
        parts = tensor.chunk(groups, dim=1)
        tensor = torch.cat([part[:, : shape[1] // groups] for part in parts], dim=1)
    window = [slice(side) for side in shape[:2]]
    for have, want in zip(tensor.shape[2:], shape[2:], strict=True):
        start = (have - want) // 2
        window.append(slice(start, start + want))
    return tensor[tuple(window)]
