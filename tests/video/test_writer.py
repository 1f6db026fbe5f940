import os
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from streams import written

from lightning_mm.errors import InputError
from lightning_mm.video.colour import Colour
from lightning_mm.video.opening import open_clip
from lightning_mm.video.outputs import check_output
from lightning_mm.video.writer import ClipWriter

COLOURS = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 0),
    (0, 255, 255),
    (255, 0, 255),
    (200, 30, 90),
    (128,) * 3,
)


def flat(colour, height=16, width=32):
    return np.full((height, width, 3), colour, np.uint8)


def smooth(count, height, width):
    """Frames that compression hardly touches and that all differ: a ramp that moves, another per channel."""
    y, x = np.mgrid[:height, :width]
    ramps = [np.stack([4 * x + 8 * i, 4 * y + 8 * i, 128 + 0 * x], axis=-1) for i in range(count)]
    return [np.clip(ramp, 0, 255).astype(np.uint8) for ramp in ramps]


def tags(path):
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_range) == (context.colorspace, context.color_range)
        return context.colorspace, context.color_range, context.color_primaries, context.color_trc


@pytest.mark.parametrize("size", [(16, 32), (17, 33)])  # 4:2:0 and 4:4:4
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("full", [False, True])
def test_colours_survive_and_tags_are_kept(tmp_path, matrix, full, size):
    colour = Colour(matrix, full, primaries=9 if matrix == 9 else matrix, transfer=1)
    written(tmp_path / "c.mp4", [flat(c, *size) for c in COLOURS], colour=colour)
    assert tags(tmp_path / "c.mp4") == (matrix, 2 if full else 1, colour.primaries, 1)
    clip = open_clip(tmp_path / "c.mp4")
    assert clip.colour == colour
    for got, wanted in zip(clip, COLOURS, strict=True):
        assert np.abs(got.astype(int) - wanted).max() <= 5


@pytest.mark.parametrize(("matrix", "full"), [(1, False), (1, True), (6, False), (6, True)])
def test_the_tags_are_used_in_the_conversion(tmp_path, matrix, full):
    """The stored luma of pure red is the standard's, so that players other than this one show red too."""
    written(tmp_path / "c.mp4", [flat((255, 0, 0))], colour=Colour(matrix, full))
    with av.open(str(tmp_path / "c.mp4")) as container:
        plane = next(container.decode(video=0)).planes[0]
    luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:16, :32].mean()
    weight = {1: 0.2126, 6: 0.299}[matrix]
    assert luma == pytest.approx(255 * weight if full else 16 + 219 * weight, abs=1.5)


def test_untagged_output_gets_the_usual_tags(tmp_path):
    written(tmp_path / "small.mp4", [flat(COLOURS[0])])
    written(tmp_path / "high.mp4", [flat(COLOURS[0], 720, 16)])
    assert tags(tmp_path / "small.mp4")[:2] == (6, 1)
    assert tags(tmp_path / "high.mp4")[:2] == (1, 1)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".m4v", ".MP4"])
@pytest.mark.parametrize("fps", [Fraction(30000, 1001), Fraction(1900), Fraction(25, 2)])
def test_exact_rate_and_number_of_frames(tmp_path, suffix, fps):
    path = tmp_path / f"c{suffix}"
    frames = smooth(23, 16, 32)
    written(path, frames, fps)
    clip = open_clip(path)
    assert clip.fps == fps
    got = list(clip)
    assert len(got) == 23
    assert all(np.abs(a.astype(int) - b).mean() < 4 for a, b in zip(got, frames, strict=True))  # and in order


@pytest.mark.parametrize(("height", "width"), [(17, 33), (16, 33), (17, 32), (1, 1), (2, 2), (3, 2)])
def test_sizes_are_kept_exactly(tmp_path, height, width):
    frames = smooth(3, height, width)
    writer = written(tmp_path / "c.mp4", frames)
    clip = open_clip(tmp_path / "c.mp4")
    assert (clip.height, clip.width) == (height, width)
    assert all(np.abs(a.astype(int) - b).mean() < 5 for a, b in zip(clip, frames, strict=True))
    odd = bool(height % 2 or width % 2)
    assert len(writer.warnings) == odd  # 4:4:4 plays in fewer places, so the user is told
    with av.open(str(tmp_path / "c.mp4")) as container:
        assert container.streams.video[0].codec_context.pix_fmt == ("yuv444p" if odd else "yuv420p")


def test_pixel_aspect_is_kept(tmp_path):
    written(tmp_path / "c.mp4", smooth(2, 16, 32), sample_aspect=Fraction(7, 6))
    assert open_clip(tmp_path / "c.mp4").sample_aspect == Fraction(7, 6)


def test_folder_of_images(tmp_path):
    frames = list(np.random.default_rng(0).integers(0, 256, (3, 17, 33, 3), dtype=np.uint8))
    written(tmp_path / "frames", frames)
    assert sorted(os.listdir(tmp_path)) == ["frames"]
    assert sorted(os.listdir(tmp_path / "frames")) == ["000000.png", "000001.png", "000002.png"]
    assert all(np.array_equal(a, b) for a, b in zip(open_clip(tmp_path / "frames"), frames, strict=True))
    with pytest.raises(InputError, match="frames: exists already"):
        written(tmp_path / "frames", frames)
    written(tmp_path / "frames", frames[:1], overwrite=True)
    assert os.listdir(tmp_path / "frames") == ["000000.png"]


