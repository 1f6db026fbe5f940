import dataclasses
import hashlib
import math

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from lightning_mm.data.bank import TextureBank, build_bank
from lightning_mm.data.random import sample_key
from lightning_mm.data.rendering import render_pairs
from lightning_mm.data.sampling import SceneDataset
from lightning_mm.data.scenes import BLOB, BOX, HARMONICS, KINDS, POLYGON, SceneConfig, SceneSampler

COUNT = 500


def blank(height, width):
    return np.zeros((height, width, 3), np.uint8)


def bank_of(procedural=0, blurred=0, photo=0, photo_blurred=0, height=1024, width=1024):
    """Black textures: a scene depends on the bank's groups and sizes alone."""
    counts = {"procedural": procedural, "procedural_blurred": blurred, "photo": photo, "photo_blurred": photo_blurred}
    return TextureBank({name: [blank(height, width)] * count for name, count in counts.items()})


def sampler_of(size=384, seed=0, split="train", bank=None, **config):
    bank = bank_of(4, 1) if bank is None else bank
    return SceneSampler(SceneConfig(**config), bank, size, seed, split)


@pytest.fixture(scope="module")
def scenes():
    """The first 500 scenes of the default ranges."""
    sampler = sampler_of()
    return [sampler(index) for index in range(COUNT)]


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def lengths(vectors):
    return vectors.double().norm(dim=-1)


def is_thin(scene):
    """Bars and strings: far longer than any other outline for their width."""
    return (scene["outline"] == BOX) & (scene["half"][:, 1] < 0.39 * scene["half"][:, 0])


def test_scene_is_a_function_of_seed_split_and_index(scenes):
    sampler = sampler_of()
    for index in (17, 3, 499, 3):
        assert same(sampler(index), scenes[index])
    assert same(sampler_of()(42), scenes[42])
    np.random.seed(5)  # noqa: NPY002  (the global generator is what must not matter)
    torch.manual_seed(5)
    assert same(sampler_of()(42), scenes[42])


@pytest.mark.parametrize("other", [{"seed": 1}, {"split": "val"}])
def test_seeds_and_splits_differ(scenes, other):
    sampler = sampler_of(**other)
    keys = {int(scene["key"]) for scene in scenes}
    for index in range(20):
        scene = sampler(index)
        assert int(scene["key"]) not in keys
        assert not torch.equal(scene["centre"], scenes[index]["centre"])
        assert scene["alpha"] != scenes[index]["alpha"]


def test_no_two_scenes_are_alike(scenes):
    assert len({int(scene["key"]) for scene in scenes}) == COUNT
    assert len({float(scene["alpha"]) for scene in scenes}) == COUNT


def test_key_is_that_of_the_sample(scenes):
    assert all(int(scene["key"]) == sample_key(0, "train", index) for index, scene in enumerate(scenes))


@pytest.mark.parametrize("workers", [1, 2])
def test_loader_workers_change_nothing(workers):
    dataset = SceneDataset(sampler_of(size=64))
    alone = list(DataLoader(dataset, batch_size=3, sampler=range(5, 16)))
    shared = list(DataLoader(dataset, batch_size=3, sampler=range(5, 16), num_workers=workers))
    assert len(alone) == len(shared) == 4
    assert all(same(first, second) for first, second in zip(alone, shared, strict=True))


def test_shapes_and_types(scenes):
    k = 16
    shapes = {
        "alpha": (),
        "key": (),
        "noise": (3,),
        "active": (k,),
        "texture": (k,),
        "origin": (k, 2),
        "flip": (k, 2, 2),
        "centre": (k, 2),
        "shift": (k, 2),
        "linear": (k, 2, 2),
        "wave": (k, 5),
        "gain": (k, 3),
        "offset": (k, 3),
        "perturbation": (k, 3),
        "outline": (k,),
        "rotation": (k, 2, 2),
        "half": (k, 2),
        "harmonics": (k, 2, HARMONICS),
        "sides": (k,),
        "softness": (k,),
    }
    integers = {"key": torch.int64, "active": torch.bool, "texture": torch.int64, "origin": torch.int64}
    integers["outline"] = torch.int64
    for scene in scenes[:10]:
        assert {name: tuple(value.shape) for name, value in scene.items()} == shapes
        for name, value in scene.items():
            assert value.dtype == integers.get(name, torch.float32), name
            assert torch.isfinite(value.double()).all(), name


