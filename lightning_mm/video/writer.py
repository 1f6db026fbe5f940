"""Writing clips: H.264 or lossless video, or numbered PNGs, whole or not at all."""

import os
import shutil
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
from lightning_mm.video.outputs import check_output, is_folder, temporary_name
from lightning_mm.video.sinks import Codec, FolderSink, Sink, Stored, VideoSink
from lightning_mm.video.sound import SoundPart

USUAL_CRF = 16

_TALLEST_LINE = 288  # rows of FFV1 one pixel wide, which FFmpeg cannot cut into slices when it is higher


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
