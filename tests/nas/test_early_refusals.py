"""Wrong settings of appendix, race and stability study are refused before anything is trained or written."""

from pathlib import Path

import pytest
import yaml

from lightning_mm.errors import InputError
from lightning_mm.nas import command

ROOT = Path(__file__).parents[2]
FILES = {"appendix": "presets/smoke.yaml", "race": "races/smoke.yaml", "stability": "nas_stability.yaml"}
WRONG = [
    ("appendix", {"settings": {"model.lpips": "vg"}}, "model.lpips"),
    ("appendix", {"settings": {"data.photos": "no_photos"}}, "data.photos = no_photos: no such folder"),
    ("appendix", {"supernet": {"model.initialisation": "he"}}, "model.initialisation"),
    ("appendix", {"references": {"none": "experiments/none.yaml"}}, "experiments/none.yaml, which is no file"),
    ("race", {"settings": {"model.lpips": "vg"}}, "model.lpips"),
    ("race", {"supernet": {"settings": {"model.residual_scale": "much"}}}, "model.residual_scale"),
    ("race", {"references": {"none": "experiments/none.yaml"}}, "experiments/none.yaml, which is no file"),
    ("stability", {"variants": {"last": {"model.initialisation": "he"}}}, "model.initialisation"),
    ("stability", {"configs": ["experiments/none.yaml"]}, "experiments/none.yaml, which is no file"),
]


@pytest.mark.parametrize(("name", "change", "said"), WRONG)
def test_refused_in_one_line_with_nothing_written(name, change, said, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    values = yaml.safe_load((ROOT / "sweeps" / FILES[name]).read_text())
    for key, value in change.items():
        values[key] = {**values.get(key, {}), **value} if isinstance(value, dict) else value
    file = tmp_path / "file.yaml"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError) as caught:
        getattr(command, name)(file, dir=tmp_path / "out")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
