import math

import numpy as np
import pytest
import torch

from lightning_mm.data import degradation, random
from lightning_mm.data.bank import TextureBank
from lightning_mm.data.degradation import degrade, round_stochastically, shot_noise
from lightning_mm.data.random import counter_normal, counter_uniform
from lightning_mm.data.rendering import render_clean, render_pairs
from lightning_mm.data.scenes import SceneConfig, SceneSampler

LEVELS = (torch.arange(256.0) / 127.5) - 1.0


def keys_of(count, first=1000):
    return torch.arange(first, first + count)


def flat(level, batch=1, size=64):
    """Grey frames of a level of 0 to 255."""
    return torch.full((batch, 3, size, size), level / 127.5 - 1.0)


def grey(frame):
    return (frame.double() + 1.0) * 127.5


def none(batch, frames=1):
    return torch.zeros(batch, frames)


def correlation(a, b):
    return float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1])


@pytest.mark.parametrize("level", [0.004, 17.25, 102.3, 128.5, 200.9, 254.99])
def test_rounding_keeps_the_mean(level):
    """Within five standard deviations of the mean of as many independent roundings, sqrt(f (1 - f) / N)."""
    (out,) = degrade((flat(level, 16),), none(16), keys_of(16))
    fraction = level % 1.0
    deviation = math.sqrt(fraction * (1 - fraction) / out.numel())
    assert abs(float(grey(out).mean()) - level) < 5 * deviation + 2e-5  # float32 holds a level to 1e-5
    assert set(grey(out).round().unique().tolist()) == {math.floor(level), math.floor(level) + 1.0}


def test_rounding_keeps_the_mean_of_every_pixel():
    """Each of 400 levels, over 4000 keys: no pixel is off by more than six standard deviations."""
    levels = torch.linspace(0.1, 254.9, 400)
    frame = (levels / 127.5 - 1.0).view(1, 1, 20, 20).expand(4000, 1, 20, 20)
    (out,) = degrade((frame,), none(4000), keys_of(4000))
    fraction = levels.double() % 1.0
    deviation = (fraction * (1 - fraction) / 4000).sqrt().clamp(min=1e-3)
    error = (grey(out).mean(dim=0).flatten() - levels).abs()
    assert (error < 6 * deviation).all()


def test_results_are_levels_of_8_bits():
    frame = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2.4 - 1.2
    for strength in (0.0, 0.3, 5.0):
        for out in degrade((frame, -frame), torch.full((2, 2), strength), keys_of(2)):
            assert torch.isin(out, LEVELS).all()
            assert out.min() == -1.0
            assert out.max() == 1.0


def test_levels_of_8_bits_stay_what_they_are():
    frame = LEVELS.view(1, 1, 16, 16).expand(64, 3, 16, 16)
    (out,) = degrade((frame,), none(64), keys_of(64))
    # A level is held to 1e-5, so that one in 100,000 may fall beside it.
    assert (out != frame).double().mean() < 5e-5


def test_rounding_goes_up_with_the_fraction():
    frame = flat(10.25, size=1)[:, :1]
    for uniform, level in ((0.0001, 10), (0.7499, 10), (0.7501, 11), (0.9999, 11)):
        out = round_stochastically(frame, torch.full_like(frame, uniform))
        assert grey(out).round().item() == level


@pytest.mark.parametrize("level", [1.0, 20.0, 127.5, 255.0])
@pytest.mark.parametrize("strength", [0.05, 0.3, 2.0])
def test_shot_noise_has_the_stated_deviation(level, strength):
    """n * sqrt(level) in grey levels, within five standard deviations of the estimate."""
    frame = flat(level, 8)
    normal = counter_normal(keys_of(8), 100, (3, 64, 64))
    noise = grey(shot_noise(frame, torch.full((8,), strength), normal)) - level
    expected = strength * math.sqrt(level)
    assert float(noise.std()) == pytest.approx(expected, rel=5 / math.sqrt(2 * noise.numel()))
    assert abs(float(noise.mean())) < 5 * expected / math.sqrt(noise.numel()) + 2e-5


def test_black_has_no_shot_noise_and_below_black_is_no_error():
    frame = torch.tensor([-1.0, -1.5]).view(1, 1, 1, 2)
    assert torch.equal(shot_noise(frame, torch.tensor([0.3]), torch.ones_like(frame)), frame)


def test_noise_and_rounding_add_up():
    """Variance n^2 * level of the noise and, as any offset within a level comes, 1/6 of the dithered rounding."""
    (out,) = degrade((flat(100.0, 8),), torch.full((8, 1), 0.3), keys_of(8))
    values = grey(out)
    assert float(values.var()) == pytest.approx(0.09 * 100.0 + 1 / 6, rel=5 * math.sqrt(2 / values.numel()))
    assert abs(float(values.mean()) - 100.0) < 5 * math.sqrt(9.2 / values.numel())


def test_every_frame_and_sample_has_its_own_strength():
    strengths = torch.tensor([[0.0, 0.1, 0.3], [0.2, 0.0, 0.4]])
    frames = tuple(flat(144.0, 2) for _ in range(3))
    out = degrade(frames, strengths, keys_of(2))
    for number, frame in enumerate(out):
        for sample in range(2):
            strength = float(strengths[sample, number])
            expected = math.sqrt(144.0 * strength**2 + 1 / 6) if strength else 0.0
            assert float(grey(frame[sample]).std()) == pytest.approx(expected, rel=0.05, abs=0.01)


