"""Writing clips: H.264 video or numbered PNGs, whole or not at all."""

import contextlib
import os
import re
import shutil
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from PIL import Image

from lightning_mm.errors import InputError
from lightning_mm.video.colour import QUALITY, Colour, Frame
from lightning_mm.video.sound import Sound

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
ACCEPTED = f"accepted: a file ending in {', '.join(VIDEO_SUFFIXES)}, or a name without suffix for a folder of PNGs"

_ENCODER = {"crf": "16", "preset": "medium"}
_NUMBERED = re.compile(r"\d{6,}\.png")


def is_folder(output: Path) -> bool:
    """Whether an output path stands for a folder of PNGs: it has no suffix."""
    return not output.suffix


def check_output(output: Path, source: Path | None = None, overwrite: bool = False) -> None:
    """Find out, before any work, whether an output can be written.

    Args:
        output: Where a ``ClipWriter`` is to write.
        source: The clip that is read meanwhile.
        overwrite: Whether an existing output may be replaced.

    Raises:
        InputError: Unknown suffix, the source itself, a folder where a file should be or the reverse, something there
            already, or a folder that cannot be made or written to.
    """
    folder = is_folder(output)
    if not output.name:
        raise InputError(f"{output}: not the name of an output; {ACCEPTED}")
    if not folder and output.suffix.lower() not in VIDEO_SUFFIXES:
        raise InputError(f"{output}: cannot write '{output.suffix}'; {ACCEPTED}")
    _check_other(output, source)
    if folder and output.exists() and not output.is_dir():
        raise InputError(f"{output}: a file of this name is in the place of the output folder; {ACCEPTED}")
    if folder and output.is_dir():
        others = [entry for entry in output.iterdir() if not _NUMBERED.fullmatch(entry.name)]
        if others:
            raise InputError(f"{output}: this folder holds other files ({others[0].name}); choose another name")
        if any(output.iterdir()) and not overwrite:
            raise InputError(f"{output}: exists already; add '--overwrite true' or choose another name")
    if folder:
        _check_parent(output)
    else:
        check_file(output, source, overwrite)


def check_file(output: Path, source: Path | None, overwrite: bool) -> None:
    """Raise an ``InputError`` when a file cannot be written to this path, or is there and may not be replaced."""
    _check_other(output, source)
    if output.is_dir():
        raise InputError(f"{output}: is a folder; give the name of a file in it")
    if output.exists() and not overwrite:
        raise InputError(f"{output}: exists already; add '--overwrite true' or choose another name")
    _check_parent(output)


def _check_other(output: Path, source: Path | None) -> None:
    if source is not None and output.exists() and source.exists() and output.samefile(source):
        raise InputError(f"{output}: the output is the input itself; choose another name")


