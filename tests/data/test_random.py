import math

import numpy as np
import pytest
import torch
from scipy import stats

from lightning_mm.data import random as counter
from lightning_mm.data.random import counter_normal, counter_uniform, sample_key

COUNT = 1 << 18
# Five standard deviations of a sample correlation of independent numbers.
UNCORRELATED = 5.0 / math.sqrt(COUNT)


def draw(key, stream=0, count=COUNT):
    return counter_uniform(torch.tensor([key]), stream, (count,))[0].double()


def correlation(a, b):
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


@pytest.mark.parametrize(("key", "stream"), [(0, 0), (1, 51), (sample_key(0, "train", 7), 200), (2**62 + 3, 3)])
def test_numbers_are_uniform(key, stream):
    numbers = draw(key, stream)
    assert numbers.min() > 0.0
    assert numbers.max() < 1.0
    # Five standard deviations of the mean and of the mean square.
    assert abs(numbers.mean() - 1 / 2) < 5 * math.sqrt(1 / 12 / COUNT)
    assert abs(numbers.square().mean() - 1 / 3) < 5 * math.sqrt(4 / 45 / COUNT)
    assert stats.kstest(numbers.numpy(), "uniform").pvalue > 1e-3


def test_pairs_of_neighbours_fill_the_square_evenly():
    numbers = draw(5, 2).reshape(-1, 2)
    cells = (numbers * 16).long()
    counts = torch.bincount(cells[:, 0] * 16 + cells[:, 1], minlength=256)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("lag", [1, 2, 3, 384, 384 * 384])
def test_numbers_at_a_distance_are_uncorrelated(lag):
    numbers = draw(11, 50)
    assert abs(correlation(numbers[:-lag], numbers[lag:])) < 5.0 / math.sqrt(COUNT - lag)


@pytest.mark.parametrize(("key", "stream"), [(11, 50), (12, 51), (12, 52), (12, 1)])
def test_streams_and_keys_are_uncorrelated(key, stream):
    assert abs(correlation(draw(12, 50), draw(key, stream))) < UNCORRELATED


@pytest.mark.parametrize("bit", [0, 1, 7, 16, 30, 31])
def test_every_one_of_the_32_low_bits_of_a_key_counts(bit):
    assert abs(correlation(draw(0x12345678), draw(0x12345678 ^ (1 << bit)))) < UNCORRELATED


def test_higher_bits_of_a_key_do_not_count():
    assert torch.equal(draw(5, count=9), draw(5 + (1 << 32), count=9))


@pytest.mark.parametrize(("bits", "extreme"), [(0, 0.0), (-1, 1.0)])
def test_no_bits_give_zero_or_one(monkeypatch, bits, extreme):
    """An extreme number is rare enough to hide from a sample, and common enough to be drawn many times an epoch."""
    monkeypatch.setattr(counter, "_mix", lambda x: torch.full_like(x, bits))
    number = counter_uniform(torch.tensor([1]), 0, (1,)).item()
    assert number != extreme
    assert abs(number - extreme) < 1e-6


def test_numbers_do_not_depend_on_the_rest_of_the_batch():
    keys = torch.tensor([3, sample_key(1, "val", 2), 3, 900])
    batch = counter_uniform(keys, 4, (2, 5))
    for row, key in zip(batch, keys, strict=True):
        assert torch.equal(row, counter_uniform(key[None], 4, (2, 5))[0])
    assert torch.equal(batch[0], batch[2])
    assert not torch.equal(batch[0], batch[3])


def test_shape_only_arranges_the_numbers():
    keys = torch.tensor([8, 9])
    assert torch.equal(counter_uniform(keys, 1, (3, 4, 5)).flatten(1), counter_uniform(keys, 1, (60,)))
    assert torch.equal(counter_uniform(keys, 1, (60,)), counter_uniform(keys, 1, (100,))[:, :60])


def test_global_generators_neither_matter_nor_move():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = counter_normal(torch.tensor([1]), 0, (7,))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(1)
    assert torch.equal(first, counter_normal(torch.tensor([1]), 0, (7,)))


def test_normal_numbers_are_normal():
    numbers = counter_normal(torch.tensor([21]), 100, (COUNT,))[0].double()
    assert torch.isfinite(numbers).all()
    assert abs(numbers.mean()) < 5 / math.sqrt(COUNT)
    assert abs(numbers.var() - 1) < 5 * math.sqrt(2 / COUNT)
    assert stats.kstest(numbers.numpy(), "norm").pvalue > 1e-3
    assert abs(correlation(numbers[:-1], numbers[1:])) < UNCORRELATED


