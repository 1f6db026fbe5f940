"""Reading clips: a video file, or a folder of images, as one RGB frame after the other in bounded memory."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import EOFError as EndOfStream
from av.error import FFmpegError
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter
from PIL import Image, ImageOps

from lightning_mm.errors import InputError
from lightning_mm.video.colour import QUALITY, Colour, Frame, colour_of, orientation_of, turned

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
ACCEPTED = f"accepted: a video file, or a folder of images ({' '.join(IMAGE_SUFFIXES)})"
DEFAULT_FPS = Fraction(25)

_EXIF_ORIENTATION = 0x0112


class Clip(ABC):
    """Frames of one size at one rate. Iterating yields uint8 RGB arrays (H, W, 3); iterating again reads anew.

    Attributes:
        path: Where it was opened from.
        width: Pixels per row, after the rotation that the file asks for.
        height: Rows.
        fps: Exact frame rate in frames per second.
        frames: Number of frames as far as it is known without reading them all; ``None`` where unknown.
        colour: How a copy of this clip should store its colours.
        sample_aspect: Width over height of one pixel.
        has_audio: Whether the file has sound.
        retimed: Whether ``fps`` was overridden, so that the sound does not fit the frames any more.
        partial: After reading to the end: why frames are missing, as one line; ``None`` when nothing is.
    """

    path: Path
    width: int
    height: int
    fps: Fraction
    frames: int | None
    colour: Colour
    sample_aspect: Fraction = Fraction(1)
    has_audio: bool = False
    retimed: bool = False
    partial: str | None = None

    @abstractmethod
    def __iter__(self) -> Generator[Frame]:
        """Yield one frame after the other, holding no more than the decoder's own few."""


def open_clip(path: Path, fps: float | None = None) -> Clip:
    """Open a clip and look at its first frame.

    Args:
        path: A video file of any kind that FFmpeg decodes, or a folder of images, in natural order of their names.
        fps: Frame rate to use instead of the file's; a folder has none of its own and gets 25.

    Returns:
        The clip, of at least one frame.

    Raises:
        InputError: Nothing there, no video in it, nothing decodable, images that differ in size, or a bad ``fps``.
    """
    path = Path(path)
    rate = None if fps is None else exact_rate(fps)
    if path.is_dir():
        return ImageFolder(path, rate)
    if not path.is_file():
        raise InputError(f"{path}: no such file or folder; {ACCEPTED}")
    return VideoFile(path, rate)


def exact_rate(fps: float) -> Fraction:
    """The rational frame rate that a decimal stands for; 29.97 and its kin mean the NTSC rates, 30000/1001 and so on.

    Raises:
        InputError: Not finite, not positive, or beyond 10 million.
    """
    if not (math.isfinite(fps) and 0.001 <= fps <= 1e7):
        raise InputError(f"fps = {fps}: must be a number between 0.001 and 10000000")
    ntsc = Fraction(1000 * round(fps * 1.001), 1001)
    if fps != round(fps) and ntsc > 0 and abs(float(ntsc) - fps) < 0.005:
        return ntsc
    return Fraction(fps).limit_denominator(1001)


def open_container(path: Path) -> Any:
    """Open a file with PyAV for reading; raises what PyAV raises.

    "file:" keeps a colon in the name from being taken for a protocol, and the list of protocols keeps a file such as a
    playlist from making FFmpeg reach for the network.
    """
    options = {"protocol_whitelist": "file,crypto,data"}
    return av.open(f"file:{path}", options=options, metadata_errors="replace")