@pytest.mark.parametrize(("size", "layers"), [(384, 16), (768, 16), (192, 9), (64, 3), (16, 2)])
def test_density_of_objects_stays(size, layers):
    assert sampler_of(size=size).layers == layers
    assert sampler_of(size=size)(0)["texture"].shape == (layers,)


def test_kinds_come_in_equal_shares_and_are_what_they_say(scenes):
    assert len(KINDS) == 5
    blurred = range(4, 5)
    for index, scene in enumerate(scenes):
        kind = KINDS[index % 5]
        objects = scene["active"][1:]
        moving = lengths(scene["shift"]) + scene["linear"].abs().sum(dim=(1, 2)) > 0
        waving = lengths(scene["wave"][:, :2]) > 0
        assert scene["active"][0]
        if kind == "background_only":
            assert not objects.any()
        else:
            assert 8 <= objects.sum() <= 15
            assert objects[: objects.sum()].all(), "unused layers come last"
        if kind == "static":
            assert not moving.any()
            assert not waving.any()
        elif kind == "foreground_only":
            assert not moving[0]
            assert not waving[0]
            assert moving[1:].all()
        else:
            assert moving.all()
        assert (int(scene["texture"][0]) in blurred) == (kind == "blurred_background")
        assert all(int(texture) in range(4) for texture in scene["texture"][1:])


def test_counts_of_objects_are_even(scenes):
    counts = [int(scene["active"][1:].sum()) for index, scene in enumerate(scenes) if KINDS[index % 5] == "full"]
    assert set(counts) == set(range(8, 16))


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"max_alpha": 250.0, "max_magnified_motion": 12.0},
        {"max_alpha": 3.0, "max_magnified_motion": 80.0, "max_input_motion": 2.0},
    ],
)
def test_motion_stays_in_its_ranges(config):
    sampler, config = sampler_of(**config), SceneConfig(**config)
    exact = 1 + 1e-5
    shifts, turns, waves = [], [], []
    for index in range(300):
        scene = sampler(index)
        alpha = float(scene["alpha"])
        assert 1.0 <= alpha <= config.max_alpha * exact
        shift = lengths(scene["shift"])
        assert shift.max() <= config.max_input_motion * exact
        assert alpha * shift.max() <= config.max_magnified_motion * exact
        linear = scene["linear"].double()
        rotation = (linear[:, 0, 1] - linear[:, 1, 0]) / 2
        strain = (linear + linear.transpose(1, 2)) / 2
        assert alpha * rotation.abs().max() <= 0.1 * exact
        assert alpha * strain.abs().max() <= 0.1 * exact
        # On its rim a turning layer moves no farther than a shifted one; the background's rim is the frame's edge.
        radius = scene["half"][:, 0] / torch.where(is_thin(scene), 2.0, 1.0)
        radius[0] = sampler.size / 2.0
        assert (alpha * linear.abs().amax(dim=(1, 2)) * radius).max() <= config.max_magnified_motion * exact
        amplitude, number = lengths(scene["wave"][:, :2]), lengths(scene["wave"][:, 2:4])
        assert alpha * (amplitude * number).max() <= 0.5 * exact
        assert alpha * amplitude.max() <= 0.3 * config.max_magnified_motion * exact
        wavelength = 2 * math.pi / number
        assert 40.0 / exact <= wavelength.min()
        assert wavelength.max() <= 200.0 * exact
        shifts += (alpha * shift / config.max_magnified_motion).tolist()
        turns += (alpha * rotation.abs()).tolist()
        waves += (alpha * amplitude).tolist()
    assert max(turns) > 0.09
    assert max(waves) > 0.02 * config.max_magnified_motion
    if config.max_input_motion * config.max_alpha > config.max_magnified_motion:
        assert max(shifts) > 0.9, "the range is used up to its end"


