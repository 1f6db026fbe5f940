from itertools import islice
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from lightning_mm.data import datamodule
from lightning_mm.data.bank import build_bank
from lightning_mm.data.datamodule import PairDataModule
from lightning_mm.data.oh2018 import Oh2018Dataset, write_oh2018
from lightning_mm.data.rendering import render_pairs
from lightning_mm.data.sampling import EpochSampler
from lightning_mm.data.scenes import SceneConfig
from lightning_mm.errors import InputError

FRAMES = ("frame_a", "frame_b", "frame_c", "target")


def module_of(stage="fit", **values):
    """A small module, set up."""
    defaults = {"size": 32, "batch_size": 2, "epoch_samples": 6, "textures": 4, "texture_size": 64, "val_pairs": 5}
    module = PairDataModule(**defaults | values)
    module.setup(stage)
    return module


def attach(module, training, epoch=0, rank=0, world=1):
    """As much of a Trainer as the module asks."""
    progress = SimpleNamespace(current=SimpleNamespace(processed=epoch))
    module.trainer = SimpleNamespace(
        training=training,
        current_epoch=epoch,
        global_rank=rank,
        world_size=world,
        fit_loop=SimpleNamespace(epoch_progress=progress),
    )
    return module


def epoch_of(loader, epoch=0):
    loader.sampler.set_epoch(epoch)
    return list(loader)


def pairs_of(module, loader, training):
    attach(module, training)
    return [module.on_after_batch_transfer(batch, 0) for batch in loader]


def equal(first, second):
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# --- EpochSampler ---


def indices(epoch_samples, batch_size, length=None, world=1, epoch=0, seed=0):
    """Of each rank."""
    samplers = [EpochSampler(epoch_samples, batch_size, seed, length, rank, world) for rank in range(world)]
    for sampler in samplers:
        sampler.set_epoch(epoch)
    return [list(sampler) for sampler in samplers]


@pytest.mark.parametrize(("epoch_samples", "batch_size"), [(12, 2), (16, 3), (100, 7), (97, 5), (24, 4)])
@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("length", [None, 11, 40, 1000])
def test_ranks_share_an_epoch_without_overlap(epoch_samples, batch_size, world, length):
    (alone,) = indices(epoch_samples, batch_size * world, length, 1, epoch=3)
    ranks = indices(epoch_samples, batch_size, length, world, epoch=3)
    total = epoch_samples // (batch_size * world) * batch_size * world
    assert {len(rank) for rank in ranks} == {total // world}
    assert total // world % batch_size == 0, "every rank has whole batches, and as many as the others"
    # Side by side the ranks' samples are what one rank alone would see, step by step.
    assert [index for step in zip(*ranks, strict=True) for index in step] == alone
    if length is None:
        assert alone == list(range(3 * total, 4 * total))


@pytest.mark.parametrize("world", [1, 3])
def test_length_is_the_number_of_indices(world):
    for rank in range(world):
        sampler = EpochSampler(50, 4, 0, None, rank, world)
        assert len(sampler) == len(list(sampler)) == 50 // (4 * world) * 4


def test_endless_samples_never_come_twice():
    seen = [index for epoch in range(5) for index in indices(10, 2, None, 1, epoch)[0]]
    assert seen == list(range(50))


@pytest.mark.parametrize(("epoch_samples", "length"), [(6, 14), (14, 14), (20, 14), (60, 7)])
def test_a_finite_set_is_seen_whole_before_it_is_seen_again(epoch_samples, length):
    epochs = [indices(epoch_samples, 2, length, 1, epoch)[0] for epoch in range(3 * length)]
    seen = [index for epoch in epochs for index in epoch]
    rounds = [seen[start : start + length] for start in range(0, len(seen), length)]
    assert len(rounds) > 3
    for order in rounds:
        assert sorted(order) == list(range(length))
    assert len({tuple(order) for order in rounds[:4]}) == 4, "no two rounds in the same order"
    assert rounds[0] != sorted(rounds[0])


def test_setting_the_epoch_is_the_same_as_getting_there():
    kept = EpochSampler(10, 2, 5, 7, 1, 1 + 1)
    for epoch in range(6):
        kept.set_epoch(epoch)
        visited = list(kept)
        fresh = EpochSampler(10, 2, 5, 7, 1, 2)
        fresh.set_epoch(epoch)
        assert list(fresh) == visited
        assert list(fresh) == visited, "reading an epoch twice changes nothing"


def test_orders_depend_on_the_seed_alone():
    torch.manual_seed(0)
    first = indices(50, 2, 50, seed=1)
    torch.manual_seed(1)
    assert indices(50, 2, 50, seed=1) == first
    assert indices(50, 2, 50, seed=2) != first


def test_an_epoch_too_short_for_the_ranks_is_refused():
    with pytest.raises(InputError, match=r"data\.epoch_samples = 7: must be >= 8, one batch for each of 4 ranks"):
        EpochSampler(7, 2, 0, None, 0, 4)


# --- constructor ---


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", 10),
        ("batch_size", 0),
        ("epoch_samples", 3),
        ("val_pairs", 0),
        ("search_pairs", -1),
        ("num_workers", -1),
        ("textures", 0),
        ("texture_size", 63),
        ("val_size", 10),
        ("shot_noise", -0.1),
        ("shot_noise", 10.0),
        ("shot_noise", float("nan")),
    ],
)
def test_bad_values_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"data\.{name} = .*: must be "):
        PairDataModule(**{"batch_size": 4, name: value})


