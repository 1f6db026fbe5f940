"""Loss terms against hand computation, and the perceptual network against an evaluation written out here."""

import math
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from skimage.metrics import structural_similarity

from lightning_mm.errors import InputError
from lightning_mm.losses import LossConfig, MagnificationLoss, PerceptualDistance
from lightning_mm.models import Representation

SHARED = Path(__file__).parents[1].parent / "shared"
VGG19 = SHARED / "weights/vgg19_normalised_to_relu3_1.pth"
needs_vgg19 = pytest.mark.skipif(not VGG19.is_file(), reason="no shared VGG19 weights beside the checkout")

# Number of each convolution in torchvision's VGG16 ``features``, its widths, and whether pooling comes before it.
VGG16 = [
    *((0, 3, 64, False), (2, 64, 64, False), (5, 64, 128, True), (7, 128, 128, False), (10, 128, 256, True)),
    *((12, 256, 256, False), (14, 256, 256, False), (17, 256, 512, True), (19, 512, 512, False), (21, 512, 512, False)),
    *((24, 512, 512, True), (26, 512, 512, False), (28, 512, 512, False)),
]
VGG16_LAST_OF_STAGE = (2, 7, 14, 21)


@pytest.fixture(scope="module")
def vgg16():
    """A state dict with the names and shapes of torchvision's VGG16; its classifier is cut down."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for number, inputs, outputs, _ in VGG16:
        scale = math.sqrt(2.0 / (9 * inputs))
        state[f"features.{number}.weight"] = scale * torch.randn(outputs, inputs, 3, 3, generator=generator)
        state[f"features.{number}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
    return state | {f"classifier.{n}.{kind}": torch.ones(3) for n in (0, 3, 6) for kind in ("weight", "bias")}


@pytest.fixture(scope="module")
def vgg16_file(vgg16, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(vgg16, path)
    return path


@pytest.fixture(scope="module")
def perceptual(vgg16_file):
    return PerceptualDistance(vgg16_file)


def image(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def representations():
    parts = [image(2, 4, 3, 5, seed=seed) for seed in range(10, 16)]
    return [Representation(texture, shape) for texture, shape in zip(parts[::2], parts[1::2], strict=True)]


def test_terms_are_mean_absolute_differences():
    a, b, c = representations()
    output, target = image(2, 3, 6, 10, seed=1), image(2, 3, 6, 10, seed=2)
    total, terms = MagnificationLoss(LossConfig(2.0, 0.5, 0.25))(output, target, a, b, c, step=0)
    expected = [
        np.abs(x.numpy().astype(float) - y.numpy()).mean()
        for x, y in ((output, target), (a.texture, c.texture), (b.shape, c.shape))
    ]
    for found, value in zip(terms, [*expected, 0.0, 0.0], strict=True):
        assert found.item() == pytest.approx(value, rel=1e-5)
    assert total.item() == pytest.approx(2.0 * expected[0] + 0.5 * expected[1] + 0.25 * expected[2], rel=1e-5)


def test_ssim_term_is_one_minus_the_metric_of_scikit_image():
    a, b, c = representations()
    target = image(2, 3, 24, 30, seed=2)
    output = (target + 0.2 * image(2, 3, 24, 30, seed=1)).clamp(-1, 1).requires_grad_()
    total, terms = MagnificationLoss(LossConfig(0.0, 0.0, 0.0, ssim=0.5))(output, target, a, b, c, step=0)
    settings = {"data_range": 255.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    whole = [
        structural_similarity(x, y, channel_axis=0, full=True, **settings)[1][:, 5:-5, 5:-5].mean()
        for x, y in zip(*((i.detach().double().numpy() * 127.5 + 127.5) for i in (output, target)), strict=True)
    ]
    assert terms.ssim.item() == pytest.approx(1.0 - np.mean(whole), abs=1e-4)
    assert total.item() == pytest.approx(0.5 * terms.ssim.item())
    (gradient,) = torch.autograd.grad(total, output)
    better = MagnificationLoss(LossConfig(0.0, 0.0, 0.0, ssim=0.5))(output - 10 * gradient, target, a, b, c, 0)[0]
    assert better < total


@pytest.mark.parametrize("name", ["reconstruction", "texture", "shape"])
def test_a_term_alone_counts_with_its_weight(name):
    a, b, c = representations()
    output, target = image(2, 3, 6, 10, seed=1), image(2, 3, 6, 10, seed=2)
    alone = LossConfig(**{"reconstruction": 0.0, "texture": 0.0, "shape": 0.0, name: 3.0})
    total, terms = MagnificationLoss(alone)(output, target, a, b, c, step=0)
    assert getattr(terms, name).item() > 0.1
    assert total.item() == pytest.approx(3.0 * getattr(terms, name).item())


def test_a_weight_of_zero_leaves_the_term_out():
    nan = Representation(torch.full((1, 2, 2, 2), math.nan), torch.full((1, 2, 2, 2), math.nan))
    output, target = image(1, 3, 4, 4), image(1, 3, 4, 4, seed=1)
    loss = MagnificationLoss(LossConfig(texture=0.0, shape=0.0))
    total, terms = loss(output, target, nan, nan, nan, step=0)
    assert (terms.texture.item(), terms.shape.item(), terms.perceptual.item()) == (0.0, 0.0, 0.0)
    assert total.item() == terms.reconstruction.item() > 0.0
    assert loss.perceptual is None
    assert list(loss.parameters()) == []


def test_the_loss_reaches_each_representation_it_should():
    a, b, c = (Representation(*(part.requires_grad_() for part in r)) for r in representations())
    output = image(2, 3, 6, 10).requires_grad_()
    MagnificationLoss(LossConfig())(output, image(2, 3, 6, 10, seed=4), a, b, c, step=0)[0].backward()
    reached = [x.grad is not None for x in (output, a.texture, a.shape, b.texture, b.shape, c.texture, c.shape)]
    assert reached == [True, True, False, False, True, True, True]


def test_half_precision_output_is_compared_in_single_precision():
    output, target = image(1, 3, 8, 8).bfloat16(), image(1, 3, 8, 8, seed=1)
    a, b, c = representations()
    total, terms = MagnificationLoss(LossConfig())(output, target, a, b, c, step=0)
    assert total.dtype == terms.reconstruction.dtype == torch.float32
    assert terms.reconstruction.item() == pytest.approx(F.l1_loss(output.float(), target).item())


@pytest.mark.parametrize("name", ["reconstruction", "texture", "shape", "perceptual"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, -math.inf])
def test_weights_that_are_none_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"LossConfig\.{name} = {value}"):
        LossConfig(**{name: value})


def test_a_crop_too_small_is_refused():
    with pytest.raises(ValueError, match=r"LossConfig\.perceptual_crop = 15"):
        LossConfig(perceptual_crop=15)


def vgg16_features(state, x):
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = ((x + 1) / 2 - mean) / std
    found = []
    for number, _, _, pooled in VGG16[:10]:
        x = F.max_pool2d(x, 2) if pooled else x
        x = F.relu(F.conv2d(x, state[f"features.{number}.weight"], state[f"features.{number}.bias"], padding=1))
        if number in VGG16_LAST_OF_STAGE:
            found.append(x / x.pow(2).sum(dim=1, keepdim=True).sqrt().clamp(min=1e-6))
    return found


def test_vgg16_distance_is_its_definition(vgg16, perceptual):
    output, target = image(2, 3, 20, 24), image(2, 3, 20, 24, seed=1)
    pairs = zip(vgg16_features(vgg16, output), vgg16_features(vgg16, target), strict=True)
    expected = torch.stack([(x - y).pow(2).sum(dim=1).mean() for x, y in pairs]).mean()
    torch.testing.assert_close(perceptual(output, target), expected, rtol=1e-4, atol=1e-6)
    assert expected > 0.01


def test_perceptual_distance_is_one(perceptual):
    x, y = image(1, 3, 16, 16), image(1, 3, 16, 16, seed=1)
    assert perceptual(x, x).item() == 0.0
    assert perceptual(x, y).item() > 0.0
    assert perceptual(x, y).item() == pytest.approx(perceptual(y, x).item(), rel=1e-5)
    assert perceptual(x, 0.9 * x + 0.1 * y).item() < perceptual(x, 0.5 * x + 0.5 * y).item()


def test_perceptual_gradient_reaches_the_output_alone(perceptual):
    x, y = image(1, 3, 16, 16).requires_grad_(), image(1, 3, 16, 16, seed=1).requires_grad_()
    perceptual(x, y).backward()
    assert x.grad.abs().sum() > 0
    assert y.grad is None
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in perceptual.parameters())


def test_perceptual_gradient_step_brings_the_output_nearer(perceptual):
    x, y = image(1, 3, 16, 16).requires_grad_(), image(1, 3, 16, 16, seed=1)
    before = perceptual(x, y)
    before.backward()
    nearer = x.detach() - 1e-3 * x.grad / x.grad.abs().max()
    assert perceptual(nearer, y).item() < before.item()


class Recorder(torch.nn.Module):
    """Stands in for the perceptual network and keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, output, target):
        self.seen.append((output, target))
        return (output - target).abs().mean()


