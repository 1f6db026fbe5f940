"""Checkpoints that survive a failed write, elapsed time over several starts, averaged weights, the sample picture."""

import os
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_mm.callbacks import AtomicCheckpointIO, Stopwatch, standard_callbacks, warmed_up_average, write_samples
from lightning_mm.data.datamodule import PairDataModule
from lightning_mm.models import MagnifierConfig
from lightning_mm.tasks.magnify import MagnifyTask

OLD, NEW = {"weight": torch.zeros(1000)}, {"weight": torch.ones(1000)}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "checkpoints/last.ckpt"
    AtomicCheckpointIO().save_checkpoint(OLD, path)
    return path


def content(path):
    return torch.load(path, weights_only=True)["weight"][0].item()


def test_a_checkpoint_is_written_and_replaced(saved):
    assert content(saved) == 0.0
    AtomicCheckpointIO().save_checkpoint(NEW, str(saved))
    assert content(saved) == 1.0
    assert os.listdir(saved.parent) == ["last.ckpt"]


def fail_halfway(original):
    def save(checkpoint, file):
        file.write(b"half a checkpoint")
        file.flush()
        raise OSError(28, "No space left on device")

    return save


def fail_at_the_end(original):
    def save(checkpoint, file):
        original(checkpoint, file)
        raise KeyboardInterrupt

    return save


@pytest.mark.parametrize(("fault", "error"), [(fail_halfway, OSError), (fail_at_the_end, KeyboardInterrupt)])
def test_a_failed_write_leaves_the_file_before_and_nothing_else(saved, fault, error, monkeypatch):
    monkeypatch.setattr(torch, "save", fault(torch.save))
    with pytest.raises(error):
        AtomicCheckpointIO().save_checkpoint(NEW, saved)
    assert content(saved) == 0.0
    assert os.listdir(saved.parent) == ["last.ckpt"]