def test_textures_may_be_0_with_photos(tmp_path):
    assert PairDataModule(textures=0, photos=tmp_path).textures == 0


def test_validation_defaults(tmp_path):
    assert PairDataModule(size=100).val_size == 100
    assert PairDataModule(size=100, val_size=64).val_size == 64
    assert PairDataModule().val_pairs == 64
    assert PairDataModule(oh2018=tmp_path).val_pairs == 5000


@pytest.mark.parametrize("name", ["photos", "val_photos", "oh2018"])
def test_a_missing_folder_is_named_when_it_is_needed(tmp_path, name):
    with pytest.raises(InputError, match="nowhere"):
        module_of(**{name: tmp_path / "nowhere"})


# --- synthetic pairs ---


def test_training_batches():
    module = attach(module_of(), training=True)
    loader = module.train_dataloader()
    assert len(loader) == 3
    scenes = epoch_of(loader)
    assert len(scenes) == 3
    for batch in scenes:
        pairs = module.on_after_batch_transfer(batch, 0)
        for frame in pairs[:4]:
            assert frame.shape == (2, 3, 32, 32)
            assert frame.dtype == torch.float32
        assert torch.equal(pairs.alpha, batch["alpha"])
        assert pairs.alpha.shape == (2,)
    keys = [int(key) for batch in scenes for key in batch["key"]]
    later = [int(key) for batch in epoch_of(loader, 1) for key in batch["key"]]
    assert len(set(keys + later)) == 12, "every epoch shows other pairs"


def test_training_pairs_depend_on_the_seed():
    first, again, other = (
        pairs_of(module, epoch_of(module.train_dataloader()), training=True)
        for module in (module_of(seed=1), module_of(seed=1), module_of(seed=2))
    )
    assert all(equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a.target, b.target) for a, b in zip(first, other, strict=True))


def test_training_inputs_are_noisy_and_validation_inputs_are_not():
    module = module_of()
    assert all(batch["noise"].any() for batch in module.train_dataloader())
    assert not any(batch["noise"].any() for batch in module.val_dataloader())
    assert not any(batch["noise"].any() for batch in module_of(shot_noise=0.0).train_dataloader())