def test_shares_of_motions(scenes):
    """Of moving layers 60 % shift, 25 % turn without a shift, 15 % deform; one in five waves as well."""
    moving = [scene for index, scene in enumerate(scenes) if KINDS[index % 5] in ("full", "blurred_background")]
    linear = torch.cat([scene["linear"] for scene in moving]).double()
    shift = torch.cat([lengths(scene["shift"]) for scene in moving])
    wave = torch.cat([lengths(scene["wave"][:, :2]) for scene in moving])
    flat = linear.abs().sum(dim=(1, 2)) == 0
    turning = ~flat & (shift == 0)
    assert torch.equal(linear[turning][:, 0, 1], -linear[turning][:, 1, 0])
    assert not linear[turning][:, 0, 0].any()
    assert not linear[turning][:, 1, 1].any()
    for share, found in ((0.6, flat), (0.25, turning), (0.15, ~flat & ~turning), (0.2, wave > 0)):
        assert abs(found.double().mean() - share) < 5 * math.sqrt(share * (1 - share) / len(found))
    assert abs((linear[turning][:, 0, 1] > 0).double().mean() - 0.5) < 5 * 0.5 / math.sqrt(int(turning.sum()))


def test_waves_run_across_the_shift(scenes):
    for scene in scenes[:50]:
        along = (scene["wave"][:, :2] * scene["shift"]).double().sum(dim=1)
        assert along.abs().max() <= 1e-5 * max(1.0, float(lengths(scene["shift"]).max()) ** 2)


def test_small_factors_are_as_frequent_as_meant():
    """Half uniform in 1 to 100, half log-uniform in 2 to 100."""
    sampler, count = sampler_of(size=16), 4000
    alpha = np.array([float(sampler(index)["alpha"]) for index in range(count)])
    for limit in (5.0, 10.0, 50.0):
        share = 0.5 * (limit - 1) / 99 + 0.5 * math.log(limit / 2) / math.log(50)
        assert abs((alpha < limit).mean() - share) < 5 * math.sqrt(share * (1 - share) / count)


def test_outlines_stay_in_their_ranges(scenes):
    half = torch.cat([scene["half"][1:] for scene in scenes]).double()
    thin = torch.cat([is_thin(scene)[1:] for scene in scenes])
    radius = torch.where(thin, half[:, 0] / 2.0, half[:, 0])
    assert 16.0 - 1e-4 <= radius.min() < 17.0
    assert 88.0 < radius.max() <= 90.0 + 1e-4
    ratio = half[:, 1] / half[:, 0]
    assert ratio[~thin].min() >= 0.4 - 1e-6
    assert ratio[~thin].max() <= 1.0
    assert half[thin, 1].min() >= 0.6 - 1e-6
    assert half[thin, 1].max() <= 3.1 + 1e-6
    outline = torch.where(thin, 3, torch.cat([scene["outline"][1:] for scene in scenes]))
    for number, share in ((BLOB, 0.4375), (POLYGON, 0.21875), (BOX, 0.21875), (3, 0.125)):
        found = float((outline == number).double().mean())
        assert abs(found - share) < 5 * math.sqrt(share * (1 - share) / len(outline)), number
    bound = 0.35 / torch.arange(1, HARMONICS + 1)
    eye = torch.eye(2).expand(16, 2, 2)
    for scene in scenes:
        assert set(scene["sides"].tolist()) <= {3.0, 4.0, 5.0, 6.0}
        assert scene["softness"].min() >= 0.7 - 1e-6
        assert scene["softness"].max() <= 1.3 + 1e-6
        torch.testing.assert_close(scene["rotation"] @ scene["rotation"].mT, eye, rtol=0, atol=1e-6)
        assert (scene["harmonics"][:, 0] <= bound + 1e-6).all()
        assert (scene["harmonics"][:, 0] >= 0).all()


def test_objects_are_capped_by_the_frame():
    sampler = sampler_of(size=32)
    scenes = [sampler(index) for index in range(50)]
    radius = torch.cat([scene["half"][1:, 0] / torch.where(is_thin(scene), 2.0, 1.0)[1:] for scene in scenes])
    assert radius.max() <= 0.45 * 32 + 1e-4


def test_centres_lie_on_a_lattice_that_float32_adds_exactly(scenes):
    for scene in scenes:
        assert torch.equal(scene["centre"] * 64, (scene["centre"] * 64).round())
        assert scene["centre"].min() >= 0.0
        assert scene["centre"].max() <= 384.0
        assert scene["centre"][0].tolist() == [192.0, 192.0]


