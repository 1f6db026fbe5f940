import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from lightning_mm.data import rendering
from lightning_mm.data.bank import TextureBank, build_bank
from lightning_mm.data.rendering import render, render_clean, render_pairs, sample_bspline
from lightning_mm.data.scenes import BLOB, BOX, HARMONICS, KINDS, POLYGON, SceneConfig, SceneSampler

STATIC = KINDS.index("static")


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plain(level):
    return np.full((8, 8, 3), level, np.uint8)


def bank_of(*images):
    return TextureBank(
        {"procedural": list(images), "procedural_blurred": list(images[:1]), "photo": []} | {"photo_blurred": []}
    )


def scene_of(size, layers=1, **values):
    """One motionless scene: square opaque objects of 8 px in the middle, in the textures' own colours."""
    k = layers
    scene = {
        "alpha": torch.tensor(2.0),
        "key": torch.tensor(1),
        "noise": torch.zeros(3),
        "active": torch.ones(k, dtype=torch.bool),
        "texture": torch.arange(k),
        "origin": torch.full((k, 2), 100),
        "flip": torch.eye(2).repeat(k, 1, 1),
        "centre": torch.full((k, 2), size / 2.0),
        "shift": torch.zeros(k, 2),
        "linear": torch.zeros(k, 2, 2),
        "wave": torch.zeros(k, 5),
        "gain": torch.ones(k, 3),
        "offset": torch.zeros(k, 3),
        "perturbation": torch.zeros(k, 3),
        "outline": torch.full((k,), BOX),
        "rotation": torch.eye(2).repeat(k, 1, 1),
        "half": torch.full((k, 2), 8.0),
        "harmonics": torch.zeros(k, 2, HARMONICS),
        "sides": torch.full((k,), 4.0),
        "softness": torch.full((k,), 1.0),
    }
    for name, value in values.items():
        scene[name] = torch.as_tensor(value, dtype=scene[name].dtype).expand(scene[name].shape).clone()
    return {name: value[None] for name, value in scene.items()}


def drawn(indices, size=64, seed=0, bank=None, **config):
    """A batch of scenes as in training."""
    bank = bank_of(*(noise(160, 160, seed) for seed in range(5))) if bank is None else bank
    sampler = SceneSampler(SceneConfig(**config), bank, size, seed, "train")
    scenes = [sampler(index) for index in indices]
    return {name: torch.stack([scene[name] for scene in scenes]) for name in scenes[0]}, bank


def at(lam, count=1):
    return torch.full((count,), float(lam))


# --- sub-pixel motion ---


def wave_bank(frequency, angle, size=512):
    """A sinusoid of ``frequency`` cycles per output pixel, which is half as many per texel, in 8 bits."""
    y, x = np.mgrid[0:size, 0:size].astype(np.float64)
    phase = 2 * math.pi * frequency / 2.0 * (y * math.sin(angle) + x * math.cos(angle))
    levels = 127.5 + np.array([100.0, 110.0, 120.0]) * np.sin(phase + 0.3)[..., None]
    return bank_of(np.rint(levels).astype(np.uint8))


def phase_of(frame, frequency, angle, margin=8):
    """Phase of the known frequency by least squares in float64, away from the frame's borders, of the first channel."""
    values = frame.double().numpy()[0, 0, margin:-margin, margin:-margin]
    y, x = np.mgrid[margin : frame.shape[2] - margin, margin : frame.shape[3] - margin]
    argument = 2 * math.pi * frequency * (y * math.sin(angle) + x * math.cos(angle)).ravel()
    design = np.stack([np.cos(argument), np.sin(argument), np.ones_like(argument)], axis=1)
    cos, sin, _ = np.linalg.lstsq(design, values.ravel(), rcond=None)[0]
    return math.atan2(-sin, cos)


def apparent_shift(moved, reference, frequency, angle):
    """Motion along the direction of the wave, in pixels."""
    turned = phase_of(reference, frequency, angle) - phase_of(moved, frequency, angle)
    return math.remainder(turned, 2 * math.pi) / (2 * math.pi * frequency)