@pytest.mark.parametrize("echo", [1, 3])
@pytest.mark.parametrize("world", [2, 4])
def test_ranks_render_what_one_rank_would(echo, world):
    """The same pairs step by step, though each rank remembers only its own scenes."""
    epoch, options = 2, {"echo": echo, "epoch_samples": 3 * 8 * 4 * 2}
    whole = attach(module_of(batch_size=4, **options), training=True)
    ranks = [attach(module_of(batch_size=4 // world, **options), True, epoch, rank, world) for rank in range(world)]
    loaders = [epoch_of(module.train_dataloader(), epoch) for module in (whole, *ranks)]
    assert len(loaders[0]) == 2 * 3 * 8
    seen = set()
    for batch, *shares in zip(*loaders, strict=True):
        pairs = whole.on_after_batch_transfer(batch, 0)
        shown = [module.on_after_batch_transfer(share, 0) for module, share in zip(ranks, shares, strict=True)]
        for rank, share in enumerate(shown):
            assert equal(share, [value[rank::world] for value in pairs])
        seen |= set(batch["key"].tolist())
    assert len(seen) == 3 * 8 * 4 * 2 // echo


def test_a_resumed_run_starts_at_its_epoch():
    """Before the Trainer says so: workers begin to fetch as soon as the loader is made."""
    straight = epoch_of(attach(module_of(), training=True).train_dataloader(), 3)
    resumed = attach(module_of(), training=True, epoch=3).train_dataloader()
    assert [b["key"].tolist() for b in resumed] == [b["key"].tolist() for b in straight]


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing(workers):
    module = module_of(num_workers=workers)
    first = epoch_of(module.train_dataloader(), 1)
    alone = epoch_of(module_of().train_dataloader(), 1)
    for a, b in zip(first, alone, strict=True):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[name], b[name]) for name in a)


def test_validation_pairs_do_not_depend_on_the_seed_or_the_training():
    first = module_of(seed=1)
    second = module_of(seed=2, textures=1, epoch_samples=100, size=64, val_size=32, shot_noise=0.0)
    pairs = [pairs_of(module, module.val_dataloader(), training=False) for module in (first, second)]
    assert [len(batch.alpha) for batch in pairs[0]] == [2, 2, 1]
    assert all(equal(a, b) for a, b in zip(*pairs, strict=True))
    assert first.validation_identity() == second.validation_identity()


def test_validation_has_a_size_of_its_own():
    module = module_of(val_size=48)
    assert all(
        pairs.target.shape[2:] == (48, 48) for pairs in pairs_of(module, module.val_dataloader(), training=False)
    )


def test_every_validation_pair_comes_once_and_in_order():
    module = module_of()
    alone = [key for batch in module.val_dataloader() for key in batch["key"].tolist()]
    assert len(set(alone)) == 5
    assert [key for batch in module.test_dataloader() for key in batch["key"].tolist()] == alone
    shares = []
    for rank in range(2):
        attach(module, training=False, rank=rank, world=2)
        shares.append([key for batch in module.val_dataloader() for key in batch["key"].tolist()])
        assert module.val_counts
    assert shares == [alone[::2], alone[1::2]]


def test_a_rank_without_a_validation_pair_gets_one_that_does_not_count():
    module = module_of(val_pairs=2)
    first = next(iter(module.val_dataloader()))["key"].tolist()[:1]
    attach(module, training=False, rank=2, world=3)
    assert [batch["key"].tolist() for batch in module.val_dataloader()] == [first]
    assert not module.val_counts


def test_validation_pairs_are_rendered_once(monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return render_pairs(*arguments)

    monkeypatch.setattr(datamodule, "render_pairs", counted)
    module = module_of()
    first = pairs_of(module, module.val_dataloader(), training=False)
    assert len(calls) == 3
    again = pairs_of(module, module.val_dataloader(), training=False)
    assert len(calls) == 3
    assert all(equal(a, b) for a, b in zip(first, again, strict=True))
    # A fresh module renders the same, so that the first pass was no special one; training is never kept.
    fresh = module_of()
    assert all(equal(a, b) for a, b in zip(pairs_of(fresh, fresh.val_dataloader(), training=False), first, strict=True))
    before = len(calls)
    pairs_of(module, list(module.train_dataloader()) * 2, training=True)
    assert len(calls) == before + 6


def test_training_and_validation_use_their_own_textures():
    module = module_of()
    assert module._banks["train"].digest() != module._banks["val"].digest()
    assert len(module._banks["train"].groups["procedural"]) == 4
    batch = next(iter(module.val_dataloader()))
    attach(module, training=False)
    expected = render_pairs(batch, module._banks["val"], 32)
    assert equal(module.on_after_batch_transfer(batch, 0), expected)
    attach(module, training=True)
    batch = next(iter(module.train_dataloader()))
    expected = render_pairs(batch, module._banks["train"], 32)
    assert equal(module.on_after_batch_transfer(batch, 0), expected)


def test_a_module_without_a_trainer_validates():
    module = module_of("validate")
    pairs = module.on_after_batch_transfer(next(iter(module.val_dataloader())), 0)
    assert pairs.target.shape == (2, 3, 32, 32)
    assert module._train is None, "validation builds no training data"


def test_validation_identity_tells_what_is_shown():
    identity = module_of("validate").validation_identity()
    assert identity == identity | {
        "name": "synthetic pairs, procedural textures",
        "pairs": 5,
        "height": 32,
        "width": 32,
    }
    others = [{"val_pairs": 6}, {"val_size": 48}, {"val_scenes": SceneConfig(max_alpha=50.0)}, {"texture_size": 128}]
    digests = [module_of("validate", **other).validation_identity()["digest"] for other in others]
    assert len({identity["digest"], *digests}) == 5
    same = PairDataModule(size=32, batch_size=3, textures=9, texture_size=64, val_pairs=5)
    assert same.validation_identity() == identity, "it sets the module up by itself"


# --- pairs that a search chooses by ---


def keys(loader):
    return [key for batch in loader for key in batch["key"].tolist()]


def scenes_of(batches):
    """All numbers of each scene, without its key and its noise."""
    batches = list(batches)
    shown = sorted(batches[0].keys() - {"key", "noise"})
    rows = [(batch, row) for batch in batches for row in range(len(batch["alpha"]))]
    return [tuple(batch[name][row].numpy().tobytes() for name in shown) for batch, row in rows]


def test_search_pairs_are_measured_instead_of_the_validation_pairs():
    module = module_of(search_pairs=7)
    assert module.val_count == 7
    assert [len(batch["alpha"]) for batch in module.val_dataloader()] == [2, 2, 2, 1]
    assert not any(batch["noise"].any() for batch in module.val_dataloader())
    assert module_of().val_count == 5
    shares = [keys(attach(module_of(search_pairs=7), False, 0, rank, 2).val_dataloader()) for rank in range(2)]
    alone = keys(module.val_dataloader())
    assert shares == [alone[::2], alone[1::2]]


def test_search_pairs_are_neither_validated_nor_trained_on():
    search, other = module_of(search_pairs=40), module_of(val_pairs=40)
    training = [
        batch
        for seed in (0, 1, datamodule._VALIDATION_SEED)
        for batch in epoch_of(attach(module_of(seed=seed, epoch_samples=100), True).train_dataloader(), 3)
    ]
    found = {
        name: scenes_of(batches)
        for name, batches in (("search", search.val_dataloader()), ("val", other.val_dataloader()), ("train", training))
    }
    assert [len(set(found[name])) for name in found] == [40, 40, 300]
    assert not set(found["search"]) & set(found["val"])
    assert not set(found["search"]) & set(found["train"])
    noise = [set(keys(loader)) for loader in (search.val_dataloader(), other.val_dataloader(), training)]
    assert not noise[0] & (noise[1] | noise[2])
    assert search._banks["val"].digest() != other._banks["val"].digest()
    shown = pairs_of(search, search.val_dataloader(), False), pairs_of(other, other.val_dataloader(), False)
    targets = [{row.numpy().tobytes() for pairs in batches for row in pairs.target} for batches in shown]
    assert [len(rows) for rows in targets] == [40, 40]
    assert not targets[0] & targets[1]


def test_search_pairs_are_the_same_for_every_training():
    first = module_of(seed=1, search_pairs=5)
    second = module_of(seed=2, search_pairs=5, textures=1, epoch_samples=50, size=64, val_size=32, val_pairs=9)
    pairs = [pairs_of(module, module.val_dataloader(), training=False) for module in (first, second)]
    assert all(equal(a, b) for a, b in zip(*pairs, strict=True))
    assert first.validation_identity() == second.validation_identity()


def test_training_is_the_same_with_and_without_search_pairs():
    modules = [attach(module_of(search_pairs=count), training=True) for count in (0, 5)]
    batches = [epoch_of(module.train_dataloader(), 2) for module in modules]
    for first, second in zip(*batches, strict=True):
        pairs = [
            module.on_after_batch_transfer(batch, 0) for module, batch in zip(modules, (first, second), strict=True)
        ]
        assert equal(*pairs)


def test_the_identity_of_search_pairs_says_so():
    identity = module_of("validate", search_pairs=5).validation_identity()
    assert identity["name"] == "synthetic pairs, procedural textures of training"
    assert (identity["pairs"], identity["height"], identity["width"]) == (5, 32, 32)
    others = [{"search_pairs": 6}, {"search_pairs": 0}, {"search_pairs": 5, "val_size": 48}]
    digests = {module_of("validate", **other).validation_identity()["digest"] for other in others}
    assert len(digests | {identity["digest"]}) == 4


def test_search_pairs_show_the_photos_of_training(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for name in ("train", "val"):
        (tmp_path / name).mkdir()
        pixels = torch.randint(0, 256, (96, 96, 3), dtype=torch.uint8, generator=generator)
        Image.fromarray(pixels.numpy()).save(tmp_path / name / "photo.png")
    folders = {"photos": tmp_path / "train", "val_photos": tmp_path / "val", "textures": 2}
    search, other = module_of(search_pairs=5, **folders), module_of(**folders)
    assert len(search._banks["val"].groups["photo"]) == len(other._banks["val"].groups["photo"]) == 1
    assert len(search._banks["val"].groups["procedural"]) == 0
    alone = build_bank(datamodule._VALIDATION_SEED, "search", 0, 64, tmp_path / "train")
    assert search._banks["val"].digest() == alone.digest() != other._banks["val"].digest()
    assert search.validation_identity()["name"] == "synthetic pairs, photos of training"
    assert other.validation_identity()["name"] == "synthetic pairs, photos"
    only_val = module_of("validate", search_pairs=5, val_photos=tmp_path / "val")
    assert only_val.validation_identity()["name"] == "synthetic pairs, procedural textures of training"


# --- the stored data set ---


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Eleven rendered pairs, written as a data set."""
    module = module_of(batch_size=1, epoch_samples=11, shot_noise=0.0)
    rendered = pairs_of(module, epoch_of(module.train_dataloader()), training=True)
    samples = [(*(frame[0] for frame in pairs[:4]), float(pairs.alpha[0])) for pairs in rendered]
    root = tmp_path_factory.mktemp("oh2018") / "set"
    assert write_oh2018(root, samples) == 11
    return root, samples


def test_stored_pairs_come_through_both_loaders(stored):
    root, samples = stored
    module = module_of(oh2018=root, val_pairs=3, epoch_samples=8)
    attach(module, training=True)
    training = epoch_of(module.train_dataloader())
    assert sorted(index for batch in training for index in batch["index"].tolist()) == list(range(8))
    for pairs in pairs_of(module, training, training=True):
        assert all(frame.shape == (2, 3, 32, 32) and frame.dtype == torch.float32 for frame in pairs[:4])
    validation = list(module.val_dataloader())
    assert [batch["index"].tolist() for batch in validation] == [[8, 9], [10]]
    shown = pairs_of(module, validation, training=False)
    for row, number in enumerate((8, 9)):
        *frames, alpha = samples[number]
        assert float(shown[0].alpha[row]) == pytest.approx(alpha)
        for name, frame in zip(FRAMES, frames, strict=True):
            # Inputs are 8-bit levels already; the target was rounded to the nearest.
            bound = 1e-6 if name != "target" else 0.5 / 127.5 + 1e-6
            torch.testing.assert_close(getattr(shown[0], name)[row], frame, rtol=0, atol=bound)


def test_stored_pairs_are_converted_exactly_in_validation(stored):
    module = module_of("validate", oh2018=stored[0], val_pairs=3)
    attach(module, training=False)
    for batch in module.val_dataloader():
        pairs = module.on_after_batch_transfer(batch, 0)
        for name in FRAMES:
            assert torch.equal(getattr(pairs, name), batch[name].float() / 127.5 - 1.0)
        assert torch.equal(pairs.alpha, batch["alpha"])


def noisy(module, batch, epoch=0):
    attach(module, training=True, epoch=epoch)
    return module.on_after_batch_transfer(batch, 0)


def test_stored_inputs_are_noisy_in_training_and_targets_are_not(stored):
    module = module_of(oh2018=stored[0], val_pairs=3)
    batch = next(iter(module.train_dataloader()))
    pairs = noisy(module, batch)
    assert torch.equal(pairs.target, batch["target"].float() / 127.5 - 1.0)
    levels = torch.arange(256.0) / 127.5 - 1.0
    for name in FRAMES[:3]:
        frame = getattr(pairs, name)
        assert torch.isin(frame, levels).all()
        added = (frame + 1.0) * 127.5 - batch[name].float()
        for sample in range(2):
            assert 0.05 < float(added[sample].std()) < 0.3 * 16.0 + 1.0
            assert abs(float(added[sample].mean())) < 0.5
    # Noise of its own for each frame, though A, B and C may show the same.
    added = [((getattr(pairs, name) + 1.0) * 127.5 - batch[name].float()).flatten() for name in FRAMES[:3]]
    bound = 5 / added[0].numel() ** 0.5
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert abs(float(torch.corrcoef(torch.stack([added[first], added[second]]))[0, 1])) < bound


def test_noise_of_stored_pairs_is_a_function_of_seed_epoch_and_sample(stored):
    module = module_of(oh2018=stored[0], val_pairs=3)
    batch = next(iter(module.train_dataloader()))
    first = noisy(module, batch)
    assert equal(noisy(module, batch), first)
    assert not torch.equal(noisy(module, batch, epoch=1).frame_a, first.frame_a)
    other = module_of(oh2018=stored[0], val_pairs=3, seed=1)
    assert not torch.equal(noisy(other, batch).frame_a, first.frame_a)
    # Neither the place in the batch nor the company counts.
    alone = noisy(module, {name: value[1:] for name, value in batch.items()})
    assert torch.equal(alone.frame_b[0], first.frame_b[1])


def test_without_shot_noise_stored_pairs_are_not_changed(stored):
    module = module_of(oh2018=stored[0], val_pairs=3, shot_noise=0.0)
    batch = next(iter(module.train_dataloader()))
    pairs = noisy(module, batch)
    for name in FRAMES[:3]:
        assert (getattr(pairs, name) != batch[name].float() / 127.5 - 1.0).double().mean() < 1e-3


def test_stored_epochs_go_through_the_whole_set(stored):
    module = attach(module_of(oh2018=stored[0], val_pairs=3, epoch_samples=6), training=True)
    loader = module.train_dataloader()
    seen = [index for epoch in range(4) for batch in epoch_of(loader, epoch) for index in batch["index"].tolist()]
    assert [sorted(seen[start : start + 8]) for start in (0, 8, 16)] == [list(range(8))] * 3


def test_ranks_share_stored_pairs_and_their_noise(stored):
    """Eight pairs in epochs of twelve, so that a batch may begin in one order of the set and end in the next."""
    options = {"oh2018": stored[0], "val_pairs": 3, "epoch_samples": 12}
    whole = module_of(batch_size=4, **options)
    ranks = [module_of(batch_size=2, **options) for _ in range(2)]
    for epoch in range(3):
        attach(whole, True, epoch)
        for rank, module in enumerate(ranks):
            attach(module, True, epoch, rank, world=2)
        loaders = [epoch_of(module.train_dataloader(), epoch) for module in (whole, *ranks)]
        assert [len(loader) for loader in loaders] == [3, 3, 3]
        for batch, *shares in zip(*loaders, strict=True):
            pairs = whole.on_after_batch_transfer(batch, 0)
            for rank, (module, share) in enumerate(zip(ranks, shares, strict=True)):
                assert equal(module.on_after_batch_transfer(share, 0), [value[rank::2] for value in pairs])


def test_too_few_stored_pairs_for_a_batch_are_refused(stored):
    with pytest.raises(InputError, match="8 training samples, fewer than one batch of 9"):
        module_of(oh2018=stored[0], val_pairs=3, batch_size=9, epoch_samples=9)


def test_identity_of_stored_validation_pairs(stored):
    identity = module_of("validate", oh2018=stored[0], val_pairs=3).validation_identity()
    digest = Oh2018Dataset(stored[0], "val", 3).split_digest
    expected = {"pairs": 3, "height": 32, "width": 32, "digest": digest}
    assert identity == expected | {"name": "Oh et al. 2018, validation split"}


def test_stored_search_pairs_are_the_last_that_training_would_have(stored):
    module = module_of(oh2018=stored[0], val_pairs=3, search_pairs=2)
    attach(module, training=True)
    training = {
        int(index)
        for epoch in range(6)
        for batch in epoch_of(module.train_dataloader(), epoch)
        for index in batch["index"]
    }
    assert training == set(range(6))
    assert [int(index) for batch in module.val_dataloader() for index in batch["index"]] == [6, 7]
    assert module.val_count == 2
    reported = module_of("validate", oh2018=stored[0], val_pairs=3)
    assert [int(index) for batch in reported.val_dataloader() for index in batch["index"]] == [8, 9, 10]
    identity = module.validation_identity()
    assert identity["name"] == "Oh et al. 2018, search slice of the training split"
    assert identity["pairs"] == 2
    assert identity["digest"] == Oh2018Dataset(stored[0], "search", 3, 2).split_digest
    assert identity["digest"] != reported.validation_identity()["digest"]
    other = module_of(oh2018=stored[0], val_pairs=3, search_pairs=2, seed=9)
    assert other.validation_identity() == identity


def test_endless_training_scenes_have_no_length():
    module = module_of()
    assert not hasattr(module._train, "__len__")
    assert len(list(islice(iter(module.train_dataloader().sampler), 100))) == 6
