"""Genotypes and networks: one canonical genotype exactly where there is one network, and back again."""

import itertools
from collections import defaultdict

import pytest
import torch
from random_architectures import build as build_magnifier
from random_architectures import frames
from small_spaces import CHOICE, ELASTIC, changed, genotypes, shapes_of

from lightning_mm.errors import InputError
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.spaces import Choice, ChoiceSpace, ElasticSpace, Genotype

WHOLE = {
    "choice": ChoiceSpace((1, 1, 1), 2, 8, stem_channels=3, tail_channels=4),
    "choice, other parts": ChoiceSpace((2, 0, 1), 2, 8, (3, 7), stem_channels=4, tail_channels=8),
    "choice without skip": ChoiceSpace((2, 1, 0), 3, 4, (3, 5), skip=False),
    "elastic": ElasticSpace(
        (1, 2, 5),
        (4, 8),
        (2,),
        (2, 4),
        ("linear_9", "residual_1"),
        (2, 4),
        ("pixel_shuffle",),
        (3,),
        ("conv3", "dilated3"),
    ),
    "elastic, few blocks": ElasticSpace(
        (1, 2), (4,), (2, 4), (8,), ("linear_single_13", "linear_7", "residual_011"), (4,), output_kernel=(3, 7)
    ),
}


def members(space):
    return [Genotype(values) for values in itertools.product(*(choice.values for choice in space.choices))]


@pytest.fixture(params=WHOLE)
def space(request):
    return WHOLE[request.param]


def test_canonical_genotypes_are_equal_exactly_where_networks_are(space):
    by_genotype, by_network = defaultdict(list), defaultdict(list)
    assert len(members(space)) == space.size
    for genotype in members(space):
        canonical = space.canonical(genotype)
        assert space.canonical(canonical) == canonical
        assert space.config(canonical).canonical() == space.config(genotype).canonical()
        assert hash(canonical) == hash(Genotype(tuple(canonical.values)))
        by_genotype[canonical].append(genotype)
        by_network[space.config(genotype).canonical()].append(genotype)
    assert sorted(map(str, by_genotype.values())) == sorted(map(str, by_network.values()))
    assert len(by_genotype) < space.size or "skip" not in space.choices[-1].values


def test_genotypes_come_back_from_networks(space):
    for genotype in members(space):
        config = space.config(genotype)
        for written in (config, config.canonical(), MagnifierConfig(**config.to_dict())):
            assert space.genotype_of(written) == space.canonical(genotype)


