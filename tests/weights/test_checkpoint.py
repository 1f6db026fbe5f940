import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from lightning_mm.errors import InputError
from lightning_mm.models import Magnifier, MagnifierConfig
from lightning_mm.weights import load_magnifier
from lightning_mm.weights.checkpoint import STATE_PREFIX, load_weights, read_checkpoint

CONFIG = MagnifierConfig(encoder_channels=4, decoder_depth=1, decoder_channels=6, encoder_blocks=(1, 0, 1))
WEIGHT = "decoder.body.0.conv1.weight"


@pytest.fixture
def content():
    """What a checkpoint of 'fit' holds, as far as loading looks; tests break one thing of it."""
    torch.manual_seed(3)
    state = {STATE_PREFIX + name: value for name, value in Magnifier(CONFIG).state_dict().items()}
    return {"hyper_parameters": {"arch": CONFIG.to_dict()}, "state_dict": state}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "best.ckpt"


def save(content, path):
    torch.save(content, path)
    return path


def message_of(path, load=load_magnifier):
    """The error's message, which is one line that starts with the file's name."""
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("config", [CONFIG, MagnifierConfig(encoder="residual", encoder_channels=2, decoder_depth=0)])
def test_round_trip(config, path):
    torch.manual_seed(0)
    saved = Magnifier(config)
    state = {STATE_PREFIX + name: value for name, value in saved.state_dict().items()}
    save(
        {
            "hyper_parameters": {"arch": config.to_dict(), "lr": 1e-4},
            "state_dict": state | {"loss.weight": torch.ones(2)},
        },
        path,
    )
    loaded = load_magnifier(path)
    assert loaded.config == config
    assert not loaded.training
    for (name, ours), theirs in zip(loaded.state_dict().items(), saved.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs), name
        assert ours.dtype == torch.float32
    frame_a, frame_b = torch.rand(1, 3, 12, 10), torch.rand(1, 3, 12, 10)
    assert torch.equal(loaded(frame_a, frame_b, 5.0), saved(frame_a, frame_b, 5.0))


def test_read_checkpoint_gives_the_content(content, path):
    read = read_checkpoint(save(content, path))
    assert read["hyper_parameters"] == content["hyper_parameters"]
    assert list(read["state_dict"]) == list(content["state_dict"])


def test_missing_file_says_how_to_get_one(path):
    assert message_of(path).startswith("no such checkpoint; train one with ")


def test_directory_is_no_checkpoint(path):
    path.mkdir()
    assert message_of(path).startswith("no such checkpoint")


def test_empty_file(path):
    path.touch()
    assert message_of(path).startswith("not a readable checkpoint (")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_file(content, path, share):
    data = save(content, path).read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    assert message_of(path).startswith("not a readable checkpoint (")


@pytest.mark.parametrize("text", ["arch: linear\n", "%PDF-1.7\n" * 50, "\n\n"])
def test_text_file(path, text):
    path.write_text(text)
    assert message_of(path).startswith("not a readable checkpoint (")


