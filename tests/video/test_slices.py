import numpy as np
import pytest
from PIL import Image

from lightning_mm.errors import InputError
from lightning_mm.video.outputs import check_file
from lightning_mm.video.slices import MAX_WIDTH, MIN_WIDTH, SliceLine, SlicePicture, slice_path


def test_parse():
    assert SliceLine.parse("y=15", 32, 16) == SliceLine("y", 15)
    assert SliceLine.parse(" X = 31", 32, 16) == SliceLine("x", 31)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("y=16", "the clip has the rows 0 to 15"),
        ("x=32", "the clip has the columns 0 to 31"),
        ("y=-1", "must be 'y=ROW' or 'x=COLUMN'"),
        ("210", "must be 'y=ROW' or 'x=COLUMN'"),
        ("z=3", "must be"),
        ("y=1.5", "must be"),
        ("", "must be"),
    ],
)
def test_bad_slice(text, reason):
    with pytest.raises(InputError) as caught:
        SliceLine.parse(text, 32, 16)
    assert f"slice = '{text}'" in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(("axis", "length"), [("y", 32), ("x", 16)])
def test_panels_hold_the_line_with_time_to_the_right(axis, length):
    rng = np.random.default_rng(0)
    before, after = rng.integers(0, 256, (2, 5, 16, 32, 3), dtype=np.uint8)
    picture = SlicePicture(SliceLine(axis, 7))
    for pair in zip(before, after, strict=True):
        picture.add(*pair)
    for panel, frames in zip(picture.panels(), (before, after), strict=True):
        assert panel.shape == (length, 5, 3)
        for t in range(5):
            assert np.array_equal(panel[:, t], frames[t, 7] if axis == "y" else frames[t, :, 7])


def test_lines_are_copies():
    frame = np.zeros((16, 32, 3), np.uint8)
    picture = SlicePicture(SliceLine("y", 0))
    picture.add(frame, frame)
    frame[:] = 255
    assert all(panel.max() == 0 for panel in picture.panels())


def test_long_clips_are_thinned_evenly_in_bounded_memory():
    picture = SlicePicture(SliceLine("y", 0))
    total = 3 * MAX_WIDTH
    for t in range(total):
        frame = np.full((1, 2, 3), (t & 255, t >> 8, 0), np.uint8)
        picture.add(frame, frame)
        assert len(picture._lines) <= MAX_WIDTH
    times = [int(column[0]) + 256 * int(column[1]) for column in picture.panels()[0][0]]
    assert times == list(range(0, total, 4))
    assert picture.draw(20.0).width == len(times) <= MAX_WIDTH


def test_picture_is_labelled_and_short_clips_are_stretched(tmp_path):
    picture = SlicePicture(SliceLine("x", 3))
    for t in range(7):
        picture.add(np.full((16, 32, 3), (10 * t, 0, 0), np.uint8), np.full((16, 32, 3), (0, 10 * t, 0), np.uint8))
    path = tmp_path / "new" / "slice.png"
    picture.save(path, 20.0)
    assert [p.name for p in path.parent.iterdir()] == ["slice.png"]
    image = np.array(Image.open(path))
    height, width = image.shape[:2]
    stretch = width // 7
    assert width >= MIN_WIDTH
    assert width % 7 == 0
    strip = (height - 32) // 3
    for top, channel in ((strip, 0), (2 * strip + 16, 1)):  # input above, magnified below
        panel = image[top : top + 16]
        assert [int(v) for v in panel[8, stretch // 2 :: stretch, channel]] == [10 * t for t in range(7)]
    for top in (0, strip + 16, 2 * (strip + 16)):
        assert image[top : top + strip].min() < 128  # ink
        assert image[top : top + strip].max() == 255


def test_one_panel_of_16_bits_is_drawn_in_8():
    levels = np.arange(16, dtype=np.uint16) * 4369  # 257 times the 8-bit levels 0, 17, ... 255
    picture = SlicePicture(SliceLine("y", 0))
    for _ in range(3):
        picture.add(np.repeat(levels[None, :, None], 3, axis=2))
    (panel,) = picture.panels()
    assert panel.dtype == np.uint16
    image = np.asarray(picture.draw())
    strip = (image.shape[0] - 16) // 2
    assert image[strip : strip + 16, 0, 0].tolist() == list(range(0, 256, 17))


def test_slice_path(tmp_path):
    clip = tmp_path / "in.png"
    assert slice_path(tmp_path / "out.mp4", None, clip, False) == tmp_path / "out_slice.png"
    assert slice_path(tmp_path / "frames", None, clip, False) == tmp_path / "frames_slice.png"
    assert slice_path(tmp_path / "out.mp4", tmp_path / "s.png", clip, False) == tmp_path / "s.png"
    with pytest.raises(InputError, match=r"s\.jpg': must be the name of a \.png"):
        slice_path(tmp_path / "out.mp4", tmp_path / "s.jpg", clip, False)
    clip.write_text("")
    with pytest.raises(InputError, match="the input itself"):
        slice_path(tmp_path / "out.mp4", clip, clip, True)
    (tmp_path / "out_slice.png").write_text("")
    with pytest.raises(InputError, match=r"out_slice\.png: exists already"):
        slice_path(tmp_path / "out.mp4", None, clip, False)
    assert slice_path(tmp_path / "out.mp4", None, clip, True)
    with pytest.raises(InputError, match="is not a folder"):
        slice_path(tmp_path / "out.mp4", clip / "s.png", tmp_path, False)


def test_a_picture_is_not_put_into_a_folder_of_frames(tmp_path):
    source, output = tmp_path / "source", tmp_path / "frames"
    source.mkdir()
    (tmp_path / "link").symlink_to(source)
    for folder in (source, tmp_path / "link", source / ".." / "source"):
        with pytest.raises(InputError, match=r"s\.png: is in the folder of the input, .*source") as caught:
            slice_path(output, folder / "s.png", source, True)
        assert "\n" not in str(caught.value)
    for name in ("frames/s.png", "frames/deeper/s.png", "source/../frames/s.png"):  # whether it is there or not
        with pytest.raises(InputError, match=r"s\.png: is inside of the output, .*frames"):
            slice_path(output, tmp_path / name, source, True)
    assert slice_path(source / "out", None, tmp_path / "in.mp4", False) == source / "out_slice.png"
    assert slice_path(output, source / "deeper" / "s.png", source, False)
    with pytest.raises(InputError, match=r"out\.mp4: is the output"):
        check_file(tmp_path / "new" / ".." / "out.mp4", source, True, tmp_path / "out.mp4")


def test_pictures_with_long_names(tmp_path):
    picture = SlicePicture(SliceLine("y", 0))
    picture.add(np.zeros((1, 2, 3), np.uint8))
    path = slice_path(tmp_path / "out.mp4", tmp_path / f"{'a' * 251}.png", tmp_path / "in.mp4", False)
    picture.save(path)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match="File name too long"):
        slice_path(tmp_path / f"{'a' * 250}.mp4", None, tmp_path / "in.mp4", False)
