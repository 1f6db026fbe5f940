"""What a ``ClipWriter`` writes into: a video, or a folder of PNGs."""

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Protocol

import av
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from PIL import Image

from lightning_mm.video.colour import QUALITY, Colour, Frame
from lightning_mm.video.pixels import as_depth
from lightning_mm.video.sound import Sound, SoundPart

Codec = Literal["h264", "ffv1"]

_RGB = 0  # the code point of H.273 for "no matrix, the channels are red, green and blue"
_PRESET = "medium"
# The format that FFV1 stores losslessly, and the one that arrays have, by bits per channel.
_LOSSLESS = {8: "bgr0", 16: "gbrp16le"}
_ARRAYS = {8: "rgb24", 16: "rgb48le"}


@dataclass(frozen=True)
class Stored:
    """How frames are stored; as of the ``ClipWriter``.

    Attributes:
        width: Pixels per row.
        height: Rows.
        fps: Exact frame rate.
        colour: How to store RGB as YUV.
        sample_aspect: Width over height of one pixel.
        codec: Of videos.
        depth: Bits per channel, 8 or 16.
        crf: Constant rate factor of H.264.
    """

    width: int
    height: int
    fps: Fraction
    colour: Colour
    sample_aspect: Fraction
    codec: Codec
    depth: int
    crf: int


class Sink(Protocol):
    """Where frames go, one after the other."""

    warnings: list[str]

    def write(self, frame: Frame, index: int) -> None:
        """Append a frame."""

    def finish(self) -> None:
        """Write what is held back, when all went well."""

    def abandon(self) -> None:
        """Let go of the file, whether or not all went well."""


class FolderSink:
    """A folder of numbered PNGs of 8 or 16 bits.

    Args:
        path: The folder, which is made.
        stored: How to store the frames.
        sound: The sound, which has no place here.
    """

    def __init__(self, path: Path, stored: Stored, sound: SoundPart | None) -> None:
        self.path, self.stored = path, stored
        self.warnings: list[str] = []
        path.mkdir()
        if sound is not None:
            self.warnings.append("the sound is left out, a folder of images cannot hold it")
        self.reformatter = VideoReformatter()

    def write(self, frame: Frame, index: int) -> None:
        """Write one more file."""
        file = self.path / f"{index:06d}.png"
        if self.stored.depth == 8:
            Image.fromarray(frame).save(file, compress_level=3)
            return
        # Pillow has no colour of 16 bits.
        array: Any = as_depth(frame, 16)
        picture = VideoFrame.from_ndarray(array, format="rgb48le")
        encoder: Any = VideoCodecContext.create("png", "w")
        encoder.width, encoder.height, encoder.pix_fmt = self.stored.width, self.stored.height, "rgb48be"
        encoder.time_base, encoder.options = Fraction(1, 25), {"compression_level": "3", "pred": "sub"}
        packets = encoder.encode(self.reformatter.reformat(picture, format="rgb48be")) + encoder.encode(None)
        file.write_bytes(b"".join(bytes(packet) for packet in packets))

    def finish(self) -> None:
        """Nothing is held back."""

    def abandon(self) -> None:
        """Nothing is held open."""


class VideoSink:
    """A video file with or without sound.

    Args:
        path: The file; its suffix says what container it is.
        stored: How to store the frames.
        sound: The sound to copy.
    """

    def __init__(self, path: Path, stored: Stored, sound: SoundPart | None) -> None:
        self.stored = stored
        self.warnings: list[str] = []
        self.reformatter = VideoReformatter()
        if stored.codec == "ffv1":
            self.pix_fmt = _LOSSLESS[stored.depth]
            if path.suffix.lower() == ".mkv" and stored.sample_aspect != 1:  # PyAV has no way to tell it Matroska
                shape = f"the shape of the pixels, {stored.sample_aspect.numerator}:{stored.sample_aspect.denominator}"
                self.warnings.append(f"{shape}, is not kept in lossless Matroska; an .mp4 keeps it")
        else:
            odd = stored.width % 2 or stored.height % 2
            self.pix_fmt = "yuv444p" if odd else "yuv420p"
            if odd:
                size = f"{stored.width} x {stored.height}"
                where = "which browsers and phones may not play"
                self.warnings.append(f"an odd size ({size}) is stored as H.264 4:4:4, {where}")
        self.sound: Sound | None = None
        self.container = av.open(f"file:{path}", "w")
        try:
            if sound is not None:
                self.sound = Sound(sound)
            self._start()
        except (FFmpegError, ValueError):
            self.abandon()
            if sound is None:
                raise
            # Some containers refuse a kind of sound only when their header is written.
            self.sound = None
            self.container = av.open(f"file:{path}", "w")
            self._start()
            self.warnings.append(f"the sound is left out, a '{path.suffix}' file cannot hold its format")

    def _start(self) -> None:
        stored, colour = self.stored, self.stored.colour
        if stored.codec == "ffv1":
            name, options = "ffv1", {"level": "3", "slicecrc": "1"}
            if stored.width == 1:  # FFmpeg's own choice is of two columns of slices and more
                options["slices"] = "1"
        else:
            name, options = "libx264", {"crf": str(stored.crf), "preset": _PRESET}
        stream: Any = self.container.add_stream(name, rate=stored.fps, options=options)
        self.stream = stream
        stream.height, stream.width, stream.pix_fmt = stored.height, stored.width, self.pix_fmt
        context = stream.codec_context
        context.time_base = 1 / stored.fps
        context.sample_aspect_ratio = stored.sample_aspect
        context.color_range = int(ColorRange.JPEG) if stored.codec == "ffv1" else colour.range_code
        context.colorspace = _RGB if stored.codec == "ffv1" else colour.matrix
        context.color_primaries = colour.primaries
        context.color_trc = colour.transfer
        if self.sound is not None:
            self.sound.add_to(self.container)
        self.container.start_encoding()

    def write(self, frame: Frame, index: int) -> None:
        """Encode a frame, and copy the sound up to its end."""
        colour, fps, depth = self.stored.colour, self.stored.fps, self.stored.depth
        convert: dict[str, Any] = {"format": self.pix_fmt, "interpolation": QUALITY}
        if self.stored.codec == "h264":
            convert |= {"dst_colorspace": colour.swscale_matrix, "src_color_range": ColorRange.JPEG}
            convert["dst_color_range"] = colour.range_code
        array: Any = as_depth(frame, depth)
        picture = self.reformatter.reformat(VideoFrame.from_ndarray(array, format=_ARRAYS[depth]), **convert)
        picture.pts, picture.time_base = index, 1 / fps
        self.container.mux(self.stream.encode(picture))
        if self.sound is not None:
            self.sound.copy(self.container, until=(index + 1) / fps)

    def finish(self) -> None:
        """Encode what the encoder holds back, copy the rest of the sound and close the file."""
        self.container.mux(self.stream.encode(None))
        if self.sound is not None:
            self.sound.copy(self.container, until=None)
            if self.sound.damaged:
                self.warnings.append("the sound is incomplete, part of it is damaged")
        self.container.close()

    def abandon(self) -> None:
        """Close what is open; the file may be thrown away, and its trailer with it."""
        if self.sound is not None:
            self.sound.close()
        with contextlib.suppress(FFmpegError, OSError):
            self.container.close()