def test_a_folder_with_other_files_is_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (32, 16)).save(tmp_path / "photos" / "birthday.png")
    with pytest.raises(InputError, match=r"photos: this folder holds other files \(birthday\.png\)"):
        written(tmp_path / "photos", smooth(1, 16, 32), overwrite=True)
    assert os.listdir(tmp_path / "photos") == ["birthday.png"]


def write_and_fail(path, error, **options):
    with ClipWriter(path, 32, 16, Fraction(25), **options) as writer:
        for frame in smooth(20, 16, 32):
            writer.write(frame)
        raise error


@pytest.mark.parametrize("name", ["out.mp4", "out", "new/folder/out.mkv"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, InputError])
def test_interruption_leaves_nothing(tmp_path, name, error):
    with pytest.raises(error):
        write_and_fail(tmp_path / name, error)
    assert [path for path in tmp_path.rglob("*") if path.is_file() or path.name.startswith(".")] == []
    assert not (tmp_path / name).exists()


def test_interruption_keeps_the_output_that_was_there(tmp_path):
    path = tmp_path / "out.mp4"
    written(path, smooth(3, 16, 32))
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write_and_fail(path, KeyboardInterrupt, overwrite=True)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["out.mp4"]
    written(path, smooth(7, 16, 32), overwrite=True)
    assert len(list(open_clip(path))) == 7


def test_the_output_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "out.mp4"
    with ClipWriter(path, 32, 16, Fraction(25)) as writer:
        writer.write(smooth(1, 16, 32)[0])
        assert not path.exists()
    assert path.exists()


def test_nothing_written_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no frame"), ClipWriter(tmp_path / "out.mp4", 32, 16, Fraction(25)):
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("method", ["write", "finish"])
def test_failure_of_the_disk_is_one_line(tmp_path, monkeypatch, method):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"lightning_mm.video.sinks.VideoSink.{method}", full)
    with pytest.raises(InputError, match=r"out\.mp4: cannot be written \(No space left on device\)"):
        written(tmp_path / "out.mp4", smooth(1, 16, 32))
    assert os.listdir(tmp_path) == []


def test_frames_of_another_kind_are_refused(tmp_path):
    with ClipWriter(tmp_path / "out.mp4", 32, 16, Fraction(25)) as writer:
        writer.write(flat((1, 2, 3)))
        with pytest.raises(ValueError, match="must be uint8"):
            writer.write(flat((1, 2, 3), 32, 16))
        with pytest.raises(ValueError, match="must be uint8"):
            writer.write(flat((1, 2, 3)).astype(np.float32))


def test_unusable_outputs_are_named(tmp_path):
    clip = tmp_path / "in.mp4"
    written(clip, smooth(2, 16, 32))
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link.mp4").symlink_to(clip)
    before = sorted(tmp_path.rglob("*"))
    cases = {
        "out.xyz": "cannot write '.xyz'; accepted: a file ending in .mp4",
        "out.webm": "cannot write '.webm'",
        "in.mp4": "the output is the input itself",
        "link.mp4": "the output is the input itself",
        "folder.mp4": "is a folder",
        "file": "a file of this name",
        "file/out.mp4": "is not a folder",
        "file/deeper/out.mp4": "is not a folder",
    }
    for name, reason in cases.items():
        with pytest.raises(InputError) as caught:
            check_output(tmp_path / name, clip, overwrite=True)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"in\.mp4: exists already; add '--overwrite true'"):
        check_output(clip)
    check_output(tmp_path / "new" / "folder" / "out.mp4")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="no permission"):
        check_output(tmp_path / "locked" / "out.mp4")


def test_a_link_is_no_output_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "000000.png").write_bytes(b"as it was")
    for name, target in (("link", "real"), ("nowhere", "missing")):
        (tmp_path / name).symlink_to(tmp_path / target)
        with pytest.raises(InputError, match=f"{name}: is a link, to .*{target}, and not a folder; name the folder"):
            check_output(tmp_path / name, overwrite=True)
    check_output(tmp_path / "real", overwrite=True)


@pytest.mark.parametrize("name", ["out", "out.mp4"])
def test_what_an_earlier_process_left_is_not_in_the_way(tmp_path, name):
    path = tmp_path / name
    suffix = path.suffix
    (tmp_path / f".out.{os.getpid()}.tmp{suffix}").mkdir()
    first, second = (ClipWriter(path, 32, 16, Fraction(25)) for _ in range(2))
    with first, second:  # nor one that writes at the same time
        assert len(list(tmp_path.glob(f".out.*.tmp{suffix}"))) == 3
        first.write(flat(COLOURS[0]))
        second.write(flat(COLOURS[0]))
    assert len(list(open_clip(path))) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([f".out.{os.getpid()}.tmp{suffix}", name])


@pytest.mark.parametrize("suffix", ["", ".mp4"])
def test_long_names(tmp_path, suffix):
    longest = tmp_path / ("n" * (255 - len(suffix)) + suffix)
    written(longest, [flat(COLOURS[0])])
    assert list(tmp_path.iterdir()) == [longest]
    with pytest.raises(InputError, match=r"not the name of an output \(File name too long\)"):
        check_output(tmp_path / f"n{longest.name}")
    with pytest.raises(InputError, match="File name too long"):
        check_output(tmp_path / ("ä" * 130 + suffix))


def test_an_error_without_a_system_reason_is_named(tmp_path, monkeypatch):
    def fail(*paths):
        raise OSError("the\nreason")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match=r"c\.mp4: cannot be written \(the reason\)"):
        written(tmp_path / "c.mp4", [flat(COLOURS[0])])
    assert list(tmp_path.iterdir()) == []
