import pytest

from lightning_mm.errors import InputError
from lightning_mm.temporal import PRESETS, FilterSpec, design, preset

TABLE_A4 = """
crane 75 24 FIR 0.2-0.25
drum 10 1900 FIR 74-78
guitar 25 600 FIR 72-92
Wheel1 20 120 FIR 20-30
baby 20 30 Butterworth 0.01-1
"""
TABLE_A5 = """
baby 20 Static
AC2 8 Static
column 7 Dynamic
gun 8 Dynamic
"""


@pytest.mark.parametrize("row", TABLE_A4.strip().splitlines())
def test_table_a4(row):
    name, alpha, fps, kind, band = row.split()
    found = preset(name.lower())
    low, high = map(float, band.split("-"))
    assert (found.mode, found.alpha, found.fps) == ("temporal", float(alpha), float(fps))
    assert found.filter == FilterSpec(kind.lower(), low, high)  # type: ignore[arg-type]
    # What the paper used can be designed, for clips of any usual length.
    for frames in (50, 300, None):
        assert design(found.filter, found.fps, frames).gain(found.filter.centre) == pytest.approx(1.0, abs=0.11)


@pytest.mark.parametrize("row", TABLE_A5.strip().splitlines())
def test_table_a5(row):
    name, alpha, mode = row.split()
    found = preset("baby_static" if name == "baby" else name.lower())
    assert (found.mode, found.alpha, found.fps, found.filter) == (mode.lower(), float(alpha), None, None)


def test_there_are_no_others():
    assert len(PRESETS) == 9
    assert all(found.name == name for name, found in PRESETS.items())


@pytest.mark.parametrize("name", ["", "Crane", "wheel"])
def test_an_unknown_preset_lists_those_there_are(name):
    listed = "crane, drum, guitar, wheel1, baby, baby_static, ac2, column, gun"
    with pytest.raises(InputError, match=rf"^--preset {name}: must be one of {listed}$"):
        preset(name)
