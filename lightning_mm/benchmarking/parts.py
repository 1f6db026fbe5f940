"""The parts of a training step as pieces of work on their own, set up inside a training that runs.

Each network part goes forward on detached inputs and backward with the gradients of the loss of a real batch, under
the precision of the Trainer. Parts on their own see no overlap with one another, so that on a GPU they can add up to
more than the step.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import lightning as L
import torch
from lightning.fabric.utilities import move_data_to_device
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_mm.data.bank import TextureBank, build_bank
from lightning_mm.data.datamodule import PairDataModule
from lightning_mm.data.degradation import degrade
from lightning_mm.data.rendering import Pairs, Scenes, render_clean
from lightning_mm.data.scenes import SceneSampler
from lightning_mm.losses import MagnificationLoss
from lightning_mm.models import Representation
from lightning_mm.tasks.magnify import MagnifyTask

PLAIN_LOSS, PERCEPTUAL, LOSS_WITH_PERCEPTUAL = "loss terms", "perceptual term", "loss with perceptual term"
PAPER_SIZE = 384
_BATCHES = 4  # scenes differ in cost, so that several batches take turns


@dataclass(frozen=True)
class Part:
    """A piece of work.

    Attributes:
        work: Does it once.
        batches: Number of batches that it serves in training.
    """

    work: Callable[[], object]
    batches: int = 1


def step_parts(trainer: L.Trainer, task: MagnifyTask, data: PairDataModule, batch: Pairs) -> dict[str, Part]:
    """The parts of a step by name, in the order in which a step does them.

    Args:
        trainer: A Trainer in the middle of ``fit``, after a backward pass.
        task: What it trains.
        data: What it trains on.
        batch: A batch, rendered, on the device.

    Returns:
        The parts; ``LOSS_WITH_PERCEPTUAL``, where there is one, includes ``PLAIN_LOSS``.
    """
    step = trainer.accumulate_grad_batches
    optimiser = _optimiser(trainer, task)  # first, while the parameters have the gradients of a step
    parts = {**_data_parts(trainer, data), **_network_parts(trainer, task, batch)}
    parts["optimiser and clipping"] = Part(optimiser, step)
    for callback in trainer.callbacks:  # pyright: ignore[reportAttributeAccessIssue]
        if isinstance(callback, WeightAveraging):
            parts["averaging of weights"] = Part(lambda averaging=callback: _average(averaging, trainer, task), step)
    return parts


def renderer_parts(data: PairDataModule, device: torch.device) -> dict[str, Part]:
    """The renderer alone, a batch at a time: at the configured size and at the paper's."""
    bank = _bank(data, device)
    parts: dict[str, Part] = {}
    for size in dict.fromkeys((data.size, PAPER_SIZE)):
        sampler = SceneSampler(data.scenes, bank, size, data.seed, "train", data.shot_noise)
        scenes = [_scenes(sampler, number * data.batch_size, data.batch_size, device) for number in range(_BATCHES)]
        parts[f"render, {size} x {size}"] = Part(_in_turn(lambda s, n=size: render_clean(s, bank, n), scenes))
    return parts


def hold_weights(optimizer: torch.optim.Optimizer) -> None:
    """Let the optimiser's next step do its work and leave the weights alone, so that measuring cannot diverge."""
    for group in optimizer.param_groups:
        group["lr"] = 0.0


def _data_parts(trainer: L.Trainer, data: PairDataModule) -> dict[str, Part]:
    loader: Any = trainer.train_dataloader
    assert isinstance(loader, DataLoader)
    dataset, device = loader.dataset, trainer.strategy.root_device
    indices: Iterator[int] = iter(loader.sampler)

    def fetch() -> Any:
        samples = [dataset[next(indices)] for _ in range(data.batch_size)]
        return move_data_to_device(loader.collate_fn(samples), device)

    batches = [fetch() for _ in range(_BATCHES)]
    if data.oh2018 is not None:
        prepare = _in_turn(lambda stored: data.on_after_batch_transfer(stored, 0), batches)
        return {"read and collate": Part(fetch), "convert and degrade": Part(prepare)}
    bank = _bank(data, device)
    clean = render_clean(batches[0], bank, data.size)
    inputs = (clean.frame_a, clean.frame_b, clean.frame_c)
    render = _in_turn(lambda scenes: render_clean(scenes, bank, data.size), batches)
    add_noise = torch.no_grad()(_in_turn(lambda scenes: degrade(inputs, scenes["noise"], scenes["key"]), batches))
    return {
        "draw scenes and collate": Part(fetch),
        "render": Part(render, data.echo),
        "degrade": Part(add_noise),
    }