def test_zip_file_that_is_no_checkpoint(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert message_of(path).startswith("not a readable checkpoint (")


class Payload:
    """Unpickling it runs a shell command that creates a file."""

    def __init__(self, marker: Path) -> None:
        self.command = f"touch '{marker}'"

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("format", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_not_run(content, path, tmp_path, format):
    marker = tmp_path / "marker"
    content["hyper_parameters"]["extra"] = Payload(marker)
    if format == "torch":
        save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    assert message_of(path).startswith("not a readable checkpoint (")
    assert not marker.exists()
    if format == "pickle":  # the payload is live: an ordinary unpickler does run it
        pickle.loads(path.read_bytes())
        assert marker.exists()


@pytest.mark.parametrize(("value", "kind"), [(torch.ones(3), "Tensor"), ([1, 2], "list"), (None, "NoneType")], ids=str)
def test_file_that_holds_something_else(path, value, kind):
    assert message_of(save(value, path)) == f"not a checkpoint of 'lightning-mm fit' (holds a {kind})"


@pytest.mark.parametrize("key", ["hyper_parameters", "state_dict"])
def test_missing_part(content, path, key):
    del content[key]
    message = message_of(save(content, path))
    assert message.startswith("not a checkpoint of 'lightning-mm fit' (")
    assert f"'{key}'" in message


@pytest.mark.parametrize("key", ["hyper_parameters", "state_dict"])
@pytest.mark.parametrize("value", [None, 3, ["arch"]], ids=str)
def test_part_of_another_kind(content, path, key, value):
    content[key] = value
    assert message_of(save(content, path)).startswith("not a checkpoint of 'lightning-mm fit' (")


def test_hyperparameters_without_architecture(content, path):
    del content["hyper_parameters"]["arch"]
    assert message_of(save(content, path)) == "not a checkpoint of 'lightning-mm fit' (KeyError: 'arch')"


def test_architecture_with_an_unknown_field(content, path):
    content["hyper_parameters"]["arch"]["attention"] = True
    assert "'attention'" in message_of(save(content, path))


def test_architecture_with_an_invalid_value(content, path):
    content["hyper_parameters"]["arch"]["bottleneck"] = 3
    assert "MagnifierConfig.bottleneck = 3: must be one of (2, 4, 8)" in message_of(save(content, path))


def test_missing_weight(content, path):
    del content["state_dict"][STATE_PREFIX + WEIGHT]
    assert message_of(save(content, path)).startswith(f"lacks the weight '{WEIGHT}'")


def test_unknown_weight(content, path):
    content["state_dict"][STATE_PREFIX + "decoder.attention.weight"] = torch.ones(1)
    assert message_of(save(content, path)).startswith("has an unknown weight 'decoder.attention.weight'")


def test_first_difference_is_the_one_named(content, path):
    for name in ("manipulator.difference.0.bias", "decoder.down.0.weight", WEIGHT):
        del content["state_dict"][STATE_PREFIX + name]
    assert message_of(save(content, path)).startswith(f"lacks the weight '{WEIGHT}'")


def test_weights_without_the_prefix_are_not_the_magnifiers(content, path):
    content["state_dict"] = {name.removeprefix(STATE_PREFIX): value for name, value in content["state_dict"].items()}
    assert message_of(save(content, path)).startswith("lacks the weight 'decoder.body.0.conv1.bias'")


def test_weight_of_another_shape(content, path):
    content["state_dict"][STATE_PREFIX + WEIGHT] = torch.ones(6, 6, 1, 1)
    expected = f"weight '{WEIGHT}' has shape (6, 6, 1, 1), the architecture needs (6, 6, 3, 3)"
    assert message_of(save(content, path)) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weight_that_is_not_finite(content, path, value):
    content["state_dict"][STATE_PREFIX + WEIGHT][1, 2, 0, 1] = value
    assert message_of(save(content, path)) == f"weight '{WEIGHT}' is not finite"


def test_weight_that_is_no_tensor(content, path):
    content["state_dict"][STATE_PREFIX + WEIGHT] = [1.0, 2.0]
    assert f"'{WEIGHT}'" in message_of(save(content, path))


def test_weight_whose_name_is_no_string(content, path):
    content["state_dict"][3] = torch.ones(1)
    message_of(save(content, path))


@pytest.mark.parametrize(
    ("field", "value", "difference"),
    [
        ("encoder", "residual", "lacks the weight 'encoder.common.0.bias'"),
        ("decoder_depth", 2, "lacks the weight 'decoder.body.1.conv1.bias'"),
        ("bottleneck", 2, "has an unknown weight 'decoder.down.0.bias'"),
        (
            "encoder_channels",
            8,
            "weight 'encoder.common.weight' has shape (4, 3, 9, 9), the architecture needs (8, 3, 9, 9)",
        ),
    ],
)
def test_checkpoint_of_another_architecture(content, path, field, value, difference):
    content["hyper_parameters"]["arch"][field] = value
    assert message_of(save(content, path)).startswith(difference)


def test_failed_load_leaves_the_magnifier_as_it_was(content):
    magnifier = Magnifier(CONFIG)
    before = {name: value.clone() for name, value in magnifier.state_dict().items()}
    state = {name.removeprefix(STATE_PREFIX): value for name, value in content["state_dict"].items()}
    state[list(state)[-1]].fill_(torch.nan)
    with pytest.raises(InputError, match=r"^elsewhere: weight '.*' is not finite$"):
        load_weights(magnifier, state, "elsewhere")
    assert all(torch.equal(value, before[name]) for name, value in magnifier.state_dict().items())