def test_layers_are_cut_from_inside_their_textures():
    """Where a texture is large enough, no mirror image shows within a layer's radius, at two texels per pixel."""
    bank = bank_of(2, 1, height=1000, width=700)
    sampler = sampler_of(bank=bank)
    places = []
    for index in range(100):
        scene = sampler(index)
        radius = torch.cat([torch.tensor([192.0]), scene["half"][1:].amax(dim=1)])
        radius = torch.where(is_thin(scene) & (torch.arange(16) > 0), radius / 2.0, radius)
        for axis, texels in ((0, 1000), (1, 700)):
            margin = (2.0 * radius).clamp(max=texels / 2.0)
            assert (scene["origin"][:, axis] >= margin.floor()).all()
            assert (scene["origin"][:, axis] <= texels - margin + 1e-3).all()
        places.append(scene["origin"][1:])
    assert torch.cat(places).min() < 80
    assert torch.cat(places)[:, 0].max() > 920


def test_colours_and_noise_stay_in_their_ranges(scenes):
    perturbation = torch.cat([scene["perturbation"] for scene in scenes]).double().flatten() * 127.5
    assert abs(perturbation.mean()) < 5 * 10.0 / math.sqrt(len(perturbation))
    assert abs(perturbation.std() / 10.0 - 1.0) < 5 / math.sqrt(2 * len(perturbation))
    noise = torch.stack([scene["noise"] for scene in scenes])
    assert noise.min() >= 0.0
    assert 0.29 < noise.max() <= 0.3
    assert len(noise.unique()) > 0.99 * noise.numel(), "one strength per frame"
    gain = torch.cat([scene["gain"] for scene in scenes])
    assert gain.min() >= 0.4 * 0.9 - 1e-6
    assert gain.max() <= 1.1 + 1e-6
    assert torch.cat([scene["offset"] for scene in scenes]).abs().max() <= 0.25 * (1.2 - 0.36) + 1e-6


def test_no_shot_noise_and_no_perturbation_can_be_asked_for():
    scene = SceneSampler(SceneConfig(colour_std=0.0), bank_of(1, 1), 64, 0, "val", shot_noise=0.0)(0)
    assert not scene["noise"].any()
    assert not scene["perturbation"].any()


def test_photos_are_upright_and_procedural_textures_are_not():
    bank = bank_of(3, 1, 4, 1)
    sampler = sampler_of(bank=bank)
    orientations = {True: set(), False: set()}
    photos = [*bank.groups["photo"], *bank.groups["photo_blurred"]]
    used = []
    for index in range(100):
        scene = sampler(index)
        for texture, flip in zip(scene["texture"].tolist(), scene["flip"], strict=True):
            orientations[texture in photos].add(tuple(flip.long().flatten().tolist()))
            used.append(texture)
        assert (scene["flip"].abs().sum(dim=1) == 1).all()
        assert (scene["flip"].abs().sum(dim=2) == 1).all()
    assert orientations[True] == {(1, 0, 0, 1), (1, 0, 0, -1)}, "a photo may be mirrored left to right, no more"
    assert len(orientations[False]) == 8
    # The share of photos, among layers in front of the background (whose group depends on the kind of scene).
    assert set(used) == set(range(9))
    share = np.mean([texture in photos for texture in used])
    assert abs(share - 0.75) < 5 * math.sqrt(0.75 * 0.25 / len(used))


@pytest.mark.parametrize(("share", "expected"), [(0.0, range(4)), (1.0, range(5, 9))])
def test_photo_share(share, expected):
    sampler = sampler_of(bank=bank_of(4, 1, 4, 1), photo_share=share)
    for index in range(20):
        assert set(sampler(index)["texture"][1:].tolist()) <= set(expected)


