"""Echoed scenes: who is shown when, and that a showing is a scene turned, with noise of its own."""

from collections import Counter

import pytest
import torch
from torch.utils.data import default_collate

from lightning_mm.data import echo as module
from lightning_mm.data.bank import build_bank
from lightning_mm.data.echo import ORIENTATIONS, RenderedScenes, echoed, turned
from lightning_mm.data.random import sample_key
from lightning_mm.data.rendering import render_clean, render_pairs
from lightning_mm.data.sampling import ECHO_BATCHES, SceneDataset
from lightning_mm.data.scenes import SceneConfig, SceneSampler

SIZE = 32


@pytest.fixture(scope="module")
def bank():
    return build_bank(0, "train", 4, 64)


def dataset(bank, echo, lanes=1, noise=0.2):
    return SceneDataset(SceneSampler(SceneConfig(), bank, SIZE, 0, "train", noise), echo, lanes)


def batch_of(data, indices):
    return default_collate([data[index] for index in indices])


@pytest.mark.parametrize(("echo", "rows", "lanes"), [(2, 4, 1), (3, 5, 2), (4, 8, 6)])
def test_each_block_shows_its_scenes_once_per_round(echo, rows, lanes):
    window = rows * lanes
    for block in (0, 3):
        first = block * echo * window
        shown = [echoed(index, echo, rows, lanes, seed=7) for index in range(first, first + echo * window)]
        for number in range(echo):
            of_round = shown[number * window : (number + 1) * window]
            assert {showing for _, showing in of_round} == {number}
            assert sorted(scene for scene, _ in of_round) == list(range(block * window, (block + 1) * window))


def test_a_place_in_the_batch_keeps_its_scenes_in_an_order_of_its_own():
    lanes, rows = 6, 16
    shown = [echoed(index, 3, rows, lanes, seed=0)[0] for index in range(3 * rows * lanes)]
    assert all(scene % lanes == index % lanes for index, scene in enumerate(shown))
    orders = [
        tuple(scene // lanes for scene in shown[number * rows * lanes : (number + 1) * rows * lanes][lane::lanes])
        for number in range(3)
        for lane in range(lanes)
    ]
    assert len(set(orders)) == 3 * lanes


def test_rounds_have_orders_of_their_own():
    orders = [[echoed(r * 16 + i, 4, 16, 1, seed=0)[0] for i in range(16)] for r in range(4)]
    assert len({tuple(order) for order in orders}) == 4
    assert orders != [[echoed(r * 16 + i, 4, 16, 1, seed=1)[0] for i in range(16)] for r in range(4)]


def test_without_echo_samples_are_scenes():
    assert [echoed(index, 1, 8, 2, 0) for index in (0, 5, 1000)] == [(0, 0), (5, 0), (1000, 0)]


def test_orientations_are_the_eight_symmetries_of_a_square():
    image = torch.arange(9.0).view(1, 3, 3)
    found = {tuple(turned(image, number).flatten().tolist()) for number in range(ORIENTATIONS)}
    rotations = [torch.rot90(image, k, (1, 2)) for k in range(4)]
    expected = rotations + [rotation.transpose(1, 2) for rotation in rotations]
    assert found == {tuple(e.flatten().tolist()) for e in expected}
    assert len(found) == 8
    assert torch.equal(turned(image, 0), image)


def test_first_showing_is_what_rendering_gives(bank):
    data = dataset(bank, 2)
    scenes = batch_of(data, range(4))
    for one, other in zip(RenderedScenes(SIZE, 8).pairs(scenes, bank), render_pairs(scenes, bank, SIZE), strict=True):
        assert torch.equal(one, other)


def test_second_showing_is_the_scene_turned_with_other_noise(bank):
    data = dataset(bank, 2)
    rendered = RenderedScenes(SIZE, ECHO_BATCHES)
    first = rendered.pairs(batch_of(data, range(ECHO_BATCHES)), bank)
    scenes = batch_of(data, range(ECHO_BATCHES, 2 * ECHO_BATCHES))
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
        again = [
            i for i in range(ECHO_BATCHES) if torch.equal(turned(first.target[i], orientation), second.target[row])
        ]
        assert len(again) == 1
        assert not torch.equal(turned(first.frame_a[again[0]], orientation), second.frame_a[row])


def test_a_scene_is_rendered_once_and_by_one_rank(bank, monkeypatch):
    rendered_keys = Counter()
    original = module.render_clean

    def counting(scenes, *args):
        rendered_keys.update(scenes["key"].tolist())
        return original(scenes, *args)

    monkeypatch.setattr(module, "render_clean", counting)
    lanes, batch = 4, 2
    data = dataset(bank, 3, lanes)
    block = 3 * ECHO_BATCHES * lanes
    for rank in range(2):
        rendered = RenderedScenes(SIZE, (ECHO_BATCHES + 1) * batch)
        for start in range(rank, 2 * block, lanes):
            rendered.pairs(batch_of(data, (start, start + 2)), bank)
    assert len(rendered_keys) == 2 * ECHO_BATCHES * lanes
    assert set(rendered_keys.values()) == {1}


def test_a_forgotten_scene_is_rendered_again_to_the_same_pair(bank):
    data = dataset(bank, 3)
    long, short = RenderedScenes(SIZE, 10), RenderedScenes(SIZE, 2)
    for start in range(0, 3 * ECHO_BATCHES, 2):
        scenes = batch_of(data, range(start, start + 2))
        for one, other in zip(long.pairs(scenes, bank), short.pairs(scenes, bank), strict=True):
            assert torch.equal(one, other)


def test_a_batch_may_hold_a_scene_twice(bank):
    data, batch = dataset(bank, 4), 6
    rendered, plain = RenderedScenes(SIZE, ECHO_BATCHES + batch), RenderedScenes(SIZE, 400)
    twice = 0
    for start in range(0, 4 * ECHO_BATCHES, batch):
        scenes = batch_of(data, range(start, start + batch))
        twice += len(set(scenes["key"].tolist())) < batch
        for one, other in zip(rendered.pairs(scenes, bank), plain.pairs(scenes, bank), strict=True):
            assert torch.equal(one, other)
    assert twice > 0