class VideoFile(Clip):
    """A video file, decoded by FFmpeg.

    Args:
        path: The file.
        fps: Frame rate instead of the container's.
    """

    def __init__(self, path: Path, fps: Fraction | None = None) -> None:
        self.path = path
        with self._open() as container:
            stream = self._video_stream(container)
            rate = stream.average_rate or stream.guessed_rate or DEFAULT_FPS
            seconds = stream.duration * stream.time_base if stream.duration and stream.time_base else None
            self.frames = stream.frames or (round(seconds * rate) if seconds else None)
            self.has_audio = bool(container.streams.audio)
            self.retimed = fps not in (None, rate)
            aspect = stream.sample_aspect_ratio
        self.fps = rate if fps is None else fps
        with closing(self._decode()) as frames:
            first = next(frames, None)
        if first is None:
            raise InputError(f"{path}: not one frame of it can be decoded; {ACCEPTED}")
        self._coded_size = (first.width, first.height)
        self._turn = orientation_of(first)
        swap = self._turn[0]
        self.width, self.height = self._coded_size[::-1] if swap else self._coded_size
        if aspect:
            self.sample_aspect = 1 / aspect if swap else Fraction(aspect)
        self.colour, self._source_range = colour_of(first)

    def __iter__(self) -> Generator[Frame]:
        """Decode from the start."""
        reformatter = VideoReformatter()
        convert: dict[str, Any] = {"format": "rgb24", "interpolation": QUALITY, "dst_color_range": ColorRange.JPEG}
        if self._source_range is not None:
            convert |= {"src_color_range": self._source_range, "src_colorspace": self.colour.swscale_matrix}
        with closing(self._decode()) as frames:
            for index, frame in enumerate(frames):
                if (frame.width, frame.height) != self._coded_size:
                    size = f"{frame.width} x {frame.height} pixels"
                    raise InputError(f"{self.path}: the size of the frames changes at frame {index}, to {size}")
                rgb: Any = reformatter.reformat(frame, **convert).to_ndarray()
                yield turned(rgb, *self._turn)

    def _open(self) -> Any:
        try:
            return open_container(self.path)
        except (FFmpegError, OSError, ValueError) as error:
            reason = _reason(error)
        size = self.path.stat().st_size
        reason = "the file is empty" if size == 0 else f"not a readable video: {reason}"
        raise InputError(f"{self.path}: {reason}; {ACCEPTED}")

    def _video_stream(self, container: Any) -> Any:
        # The cover picture of a music file is a video stream too.
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            found = "only sound" if container.streams.audio else "no video"
            raise InputError(f"{self.path}: {found} in it; {ACCEPTED}")
        if streams[0].codec_context is None:
            raise InputError(f"{self.path}: its video is in a format that cannot be decoded; {ACCEPTED}")
        return streams[0]

    def _decode(self) -> Generator[VideoFrame]:
        """Every frame that decodes; says in ``partial`` when some did not."""
        self.partial = None
        count, damaged, end = 0, False, Fraction(0)
        with self._open() as container:
            stream = self._video_stream(container)
            stream.thread_type = "AUTO"
            packets = container.demux(stream)
            finished = False
            while not finished:
                frames: list[VideoFrame] = []
                try:
                    packet = next(packets, None)
                except FFmpegError:
                    packet, damaged = None, True
                try:
                    if packet is None:
                        finished = True
                        frames = stream.decode(None)  # the decoder still holds frames back
                    elif packet.is_corrupt:
                        damaged = True
                    elif packet.size:
                        frames = packet.decode()
                except EndOfStream:
                    pass
                except FFmpegError:
                    damaged = True
                for frame in frames:
                    damaged |= bool(frame.is_corrupt)
                    count += 1
                    end = max(end, (frame.pts or 0) * (frame.time_base or 0))
                    yield frame
            promised = _tagged_duration(stream)
            short = promised is not None and promised - end > max(Fraction(1, 4), 3 / self.fps)
        if damaged or short:
            of = f" of about {self.frames}" if self.frames and self.frames > count else ""
            self.partial = f"{self.path}: damaged or cut short; {count}{of} frames could be read"


class ImageFolder(Clip):
    """A folder of images of one size, in natural order of their names ("2.png" before "10.png").

    Args:
        path: The folder. Other files in it, hidden files and folders are passed over.
        fps: Frame rate; 25 when left out.
    """

    def __init__(self, path: Path, fps: Fraction | None = None) -> None:
        self.path = path
        self.fps = fps or DEFAULT_FPS
        self._files = sorted(
            (f for f in path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and f.name[0] != "." and f.is_file()),
            key=_natural,
        )
        if not self._files:
            raise InputError(f"{path}: no images in this folder; {ACCEPTED}")
        # Headers only: a folder of thousands is checked in a moment, before any work is done.
        sizes = ((file, _image_size(file)) for file in self._files)
        first, size = next(sizes)
        for file, other in sizes:
            if other != size:
                sizes_are = f"{other[0]} x {other[1]} pixels, {first.name} {size[0]} x {size[1]}"
                raise InputError(f"{file}: {sizes_are}; all images of a folder must have one size")
        self.width, self.height = size
        self.frames = len(self._files)
        self.colour = Colour.usual(self.height)
        next(iter(self))  # the first must load as well, as in a video

    def __iter__(self) -> Generator[Frame]:
        """Load one image after the other."""
        for file in self._files:
            frame = _load_image(file)
            if frame.shape != (self.height, self.width, 3):
                raise InputError(f"{file}: its size changed while the folder was read")
            yield frame


def _natural(file: Path) -> list[int | str]:
    # Splitting at groups of digits puts them at the odd places, so that like is compared with like.
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", file.name.lower()))]


def _image_size(file: Path) -> tuple[int, int]:
    try:
        with Image.open(file) as image:
            if image.getexif().get(_EXIF_ORIENTATION, 1) > 4:
                image = ImageOps.exif_transpose(
                    image
                )  # loads it: formats differ in whether their size is turned already
            return image.width, image.height
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{file}: not a readable image ({_reason(error)})") from None


def _load_image(file: Path) -> Frame:
    try:
        with Image.open(file) as image:
            turned = ImageOps.exif_transpose(image)
            if turned.mode == "F":
                raise InputError(f"{file}: floating-point pixels; accepted: 8 or 16 bits per channel")
            if turned.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255 instead of scaling
                grey = np.clip(np.asarray(turned).astype(np.float64) / 257.0, 0.0, 255.0).round().astype(np.uint8)
                return np.repeat(grey[..., None], 3, axis=2)
            return np.array(turned.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: not a readable image ({_reason(error)})") from None


def _tagged_duration(stream: Any) -> Fraction | None:
    """Seconds of a Matroska stream by its own tag: such a file ends without an error wherever it is cut."""
    match = re.fullmatch(r"(\d+):(\d+):(\d+)(\.\d+)?", stream.metadata.get("DURATION", ""), re.ASCII)
    if match is None:
        return None
    hours, minutes, seconds, fraction = match.groups()
    return Fraction(int(hours) * 3600 + int(minutes) * 60 + int(seconds)) + Fraction(fraction or 0)


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).strip().splitlines()[0][:120]
