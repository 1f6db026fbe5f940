"""The supernet against networks of its own weights, put together by hand."""

import copy
import math

import numpy as np
import pytest
import torch
from random_architectures import frames
from small_spaces import CHOICE, ELASTIC, build, by_hand, changed, genotypes, indices, shapes_of, unfolded

from lightning_mm.cost import receptive_field
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.models.blocks import ResidualBlock
from lightning_mm.models.supernet import SuperNet, _cut, initialise
from lightning_mm.spaces import ChoiceSpace, ElasticSpace, Genotype

SCALES = (1.0, 0.1, "learnable")
SPACES = {"choice": CHOICE, "elastic": ELASTIC}
# Where a width is the same in all members, equal widths beside each other leave a projection out in some alone.
AWKWARD = [
    {"decoder_channels": (8,), "encoder_channels": (2, 4)},
    {"decoder_channels": (8,), "encoder_channels": (2, 4, 6)},
    {"decoder_channels": (4, 6, 8), "encoder_channels": (4,)},
    {"decoder_channels": (4, 6, 8), "encoder_channels": (2,)},
    {"decoder_channels": (4, 8), "encoder_channels": (2, 4)},
    {"decoder_channels": (8, 12), "encoder_channels": (2, 4, 6)},
    {"decoder_channels": (8,), "encoder_channels": (4,)},
]


@pytest.fixture(scope="module", params=[(name, scale) for name in SPACES for scale in SCALES], ids=str)
def supernet(request):
    name, scale = request.param
    return build(SPACES[name], residual_scale=scale).requires_grad_(False)


@pytest.fixture(scope="module")
def elastic():
    return build(ELASTIC).requires_grad_(False)


def inputs(size=16):
    return frames(2, 3, size, size + 4), frames(2, 3, size, size + 4, seed=2), torch.tensor([3.0, 12.0])


def assert_near(found, expected, tolerance):
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * expected.abs().max().item())


# --- One function ---


def test_what_is_exported_computes_what_the_supernet_does(supernet):
    for number, path in enumerate(genotypes(supernet.space, 25, seed=3)):
        expected = supernet(*inputs(), path)
        assert expected.std() > 1e-3
        assert_near(supernet.export(path)(*inputs()), expected, 1e-6)
        # And with the factor on the branch of each block instead of in its second convolution.
        if number % 3 == 0:
            assert_near(unfolded(supernet, path)(*inputs()), expected, 1e-5)


def test_what_is_exported_is_an_ordinary_magnifier(supernet):
    for path in genotypes(supernet.space, 5):
        exported = supernet.export(path)
        assert type(exported) is Magnifier
        assert exported.config == supernet.space.config(path)
        assert exported.config.residual_scale == 1.0
        assert {module.scale for module in exported.modules() if isinstance(module, ResidualBlock)} <= {1.0}
        assert all(type(p) is torch.nn.Parameter and p.is_leaf and p.requires_grad for p in exported.parameters())
        again = Magnifier(exported.config)
        again.load_state_dict(exported.state_dict())
        assert torch.equal(again(*inputs()), exported(*inputs()))


def test_a_factor_on_the_branches_is_that_of_the_configuration():
    supernet = build(CHOICE, residual_scale=0.1)
    path = genotypes(CHOICE, 1)[0]
    scaled = Magnifier(MagnifierConfig(**{**CHOICE.config(path).to_dict(), "residual_scale": 0.1}))
    supernet.residual_scale = 1.0
    scaled.load_state_dict(supernet.export(path).state_dict())
    supernet.residual_scale = 0.1
    assert_near(supernet(*inputs(), path), scaled(*inputs()), 1e-5)


def test_what_is_exported_has_weights_of_its_own(supernet):
    before = copy.deepcopy(supernet.store.state_dict())
    path = genotypes(supernet.space, 1)[0]
    exported = supernet.export(path)
    expected = exported(*inputs())
    with torch.no_grad():
        for parameter in exported.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(supernet.store[name], value) for name, value in before.items())
    exported = supernet.export(path)
    changing = copy.deepcopy(supernet)
    exported = changing.export(path)
    with torch.no_grad():
        for parameter in changing.store.values():
            parameter.add_(1.0)
    assert torch.equal(exported(*inputs()), expected)
    assert not torch.allclose(changing(*inputs(), path), expected)


