"""Clips that are no files: a pipe, the address of a stream, a camera."""

import os
import re
import select
import sys
import time
from collections.abc import Generator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from lightning_mm.errors import InputError
from lightning_mm.video.clip import DEFAULT_FPS, Clip, exact_rate
from lightning_mm.video.colour import Colour, Frame
from lightning_mm.video.container import reason_of
from lightning_mm.video.decoding import DecodedClip, Progress, decode

PIPE = "-"
TIMEOUT = 10.0
"""Seconds to wait for a stream to answer, and for its next frame."""

_PATIENCE = 0.2  # seconds after which a waiting pipe looks whether it is to stop

# Never "file": what comes over the network may name further addresses, but no files.
_OVER_HTTP = "http,https,httpproxy,tcp,tls,crypto,data"
_OVER_RTSP = "rtp,srtp,udp,tcp,tls,http,https"
_PROTOCOLS = {
    "http": _OVER_HTTP,
    "https": _OVER_HTTP,
    "rtsp": _OVER_RTSP,
    "rtsps": _OVER_RTSP,
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tcp,tls",
    "tcp": "tcp",
    "udp": "udp",
}
SOURCES = f"accepted: {PIPE} for a pipe, {', '.join(f'{scheme}://' for scheme in _PROTOCOLS)}, webcam:0"

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://.+")
_CAMERA = re.compile(r"(?:webcam:|/dev/video)(\d+)", re.ASCII)
_FASTEST = 1000  # frames per second; streams that name more name the resolution of their clock


def open_source(text: str, fps: Fraction | None) -> Clip | None:
    """The clip that a text stands for when it is no path, else ``None``.

    Args:
        text: ``-``, an address with its scheme, ``webcam:`` and a number, or ``/dev/video`` and a number.
        fps: Frame rate instead of the source's.

    Raises:
        InputError: It is one, and cannot be opened.
    """
    if text == PIPE:
        return Pipe(fps)
    if camera := _CAMERA.fullmatch(text):
        return Webcam(int(camera[1]), text, fps)
    if text.startswith("webcam:"):
        raise InputError(f"{text}: must be 'webcam:' and the number of the camera, such as webcam:0")
    if address := _ADDRESS.fullmatch(text):
        scheme = address[1].lower()
        if scheme not in _PROTOCOLS:
            raise InputError(f"{_without_password(text)}: cannot read from '{scheme}://'; {SOURCES}")
        return Stream(text, _PROTOCOLS[scheme], fps)
    return None


class _Opened(DecodedClip):
    """A clip whose container is opened once, and read on from its first frame."""

    def __init__(self, name: str, fps: Fraction | None) -> None:
        self._name = name
        self.path = Path(name)
        container = self._open()
        try:
            stream = self._stream(container)
            # A camera over the network often names the resolution of its clock as its rate.
            rates = (stream.average_rate, stream.guessed_rate)
            rate = next((rate for rate in rates if rate and rate <= _FASTEST), DEFAULT_FPS)
            seconds = stream.duration * stream.time_base if stream.duration and stream.time_base else None
            self._endless = not (seconds or container.duration)
            self.frames = stream.frames or (round(seconds * rate) if seconds else None)
            self.has_audio = bool(container.streams.audio)
            aspect = stream.sample_aspect_ratio
            self.retimed, self.fps = fps not in (None, rate), fps or rate
            self._started = self._decoded(container)
            self._first = next(self._started, None)
            self._look_at(self._first, aspect)
        except BaseException:
            container.close()
            raise
        if self.has_audio:
            self.warnings = (f"{name}: the sound is left out, as it would have to be read a second time",)

    @property
    def name(self) -> str:
        return self._name

    def _open(self) -> Any:
        raise NotImplementedError

    def _decoded(self, container: Any) -> Generator[Any]:
        self.partial = None
        progress = Progress()
        with container:
            stream = self._stream(container)
            yield from decode(container, stream, progress)
            self.partial = self._shortfall(stream, progress)

    def __iter__(self) -> Generator[Frame]:
        first, started = self._first, self._started
        self._first = self._started = None
        if started is None:
            with closing(self._decoded(self._open())) as frames:
                yield from self._arrays(frames)
        else:
            with closing(self._joined(first, started)) as frames:
                yield from self._arrays(frames)

    @staticmethod
    def _joined(first: Any, rest: Generator[Any]) -> Generator[Any]:
        with closing(rest):
            yield first
            yield from rest