def crops(steps, height=30, width=40, crop=16):
    """The top left corner of the crop at each step, read off images whose pixels hold their own position."""
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    position = torch.stack([y, x, y])[None]
    loss = MagnificationLoss(LossConfig(perceptual_crop=crop))
    loss.perceptual = Recorder()
    a, b, c = representations()
    for step in steps:
        loss(position, position + 1000, a, b, c, step)
    for output, target in loss.perceptual.seen:
        torch.testing.assert_close(output + 1000, target)  # the same place of both
        side_y, side_x = output.shape[-2:]
        assert (output[0, 0, -1, 0] - output[0, 0, 0, 0], output[0, 1, 0, -1] - output[0, 1, 0, 0]) == (
            side_y - 1,
            side_x - 1,
        )
    return [
        (*output.shape[-2:], int(output[0, 0, 0, 0]), int(output[0, 1, 0, 0])) for output, _ in loss.perceptual.seen
    ]


def test_the_crop_depends_on_the_step_alone_and_wanders_over_the_whole_image():
    found = crops(range(300))
    torch.manual_seed(99)
    assert crops(range(300)) == found
    assert {(height, width) for height, width, _, _ in found} == {(16, 16)}
    tops, lefts = {top for _, _, top, _ in found}, {left for _, _, _, left in found}
    assert (min(tops), max(tops)) == (0, 30 - 16)
    assert (min(lefts), max(lefts)) == (0, 40 - 16)