def test_photos_alone_serve_even_at_a_low_share():
    sampler = sampler_of(bank=bank_of(0, 0, 4, 1), photo_share=0.1)
    for index in range(10):
        scene = sampler(index)
        assert set(scene["texture"][1:].tolist()) <= set(range(4))
        assert (int(scene["texture"][0]) == 4) == (KINDS[index % 5] == "blurred_background")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_objects", 0),
        ("object_radius", (0.0, 4.0)),
        ("object_radius", (5.0, 4.0)),
        ("max_alpha", 1.9),
        ("max_alpha", math.nan),
        ("max_magnified_motion", 0.0),
        ("max_input_motion", -1.0),
        ("colour_std", -0.1),
        ("photo_share", 1.01),
        ("photo_share", -0.01),
    ],
)
def test_bad_ranges_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"SceneConfig\.{name} = .*must be"):
        SceneConfig(**{name: value})


def test_ranges_at_their_limits_are_accepted():
    config = SceneConfig(1, (4.0, 4.0), 2.0, 0.1, 0.1, 0.0, 1.0)
    scene = SceneSampler(config, bank_of(1, 1), 64, 0, "train")(0)
    assert 1.0 <= scene["alpha"] <= 2.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.max_alpha = 3.0


# The tests below pin one validation scene of each kind, from its parameters to its pixels. A change that moves the
# validation set makes results before and after it incomparable: say so in the changelog, then update the numbers.


@pytest.fixture(scope="module")
def pinned():
    bank = build_bank(20180910, "val", 6, 128)
    sampler = SceneSampler(SceneConfig(), bank, 64, 20180910, "val", 0.0)
    return next(iter(DataLoader(SceneDataset(sampler), batch_size=5, sampler=range(5)))), bank


def test_pinned_scenes_are_made_of_the_same_pieces(pinned):
    scenes, _ = pinned
    whole = hashlib.sha256()
    for name in ("key", "active", "texture", "origin", "flip", "centre", "outline", "sides"):
        exact = scenes[name].double() + 0.0  # no negative zeros
        whole.update(exact.numpy().astype("<f8").tobytes())
    assert whole.hexdigest()[:16] == "23dd5a9f31f8c9e9"


def test_pinned_scenes_move_the_same_way(pinned):
    scenes, _ = pinned
    expected = {
        "shift": 7.335104,
        "linear": -0.01175982,
        "wave": 25.11225,
        "gain": 18.17181,
        "offset": 0.05700741,
        "perturbation": 0.05738181,
        "rotation": -0.736728,
        "half": 350.1051,
        "harmonics": 137.893,
        "softness": 8.384253,
    }
    assert scenes["alpha"].tolist() == pytest.approx([2.56427, 2.013762, 98.79803, 58.13257, 24.15255], rel=1e-5)
    for name, value in expected.items():
        numbers = scenes[name].double().flatten()
        # Weights that differ, so that no two numbers can trade places.
        assert float((numbers * torch.arange(1, len(numbers) + 1)).mean()) == pytest.approx(value, rel=1e-4), name


def test_pinned_frames_show_the_same(pinned):
    scenes, bank = pinned
    pairs = render_pairs(scenes, bank, 64)
    levels = ((pairs.frame_a[:, 1, 20::24, 20::24] + 1) * 127.5).round().long().flatten(1)
    expected = torch.tensor(
        [
            [70, 133, 103, 66],
            [85, 113, 200, 113],
            [126, 122, 93, 121],
            [211, 102, 191, 114],
            [145, 176, 39, 114],
        ]
    )
    # Stochastic rounding may fall otherwise where another device's sum differs in its last bit.
    assert (levels != expected).sum() <= 1
    assert (levels - expected).abs().max() <= 1
    target = pairs.target[:, :, 20::24, 20::24].mean(dim=1).flatten(1)
    shown = torch.tensor(
        [
            [-0.2733, -0.1247, -0.6148, -0.3474],
            [-0.3764, -0.2292, 0.2746, -0.2291],
            [-0.5037, -0.2447, -0.3898, -0.0868],
            [0.5962, -0.1644, 0.4437, -0.0996],
            [0.0217, 0.3576, -0.5880, -0.2000],
        ]
    )
    torch.testing.assert_close(target, shown, rtol=0, atol=2e-4)
    for name, value in {"frame_a": 0.1526745, "frame_b": 0.1558555, "frame_c": 0.1511536, "target": 0.1466724}.items():
        assert getattr(pairs, name).double().square().mean().item() == pytest.approx(value, rel=1e-4), name