class _Waiting:
    """The end of a pipe to read from, at which waiting can be given up.

    Args:
        number: Its file descriptor.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self.stopped = False  # a plain attribute: it is set while a signal is dealt with, where a lock may be held

    def read(self, size: int) -> bytes:
        """What there is, up to so many bytes, as soon as there is any; nothing at the end, or when stopped."""
        while not self.stopped:
            if select.select([self._number], [], [], _PATIENCE)[0]:
                try:
                    return os.read(self._number, size)
                except BlockingIOError:
                    continue
        return b""


def _number_of(source: Any) -> int | None:
    """Descriptor of a pipe that can be waited at, ``None`` for a file, which never has one wait."""
    if os.name == "nt":  # where "select" knows sockets only
        return None
    try:
        return None if source.seekable() else source.fileno()
    except (AttributeError, OSError):
        return None


class Pipe(_Opened):
    """A video that another program writes into this one; can be iterated once.

    Args:
        fps: Frame rate instead of the one that the video declares.
    """

    once = True

    def __init__(self, fps: Fraction | None = None) -> None:
        self._taken = False
        self._waiting: _Waiting | None = None
        super().__init__(PIPE, fps)

    def stop(self) -> None:
        """End a read that waits for the program at the other end; on Windows it goes on waiting."""
        if self._waiting is not None:
            self._waiting.stopped = True

    def _open(self) -> Any:
        if self._taken:
            raise InputError(f"{self.name}: a pipe can be read once only; save the video to a file first")
        self._taken = True
        source = getattr(sys.stdin, "buffer", None)
        if source is None or sys.stdin.isatty():
            raise InputError(f"{self.name}: nothing is piped in; pipe a video into this program, or name a file")
        number = _number_of(source)
        if number is not None:
            source = self._waiting = _Waiting(number)
        try:
            return av.open(source, options={"protocol_whitelist": "crypto,data"}, metadata_errors="replace")
        except (FFmpegError, OSError, ValueError) as error:
            accepted = "accepted: what can be read without going back, such as Matroska, MPEG-TS or AVI"
            raise InputError(f"{self.name}: no readable video is piped in: {reason_of(error)}; {accepted}") from None


class Stream(_Opened):
    """A video at an address; iterating again connects again.

    Args:
        address: Address with its scheme.
        protocols: Protocols that may be used for it, by FFmpeg's names.
        fps: Frame rate instead of the stream's.
        timeout: Seconds to wait for an answer, and for each next frame.
    """

    def __init__(self, address: str, protocols: str, fps: Fraction | None = None, timeout: float = TIMEOUT) -> None:
        self._address, self._protocols, self._timeout = address, protocols, timeout
        super().__init__(_without_password(address), fps)
        self.live = not address.lower().startswith("http") or self._endless

    def _open(self) -> Any:
        options = {"protocol_whitelist": self._protocols}
        if self._address.lower().startswith("rtsp"):
            options["rtsp_flags"] = "prefer_tcp"  # what UDP loses is missing from the picture
        began = time.monotonic()
        try:
            return av.open(self._address, options=options, metadata_errors="replace", timeout=self._timeout)
        except (FFmpegError, OSError, ValueError) as error:
            # FFmpeg has several errors for having been stopped, by the protocol.
            late = time.monotonic() - began >= self._timeout
            reason = f"no answer within {self._timeout:g} s" if late else reason_of(error)
        raise InputError(f"{self.name}: cannot be opened ({reason})")


class Webcam(Clip):
    """A camera of this machine, by OpenCV.

    Args:
        number: Which camera, counted from 0.
        name: What messages call it.
        fps: Frame rate instead of the one that the camera names.

    Raises:
        InputError: OpenCV is not installed, no such camera, or no picture from it.
    """

    live = True

    def __init__(self, number: int, name: str, fps: Fraction | None = None) -> None:
        try:
            import cv2
        except ImportError:
            raise InputError(f"{name}: cameras need OpenCV: pip install 'lightning_mm[measure]'") from None
        self._cv2: Any = cv2
        self.path, self._number = Path(name), number
        self.frames = None
        camera = self._open()
        try:
            found, picture = camera.read()
            if not found:
                raise InputError(f"{name}: the camera gives no picture")
            self.height, self.width = picture.shape[:2]
            rate = camera.get(cv2.CAP_PROP_FPS)
        finally:
            camera.release()
        self.fps = fps or (exact_rate(rate) if 0 < rate <= _FASTEST else Fraction(30))
        self.colour = Colour.usual(self.height)

    def _open(self) -> Any:
        log = self._cv2.utils.logging
        before = log.setLogLevel(log.LOG_LEVEL_ERROR)  # that there is no camera is said below, in one line
        try:
            camera = self._cv2.VideoCapture(self._number)
        finally:
            log.setLogLevel(before)
        if not camera.isOpened():
            camera.release()
            raise InputError(f"{self.path}: no such camera here, or another program has it")
        return camera

    def __iter__(self) -> Generator[Frame]:
        """Pictures as the camera gives them, until it stops."""
        self.partial = None
        camera = self._open()
        try:
            while True:
                found, picture = camera.read()
                if not found:
                    break
                if picture.shape != (self.height, self.width, 3):
                    raise InputError(f"{self.path}: the size of the pictures changed while the camera was read")
                yield np.ascontiguousarray(picture[..., ::-1])
            self.partial = f"{self.path}: the camera stopped"
        finally:
            camera.release()


def _without_password(address: str) -> str:
    return re.sub(r"//[^/@]*@", "//", address)
