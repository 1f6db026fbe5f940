"""Writing clips: H.264 or lossless video, or numbered PNGs, whole or not at all."""

import os
import re
import shutil
import uuid
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from av.error import FFmpegError

from lightning_mm.errors import InputError, one_line
from lightning_mm.signals import terminable
from lightning_mm.video.colour import Colour, Frame
from lightning_mm.video.sinks import Codec, FolderSink, Sink, Stored, VideoSink
from lightning_mm.video.sound import SoundPart

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
LOSSLESS_SUFFIXES = (".mkv", ".mp4")
ACCEPTED = f"accepted: a file ending in {', '.join(VIDEO_SUFFIXES)}, or a name without suffix for a folder of PNGs"
USUAL_CRF = 16

_TALLEST_LINE = 288  # rows of FFV1 one pixel wide, which FFmpeg cannot cut into slices when it is higher
_STEM = 40  # characters of the output's name in that of its temporary file, which must not become too long

_NUMBERED = re.compile(r"\d{6,}\.png")


def is_folder(output: Path) -> bool:
    """Whether an output path stands for a folder of PNGs: it has no suffix."""
    return not output.suffix


def check_output(
    output: Path,
    source: Path | str | None = None,
    overwrite: bool = False,
    codec: Codec = "h264",
    crf: int | None = None,
) -> None:
    """Find out, before any work, whether an output can be written.

    Args:
        output: Where a ``ClipWriter`` is to write.
        source: The clip that is read meanwhile.
        overwrite: Whether an existing output may be replaced.
        codec: As of the ``ClipWriter``.
        crf: As of the ``ClipWriter``.

    Raises:
        InputError: Unknown suffix, the source itself, a folder where a file should be or the reverse, a link where a
            folder should be, something there already, a folder that cannot be made or written to, a name that is too
            long, or a codec that such an output cannot have.
    """
    folder = is_folder(output)
    if not output.name:
        raise InputError(f"{output}: not the name of an output; {ACCEPTED}")
    if not folder and output.suffix.lower() not in VIDEO_SUFFIXES:
        raise InputError(f"{output}: cannot write '{output.suffix}'; {ACCEPTED}")
    _check_codec(output, codec, crf)
    _check_name(output)
    _check_other(output, source)
    if folder and output.is_symlink():
        raise InputError(f"{output}: is a link, to {os.readlink(output)}, and not a folder; name the folder itself")
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
        _check_new(output, overwrite)


def _check_codec(output: Path, codec: str, crf: int | None) -> None:
    if codec not in ("h264", "ffv1"):
        raise InputError(f"codec = '{codec}': must be h264, or ffv1 for lossless video")
    if codec == "ffv1" and is_folder(output):
        raise InputError(f"{output}: codec = 'ffv1' makes a video; PNGs, as in this folder, are lossless without it")
    if codec == "ffv1" and output.suffix.lower() not in LOSSLESS_SUFFIXES:
        accepted = f"must end in {' or '.join(LOSSLESS_SUFFIXES)}"
        raise InputError(f"{output}: '{output.suffix}' cannot hold lossless video (codec = 'ffv1'); {accepted}")
    if crf is None:
        return
    if not 0 <= crf <= 51:
        raise InputError(f"crf = {crf}: must be a whole number from 0, best, to 51")
    if codec == "ffv1" or is_folder(output):
        raise InputError(f"crf = {crf}: has a meaning for H.264 video only; {output} is to be lossless")


def check_file(output: Path, source: Path | str | None, overwrite: bool, clip: Path | None = None) -> None:
    """Find out, before any work, whether a file beside a clip can be written: a picture, a page, a table.

    Args:
        output: The file to write.
        source: The clip that is read meanwhile. In a folder of images, the file might be taken for one of them later.
        overwrite: Whether a file that is there may be replaced.
        clip: The output of a ``ClipWriter`` that is written meanwhile, which replaces a folder as a whole.

    Raises:
        InputError: One of the clips itself or in the folder of one, a folder, there already, or cannot be written.
    """
    _check_name(output)
    _check_other(output, source)
    place = output.resolve()
    if source is not None and os.path.isdir(source) and place.parent == Path(source).resolve():
        raise InputError(f"{output}: is in the folder of the input, {source}; choose another folder")
    if clip is not None and place == clip.resolve():
        raise InputError(f"{output}: is the output, {clip}, as well; choose another name")
    if clip is not None and clip.resolve() in place.parents:
        raise InputError(f"{output}: is inside of the output, {clip}; choose another folder")
    _check_new(output, overwrite)


def _check_new(output: Path, overwrite: bool) -> None:
    if output.is_dir():
        raise InputError(f"{output}: is a folder; give the name of a file in it")
    if output.exists() and not overwrite:
        raise InputError(f"{output}: exists already; add '--overwrite true' or choose another name")
    _check_parent(output)


def _check_name(output: Path) -> None:
    try:
        output.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return  # judged by what there is above it
    except (OSError, ValueError) as error:
        raise InputError(f"{output}: not the name of an output ({getattr(error, 'strerror', None) or error})") from None


def _check_other(output: Path, source: Path | str | None) -> None:
    if source is not None and output.exists() and os.path.exists(source) and output.samefile(source):
        raise InputError(f"{output}: the output is the input itself; choose another name")


