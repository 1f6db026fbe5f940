"""Echoed scenes: who is shown when, and that a showing is a scene turned, with noise of its own."""

from collections import Counter

import pytest
import torch
from torch.utils.data import default_collate

from lightning_mm.data import echo as module
from lightning_mm.data.bank import build_bank
from lightning_mm.data.datamodule import SceneDataset
from lightning_mm.data.echo import ORIENTATIONS, RenderedScenes, echoed, turned
from lightning_mm.data.random import sample_key
from lightning_mm.data.rendering import render_clean, render_pairs
from lightning_mm.data.scenes import SceneConfig, SceneSampler

SIZE = 32


@pytest.fixture(scope="module")
def bank():
    return build_bank(0, "train", 4, 64)


def dataset(bank, echo, window, noise=0.2):
    return SceneDataset(SceneSampler(SceneConfig(), bank, SIZE, 0, "train", noise), echo, window)


def batch_of(data, indices):
    return default_collate([data[index] for index in indices])


@pytest.mark.parametrize(("echo", "window"), [(2, 4), (3, 5), (4, 16)])
def test_each_block_shows_its_scenes_once_per_round(echo, window):
    for block in (0, 3):
        first = block * echo * window
        shown = [echoed(index, echo, window, seed=7) for index in range(first, first + echo * window)]
        for number in range(echo):
            rows = shown[number * window : (number + 1) * window]
            assert {showing for _, showing in rows} == {number}
            assert sorted(scene for scene, _ in rows) == list(range(block * window, (block + 1) * window))


def test_rounds_have_orders_of_their_own():
    orders = [[echoed(r * 16 + i, 4, 16, seed=0)[0] for i in range(16)] for r in range(4)]
    assert len({tuple(order) for order in orders}) == 4
    assert orders != [[echoed(r * 16 + i, 4, 16, seed=1)[0] for i in range(16)] for r in range(4)]


def test_without_echo_samples_are_scenes():
    assert [echoed(index, 1, 8, 0) for index in (0, 5, 1000)] == [(0, 0), (5, 0), (1000, 0)]


def test_orientations_are_the_eight_symmetries_of_a_square():
    image = torch.arange(9.0).view(1, 3, 3)
    found = {tuple(turned(image, number).flatten().tolist()) for number in range(ORIENTATIONS)}
    rotations = [torch.rot90(image, k, (1, 2)) for k in range(4)]
    expected = rotations + [rotation.transpose(1, 2) for rotation in rotations]
    assert found == {tuple(e.flatten().tolist()) for e in expected}
    assert len(found) == 8
    assert torch.equal(turned(image, 0), image)


def test_first_showing_is_what_rendering_gives(bank):
    data = dataset(bank, 2, 4)
    scenes = batch_of(data, range(4))
    for one, other in zip(RenderedScenes(SIZE, 8).pairs(scenes, bank), render_pairs(scenes, bank, SIZE), strict=True):
        assert torch.equal(one, other)


def test_second_showing_is_the_scene_turned_with_other_noise(bank):
    data = dataset(bank, 2, 4)
    rendered = RenderedScenes(SIZE, 8)
    first = rendered.pairs(batch_of(data, range(4)), bank)
    scenes = batch_of(data, range(4, 8))
    second = rendered.pairs(scenes, bank)
    clean = render_clean(scenes, bank, SIZE)
    for row, key in enumerate(scenes["key"].tolist()):
        orientation = sample_key(key, "orientation", 1) % ORIENTATIONS
        assert torch.equal(second.target[row], turned(clean.target[row], orientation))
        # Mean over a frame: noise and rounding are unbiased.
        for name in ("frame_a", "frame_b", "frame_c"):
            noisy, wanted = getattr(second, name)[row], turned(getattr(clean, name)[row], orientation)
            assert (noisy - wanted).abs().mean() < 0.08
            assert (noisy - wanted).mean().abs() < 0.01
        again = [i for i in range(4) if torch.equal(turned(first.target[i], orientation), second.target[row])]
        assert len(again) == 1
        assert not torch.equal(turned(first.frame_a[again[0]], orientation), second.frame_a[row])


def test_a_scene_is_rendered_once_while_it_is_remembered(bank, monkeypatch):
    rendered_keys = Counter()
    original = module.render_clean

    def counting(scenes, *args):
        rendered_keys.update(scenes["key"].tolist())
        return original(scenes, *args)

    monkeypatch.setattr(module, "render_clean", counting)
    data, rendered = dataset(bank, 3, 8), RenderedScenes(SIZE, 10)
    for start in range(0, 48, 2):  # two blocks in batches of 2
        rendered.pairs(batch_of(data, range(start, start + 2)), bank)
    assert len(rendered_keys) == 16
    assert set(rendered_keys.values()) == {1}


def test_a_forgotten_scene_is_rendered_again_to_the_same_pair(bank):
    data = dataset(bank, 3, 4)
    long, short = RenderedScenes(SIZE, 6), RenderedScenes(SIZE, 2)
    for start in range(0, 12, 2):
        scenes = batch_of(data, range(start, start + 2))
        for one, other in zip(long.pairs(scenes, bank), short.pairs(scenes, bank), strict=True):
            assert torch.equal(one, other)


def test_ranks_whose_batches_straddle_two_rounds_are_served_too(bank):
    """Three ranks of two pairs: a batch of one rank can hold one scene twice."""
    data, world, batch = dataset(bank, 4, 4), 3, 2
    rendered, plain = RenderedScenes(SIZE, 4 + batch), RenderedScenes(SIZE, 400)
    twice = 0
    for step in range(64):
        indices = [(step * batch + place) * world for place in range(batch)]
        scenes = batch_of(data, indices)
        twice += len(set(scenes["key"].tolist())) < batch
        for one, other in zip(rendered.pairs(scenes, bank), plain.pairs(scenes, bank), strict=True):
            assert torch.equal(one, other)
    assert twice > 0