def test_normal_streams_are_uncorrelated():
    """Each takes two uniform streams; neighbours must not share one."""
    numbers = [counter_normal(torch.tensor([21]), stream, (COUNT,))[0].double() for stream in (100, 101, 102)]
    for first, second in ((0, 1), (1, 2), (0, 2)):
        assert abs(correlation(numbers[first], numbers[second])) < UNCORRELATED
        assert abs(correlation(numbers[first].square(), numbers[second].square())) < UNCORRELATED


@pytest.mark.parametrize("start", [0, 0x7FFF0000, 0x12345678])
def test_mixing_is_a_bijection(start):
    values = counter._low_bits(torch.arange(start, start + (1 << 19)))
    # With each its counterpart that differs in the highest bit, the first that a bad multiplier loses.
    mixed = counter._mix(torch.cat([values, values ^ -(1 << 31)]))
    assert mixed.dtype == torch.int32
    assert len(mixed.unique()) == 1 << 20


@pytest.mark.parametrize("key", [0, 1, 0x12345678, 0x80000000, 0xFFFFFFFF, sample_key(3, "train", 77)])
def test_numbers_are_the_documented_hash(key):
    """In Python's unbounded integers, where a product or a shift cannot overflow unseen."""

    def mix(x):
        x = (x ^ (x >> 16)) * 0x7FEB352D & 0xFFFFFFFF
        x = (x ^ (x >> 15)) * 0x5BD1E995 & 0xFFFFFFFF
        return x ^ (x >> 16)

    stream = 51
    start = mix(mix(key & 0xFFFFFFFF) ^ mix(stream + 1))
    expected = [((mix(mix(place ^ start) + start & 0xFFFFFFFF) >> 9) + 0.5) * 2.0**-23 for place in range(500)]
    np.testing.assert_array_equal(counter_uniform(torch.tensor([key]), stream, (500,))[0].numpy(), expected)


def test_mixing_changes_half_of_the_bits():
    values = draw(1, count=4096).mul(2.0**32).long()
    mixed = counter._mix(counter._low_bits(values))
    for bit in range(32):
        changed = (mixed ^ counter._mix(counter._low_bits(values ^ (1 << bit)))).numpy().view(np.uint32)
        share = np.unpackbits(changed.view(np.uint8)).mean()
        assert abs(share - 0.5) < 0.02, bit


def test_numbers_stay_what_they_are_for_ever():
    """Validation pairs are fixed by these: whoever must change them makes all earlier results incomparable."""
    keys = torch.tensor([0, 1, sample_key(20180910, "val", 0)])
    bits = ((counter_uniform(keys, 50, (4,)).double() * 2**23) - 0.5).long()
    assert bits.tolist() == [
        [831219, 6886893, 1522181, 8114291],
        [7835777, 4488387, 2652831, 3649164],
        [2364943, 6616520, 349475, 8144984],
    ]
    normal = counter_normal(keys, 100, (2,)).double()
    expected = [[-0.221728, -0.080624], [0.425779, -1.211752], [0.443545, -0.138645]]
    torch.testing.assert_close(normal, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("coordinates", "key"),
    [
        ((0, "train", 0), 8429591281405067882),
        ((20180910, "val", 63), 8343610330068025697),
        ((-1, "train-texture", 10**12), 710057662162582058),
    ],
)
def test_sample_keys_stay_what_they_are_for_ever(coordinates, key):
    assert sample_key(*coordinates) == key
    value = 14695981039346656037  # the published constants of the 64-bit FNV-1a hash, in decimal
    for byte in "/".join(map(str, coordinates)).encode():
        value = ((value ^ byte) * 1099511628211) % 2**64
    assert key == value // 2


def test_sample_keys_differ_and_fit_an_int64():
    keys = [sample_key(s, split, i) for s in range(5) for split in ("train", "val") for i in range(2000)]
    assert len(set(keys)) == len(keys)
    assert all(0 <= key < 2**63 for key in keys)
    # What the counters read of them: 20,000 draws of 32 bits collide 0.05 times on average.
    assert len({key & 0xFFFFFFFF for key in keys}) >= len(keys) - 2