def test_no_path_stays_behind(supernet):
    paths = genotypes(supernet.space, 6, seed=1)
    alone = [copy.deepcopy(supernet)(*inputs(), path) for path in paths]
    before = copy.deepcopy(supernet.state_dict())
    for order in (range(6), reversed(range(6)), (0, 0, 5, 0, 3, 3, 1)):
        for n in order:
            assert torch.equal(supernet(*inputs(), paths[n]), alone[n])
    assert supernet.state_dict().keys() == before.keys()
    assert all(torch.equal(supernet.state_dict()[name], value) for name, value in before.items())
    # What is computed within another's call is computed as it is alone.
    inner = supernet.run(paths[0], lambda magnifier: (supernet(*inputs(), paths[1]), magnifier(*inputs())))
    assert torch.equal(inner[0], alone[1])
    assert torch.equal(inner[1], alone[0])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", SPACES)
def test_gradients_are_those_of_the_network_and_go_to_its_weights_alone(name, scale):
    supernet = build(SPACES[name], residual_scale=scale)
    path = genotypes(supernet.space, 1, seed=4)[0]
    alone = unfolded(supernet, path)
    alone(*inputs()).square().mean().backward()
    supernet(*inputs(), path).square().mean().backward()
    expected = {key: torch.zeros_like(value) for key, value in supernet.store.items()}
    keys = {id(value): key for key, value in supernet.store.items()}
    config = supernet.space.config(path)
    touched = set()
    for parameter_name, parameter in alone.named_parameters():
        concatenated = parameter_name == f"decoder.{'down.0' if config.downsamplings else 'project_in'}.weight"
        stored, sides = by_hand(supernet, path, parameter_name, parameter.shape, concatenated)
        expected[keys[id(stored)]][np.ix_(*sides)] = parameter.grad
        touched.add(keys[id(stored)])
    for key, value in supernet.store.items():
        if key.endswith("/scale"):
            second = [key.replace("/scale", f"/conv2/{part}") for part in ("weight", "bias")]
            assert (value.grad is not None) == (second[0] in touched)
            if value.grad is not None:
                slope = sum((expected[part] * supernet.store[part]).sum() for part in second) / value
                torch.testing.assert_close(value.grad, slope.detach(), rtol=1e-3, atol=1e-6)
        elif key in touched:
            assert_near(value.grad, expected[key], 1e-4)
        else:
            assert value.grad is None, key


# --- Weights that are shared ---