def test_a_file_that_cannot_be_flushed_to_disk_replaces_nothing(saved, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        AtomicCheckpointIO().save_checkpoint(NEW, saved)
    assert content(saved) == 0.0
    assert os.listdir(saved.parent) == ["last.ckpt"]


def test_the_file_is_complete_and_on_disk_when_it_takes_its_name(saved, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (order.append("fsync"), fsync(descriptor)))

    def record(source, target):
        assert content(source) == 1.0
        assert os.path.dirname(source) == os.path.dirname(target)
        order.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "replace", record)
    AtomicCheckpointIO().save_checkpoint(NEW, saved)
    assert order == ["fsync", "replace"]


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests set."""
    now = SimpleNamespace(seconds=1000.0)
    monkeypatch.setattr(time, "perf_counter", lambda: now.seconds)
    return now


class Module:
    """Keeps what is logged."""

    def __init__(self):
        self.rates = []

    def log(self, name, value, **kwargs):
        assert name == "train/samples_per_second"
        self.rates.append(value)


def test_the_stopwatch_goes_on_from_a_checkpoint(clock):
    first = Stopwatch()
    assert first.seconds == 0.0
    first.on_validation_start(None, None)  # the one before training
    clock.seconds += 100.0
    first.on_validation_end(None, None)
    first.on_train_start(None, None)
    clock.seconds += 10.0
    first.on_validation_start(None, None)
    clock.seconds += 4.0
    first.on_validation_end(None, None)
    state = first.state_dict()
    clock.seconds += 5.0  # lost: after the checkpoint
    assert (first.seconds, first.training_seconds) == (19.0, 15.0)

    clock.seconds = 7.0  # another process, another clock
    second = Stopwatch()
    second.load_state_dict(state)
    assert (second.seconds, second.training_seconds) == (14.0, 10.0)
    second.on_train_start(None, None)
    clock.seconds += 3.0
    second.on_train_end(None, None)
    clock.seconds += 100.0
    assert (second.seconds, second.training_seconds) == (17.0, 13.0)
    assert second.state_dict() == {"seconds": 17.0, "validation_seconds": 4.0}


def test_samples_per_second_are_of_all_ranks_since_the_step_logged_before_without_validation(clock):
    watch, module, batch = Stopwatch(), Module(), SimpleNamespace(alpha=torch.zeros(3))
    watch.load_state_dict({"seconds": 50.0, "validation_seconds": 20.0})
    watch.on_train_start(None, module)
    for step in range(1, 5):
        clock.seconds += float(step)
        if step == 3:
            watch.on_validation_start(None, module)
            clock.seconds += 1000.0
            watch.on_validation_end(None, module)
        watch.on_train_batch_end(
            SimpleNamespace(world_size=2, global_step=step, log_every_n_steps=2), module, None, batch, 0
        )
    # Steps of 6 pairs that take 1, 2, 3 and 4 s, logged every other step.
    assert module.rates == pytest.approx([6 / 1, 12 / 3, 6 / 3, 12 / 7])


def test_the_average_follows_its_formula():
    average = warmed_up_average(0.9)
    found, expected = torch.tensor([1.0, -2.0], dtype=torch.float64), np.array([1.0, -2.0])
    for n in range(1, 200):
        value = np.array([np.sin(n), n / 100.0])
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * value
        found = average(found, torch.from_numpy(value), torch.tensor(n))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)


def test_the_average_forgets_the_initial_weights_early():
    fixed = warmed = torch.tensor(1.0)
    for n in range(1, 100):
        warmed = warmed_up_average(0.999)(warmed, torch.tensor(0.0), n)
        fixed = 0.999 * fixed
    assert fixed > 0.9
    assert warmed < 1e-6


@pytest.mark.parametrize(("decay", "kinds"), [(0.0, []), (0.99, ["WeightAveraging"])])
def test_every_training_has_checkpoints_and_averages_when_asked(decay, kinds, tmp_path):
    found = standard_callbacks(tmp_path, decay)
    assert [type(c).__name__ for c in found if type(c).__name__ != "ModelCheckpoint"] == kinds
    checkpoints = {c.filename: c for c in found if type(c).__name__ == "ModelCheckpoint"}
    assert checkpoints.keys() == {"best", "last"}
    assert (checkpoints["best"].monitor, checkpoints["best"].mode) == ("val/ssim", "max")
    assert len({c.state_key for c in checkpoints.values()}) == 2


@pytest.fixture
def task():
    torch.manual_seed(0)
    return MagnifyTask(MagnifierConfig(encoder_channels=2, decoder_depth=0, decoder_channels=2))


def data(**options):
    small = {"size": 16, "val_size": 20, "batch_size": 2, "epoch_samples": 2, "textures": 1, "texture_size": 128}
    return PairDataModule(**small | options)


@pytest.mark.parametrize(("batch_size", "val_pairs", "rows"), [(1, 5, 4), (2, 5, 4), (3, 7, 4), (8, 9, 4), (4, 2, 2)])
def test_the_samples_are_four_pairs_whatever_the_batch(batch_size, val_pairs, rows, task, tmp_path):
    path = tmp_path / "samples.png"
    write_samples(task, data(batch_size=batch_size, val_pairs=val_pairs, epoch_samples=batch_size), path)
    with Image.open(path) as picture:
        assert picture.size == (4 * 20, rows * 20)
    assert os.listdir(tmp_path) == ["samples.png"]


@pytest.mark.parametrize("rank", [0, 1])
def test_the_samples_are_those_of_all_ranks(rank, task, tmp_path):
    write_samples(task, data(val_pairs=5), tmp_path / "alone.png")
    shared = data(val_pairs=5)
    shared.trainer = SimpleNamespace(global_rank=rank, world_size=2, training=False)
    shared.setup("validate")
    for batch in shared.val_dataloader():
        shared.on_after_batch_transfer(batch, 0)
    write_samples(task, shared, tmp_path / "shared.png")
    assert (tmp_path / "shared.png").read_bytes() == (tmp_path / "alone.png").read_bytes()


def test_the_samples_show_a_b_target_and_output(task, tmp_path):
    write_samples(task.train(), data(val_pairs=3), tmp_path / "samples.png")
    with Image.open(tmp_path / "samples.png") as picture:
        pixels = np.asarray(picture)
    module = data(val_pairs=3)
    module.setup("validate")
    pairs = [module.on_after_batch_transfer(batch, 0) for batch in module.val_dataloader()]
    frames = [torch.cat(images) for images in list(zip(*pairs, strict=True))]
    with torch.no_grad():
        output = task.eval()(frames[0], frames[1], frames[4]).clamp(-1, 1)
    for row in range(3):
        for column, images in enumerate((frames[0], frames[1], frames[3], output)):
            tile = pixels[20 * row : 20 * row + 20, 20 * column : 20 * column + 20]
            expected = (images[row].permute(1, 2, 0).numpy() + 1) * 127.5
            assert np.abs(tile - expected).max() <= 0.51, (row, column)


def test_the_samples_leave_the_validation_pairs_as_they_are(task, tmp_path):
    module, untouched = (
        data(batch_size=3, epoch_samples=3, val_pairs=7),
        data(batch_size=3, epoch_samples=3, val_pairs=7),
    )
    write_samples(task, module, tmp_path / "samples.png")
    untouched.setup("validate")
    for batch, same in zip(module.val_dataloader(), untouched.val_dataloader(), strict=True):
        ours, theirs = module.on_after_batch_transfer(batch, 0), untouched.on_after_batch_transfer(same, 0)
        assert all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))
