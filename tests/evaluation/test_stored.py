"""Stored tests: a folder made here, scored by scikit-image with the release's settings written out."""

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from lightning_mm.errors import InputError
from lightning_mm.evaluation import stored
from lightning_mm.evaluation.figures import FIGURES
from lightning_mm.evaluation.methods import FRAME_B
from lightning_mm.evaluation.protocol import Options
from lightning_mm.evaluation.stored import find_modes

SIZE = 40


def save(folder, stems=("000", "001", "002"), size=SIZE, seed=0):
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for stem in stems:
        base = generator.integers(0, 256, (size + 8, size + 8, 3), dtype=np.uint8)
        for role, at in (("A", 0), ("B", 1), ("Y", 4)):
            Image.fromarray(base[at : at + size, :size]).save(folder / f"{stem}{role}.png")


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "subpixel/mode00", seed=1)
    save(tmp_path / "subpixel/mode14", seed=2)
    save(tmp_path / "noise005/mode20", seed=3)
    return tmp_path


def test_the_factor_of_a_mode_is_the_releases(folder):
    found = {(mode.test, mode.number): (mode.level, mode.alpha) for mode in find_modes(folder)}
    assert found == {
        ("subpixel", 0): (0.04, pytest.approx(250.0)),
        ("subpixel", 14): (1.0, pytest.approx(10.0)),
        ("noise005", 20): (pytest.approx(100.0), 200.0),
    }
    assert {mode.alpha for mode in find_modes(folder, alpha=7.5)} == {7.5}
    motions = [10.0 / alpha for alpha in stored.TESTS["subpixel"][1]]
    assert motions == pytest.approx(
        [0.04, 0.05, 0.063, 0.079, 0.1, 0.13, 0.16, 0.2, 0.25, 0.32, 0.4, 0.5, 0.63, 0.79, 1]
    )
    assert len(stored.TESTS["noise005"][1]) == 21


def reference(output, target):
    """SSIM with 3 px of the original border cut off, on the 0 to 255 scale, window 11 and sigma 1.5, valid region."""
    x, y = (image[3:-3, 3:-3].astype(float) for image in (output, target))
    settings = {"data_range": 255.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return structural_similarity(x, y, channel_axis=2, full=True, **settings)[1][5:-5, 5:-5].mean()


def test_scores_of_the_input_and_of_an_oracle(folder, bench):
    seen = []

    def oracle(a, b, alpha):
        seen.append((tuple(a.shape), float(alpha), float(a[0, 0, :5].max()), float(a[0, 0, 5:-5, 5:-5].max())))
        return torch.cat([b[:, :, 3:], torch.full_like(b[:, :, :3], -1.0)], dim=2)

    record = stored.run(bench({"oracle": oracle}, stored=folder, samples=2))
    rows = {(row["test"], row["mode"], row["method"]): row for row in record.tables["stored"]}
    for test, number in (("subpixel", 0), ("subpixel", 14), ("noise005", 20)):
        values = []
        for stem in ("000", "001"):
            place = folder / test / f"mode{number:02d}"
            b, y = (np.asarray(Image.open(place / f"{stem}{role}.png")) for role in "BY")
            values.append(reference(b, y))
        row = rows[test, number, FRAME_B]
        assert row["ssim"] == pytest.approx(np.mean(values), abs=1e-4)
        assert row["pairs"] == 2
        # Frame B moved by the missing rows is the target, but for the last three rows, of which SSIM sees none.
        assert rows[test, number, "oracle"]["ssim"] == pytest.approx(1.0, abs=1e-5)
    assert {shape for shape, *_ in seen} == {(1, 3, SIZE + 10, SIZE + 10)}
    assert {alpha for _, alpha, *_ in seen} == {250.0, 10.0, 200.0}
    assert all(border == -1.0 < inner for *_, border, inner in seen), "black around the frame"
    assert record.settings["alphas"]["subpixel/mode00"] == 250.0
    assert record.summary["oracle"]["noise005_mean_ssim"] == pytest.approx(1.0, abs=1e-5)


def test_another_factor_is_used_and_recorded(folder, bench):
    factors = []
    record = stored.run(
        bench({"m": lambda a, b, alpha: (factors.append(float(alpha)), b)[1]}, stored=folder, stored_alpha=3.0)
    )
    assert set(factors) == {3.0}
    assert record.settings["alpha"] == "as given"


def broken(folder, how):
    if how == "empty":
        return folder / "subpixel"
    if how == "unknown":
        save(folder / "other/mode00")
    elif how == "beyond":
        save(folder / "subpixel/mode15")
    elif how == "lacks":
        (folder / "subpixel/mode00/001Y.png").unlink()
    elif how == "none":
        for path in (folder / "subpixel/mode00").iterdir():
            path.unlink()
    return folder


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("empty", "no folder TEST/modeNN in it"),
        ("unknown", "other/mode00: its motion factor is known only for subpixel"),
        ("beyond", "subpixel/mode15: its motion factor is known only"),
        ("lacks", "subpixel/mode00: 001Y.png is missing"),
        ("none", "subpixel/mode00: no images in it"),
    ],
)
def test_a_folder_that_cannot_be_judged_is_refused(folder, how, message):
    with pytest.raises(InputError, match=message):
        stored.check(Options(stored=broken(folder, how)))


def test_other_tests_need_a_factor(folder):
    save(folder / "other/mode00")
    modes = find_modes(folder, alpha=12.0)
    assert [mode.level for mode in modes if mode.test == "other"] == [None]
    with pytest.raises(InputError, match="stored_alpha = -1"):
        stored.check(Options(stored=folder, stored_alpha=-1.0))
    with pytest.raises(InputError, match="no such folder"):
        stored.check(Options(stored=folder / "nowhere"))


def test_images_that_do_not_fit_are_named_before_anything_runs(folder):
    picture = folder / "subpixel/mode00/000Y.png"
    Image.new("RGB", (SIZE, SIZE + 1)).save(picture)
    with pytest.raises(InputError, match=r"000Y\.png: not of the size of 000A\.png"):
        stored.check(Options(stored=folder))
    Image.new("L", (SIZE, SIZE)).save(picture)
    with pytest.raises(InputError, match=r"000Y.png: the image is of mode L"):
        stored.check(Options(stored=folder))
    picture.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"000Y.png: not a readable image"):
        stored.check(Options(stored=folder))
    for role in "ABY":
        Image.new("RGB", (SIZE, 16)).save(picture.with_name(f"000{role}.png"))
    with pytest.raises(InputError, match=r"000A.png: both sides must be >= 17 px"):
        stored.check(Options(stored=folder))


def test_the_smallest_images_that_are_accepted_can_be_judged(tmp_path, bench):
    save(tmp_path / "subpixel/mode03", stems=["0"], size=17)
    stored.check(Options(stored=tmp_path))
    assert stored.run(bench({}, stored=tmp_path)).tables["stored"][0]["pairs"] == 1


def test_levels_are_named_and_lie_on_the_axis_where_all_are_known(folder, bench):
    save(folder / "other/mode07")
    record = stored.run(bench({}, stored=folder, stored_alpha=3.0, samples=1))
    assert [shown.columns[1] for shown in record.shown] == ["noise factor", "level", "motion [px]"]
    axes = {figure.layout.xaxis.title.text: figure for figure in FIGURES["stored"](record)}
    assert [figure.layout.xaxis.type for figure in axes.values()] == ["log", "linear", "log"]
    assert list(axes["motion [px] in the stored test “subpixel”, log scale"].data[0].x) == [0.04, 1.0]
    assert list(axes["mode of the stored test “other”"].data[0].x) == [7]