def test_with_the_same_weights_they_are_one_function(space):
    groups = defaultdict(list)
    for genotype in members(space):
        groups[space.canonical(genotype)].append(genotype)
    several = [group for group in groups.values() if len(group) > 1][:: max(1, len(groups) // 10)]
    a, b = frames(1, 3, 16, 16), frames(1, 3, 16, 16, seed=2)
    for group in several:
        first = build_magnifier(space.config(group[0]))
        for other in group[1:3]:
            magnifier = Magnifier(space.config(other))
            magnifier.load_state_dict(first.state_dict())
            assert torch.equal(magnifier(a, b, 5.0), first(a, b, 5.0))


def test_where_canonical_genotypes_differ_weights_or_functions_do():
    space = WHOLE["elastic"]
    canonical = sorted({space.canonical(genotype) for genotype in members(space)}, key=str)
    alike = defaultdict(list)
    for genotype in canonical:
        alike[tuple(shapes_of(space.config(genotype)).items())].append(genotype)
    pairs = [group[:2] for group in alike.values() if len(group) > 1]
    assert len(pairs) > 5, "blocks that differ in their dilation alone"
    a, b = frames(1, 3, 16, 16), frames(1, 3, 16, 16, seed=2)
    for one, two in pairs[:10]:
        first, second = build_magnifier(space.config(one)), Magnifier(space.config(two))
        second.load_state_dict(first.state_dict())
        assert not torch.allclose(first(a, b, 5.0), second(a, b, 5.0), atol=1e-5)


def test_the_proposed_network_is_a_member_of_the_default_elastic_space():
    space = ElasticSpace()
    for config in (MagnifierConfig.proposed(), MagnifierConfig.proposed().canonical()):
        found = space.genotype_of(config)
        assert found is not None
        assert space.config(found).canonical() == config.canonical()
        assert space.cost(found).params == 726_323
        assert space.flops(found) / 1e9 == pytest.approx(9.861, abs=5e-4)
        assert space.named(found) == {
            "encoder": "linear_9",
            "bottleneck": 4,
            "upsampling": "nearest",
            "encoder_channels": 16,
            "decoder_depth": 36,
            "decoder_channels": 32,
            "upsample_channels": 32,
            "output_kernel": 7,
            **{f"stage_{number}": "conv3" for number in (1, 2, 3, 4)},
        }


def test_the_plain_network_of_the_papers_space_is_the_narrowed_baseline():
    """Oh et al. with trunks of 8 and 16 channels, the stem of 16 and the tail of 64 as they were, no projection."""
    space = ChoiceSpace()
    config = MagnifierConfig(
        encoder="residual",
        encoder_blocks=(3, 2, 2),
        encoder_channels=8,
        stem_channels=16,
        manipulator_block=True,
        decoder_depth=9,
        decoder_channels=16,
        upsample_channels=64,
        exit_projection=False,
        bottleneck=2,
    )
    assert space.genotype_of(config) == Genotype(("conv3",) * 16)
    assert space.config(Genotype(("conv3",) * 16)).canonical() == config.canonical()
    genes = ("conv5", "skip", "conv7", "skip", "conv3", "conv7", "conv5", "skip", "conv7", *("skip",) * 6, "conv5")
    mixed = space.config(Genotype(genes))
    assert mixed.encoder_parts == (("conv5", "conv7"), ("conv3",), ("conv7", "conv5"))
    assert mixed.decoder_kinds == ("conv7", "conv5")
    nothing = space.config(Genotype(("skip",) * 16))
    assert (nothing.encoder_blocks, nothing.decoder_depth) == ((0, 0, 0), 0)


@pytest.mark.parametrize(
    "config",
    [
        MagnifierConfig.proposed(),
        MagnifierConfig.baseline(),
        MagnifierConfig(decoder_depth=0),
        MagnifierConfig(residual_scale=0.5),
        MagnifierConfig(alpha_convention="alpha"),
        MagnifierConfig(encoder="residual", encoder_blocks=(9, 9, 9), decoder_depth=30, bottleneck=2),
    ],
    ids=lambda config: config.encoder,
)
def test_networks_that_are_no_members_have_no_genotype(config):
    assert CHOICE.genotype_of(config) is None
    assert ELASTIC.genotype_of(config) is None
    if config != MagnifierConfig.proposed():
        assert ElasticSpace().genotype_of(config) is None


def test_a_network_of_one_space_is_none_of_the_other():
    assert all(CHOICE.genotype_of(ELASTIC.config(genotype)) is None for genotype in genotypes(ELASTIC, 20))
    assert all(ELASTIC.genotype_of(CHOICE.config(genotype)) is None for genotype in genotypes(CHOICE, 20))
    # One that has every size but mixes kinds within a stage.
    space = ElasticSpace((8,), (4,), (2,), (4,), ("linear_9",), (2,), ("nearest",), (3,), ("conv3", "conv5"))
    config = space.config(members(space)[0])
    body = ["conv3"] * 8
    for place in range(8):
        mixed = MagnifierConfig(**{**config.to_dict(), "decoder_body": [*body[:place], "conv5", *body[place + 1 :]]})
        assert space.genotype_of(mixed) is None
    ends = MagnifierConfig(**{**config.to_dict(), "decoder_body": [*body[:6], "conv5", "conv5"]})
    assert space.named(space.genotype_of(ends))["stage_4"] == "conv5"


@pytest.mark.parametrize(
    ("space", "gene", "value"),
    [
        (CHOICE, "common_1", "conv9"),
        (CHOICE, "body_3", 3),
        (CHOICE, "texture_1", None),
        (ELASTIC, "encoder", "linear_11"),
        (ELASTIC, "bottleneck", 16),
        (ELASTIC, "decoder_channels", 5),
        (ELASTIC, "decoder_depth", 0),
        (ELASTIC, "stage_4", "conv7"),
    ],
)
def test_a_value_that_cannot_be_chosen_is_refused_by_the_name_of_the_gene(space, gene, value):
    good = genotypes(space, 1)[0]
    assert space.require(good) is good
    with pytest.raises(InputError) as caught:
        space.require(changed(space, good, **{gene: value}))
    accepted = list(next(choice for choice in space.choices if choice.name == gene).values)
    assert str(caught.value) == f"genotype: {gene} = {value!r}: must be one of {accepted}"


@pytest.mark.parametrize("space", [CHOICE, ELASTIC])
@pytest.mark.parametrize("count", [0, 5, 30])
def test_a_genotype_of_another_length_is_refused(space, count):
    wrong = Genotype((space.choices[0].values[0],) * count)
    with pytest.raises(InputError, match=f"^genotype '.*': has {count} genes, must have {len(space.choices)}$"):
        space.require(wrong)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Choice("depth", ()), "depth = []: must be one or more different values"),
        (lambda: Choice("depth", (1, 2, 1)), "depth = [1, 2, 1]: must be"),
        (lambda: ChoiceSpace(kernels=()), "ChoiceSpace.kernels = []"),
        (lambda: ChoiceSpace(kernels=(3, 9)), "ChoiceSpace.kernels = [3, 9]: must be some of 3, 5, 7"),
        (lambda: ChoiceSpace(kernels=(3, 3)), "must be one or more different values"),
        (lambda: ChoiceSpace(decoder_blocks=0), "ChoiceSpace.decoder_blocks = 0"),
        (lambda: ChoiceSpace(decoder_channels=6), "ChoiceSpace.decoder_channels = 6"),
        (lambda: ElasticSpace(encoder=("linear",)), "ElasticSpace.encoder = 'linear'"),
        (lambda: ElasticSpace(encoder=("residual_12",)), "ElasticSpace.encoder = 'residual_12'"),
        (lambda: ElasticSpace(encoder=("linear_8",)), "MagnifierConfig.encoder_kernel = 8"),
        (lambda: ElasticSpace(encoder=("linear_9", "linear9")), "ElasticSpace.encoder = ['linear_9', 'linear9']"),
        (lambda: ElasticSpace(encoder=("residual_1", "residual_100")), "these are one encoder"),
        (lambda: ElasticSpace(kinds=("conv4",)), "ElasticSpace.kinds = 'conv4'"),
        (lambda: ElasticSpace(upsampling=("bilinear",)), "ElasticSpace.upsampling = 'bilinear'"),
        (lambda: ElasticSpace(decoder_depth=(0, 4)), "ElasticSpace.decoder_depth = [0, 4]"),
        (lambda: ElasticSpace(decoder_depth=()), "ElasticSpace.decoder_depth = []"),
        (lambda: ElasticSpace(encoder_channels=(7, 8, 16)), "MagnifierConfig.encoder_channels = 7"),
        (lambda: ElasticSpace(encoder_channels=(6, 7, 8, 16)), "MagnifierConfig.encoder_channels = 7"),
        (lambda: ElasticSpace(bottleneck=(2, 3)), "MagnifierConfig.bottleneck = 3"),
        (lambda: ElasticSpace(output_kernel=(2,)), "MagnifierConfig.output_kernel = 2"),
        (lambda: ElasticSpace(upsample_channels=()), "upsample_channels = []"),
    ],
)
def test_spaces_that_cannot_be_are_refused(make, message):
    with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize("space", [CHOICE, ELASTIC, ChoiceSpace(skip=False), ElasticSpace()])