def _check_parent(output: Path) -> None:
    parent = next(folder for folder in output.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise InputError(f"{output}: cannot be written, {parent} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"{output}: cannot be written, no permission to write in {parent}")


class ClipWriter:
    """Writes frames to a temporary name beside the output and renames when all are written.

    On any error, Ctrl-C included, the temporary file goes and an output that was there before stays as it was. Videos
    are H.264, 4:2:0 for even sizes; an odd width or height needs 4:4:4, since 4:2:0 cannot express it.

    Args:
        output: ``.mp4``, ``.m4v``, ``.mov`` or ``.mkv``; without suffix it is a folder of ``000000.png`` and so on.
        width: Width of the frames in pixels.
        height: Height of the frames in pixels.
        fps: Exact frame rate.
        colour: How to store RGB as YUV; the usual for the height when left out.
        sample_aspect: Width over height of one pixel.
        audio_from: A video file whose sound is copied, packet by packet.
        overwrite: Whether an existing output may be replaced.

    Attributes:
        warnings: One line for everything that could not be done as asked, such as sound that the container cannot hold.

    Raises:
        InputError: The output cannot be written; see ``check_output``.

    Example:
        >>> with ClipWriter(Path("out.mp4"), 64, 48, Fraction(25)) as writer:  # doctest: +SKIP
        ...     writer.write(np.zeros((48, 64, 3), np.uint8))
    """

    def __init__(
        self,
        output: Path,
        width: int,
        height: int,
        fps: Fraction,
        colour: Colour | None = None,
        sample_aspect: Fraction = Fraction(1),
        audio_from: Path | None = None,
        overwrite: bool = False,
    ) -> None:
        self.output = Path(output)
        check_output(self.output, audio_from, overwrite)
        self.size = (height, width)
        self.fps = fps
        self.colour = colour or Colour.usual(height)
        self.sample_aspect = sample_aspect
        self.audio_from = audio_from
        self.warnings: list[str] = []
        self.frames = 0
        self._temporary = self.output.with_name(f".{self.output.stem}.{os.getpid()}.tmp{self.output.suffix}")
        self._sink: _VideoSink | _FolderSink | None = None

    def __enter__(self) -> Self:
        """Open the temporary file."""
        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            self._sink = (_FolderSink if is_folder(self.output) else _VideoSink)(self, self._temporary)
        except BaseException as error:
            self._discard()
            raise self._explained(error) from None
        return self

    def write(self, frame: Frame) -> None:
        """Append one frame, uint8 RGB (H, W, 3).

        Raises:
            ValueError: Another size or type than the writer was made for.
            InputError: The disk is full, or the like.
        """
        if frame.shape != (*self.size, 3) or frame.dtype != np.uint8:
            raise ValueError(f"frame is {frame.dtype} {frame.shape}: must be uint8 {(*self.size, 3)}")
        assert self._sink is not None, "write() outside of 'with'"
        try:
            self._sink.write(frame, self.frames)
        except (FFmpegError, OSError) as error:
            raise self._explained(error) from None
        self.frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish and rename, or throw away."""
        assert self._sink is not None
        try:
            if kind is None:
                if not self.frames:
                    raise InputError(f"{self.output}: not written, there was no frame to write")
                self._sink.finish()
                if self.output.is_dir():
                    shutil.rmtree(self.output)  # holds numbered PNGs only, see check_output
                os.replace(self._temporary, self.output)
        except BaseException as failure:
            raise self._explained(failure) from None
        finally:
            self._discard()

    def _discard(self) -> None:
        if self._sink is not None:
            self._sink.abandon()
        if self._temporary.is_dir():
            shutil.rmtree(self._temporary, ignore_errors=True)
        else:
            self._temporary.unlink(missing_ok=True)

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, (FFmpegError, OSError)):
            return InputError(f"{self.output}: cannot be written ({error.strerror or type(error).__name__})")
        return error


class _FolderSink:
    def __init__(self, writer: ClipWriter, path: Path) -> None:
        self.path = path
        path.mkdir()
        if writer.audio_from is not None:
            writer.warnings.append(f"{writer.output}: the sound is left out, a folder of images cannot hold it")

    def write(self, frame: Frame, index: int) -> None:
        Image.fromarray(frame).save(self.path / f"{index:06d}.png", compress_level=3)

    def finish(self) -> None:
        pass

    def abandon(self) -> None:
        pass


class _VideoSink:
    def __init__(self, writer: ClipWriter, path: Path) -> None:
        self.writer = writer
        self.reformatter = VideoReformatter()
        height, width = writer.size
        self.pix_fmt = "yuv420p" if width % 2 == 0 and height % 2 == 0 else "yuv444p"
        if self.pix_fmt == "yuv444p":
            odd = f"an odd size ({width} x {height}) is stored as H.264 4:4:4, which browsers and phones may not play"
            writer.warnings.append(f"{writer.output}: {odd}")
        self.sound: Sound | None = None
        self.container = av.open(f"file:{path}", "w")
        try:
            if writer.audio_from is not None:
                self.sound = Sound(writer.audio_from)
            self._start()
        except (FFmpegError, ValueError):
            self.abandon()
            if writer.audio_from is None:
                raise
            # Some containers refuse a kind of sound only when their header is written.
            self.sound = None
            self.container = av.open(f"file:{path}", "w")
            self._start()
            self._no_sound(f"a '{path.suffix}' file cannot hold its format")

    def _start(self) -> None:
        colour, fps = self.writer.colour, self.writer.fps
        stream = self.container.add_stream("libx264", rate=fps, options=_ENCODER)
        self.stream: Any = stream
        stream.height, stream.width = self.writer.size
        stream.pix_fmt = self.pix_fmt
        context = stream.codec_context
        context.time_base = 1 / fps
        context.sample_aspect_ratio = self.writer.sample_aspect
        context.color_range = colour.range_code
        context.colorspace = colour.matrix
        context.color_primaries = colour.primaries
        context.color_trc = colour.transfer
        if self.sound is not None:
            self.sound.add_to(self.container)
        self.container.start_encoding()

    def write(self, frame: Frame, index: int) -> None:
        colour, fps = self.writer.colour, self.writer.fps
        picture = self.reformatter.reformat(
            VideoFrame.from_ndarray(frame, format="rgb24"),
            format=self.pix_fmt,
            interpolation=QUALITY,
            dst_colorspace=colour.swscale_matrix,
            src_color_range=ColorRange.JPEG,
            dst_color_range=colour.range_code,
        )
        picture.pts, picture.time_base = index, 1 / fps
        self.container.mux(self.stream.encode(picture))
        if self.sound is not None:
            self.sound.copy(self.container, until=(index + 1) / fps)

    def finish(self) -> None:
        self.container.mux(self.stream.encode(None))
        if self.sound is not None:
            self.sound.copy(self.container, until=None)
            if self.sound.damaged:
                self._no_sound("part of it is damaged", what="the sound is incomplete")
        self.container.close()

    def abandon(self) -> None:
        if self.sound is not None:
            self.sound.close()
        with contextlib.suppress(FFmpegError, OSError):  # the file is thrown away, and its trailer with it
            self.container.close()

    def _no_sound(self, reason: str, what: str = "the sound is left out") -> None:
        self.writer.warnings.append(f"{self.writer.output}: {what}, {reason}")