@pytest.mark.parametrize("shift", [0.01, 0.02, 0.05])
@pytest.mark.parametrize("of_nyquist", [1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2])
@pytest.mark.parametrize("degrees", [0, 30, 57, 90, 135])
def test_small_shifts_are_exact_to_half_a_percent(shift, of_nyquist, degrees):
    angle, frequency = math.radians(degrees), of_nyquist / 2
    bank = wave_bank(frequency, angle)
    scene = scene_of(96, origin=256, shift=[shift * math.sin(angle), shift * math.cos(angle)])
    reference, _ = render(scene, bank, 96, at(0))
    moved, _ = render(scene, bank, 96, at(1))
    assert apparent_shift(moved, reference, frequency, angle) == pytest.approx(shift, rel=5e-3)


@pytest.mark.parametrize("of_nyquist", [1 / 16, 1 / 4])
def test_motion_is_linear_in_alpha(of_nyquist):
    angle, frequency, shift = math.radians(30), of_nyquist / 2, 0.02
    bank = wave_bank(frequency, angle)
    for alpha in (1.0, 2.0, 5.0, 10.0, 50.0):
        vector = [shift * math.sin(angle), shift * math.cos(angle)]
        pairs = render_clean(scene_of(96, origin=256, shift=vector, alpha=alpha), bank, 96)
        magnified = apparent_shift(pairs.target, pairs.frame_a, frequency, angle)
        assert magnified == pytest.approx(alpha * shift, rel=5e-3)
        assert apparent_shift(pairs.frame_b, pairs.frame_a, frequency, angle) == pytest.approx(shift, rel=5e-3)


def test_content_moves_along_the_shift():
    """A dot goes down and to the right by a positive shift, and is not merely displaced by the right length."""
    dot = np.zeros((200, 200, 3), np.uint8)
    dot[98:103, 98:103] = 255
    scene = scene_of(32, shift=[3.0, 5.0])
    for lam in (0.0, 1.0, 0.5, 2.0):
        frame, _ = render(scene, bank_of(dot), 32, at(lam))
        weight = (frame[0, 0] + 1.0).double()
        axis = torch.arange(32, dtype=torch.float64)
        centre = [float((weight.sum(dim=d) * axis).sum() / weight.sum()) for d in (1, 0)]
        assert centre == pytest.approx([16.0 + 3.0 * lam, 16.0 + 5.0 * lam], abs=1e-4)


# --- whole-pixel motion ---


def moved_by(image, down, right):
    """The part of an image that is still in view after a move, and where it was."""
    size = image.shape[-1]
    rows = slice(max(0, down), size + min(0, down)), slice(max(0, -down), size + min(0, -down))
    columns = slice(max(0, right), size + min(0, right)), slice(max(0, -right), size + min(0, -right))
    return (rows[0], columns[0]), (rows[1], columns[1])


@pytest.mark.parametrize("lam", [1.0, 4.0, 64.0])
def test_whole_pixels_of_motion_only_move_the_background(lam):
    scene = scene_of(48, shift=[3.0 / lam, -7.0 / lam])
    bank = bank_of(noise(300, 300))
    reference, _ = render(scene, bank, 48, at(0))
    frame, _ = render(scene, bank, 48, at(lam))
    now, before = moved_by(frame, 3, -7)
    assert torch.equal(frame[0, :, *now], reference[0, :, *before])
    assert not torch.equal(frame[0, :, *now], reference[0, :, *now])


@pytest.mark.parametrize("lam", [1.0, 8.0])
def test_whole_pixels_of_motion_only_move_scenes_with_objects(lam):
    scenes, bank = drawn(range(10), size=96)
    scenes["shift"] = torch.tensor([-5.0, 4.0]).div(lam).expand_as(scenes["shift"])
    scenes["linear"], scenes["wave"] = torch.zeros_like(scenes["linear"]), torch.zeros_like(scenes["wave"])
    reference, shown = render(scenes, bank, 96, at(0, 10))
    frame, visible = render(scenes, bank, 96, at(lam, 10))
    now, before = moved_by(frame, -5, 4)
    assert torch.equal(visible[:, :, *now], shown[:, :, *before])
    assert torch.equal(frame[:, :, *now], reference[:, :, *before])
    assert (shown[:, 1:] > 0).any()