def test_a_space_is_plain_data_and_comes_back_from_it(space):
    written = space.to_dict()
    assert written["class_path"] == f"lightning_mm.spaces.{type(space).__name__}"
    again = type(space)(**{k: tuple(v) if isinstance(v, list) else v for k, v in written["init_args"].items()})
    assert again.choices == space.choices
    assert again.to_dict() == written
    path = genotypes(space, 1)[0]
    assert again.config(path) == space.config(path)


def test_the_order_of_arguments_does_not_matter():
    given = ElasticSpace((5, 1, 3), (8, 4, 6), (4, 2), (8, 2, 4), kinds=("conv5", "separable7", "conv3"))
    ordered = ElasticSpace((1, 3, 5), (4, 6, 8), (2, 4), (2, 4, 8), kinds=("separable7", "conv3", "conv5"))
    assert given.choices == ordered.choices


def test_encodings_are_ranks_and_one_hot():
    space = ElasticSpace((1, 3, 5), (4,), (2, 4), (2, 4, 8), ("linear_9", "residual_1"), (2,), output_kernel=(3, 7))
    genes = {"encoder": "residual_1", "bottleneck": 4, "upsampling": "pixel_shuffle", "encoder_channels": 4}
    genes |= {"decoder_depth": 1, "decoder_channels": 4, "upsample_channels": 2, "output_kernel": 3}
    genes |= {"stage_1": "conv3", "stage_2": "separable7", "stage_3": "conv5", "stage_4": "dilated3"}
    expected = [0, 1, 0.5, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0]
    assert space.encode(Genotype(tuple(genes.values()))).tolist() == expected
    for each in (CHOICE, ELASTIC):
        encoded = {tuple(each.encode(genotype)) for genotype in set(genotypes(each, 300))}
        assert len(encoded) == len(set(genotypes(each, 300))), "no two alike"
        assert {len(row) for row in encoded} == {len(next(iter(encoded)))}