def test_the_crop_does_not_disturb_the_global_generator():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    crops([3])
    torch.testing.assert_close(torch.rand(3), expected)


def test_an_image_smaller_than_the_crop_is_taken_whole():
    assert crops([0, 1], height=16, width=16, crop=192) == [(16, 16, 0, 0)] * 2


def test_the_perceptual_term_counts_with_its_weight(vgg16_file):
    loss = MagnificationLoss(LossConfig(perceptual=0.5, perceptual_weights=vgg16_file, perceptual_crop=16))
    output, target = image(1, 3, 16, 16), image(1, 3, 16, 16, seed=1)
    a, b, c = representations()
    total, terms = loss(output, target, a, b, c, step=0)
    assert terms.perceptual.item() == pytest.approx(loss.perceptual(output, target).item())
    others = terms.reconstruction + terms.texture + terms.shape
    assert total.item() == pytest.approx((others + 0.5 * terms.perceptual).item(), rel=1e-6)


@needs_vgg19
def test_normalised_vgg19_loads_and_its_layers_are_about_one():
    distance = PerceptualDistance(VGG19)
    path = sorted((SHARED / "data/photos_val").glob("*.png"))[0]
    photo = torch.from_numpy(np.array(Image.open(path).convert("RGB"))[100:228, 100:228].copy())
    x = photo.permute(2, 0, 1)[None].float() / 127.5 - 1
    activations = []
    hooks = [
        layer.register_forward_hook(lambda _, __, out: activations.append(out.mean().item()))
        for layer in distance.network
        if isinstance(layer, torch.nn.ReLU)
    ]
    assert distance(x, x).item() == 0.0
    for hook in hooks:
        hook.remove()
    # Both images go through the network; the form is normalised so that each layer's mean over photos is 1.
    assert len(activations) == 10
    assert all(0.4 < value < 2.5 for value in activations)
    assert distance(x, x.roll(1, -1)).item() > 0.01


