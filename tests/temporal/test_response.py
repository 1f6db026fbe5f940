import re

import numpy as np
import pytest

from lightning_mm.errors import InputError
from lightning_mm.temporal import FilterSpec, design
from lightning_mm.temporal.response import Spectrum, _decibels, _gain, _phase, write_response

FORK = FilterSpec("fir", 28.0, 36.0)


def curve(figure, number=0):
    drawn = figure.data[number]
    return np.asarray(drawn.x, dtype=float), np.asarray(drawn.y, dtype=float)


@pytest.mark.parametrize("spec", [FORK, FilterSpec("butterworth", 28.0, 36.0), FilterSpec("iir", 28.0, 36.0)])
def test_curves_are_the_response(spec):
    found = design(spec, 240.0)
    hertz, gains = curve(_gain(found, None))
    np.testing.assert_allclose(gains, np.abs(found.response(hertz)))
    assert hertz[-1] == 120.0
    assert {28.0, 32.0, 36.0} <= set(hertz)
    assert np.diff(hertz)[(hertz[1:] > 28.0) & (hertz[1:] < 36.0)].max() < 0.1
    hertz, decibels = curve(_decibels(found))
    np.testing.assert_allclose(10.0 ** (decibels / 20.0), np.maximum(np.abs(found.response(hertz)), 1e-4), rtol=1e-9)
    hertz, degrees = curve(_phase(found))
    shown = np.isfinite(degrees)
    np.testing.assert_allclose(degrees[shown], np.degrees(np.angle(found.response(hertz[shown]))), atol=1e-9)
    assert np.abs(np.diff(degrees)[np.isfinite(np.diff(degrees))]).max() <= 180.0
    assert shown[np.abs(found.response(hertz)) > 0.1].mean() > 0.98


@pytest.mark.parametrize(("spec", "log"), [(FORK, False), (FilterSpec("butterworth", 0.01, 1.0), True)])
def test_the_band_is_marked_and_in_view(spec, log):
    figure = _gain(design(spec, 240.0), None)
    (band,) = figure.layout.shapes
    assert (band.x0, band.x1) == (spec.low, spec.high)
    assert (figure.layout.xaxis.type == "log") == log
    start, end = np.power(10.0, figure.layout.xaxis.range) if log else figure.layout.xaxis.range
    assert start < spec.low < spec.high < end <= 120.0


@pytest.mark.parametrize("spec", [FORK, FilterSpec("butterworth", 0.01, 1.0)])
def test_a_measured_spectrum_is_drawn_as_it_is(spec):
    hertz = np.linspace(0.0, 120.0, 50)
    figure = _gain(design(spec, 240.0), Spectrum(hertz, hertz**2, "motion <in> px"))
    frequencies, amplitudes = curve(figure, 1)
    np.testing.assert_allclose(amplitudes, frequencies**2)
    assert len(frequencies) == (50 if spec is FORK else 49)  # a logarithmic axis has no 0
    assert figure.layout.yaxis2.title.text == "motion &lt;in&gt; px"


def test_a_page_is_written_whole_and_needs_no_network(tmp_path):
    path = tmp_path / "new" / "filter.html"
    found = design(FilterSpec("fir", 28.0, 36.0, taps=31), 240.0)
    assert write_response(found, path, 200, Spectrum([0.0, 32.0], [0.0, 0.3])) == path
    text = path.read_text()
    assert text.count('class="plotly-graph-div"') == 3
    assert "31 taps" in text
    assert "too short for 28 to 36 Hz" in text
    assert "measured motion [px]" in text
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="?http', text)
    assert [file.name for file in path.parent.iterdir()] == ["filter.html"]
    assert "too short" not in write_response(design(FORK, 240.0), path, overwrite=True).read_text()


def test_what_is_there_stays_there(tmp_path):
    path = tmp_path / "filter.html"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already; add '--overwrite true'"):
        write_response(design(FORK, 240.0), path)
    assert path.read_text() == "mine"


def test_refused(tmp_path):
    found = design(FORK, 240.0)
    with pytest.raises(InputError, match=r"filter.png: a filter's response is a page, a file of suffix .html$"):
        write_response(found, tmp_path / "filter.png")
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(InputError, match="is a directory, must be a file to write"):
        write_response(found, tmp_path / "folder.html", overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="must be a directory that can be written to"):
        write_response(found, tmp_path / "file" / "filter.html")