def test_an_object_moves_over_a_still_background():
    k, size = 2, 48
    shift = [[0.0, 0.0], [6.0, -3.0]]
    scene = scene_of(size, k, shift=shift, outline=BLOB, half=[[9.0, 9.0], [11.0, 7.0]])
    scene["harmonics"][0, 1, 0, :3] = 0.2
    bank = bank_of(noise(300, 300, 1), noise(300, 300, 2))
    reference, shown = render(scene, bank, size, at(0))
    frame, visible = render(scene, bank, size, at(1))
    now, before = moved_by(frame, 6, -3)
    assert torch.equal(visible[0, 1, *now], shown[0, 1, *before])
    inside = visible[0, 1] == 1.0
    assert inside.sum() > 100
    rolled = reference.roll((6, -3), dims=(2, 3))
    assert torch.equal(frame[0][:, inside], rolled[0][:, inside])
    outside = (visible[0, 1] == 0.0) & (shown[0, 1] == 0.0)
    assert torch.equal(frame[0][:, outside], reference[0][:, outside])
    uncovered = (visible[0, 1] == 0.0) & (shown[0, 1] == 1.0)
    assert uncovered.sum() > 10
    alone, _ = render(scene_of(size), bank, size, at(0))
    assert torch.equal(frame[0][:, uncovered], alone[0][:, uncovered])


# --- pairs ---


def test_at_alpha_1_the_target_is_frame_b():
    scenes, bank = drawn(range(10))
    scenes["alpha"] = torch.ones(10)
    pairs = render_clean(scenes, bank, 64)
    assert torch.equal(pairs.target, pairs.frame_b)
    assert not torch.equal(pairs.frame_b[0], pairs.frame_c[0])


def test_alpha_moves_the_target_alone():
    scenes, bank = drawn(range(10))
    pairs = render_clean(scenes, bank, 64)
    assert torch.equal(pairs.alpha, scenes["alpha"])
    other = render_clean(scenes | {"alpha": scenes["alpha"] * 0.5}, bank, 64)
    for name in ("frame_a", "frame_b", "frame_c"):
        assert torch.equal(getattr(pairs, name), getattr(other, name))
    still = torch.arange(10) % 5 == STATIC
    assert torch.equal(pairs.target[still], other.target[still])
    assert all(not torch.equal(pairs.target[i], other.target[i]) for i in (~still).nonzero().flatten())


def test_target_is_the_scene_at_alpha_times_the_motion():
    """Twice the motion at alpha 5 is the motion at alpha 10."""
    scenes, bank = drawn(range(5))
    doubled = scenes | {name: scenes[name] * 2.0 for name in ("shift", "linear")}
    doubled["wave"] = scenes["wave"] * torch.tensor([2.0, 2.0, 1.0, 1.0, 1.0])
    first = render_clean(scenes | {"alpha": at(10, 5)}, bank, 64)
    second = render_clean(doubled | {"alpha": at(5, 5)}, bank, 64)
    torch.testing.assert_close(first.target, second.target, rtol=0, atol=1e-3)
    assert torch.equal(first.frame_a, second.frame_a)


def test_static_scenes_stand_still():
    scenes, bank = drawn([STATIC, STATIC + 5, STATIC + 10])
    pairs = render_clean(scenes, bank, 64)
    assert torch.equal(pairs.frame_a, pairs.frame_c)
    assert torch.equal(pairs.frame_b, pairs.target)
    assert not torch.equal(pairs.frame_a, pairs.frame_b), "colours differ all the same"


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_move(kind):
    scenes, bank = drawn([KINDS.index(kind)])
    pairs = render_clean(scenes, bank, 64)
    moved = float((pairs.frame_c - pairs.frame_a).abs().max())
    assert (moved > 0.01) == (kind != "static")


def test_perturbation_is_constant_in_an_opaque_layer():
    scenes, bank = drawn(range(10), size=96)
    scenes["gain"] *= 0.5  # so that no colour is cut off at black or white
    pairs = render_clean(scenes, bank, 96)
    for difference, lam in ((pairs.frame_b - pairs.frame_c, at(1, 10)), (None, scenes["alpha"])):
        frame, visible = render(scenes, bank, 96, lam)
        difference = pairs.target - frame if difference is None else difference
        seen = set()
        for scene, layer in (visible.flatten(2).amax(dim=2) == 1.0).nonzero().tolist():
            opaque = visible[scene, layer] == 1.0
            found = difference[scene][:, opaque]
            expected = scenes["perturbation"][scene, layer][:, None].expand_as(found)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
            seen.add(layer)
        assert len(seen) == scenes["texture"].shape[1]