@pytest.mark.parametrize("have", [3, 5, 7, 9, 13])
@pytest.mark.parametrize("want", [1, 3, 5, 7, 9, 13])
def test_smaller_kernels_are_the_centre(have, want):
    if want > have:
        return
    delta = torch.zeros(1, 1, have, have)
    delta[..., have // 2, have // 2] = 1.0
    cut = _cut(delta, torch.Size((1, 1, want, want)), 1)
    assert cut[..., want // 2, want // 2] == 1.0
    assert cut.sum() == 1.0


@pytest.mark.parametrize("kind", ["linear", "linear_single"])
def test_a_smaller_first_kernel_looks_at_the_same_pixel(kind):
    kernels = (3, 5, 7, 9, 13)
    space = ElasticSpace((1,), (4,), (2,), (4,), tuple(f"{kind}_{kernel}" for kernel in kernels), (2,))
    supernet = build(space)
    with torch.no_grad():
        weight = supernet.store[f"{kind}/encoder/common/weight"].zero_()
        assert weight.shape == (2, 3, 13, 13)
        weight[0, 0, 6, 6] = weight[1, 2, 6, 6] = 1.0
        supernet.store[f"{kind}/encoder/common/bias"].zero_()
        frame = frames(1, 3, 32, 32)
        for kernel in kernels:
            path = changed(space, genotypes(space, 1)[0], encoder=f"{kind}_{kernel}")
            first = supernet.export(path).encoder.common
            assert first.kernel_size == (kernel, kernel)
            assert torch.equal(first(frame), frame[:, [0, 2], ::2, ::2])
            assert torch.equal(supernet.run(path, lambda m: m.encoder.common(frame)), frame[:, [0, 2], ::2, ::2])


def test_a_smaller_last_kernel_writes_to_the_same_pixel():
    kernels = (1, 3, 5, 7, 9)
    space = ElasticSpace((1,), (4,), (2,), (2,), ("linear_9",), (6,), output_kernel=kernels)
    supernet = build(space)
    with torch.no_grad():
        for upsampling, last in (("nearest", 2), ("pixel_shuffle", 0)):
            key = f"bottleneck_2/{upsampling}/decoder/out/{last}"
            weight = supernet.store[f"{key}/weight"].zero_()
            assert weight.shape == (3, 3, 9, 9)
            weight[[0, 1, 2], [0, 1, 2], 4, 4] = 1.0
            supernet.store[f"{key}/bias"].zero_()
            x = frames(1, 3, 16, 16)
            for kernel in kernels:
                path = changed(space, genotypes(space, 1)[0], upsampling=upsampling, output_kernel=kernel)
                convolution = supernet.export(path).decoder.out[-1]
                assert convolution.kernel_size == (kernel, kernel)
                assert torch.equal(convolution(x), x)


def in_double(magnifier, a, b):
    encoded_a, encoded_b = magnifier.encoder(a), magnifier.encoder(b)
    return magnifier.decoder(encoded_b.texture, magnifier.manipulator(encoded_a.shape, encoded_b.shape, 5.0))


def test_a_shift_by_the_stride_shifts_what_is_exported(elastic):
    tested = set()
    for path in genotypes(ELASTIC, 60, seed=5):
        genes = ELASTIC.named(path)
        cell = (genes["bottleneck"], str(genes["encoder"]).rpartition("_")[0])
        config = ELASTIC.config(path)
        if cell in tested or receptive_field(config) > 400:
            continue
        tested.add(cell)
        exported, stride = elastic.export(path).double(), config.stride
        margin = (receptive_field(config) // (2 * stride) + 3) * stride
        side = 2 * margin + 2 * stride
        a, b = frames(2, 1, 3, side + stride, side + stride).double()
        still = in_double(exported, a[..., :side, :side], b[..., :side, :side])
        still = still[..., margin : margin + stride, margin : margin + stride]
        window = (..., slice(stride, stride + side), slice(stride, stride + side))
        moved = in_double(exported, a[window], b[window])
        moved = moved[..., margin - stride : margin, margin - stride : margin]
        torch.testing.assert_close(moved, still, rtol=0, atol=1e-10 * still.abs().max().item())
    assert len(tested) == 9


@pytest.mark.parametrize("bottleneck", [2, 4, 8])
def test_texture_and_shape_are_cut_each_on_its_own(elastic, bottleneck):
    """Behind the concatenation the store has four channels of texture, then four of shape."""
    path = changed(ELASTIC, genotypes(ELASTIC, 1)[0], bottleneck=bottleneck, encoder_channels=2, decoder_channels=6)
    name = "project_in" if bottleneck == 2 else "down.0"
    stored = elastic.store[f"bottleneck_{bottleneck}/decoder/{name.replace('.', '/')}/weight"]
    assert stored.shape[:2] == (8, 8)
    weight = elastic.export(path).decoder.get_parameter(f"{name}.weight")
    assert weight.shape[:2] == (6, 4)
    assert torch.equal(weight, stored[:6][:, [0, 1, 4, 5]])
    # A channel that the smaller network lacks can change without it, and each that it has shows.
    output = elastic(*inputs(), path)
    for column in range(8):
        changing = copy.deepcopy(elastic)
        changing.store[f"bottleneck_{bottleneck}/decoder/{name.replace('.', '/')}/weight"][:, column] += 1.0
        assert torch.equal(changing(*inputs(), path), output) == (column in (2, 3, 6, 7))


def test_channels_are_the_leading_ones(elastic):
    path = changed(
        ELASTIC,
        genotypes(ELASTIC, 1)[0],
        encoder="linear_7",
        bottleneck=4,
        upsampling="pixel_shuffle",
        encoder_channels=2,
        decoder_depth=3,
        decoder_channels=4,
        upsample_channels=2,
        output_kernel=3,
        stage_2="separable7",
    )
    weights, store = elastic.export(path).state_dict(), elastic.store
    assert torch.equal(weights["encoder.common.weight"], store["linear/encoder/common/weight"][:2, :, 1:8, 1:8])
    assert torch.equal(weights["encoder.common.bias"], store["linear/encoder/common/bias"][:2])
    assert torch.equal(
        weights["manipulator.difference.0.weight"], store["linear/manipulator/difference/0/weight"][:2, :2]
    )
    shuffle = "bottleneck_4/pixel_shuffle/decoder"
    # The first stage gives two channels of four pixels each, the second one: rows lie in the order of a pixel shuffle.
    assert torch.equal(weights["decoder.up.0.0.weight"], store[f"{shuffle}/up/0/0/weight"][:8, :4])
    assert torch.equal(weights["decoder.up.1.0.weight"], store[f"{shuffle}/up/1/0/weight"][:4, :2])
    assert torch.equal(weights["decoder.out.0.weight"], store[f"{shuffle}/out/0/weight"][:, :1, 2:5, 2:5])
    block = "bottleneck_4/decoder/body/1/0/separable7"
    assert torch.equal(weights["decoder.body.1.depthwise.weight"], store[f"{block}/depthwise/weight"][:4])
    assert torch.equal(weights["decoder.body.1.conv1.weight"], store[f"{block}/conv1/weight"][:8, :4])
    assert torch.equal(weights["decoder.body.1.conv2.weight"], store[f"{block}/conv2/weight"][:4, :8])


@pytest.mark.parametrize(
    ("depth", "places"),
    [
        (1, ["0/0"]),
        (3, ["0/0", "1/0", "2/0"]),
        (5, ["0/0", "0/1", "1/0", "2/0", "3/0"]),
        (7, ["0/0", "0/1", "1/0", "1/1", "2/0", "2/1", "3/0"]),
    ],
)
def test_a_shallower_network_has_the_first_blocks_of_each_stage(depth, places):
    space = ElasticSpace((1, 3, 5, 7), (4,), (2,), (4,), ("linear_9",), (2,), kinds=("conv3", "dilated3"))
    supernet = build(space)
    for seed in range(5):
        path = changed(space, genotypes(space, 1, seed)[0], decoder_depth=depth)
        kinds = [space.named(path)[f"stage_{int(place[0]) + 1}"] for place in places]
        body = supernet.export(path).decoder.body
        assert len(body) == depth
        for block, place, kind in zip(body, places, kinds, strict=True):
            weight = supernet.store[f"bottleneck_4/decoder/body/{place}/{kind}/conv1/weight"]
            assert torch.equal(block.conv1.weight, weight)
            assert block.conv1.dilation == ((2, 2) if kind == "dilated3" else (1, 1))


def test_choice_blocks_share_nothing():
    """A candidate at a place has weights of its own, wherever the blocks in front of it are left out."""
    supernet = build(CHOICE)
    count, kinds = 6, ("conv3", "conv5", "conv7")
    owners = {}
    for place in range(count):
        for kind in kinds:
            genes = ["skip"] * count
            genes[place] = kind
            path = Genotype(tuple(genes))
            for name, value in supernet.parameters_of(path).items():
                if ".body." in name or any(
                    name.startswith(f"encoder.{s}.") for s in ("common.4", "texture.2", "shape.2")
                ):
                    owners.setdefault(value.data_ptr(), set()).add((place, kind))
    assert len(owners) == count * len(kinds) * 4
    assert all(len(found) == 1 for found in owners.values())
    mixed = Genotype(("conv5", "skip", "conv3", "skip", "skip", "conv7"))
    assert torch.equal(
        supernet.export(mixed).decoder.body[0].conv1.weight, supernet.store["decoder/body/2/conv7/conv1/weight"]
    )


def stored_shapes(space):
    """The largest of each weight in the networks that cover a space."""
    found = {}
    for path in space.covers():
        for name, shape in shapes_of(space.config(path)).items():
            found.setdefault(space.address(path, name), []).append(shape)
    return {name: tuple(map(max, zip(*shapes, strict=True))) for name, shapes in found.items()}


@pytest.mark.parametrize(
    ("space", "count"),
    [(CHOICE, 200), (ELASTIC, 200), (ChoiceSpace(decoder_blocks=18), 200), (ElasticSpace(), 200)],
    ids=["small choice", "small elastic", "choice", "elastic"],
)
def test_every_member_finds_all_of_its_weights(space, count):
    stored, used = stored_shapes(space), set()
    for path in genotypes(space, count, seed=6):
        config = space.config(path)
        concatenated = f"decoder.{'down.0' if config.downsamplings else 'project_in'}.weight"
        for name, shape in shapes_of(config).items():
            have = stored[space.address(path, name)]
            assert len(have) == len(shape)
            assert all(h >= w for h, w in zip(have, shape, strict=True)), (path, name, have, shape)
            assert all((h - w) % 2 == 0 for h, w in zip(have[2:], shape[2:], strict=True))
            if name == concatenated:
                assert have[1] % 2 == 0
            used.add(space.address(path, name))
    if space in (CHOICE, ELASTIC):
        assert used == set(stored), "and there are no weights that no member has"


@pytest.mark.parametrize("widths", AWKWARD, ids=str)
def test_every_member_computes_wherever_a_projection_is_left_out(widths):
    space = ElasticSpace(
        (1,), bottleneck=(2, 4), encoder=("linear_5",), upsample_channels=(4,), kinds=("conv3",), **widths
    )
    supernet = build(space)
    for encoder in widths["encoder_channels"]:
        for decoder in widths["decoder_channels"]:
            for bottleneck in (2, 4):
                genes = {"encoder_channels": encoder, "decoder_channels": decoder, "bottleneck": bottleneck}
                path = changed(space, genotypes(space, 1)[0], **genes)
                found = {name: tuple(value.shape) for name, value in supernet.parameters_of(path).items()}
                assert found == shapes_of(space.config(path))
                assert supernet(*inputs(), path).shape == (2, 3, 16, 20)


def test_the_channels_of_groups_are_as_in_numpy():
    stored = torch.arange(12.0).reshape(1, 12, 1, 1)
    assert _cut(stored, torch.Size((1, 6, 1, 1)), 2).flatten().tolist() == [0, 1, 2, 6, 7, 8]
    assert _cut(stored, torch.Size((1, 6, 1, 1)), 1).flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert indices(12, 6, 2) == [0, 1, 2, 6, 7, 8]


# --- Initialisation ---


def test_a_supernet_starts_as_its_magnifiers_do():
    """Residual branches at zero, units in front of ReLUs alive."""
    torch.manual_seed(0)
    supernet = SuperNet(ELASTIC)
    for name, value in supernet.store.items():
        if name.endswith("conv2/weight"):
            assert not value.any(), name
        if "/decoder/up/" in name and name.endswith("bias"):
            assert value.unique().tolist() == [0.5], name
    x = frames(1, 8, 4, 4)
    for path in genotypes(ELASTIC, 5):
        path = changed(ELASTIC, path, decoder_channels=8)
        assert torch.equal(supernet.export(path).decoder.body(x), x)


def test_learnable_factors_start_at_a_tenth_one_per_candidate():
    supernet = SuperNet(CHOICE, residual_scale="learnable")
    scales = {name: value for name, value in supernet.store.items() if name.endswith("/scale")}
    assert len(scales) == 6 * 3 + 1, "and the manipulator's block"
    assert {round(value.item(), 6) for value in scales.values()} == {0.1}
    assert not any(name.endswith("/scale") for name in SuperNet(CHOICE, residual_scale=0.1).store)


@pytest.mark.parametrize(
    ("kind", "spread"),
    [("kaiming", lambda i, o: math.sqrt(2 / i)), ("xavier", lambda i, o: math.sqrt(2 / (i + o)))]
    + [("normal", lambda i, o: 0.0176), ("library", lambda i, o: math.sqrt(1 / (3 * i)))],
)
def test_initialisations_are_as_documented(kind, spread):
    torch.manual_seed(0)
    magnifier = Magnifier(MagnifierConfig(decoder_depth=1, decoder_channels=64, encoder_channels=32))
    initialise(magnifier, kind)
    for name, module in magnifier.named_modules():
        if not isinstance(module, torch.nn.Conv2d):
            continue
        receptive = module.kernel_size[0] ** 2
        expected = spread(module.in_channels * receptive, module.out_channels * receptive)
        five_sigma = 5 / math.sqrt(2 * module.weight.numel())
        assert module.weight.std().item() == pytest.approx(expected, rel=five_sigma + 0.01), name
        assert bool(module.bias.any()) == (kind == "library"), name
        if kind == "normal":
            assert module.weight.abs().max() <= 0.04