@needs_vgg19
def test_normalised_vgg19_is_its_file_evaluated():
    state = torch.load(VGG19, weights_only=True)
    output, target = image(1, 3, 16, 20), image(1, 3, 16, 20, seed=1)

    def features(x):
        x = F.conv2d((x + 1) / 2, state["0.weight"], state["0.bias"])
        for number in (2, 5, 9, 12, 16):
            x = F.max_pool2d(x, 2) if number in (9, 16) else x
            padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
            x = F.relu(F.conv2d(padded, state[f"{number}.weight"], state[f"{number}.bias"]))
            yield x / x.norm(dim=1, keepdim=True).clamp(min=1e-6)

    pairs = zip(features(output), features(target), strict=True)
    expected = torch.stack([(x - y).pow(2).sum(dim=1).mean() for x, y in pairs]).mean()
    torch.testing.assert_close(PerceptualDistance(VGG19)(output, target), expected, rtol=1e-4, atol=1e-6)


def message_of(path):
    with pytest.raises(InputError) as caught:
        PerceptualDistance(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    assert message_of(tmp_path / "none.pth").startswith(f"{tmp_path / 'none.pth'}: no such weights file")


def test_a_folder_is_no_file(tmp_path):
    assert message_of(tmp_path).startswith(f"{tmp_path}: no such weights file")


@pytest.mark.parametrize("content", [b"", b"hello\nthere\n", b"PK\x03\x04 not really"])
def test_a_file_of_something_else_is_named(content, tmp_path):
    path = tmp_path / "vgg.pth"
    path.write_bytes(content)
    assert message_of(path).startswith(f"{path}: not a readable weights file")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_file_is_named(share, vgg16_file, tmp_path):
    path = tmp_path / "cut.pth"
    whole = vgg16_file.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert message_of(path).startswith(f"{path}: not a readable weights file")


@pytest.mark.parametrize(
    "content",
    [
        {"conv.weight": torch.ones(3)},
        {"0.weight": torch.ones(3)},  # a normalised VGG19 has this name
        {"features.0.weight": torch.ones(64, 3, 3, 3)},
        {"state_dict": {"features.0.weight": torch.ones(64, 3, 3, 3)}},
        {},
    ],
    ids=["names", "shape", "incomplete", "nested", "empty"],
)
def test_weights_of_another_network_are_named(content, tmp_path):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    message = message_of(path)
    assert message.startswith(f"{path}: weights of another network")
    assert "VGG16" in message
    assert "VGG19" in message


def test_a_vgg16_of_other_shapes_is_refused(vgg16, tmp_path):
    path = tmp_path / "wide.pth"
    torch.save(vgg16 | {"features.7.bias": torch.ones(64)}, path)
    assert message_of(path).startswith(f"{path}: weights of another network")


@pytest.mark.parametrize("content", [[1, 2], torch.ones(2), {1: torch.ones(2)}], ids=["list", "tensor", "numbers"])
def test_a_file_without_a_state_dict_is_named(content, tmp_path):
    path = tmp_path / "list.pth"
    torch.save(content, path)
    assert message_of(path).startswith(f"{path}: not a state dict")


def test_without_weights_and_without_network_the_option_is_named(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise URLError("no way out")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    message = message_of(None)
    assert "no way out" in message
    assert "--model.loss.perceptual_weights" in message
    assert "--model.loss.perceptual 0" in message
    with pytest.raises(InputError, match="perceptual_weights"):
        MagnificationLoss(LossConfig(perceptual=0.1))