def _network_parts(trainer: L.Trainer, task: MagnifyTask, batch: Pairs) -> dict[str, Part]:
    magnifier, criterion, context = task.magnifier, task.criterion, trainer.precision_plugin.forward_context
    frames = (batch.frame_a, batch.frame_b, batch.frame_c)
    height, width = batch.target.shape[-2:]
    parameters = list(magnifier.parameters())

    def encode() -> list[Representation]:
        return [magnifier.encode(frame) for frame in frames]

    def manipulate(shape_a: Tensor, shape_b: Tensor) -> Tensor:
        return magnifier.manipulate(shape_a, shape_b, batch.alpha)

    def decode(texture: Tensor, shape: Tensor) -> Tensor:
        return magnifier.decode(texture, shape, (height, width))

    # One pass in pieces: each piece ends in leaves, and the next one's backward leaves there the gradient it is given.
    with context():
        a, b, c = (Representation(*map(_leaf, encoded)) for encoded in encode())
        moved = manipulate(a.shape, b.shape)
        shape = _leaf(moved)
        decoded = decode(b.texture, shape)
        output = _leaf(decoded)
        loss, _ = criterion(output, batch.target, a, b, c, task.global_step)
    loss.backward()
    decoded.backward(output.grad)
    moved.backward(shape.grad)
    encodings = [tensor for encoded in (a, b, c) for tensor in encoded]
    gradients = [tensor.grad for tensor in encodings]
    output_gradient, shape_gradient = output.grad, shape.grad

    def encoder() -> None:
        with context():
            outputs = [tensor for encoded in encode() for tensor in encoded]
        reached = [(o, g) for o, g in zip(outputs, gradients, strict=True) if g is not None and o.requires_grad]
        torch.autograd.backward([o for o, _ in reached], [g for _, g in reached])
        _clear(parameters)

    def manipulator() -> None:
        with context():
            result = manipulate(_leaf(a.shape), _leaf(b.shape))
        result.backward(shape_gradient)
        _clear(parameters)

    def decoder() -> None:
        with context():
            result = decode(_leaf(b.texture), _leaf(shape))
        result.backward(output_gradient)
        _clear(parameters)

    def losses(criterion: MagnificationLoss) -> None:
        representations = [Representation(*map(_leaf, encoded)) for encoded in (a, b, c)]
        with context():
            loss, _ = criterion(_leaf(output), batch.target, *representations, task.global_step)
        loss.backward()

    _clear(parameters)
    parts = {"encoder": Part(encoder), "manipulator": Part(manipulator), "decoder": Part(decoder)}
    if criterion.config.perceptual > 0:
        plain = MagnificationLoss(replace(criterion.config, perceptual=0.0)).to(task.device)
        parts[PLAIN_LOSS] = Part(lambda: losses(plain))
        return {**parts, LOSS_WITH_PERCEPTUAL: Part(lambda: losses(criterion))}
    return {**parts, PLAIN_LOSS: Part(lambda: losses(criterion))}


def _optimiser(trainer: L.Trainer, task: MagnifyTask) -> Callable[[], None]:
    optimizer = trainer.optimizers[0]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    gradients = [None if parameter.grad is None else parameter.grad.clone() for parameter in parameters]

    def step() -> None:
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        task.configure_gradient_clipping(optimizer, trainer.gradient_clip_val, trainer.gradient_clip_algorithm)
        hold_weights(optimizer)
        optimizer.step()
        _clear(parameters)

    return step


def _average(averaging: WeightAveraging, trainer: L.Trainer, task: MagnifyTask) -> None:
    averaging.load_state_dict({"latest_update_step": 0})  # it averages once per step only
    averaging.on_train_batch_end(trainer, task, None, None, 0)


def _in_turn(work: Callable[[Scenes], object], batches: list[Scenes]) -> Callable[[], object]:
    turns = itertools.cycle(batches)
    return lambda: work(next(turns))


def _bank(data: PairDataModule, device: torch.device) -> TextureBank:
    return build_bank(data.seed, "train", data.textures, data.texture_size, data.photos).to(device)


def _scenes(sampler: SceneSampler, first: int, count: int, device: torch.device) -> Scenes:
    scenes = torch.utils.data.default_collate([sampler(index) for index in range(first, first + count)])
    return {name: value.to(device) for name, value in scenes.items()}


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_()


def _clear(parameters: list[Any]) -> None:
    for parameter in parameters:
        parameter.grad = None
