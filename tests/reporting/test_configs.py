"""Configurations survive being packed, and images are those of the models that they are shown for."""

import base64
import io
import random
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lightning_mm import configuration
from lightning_mm.reporting.collect import collect
from lightning_mm.reporting.configs import changes, config_text, packed_configs
from lightning_mm.reporting.html import page
from lightning_mm.reporting.samples import MAX_FRONT, chosen_models


def unpacked(base, made):
    """Changes applied as the page's script does."""
    lines = list(base)
    for start, end, own in reversed(made):
        lines[start:end] = own
    return lines


@pytest.mark.parametrize("seed", range(20))
def test_changes_lead_from_any_lines_to_any_others(seed):
    rng = random.Random(seed)
    a, b = ([rng.choice("abcde") for _ in range(rng.randrange(20))] for _ in range(2))
    assert unpacked(a, changes(a, b)) == b


def test_every_configuration_can_be_had_again_and_what_they_share_is_there_once(fake):
    shared = {f"key{i}": [i, {"more": "words " * 20}] for i in range(60)}
    for number in range(10):
        config = {"seed_everything": 0, "model": {"arch": {"decoder_depth": number}}, "data": shared}
        overrides = {"model.arch.decoder_depth": number}
        fake.run(f"trials/{number:04d}", 0.9, overrides=overrides, config=config)
    fake.trial(99, 0.9, decoder_depth=40)  # without a configuration
    models = collect(fake.directory).models
    base, packed = packed_configs(models)
    for model, made in zip(models, packed, strict=True):
        if model.label == "trial 0099":
            assert made is None
        else:
            assert yaml.safe_load("\n".join(unpacked(base, made))) == model.results.config
    html = page(collect(fake.directory))
    assert html.count("key59") == 1
    assert html.count('class="config"') == 10


def test_the_configuration_of_a_run_is_one_that_fit_takes(fake, tmp_path):
    root = Path(__file__).parents[2]
    options = ["--model.arch.decoder_depth=3", "--data.size=32", "--trainer.accelerator=cpu", "--seed_everything=7"]
    made = configuration.build(["--config", str(root / "experiments/base.yaml"), *options]).plain_config()
    fake.run("only", 0.9, role="run", config=made)
    (model,) = collect(fake.directory).models
    (tmp_path / "config.yaml").write_text(config_text(model))
    assert configuration.build(["--config", str(tmp_path / "config.yaml")]).plain_config() == made


def test_words_that_would_end_the_script_do_not(fake):
    fake.run("only", 0.9, role="run", config={"data": {"photos": "</script><b id=evil>"}})
    assert "<b id=evil>" not in page(collect(fake.directory))
    assert "</script><b" in config_text(collect(fake.directory).models[0])


def images(html):
    found = re.findall(r'<img alt="([^"]*)" src="data:image/webp;base64,([^"]*)"', html)
    return {alt: np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for alt, data in found}


def test_each_row_shows_its_own_column_of_the_sample_file(sweep_dir, fake):
    fake.samples(sweep_dir / "references/proposed")
    got = images(page(collect(sweep_dir)))
    assert all(picture.shape == (96, 128, 3) for picture in got.values())
    for name, colour in (("frame A", (200, 0, 0)), ("frame B", (0, 200, 0)), ("target", (0, 0, 200))):
        assert got[f"{name}, pair 2"].mean((0, 1)) == pytest.approx(colour, abs=6)
    for pair in range(4):
        assert got[f"hand-designed: proposed, pair {pair + 1}"].mean() == pytest.approx(40 * pair, abs=6)


def test_images_are_those_of_the_lowest_seed_and_of_several_models_on_the_front(fake):
    fake.references(proposed=0.5, baseline=0.4)
    for number in range(20):
        fake.trial(number, 0.6 + 0.01 * number, decoder_depth=number + 2)
    fake.trial(30, 0.1, decoder_depth=40)
    chosen, left_out = chosen_models(collect(fake.directory))
    titles = [title for title, _ in chosen]
    assert titles[:2] == ["hand-designed: proposed", "baseline"]
    assert len(titles) == 2 + MAX_FRONT
    assert (titles[2], titles[-1]) == ("trial 0000", "trial 0019")  # the ends of the front are always there
    assert len(left_out) == 20 - MAX_FRONT
    assert "trial 0030" not in [*titles, *left_out]
    assert f"Left out, of the models on the front: {', '.join(left_out)}." in page(collect(fake.directory))


@pytest.mark.parametrize("spoil", ["missing", "no image", "other size"])
def test_a_sample_file_that_cannot_be_used_is_said(sweep_dir, spoil):
    path = sweep_dir / "references/baseline/samples.png"
    path.unlink()
    if spoil == "no image":
        path.write_text("no image")
    elif spoil == "other size":
        Image.new("RGB", (100, 100)).save(path)
    html = page(collect(sweep_dir))
    assert "Without images, as their runs left no samples.png that can be read: baseline." in html


def test_large_images_are_scaled_down(fake):
    run_dir = fake.run("only", 0.9, role="run")
    path = run_dir / "results.json"
    path.write_text(path.read_text().replace('"height": 96,\n    "width": 128', '"height": 600,\n    "width": 800'))
    Image.new("RGB", (3200, 600)).save(run_dir / "samples.png")
    assert {picture.shape for picture in images(page(collect(fake.directory))).values()} == {(288, 384, 3)}


def test_a_page_grows_by_little_for_each_model(fake):
    def size(start, end):
        for number in range(start, end):
            config = {"seed": number, "data": {f"a_setting_with_a_long_name_{i}": i for i in range(100)}}
            overrides = {"model.arch.decoder_depth": number + 2, "model.arch.bottleneck": 4}
            fake.run(f"trials/{number:04d}", 0.8 - 0.001 * number, overrides=overrides, config=config)
        return len(page(collect(fake.directory)))

    few = size(0, 20)
    # Row, points, a line of the parallel coordinates and its own settings: the 3 kB of its configuration are not in it.
    assert (size(20, 60) - few) / 40 < 4_000