@pytest.mark.parametrize("strength", [0.0, 0.3])
def test_frames_and_samples_are_degraded_independently(strength):
    """Pairwise correlations of what is added, within five standard deviations of zero."""
    frames = tuple(flat(100.5, 3) for _ in range(3))
    out = degrade(frames, torch.full((3, 3), strength), keys_of(3))
    added = [grey(frame[sample]) - 100.5 for frame in out for sample in range(3)]
    bound = 5 / math.sqrt(added[0].numel())
    for first in range(9):
        for second in range(first):
            assert abs(correlation(added[first], added[second])) < bound
            assert abs(correlation(added[first].square(), added[second].square())) < 0.05 or strength == 0.0
    for values in added:
        assert abs(correlation(values[:, :, 1:], values[:, :, :-1])) < bound * 1.1
        assert abs(correlation(values[0], values[1])) < bound * 2, "between channels"


def test_no_two_draws_share_numbers(monkeypatch):
    """Each frame takes two draws for its noise and one for its rounding, which would else be biased by the noise."""
    streams = []

    def recorded(keys, stream, shape):
        streams.append(stream)
        return counter_uniform(keys, stream, shape)

    monkeypatch.setattr(random, "counter_uniform", recorded)
    monkeypatch.setattr(degradation, "counter_uniform", recorded)
    degrade(tuple(flat(100.0, size=8) for _ in range(3)), torch.full((1, 3), 0.3), keys_of(1))
    assert len(streams) == len(set(streams)) == 9


def test_same_keys_give_the_same_noise():
    frames = tuple(flat(90.7, 3) for _ in range(3))
    strengths = torch.full((3, 3), 0.2)
    first, again = degrade(frames, strengths, keys_of(3)), degrade(frames, strengths, keys_of(3))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    other = degrade(frames, strengths, keys_of(3, first=5000))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_noise_does_not_depend_on_the_rest_of_the_batch():
    """Nor does a sample without noise know that others have some."""
    frames = tuple(flat(90.7, 3) for _ in range(3))
    strengths = torch.tensor([[0.2] * 3, [0.0] * 3, [0.3] * 3])
    batch = degrade(frames, strengths, keys_of(3))
    for sample in range(3):
        part = slice(sample, sample + 1)
        alone = degrade(tuple(frame[part] for frame in frames), strengths[part], keys_of(3)[part])
        assert all(torch.equal(a[0], b[sample]) for a, b in zip(alone, batch, strict=True))


@pytest.fixture(scope="module")
def scenes():
    rng = np.random.default_rng(0)
    images = [rng.integers(40, 216, (160, 160, 3), dtype=np.uint8) for _ in range(4)]
    bank = TextureBank({"procedural": images, "procedural_blurred": images[:1], "photo": [], "photo_blurred": []})
    sampler = SceneSampler(SceneConfig(), bank, 64, 0, "train")
    drawn = [sampler(index) for index in range(5)]
    return {name: torch.stack([scene[name] for scene in drawn]) for name in drawn[0]}, bank


def test_targets_are_clean_and_not_rounded(scenes):
    clean, pairs = render_clean(*scenes, 64), render_pairs(*scenes, 64)
    assert torch.equal(pairs.target, clean.target)
    assert torch.equal(pairs.alpha, clean.alpha)
    assert torch.isin(pairs.target, LEVELS).double().mean() < 0.05
    for name in ("frame_a", "frame_b", "frame_c"):
        assert torch.isin(getattr(pairs, name), LEVELS).all()


def test_inputs_are_the_clean_frames_with_the_noise_of_the_scene(scenes):
    clean, pairs = render_clean(*scenes, 64), render_pairs(*scenes, 64)
    for number, name in enumerate(("frame_a", "frame_b", "frame_c")):
        level, added = grey(getattr(clean, name)), grey(getattr(pairs, name)) - grey(getattr(clean, name))
        inside = (level > 10.0) & (level < 235.0)
        for sample in range(5):
            strength = float(scenes[0]["noise"][sample, number])
            chosen = inside[sample]
            expected = math.sqrt(strength**2 * float(level[sample][chosen].mean()) + 1 / 6)
            assert float(added[sample][chosen].std()) == pytest.approx(expected, rel=0.05)
            assert abs(float(added[sample][chosen].mean())) < 5 * expected / math.sqrt(int(chosen.sum()))


def test_static_frames_differ_by_noise_alone(scenes):
    """The same geometry in A and C, yet never the same noise: or a network could tell stillness from that."""
    pairs = render_pairs(*scenes, 64)
    clean = render_clean(*scenes, 64)
    assert torch.equal(clean.frame_a[3], clean.frame_c[3])
    first, second = (grey(x[3]) - grey(clean.frame_a[3]) for x in (pairs.frame_a, pairs.frame_c))
    assert abs(correlation(first, second)) < 5 / math.sqrt(first.numel())


def test_without_noise_frames_are_rounded_only(scenes):
    quiet = scenes[0] | {"noise": torch.zeros_like(scenes[0]["noise"])}
    clean, pairs = render_clean(quiet, scenes[1], 64), render_pairs(quiet, scenes[1], 64)
    for name in ("frame_a", "frame_b", "frame_c"):
        assert (grey(getattr(pairs, name)) - grey(getattr(clean, name))).abs().max() < 1.0 + 1e-4