def _check_parent(output: Path) -> None:
    parent = next(folder for folder in output.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise InputError(f"{output}: cannot be written, {parent} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise InputError(f"{output}: cannot be written, no permission to write in {parent}")


def temporary_name(output: Path) -> Path:
    """A hidden name beside an output that nothing has, with its suffix; under it the output is written."""
    return output.with_name(f".{output.stem[:_STEM]}.{uuid.uuid4().hex[:12]}.tmp{output.suffix}")


class ClipWriter:
    """Writes frames to a temporary name beside the output and renames when all are written.

    On any error, Ctrl-C and SIGTERM included, the temporary file goes and an output that was there before stays as it
    was. When the process is killed, a hidden temporary file stays behind, and nothing under the output's name.

    H.264 has 8 bits, 4:2:0 for even sizes; an odd width or height needs 4:4:4, since 4:2:0 cannot express it. FFV1 and
    PNG keep every level of 8 or 16 bits. FFV1 in MP4 has exact time stamps, in Matroska they are whole milliseconds.

    Args:
        output: ``.mp4``, ``.m4v``, ``.mov`` or ``.mkv``; without suffix it is a folder of ``000000.png`` and so on.
        width: Width of the frames in pixels.
        height: Height of the frames in pixels.
        fps: Exact frame rate.
        colour: How to store RGB as YUV; the usual for the height when left out.
        sample_aspect: Width over height of one pixel.
        sound: What sound to copy, packet by packet: ``Clip.sound``, or a video file for all of its sound.
        overwrite: Whether an existing output may be replaced.
        codec: "h264", or "ffv1" for lossless RGB in ``.mp4`` or ``.mkv``.
        depth: Bits per channel of a lossless output, 8 or 16.
        crf: Constant rate factor of H.264, from 0, best, to 51; 16 when left out.

    Attributes:
        size: Height and width of the frames in pixels.
        fps: Exact frame rate.
        frames: Number of frames written so far.
        warnings: One line for everything that could not be done as asked, such as sound that the container cannot hold.

    Raises:
        InputError: The output cannot be written, see ``check_output``; FFV1 of 1 pixel by more than 288.

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
        sound: SoundPart | Path | None = None,
        overwrite: bool = False,
        codec: Codec = "h264",
        depth: int = 8,
        crf: int | None = None,
    ) -> None:
        self.output = Path(output)
        part = SoundPart(sound) if isinstance(sound, Path) else sound
        check_output(self.output, part.path if part else None, overwrite, codec, crf)
        if codec == "ffv1" and width == 1 and height > _TALLEST_LINE:
            limit = f"must have at most {_TALLEST_LINE} rows where they are 1 pixel wide"
            raise InputError(f"{self.output}: frames of 1 x {height} pixels, with codec = 'ffv1', {limit}")
        self.size, self.fps = (height, width), fps
        colour = colour or Colour.usual(height)
        lossless = codec == "ffv1" or is_folder(self.output)
        self._stored = Stored(
            width,
            height,
            fps,
            colour,
            sample_aspect,
            codec,
            depth if lossless else 8,
            USUAL_CRF if crf is None else crf,
        )
        self._lossless = lossless
        self._sound = part
        self.warnings: list[str] = []
        self.frames = 0
        self._temporary = temporary_name(self.output)
        self._sink: Sink | None = None
        self._signals = ExitStack()

    def __enter__(self) -> Self:
        """Open the temporary file."""
        self._signals.enter_context(terminable())
        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            kind = FolderSink if is_folder(self.output) else VideoSink
            self._sink = kind(self._temporary, self._stored, self._sound)
            self._take_warnings()
        except BaseException as error:
            self._discard()
            raise self._explained(error) from None
        return self

    def write(self, frame: Frame) -> None:
        """Append one frame, RGB (H, W, 3) of uint8 or uint16.

        Raises:
            ValueError: Another size or type than the writer was made for; uint16 where a lossless output has 8 bits.
            InputError: The disk is full, or the like.
        """
        shape = (*self.size, 3)
        kinds = (np.uint8,) if self._lossless and self._stored.depth == 8 else (np.uint8, np.uint16)
        if frame.shape != shape or frame.dtype not in kinds:
            accepted = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"frame is {frame.dtype} {frame.shape}: must be {accepted} {shape}")
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
                self._take_warnings()
                if self.output.is_dir():
                    shutil.rmtree(self.output)  # holds numbered PNGs only, see check_output
                os.replace(self._temporary, self.output)
        except BaseException as failure:
            raise self._explained(failure) from None
        finally:
            self._discard()

    def _take_warnings(self) -> None:
        assert self._sink is not None
        self.warnings += [f"{self.output}: {line}" for line in self._sink.warnings]
        self._sink.warnings.clear()

    def _discard(self) -> None:
        try:
            if self._sink is not None:
                self._sink.abandon()
            if self._temporary.is_dir():
                shutil.rmtree(self._temporary, ignore_errors=True)
            else:
                self._temporary.unlink(missing_ok=True)
        finally:
            self._signals.close()

    def _explained(self, error: BaseException) -> BaseException:
        if isinstance(error, (FFmpegError, OSError)):
            return InputError(f"{self.output}: cannot be written ({error.strerror or one_line(error)})")
        return error