def test_frames_stay_in_range_where_colours_are_cut_off():
    scenes, bank = drawn(range(5), colour_std=200.0)
    pairs = render_clean(scenes, bank, 64)
    for frame in pairs[:4]:
        assert frame.min() >= -1.0
        assert frame.max() <= 1.0
    assert pairs.target.max() == 1.0
    assert pairs.target.min() == -1.0


def test_results_need_no_gradient_and_are_float32():
    scenes, bank = drawn(range(2))
    for pairs in (render_pairs(scenes, bank, 64), render_clean(scenes, bank, 64)):
        for frame in pairs[:4]:
            assert frame.shape == (2, 3, 64, 64)
            assert frame.dtype == torch.float32
            assert not frame.requires_grad
            assert frame.is_contiguous()


def test_autocast_changes_nothing():
    scenes, bank = drawn(range(5))
    expected = render_pairs(scenes, bank, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pairs = render_pairs(scenes, bank, 64)
    for frame, reference in zip(pairs, expected, strict=True):
        assert frame.dtype == reference.dtype
        assert torch.equal(frame, reference)


def test_a_scene_does_not_depend_on_the_rest_of_the_batch():
    scenes, bank = drawn(range(5))
    batch = render_pairs(scenes, bank, 64)
    for index in range(5):
        alone = render_pairs({name: value[index : index + 1] for name, value in scenes.items()}, bank, 64)
        torch.testing.assert_close(alone.target[0], batch.target[index], rtol=0, atol=1e-5)
        assert (alone.frame_a[0] != batch.frame_a[index]).double().mean() < 1e-3


def test_rendering_in_parts_changes_nothing(monkeypatch):
    scenes, bank = drawn(range(3))
    expected = render(scenes, bank, 64, scenes["alpha"])
    monkeypatch.setattr(rendering, "_chunk", lambda work, device: {"outlines": 1000, "textures": 700}[work])
    for part, whole in zip(render(scenes, bank, 64, scenes["alpha"]), expected, strict=True):
        torch.testing.assert_close(part, whole, rtol=0, atol=1e-6)


# --- layers ---


def test_shares_of_layers_add_up_to_one():
    scenes, bank = drawn(range(20))
    for lam in (at(0, 20), at(1, 20), scenes["alpha"]):
        _, visible = render(scenes, bank, 64, lam)
        assert visible.min() >= 0.0
        assert visible.max() <= 1.0
        torch.testing.assert_close(visible.sum(dim=1), torch.ones(20, 64, 64), rtol=0, atol=2e-6)
        assert not visible[~scenes["active"]].any()


def test_layers_in_front_hide_those_behind():
    centre = [[16.0, 16.0], [12.0, 12.0], [18.0, 18.0]]
    bank = bank_of(plain(10), plain(100), plain(200))
    scene = scene_of(32, 3, centre=centre, half=6.0)
    frame, visible = render(scene, bank, 32, at(0))
    levels = ((frame[0, 0] + 1.0) * 127.5).round()
    assert [levels[y, x].item() for y, x in ((1, 1), (8, 8), (15, 15), (22, 22))] == [10, 100, 200, 200]
    assert visible[0, :, 15, 15].tolist() == [0, 0, 1]
    # Exchanging the two moves the other to the front.
    swapped = scene | {name: scene[name][:, [0, 2, 1]] for name in ("centre", "texture")}
    frame, _ = render(swapped, bank, 32, at(0))
    assert ((frame[0, 0, 15, 15] + 1.0) * 127.5).round() == 100


def test_inactive_layers_are_not_shown():
    scene = scene_of(32, 2, active=[True, False])
    _, visible = render(scene, bank_of(plain(10), plain(100)), 32, at(1))
    assert torch.equal(visible[0, 0], torch.ones(32, 32))
    assert not visible[0, 1].any()


def test_a_box_has_the_opacity_of_its_distance():
    scene = scene_of(48, 2, half=[[9.0, 9.0], [9.3, 5.6]], softness=1.3, centre=[[24.0, 24.0], [20.5, 22.25]])
    angle = 0.4
    scene["rotation"][0, 1] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    _, visible = render(scene, bank_of(plain(10), plain(100)), 48, at(0))
    y, x = np.mgrid[0:48, 0:48].astype(np.float64)
    y, x = y - 20.5, x - 22.25
    u, v = math.cos(angle) * y - math.sin(angle) * x, math.sin(angle) * y + math.cos(angle) * x
    distance = np.maximum(np.abs(u) - 9.3, np.abs(v) - 5.6)
    t = np.clip(0.5 - 0.5 * distance / 1.3, 0.0, 1.0)
    np.testing.assert_allclose(visible[0, 1].numpy(), t * t * (3 - 2 * t), rtol=0, atol=1e-5)


def test_a_disc_is_equally_soft_all_round():
    scene = scene_of(48, 2, half=10.0, softness=1.2, outline=BLOB, centre=24.25)
    _, visible = render(scene, bank_of(plain(10), plain(100)), 48, at(0))
    y, x = np.mgrid[0:48, 0:48].astype(np.float64) - 24.25
    t = np.clip(0.5 - 0.5 * (np.hypot(y, x) - 10.0) / 1.2, 0.0, 1.0)
    np.testing.assert_allclose(visible[0, 1].numpy(), t * t * (3 - 2 * t), rtol=0, atol=1e-5)
    # An ellipse keeps the width of its edge along both axes: the rise from a tenth to nine tenths, in pixels.
    flat = scene_of(96, 2, half=[[1.0, 1.0], [30.0, 12.0]], softness=3.0, outline=BLOB)
    _, visible = render(flat, bank_of(plain(10), plain(100)), 96, at(0))
    for line in (visible[0, 1, :, 48], visible[0, 1, 48]):
        assert ((line > 0.1) & (line < 0.9)).sum() == pytest.approx(2 * 3.65, abs=2)


@pytest.mark.parametrize("sides", [3, 4, 5, 6])
def test_a_polygon_has_straight_sides(sides):
    scene = scene_of(64, 2, half=24.0, outline=POLYGON, sides=float(sides), softness=0.8, centre=32.5)
    _, visible = render(scene, bank_of(plain(10), plain(100)), 64, at(0))
    y, x = np.mgrid[0:64, 0:64].astype(np.float64) - 32.5
    # Inside of all sides, each at the apothem from the centre; one corner lies on the x axis.
    normals = 2 * math.pi * (np.arange(sides) + 0.5) / sides
    depth = 24.0 * math.cos(math.pi / sides) - np.max([x * np.cos(n) + y * np.sin(n) for n in normals], axis=0)
    clear = np.abs(depth) > 1e-3
    assert np.array_equal((visible[0, 1].numpy() > 0.5)[clear], (depth > 0)[clear])
    assert (visible[0, 1] == 1.0).sum() > 300


def test_a_blob_follows_its_harmonics():
    scene = scene_of(64, 2, half=16.0, outline=BLOB, softness=0.8, centre=32.5)
    amplitude, phase = np.array([0.3, 0.1, 0.0, 0.05, 0.0, 0.02]), np.linspace(0.0, 5.0, HARMONICS)
    scene["harmonics"][0, 1] = torch.tensor(np.stack([amplitude, phase]))
    _, visible = render(scene, bank_of(plain(10), plain(100)), 64, at(0))
    y, x = np.mgrid[0:64, 0:64].astype(np.float64) - 32.5
    orders = np.arange(2, 2 + HARMONICS)[:, None, None]
    rim = 16.0 * (1 + (amplitude[:, None, None] * np.cos(orders * np.arctan2(y, x) + phase[:, None, None])).sum(axis=0))
    depth = rim - np.hypot(y, x)
    clear = np.abs(depth) > 1e-3
    assert np.array_equal((visible[0, 1].numpy() > 0.5)[clear], (depth > 0)[clear])


def everywhere(scenes, size, lam):
    """All pixels of all active layers, in place of those within reach."""
    return scenes["active"].repeat_interleave(size**2, dim=1).view(-1).nonzero().squeeze(1)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"max_alpha": 2.0},
        {"object_radius": (4.0, 8.0), "max_magnified_motion": 120.0, "max_input_motion": 60.0},
        {"object_radius": (30.0, 50.0)},
    ],
)
def test_no_outline_is_cut_off_at_its_reach(monkeypatch, config):
    scenes, bank = drawn([i for i in range(30) if KINDS[i % 5] in ("full", "foreground_only")], size=128, **config)
    count = len(scenes["alpha"])
    bounded = [render(scenes, bank, 128, lam) for lam in (at(0, count), scenes["alpha"])]
    monkeypatch.setattr(rendering, "_in_reach", everywhere)
    whole = [render(scenes, bank, 128, lam) for lam in (at(0, count), scenes["alpha"])]
    for first, second in zip(bounded, whole, strict=True):
        torch.testing.assert_close(first[1], second[1], rtol=0, atol=1e-5)
        torch.testing.assert_close(first[0], second[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("outline", [BLOB, POLYGON, BOX])
def test_no_outline_is_cut_off_in_extreme_motion(monkeypatch, outline):
    """Small objects far from where they were, in layers that stretch along their motion."""
    count, size = 24, 128
    generator = torch.Generator().manual_seed(outline)
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    unit = torch.stack([angle.sin(), angle.cos()], dim=1)
    still = scene_of(size, 2, texture=0, outline=outline)
    # One object to a scene: in a heap, those in front would hide what is cut off behind.
    scenes = {name: value.repeat(count, *(1,) * (value.ndim - 1)) for name, value in still.items()}
    scenes["shift"][:, 1] = unit * 30.0
    scenes["linear"][:, 1] = 0.2 * unit[:, :, None] * unit[:, None, :]
    scenes["wave"][:, 1] = torch.cat([9.0 * unit, 0.01 * unit, torch.full((count, 1), math.pi / 2)], dim=1)
    scenes["half"][:, 1] = torch.rand(count, 2, generator=generator) * 6.0 + 1.0
    scenes["harmonics"][:, 1, 0] = 0.35 / torch.arange(1, HARMONICS + 1)
    scenes["rotation"][:, 1] = torch.stack([unit, torch.stack([-unit[:, 1], unit[:, 0]], dim=1)], dim=1)
    bank = bank_of(plain(100))
    _, bounded = render(scenes, bank, size, at(1, count))
    monkeypatch.setattr(rendering, "_in_reach", everywhere)
    _, whole = render(scenes, bank, size, at(1, count))
    torch.testing.assert_close(bounded, whole, rtol=0, atol=1e-5)
    assert (whole[:, 1].flatten(1).amax(dim=1) > 0.5).all(), "an object has left the frame"


# --- against SciPy ---


def spline(texels, rows, columns):
    """The cubic B-spline of texels as coefficients, in float64; "reflect" is SciPy's name for half-sample symmetry."""
    coordinates = np.stack([rows, columns])
    planes = [
        ndimage.map_coordinates(plane, coordinates, order=3, mode="reflect", prefilter=False)
        for plane in np.moveaxis(texels.astype(np.float64), -1, 0)
    ]
    return np.stack(planes, axis=-1)


@pytest.mark.parametrize("reach", [3, 40, 1000])
def test_sampling_is_the_cubic_b_spline_of_scipy(reach):
    images = [noise(9, 14, 1), noise(32, 5, 2), noise(16, 16, 3)]
    bank = bank_of(*images)
    rng = np.random.default_rng(4)
    texture = rng.integers(0, 3, 3000)
    whole, fraction = rng.integers(-reach, reach + 20, (3000, 2)), rng.random((3000, 2), dtype=np.float32)
    fraction[:10] = 0.0
    first = torch.from_numpy(whole - 1)
    values = sample_bspline(bank, torch.from_numpy(texture), first, torch.from_numpy(fraction))
    assert values.shape == (3000, 3)
    for number, image in enumerate(images):
        chosen = texture == number
        place = whole[chosen] + fraction[chosen].astype(np.float64)
        expected = spline(image, place[:, 0], place[:, 1])
        np.testing.assert_allclose(values[torch.from_numpy(chosen)].numpy(), expected, rtol=0, atol=2e-4)


def reference_frame(scene, images, size, lam):
    """A frame in float64 with NumPy and SciPy: each layer drawn whole, over those behind it."""
    scene = {name: value[0].double().numpy() for name, value in scene.items()}
    frame = np.zeros((size, size, 3))
    pixel = np.stack(np.mgrid[0:size, 0:size], axis=-1).astype(np.float64)
    for layer in range(len(scene["active"])):
        if not scene["active"][layer]:
            continue
        r = pixel - scene["centre"][layer]
        wave = scene["wave"][layer]
        delta = scene["shift"][layer] + r @ scene["linear"][layer].T
        delta = delta + wave[:2] * np.sin(r @ wave[2:4] + wave[4])[..., None]
        place = r - lam * delta
        texel = scene["origin"][layer] + 2.0 * place @ scene["flip"][layer].T
        colour = spline(images[int(scene["texture"][layer])], texel[..., 0], texel[..., 1]) / 127.5 - 1.0
        colour = scene["gain"][layer] * colour + scene["offset"][layer]
        opacity = reference_opacity(scene, layer, place)[..., None] if layer else 1.0
        frame = frame + opacity * (colour - frame)
    return frame.transpose(2, 0, 1)


def reference_opacity(scene, layer, place):
    q, half = place @ scene["rotation"][layer].T, scene["half"][layer]
    scaled = q / half
    theta, radius = np.arctan2(scaled[..., 0], scaled[..., 1]), np.hypot(scaled[..., 0], scaled[..., 1])
    outline = int(scene["outline"][layer])
    if outline == BOX:
        distance = (np.abs(q) - half).max(axis=-1)
    else:
        sector = 2 * math.pi / scene["sides"][layer]
        rim = math.cos(sector / 2) / np.cos(np.mod(theta, sector) - sector / 2)
        if outline == BLOB:
            amplitude, phase = scene["harmonics"][layer]
            waves = [a * np.cos((n + 2) * theta + p) for n, (a, p) in enumerate(zip(amplitude, phase, strict=True))]
            rim = np.maximum(1 + np.sum(waves, axis=0), 0.2)
        # Over the length of the gradient of the scaled radius.
        slope = np.hypot(scaled[..., 0] / half[0], scaled[..., 1] / half[1]) / np.maximum(radius, 1e-12)
        distance = (radius - rim) / np.maximum(slope, 1e-12)
    t = np.clip(0.5 - 0.5 * distance / scene["softness"][layer], 0.0, 1.0)
    return t * t * (3 - 2 * t)


@pytest.mark.parametrize(
    "motion",
    [
        {"shift": [0.37, -1.21]},
        {"linear": [[0.0, 0.05], [-0.05, 0.0]]},
        {"linear": [[0.03, -0.02], [0.05, -0.04]], "shift": [-0.8, 0.3]},
        {"wave": [0.7, -0.4, 0.09, 0.05, 1.0], "shift": [0.1, 0.2]},
    ],
    ids=["shift", "rotation", "affine", "wave"],
)
@pytest.mark.parametrize("lam", [0.0, 1.0, 3.7])
def test_a_moving_background_agrees_with_scipy(motion, lam):
    image = noise(90, 61, 5)
    colours = {
        "gain": [0.7, 0.8, 0.9],
        "offset": [0.1, -0.05, 0.0],
        "origin": [[40, 21]],
        "flip": [[0.0, -1.0], [1.0, 0.0]],
    }
    scene = scene_of(64, **motion, **colours)
    frame, _ = render(scene, bank_of(image), 64, at(lam))
    np.testing.assert_allclose(frame[0].numpy(), reference_frame(scene, [image], 64, lam), rtol=0, atol=1e-4)


@pytest.mark.parametrize("index", range(10))
def test_drawn_scenes_agree_with_scipy(index):
    images = [noise(160, 160, seed) for seed in range(5)]
    scenes, bank = drawn([index], size=96)
    for lam in (0.0, 1.0, float(scenes["alpha"][0])):
        frame, _ = render(scenes, bank, 96, at(lam))
        expected = reference_frame(scenes, [*images, images[0]], 96, lam)
        np.testing.assert_allclose(frame[0].numpy(), expected, rtol=0, atol=1e-3)
        assert np.abs(frame[0].numpy() - expected).mean() < 1e-5


def test_a_cached_bank_renders():
    bank = build_bank(0, "val", 5, 64)
    scenes, _ = drawn(range(5), bank=bank)
    pairs = render_pairs(scenes, bank, 64)
    for frame in pairs[:4]:
        assert torch.isfinite(frame).all()
        assert frame.flatten(1).std(dim=1).min() > 0.01
