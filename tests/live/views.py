"""Sources and methods whose frames and outputs are known, and a browser in the standard library."""

import json
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import pytest

from lightning_mm.method import Encoded, Method
from lightning_mm.video.clip import Clip
from lightning_mm.video.colour import Colour


class Greys(Clip):
    """Frames of one grey each, of 0 to 255 whatever the depth."""

    def __init__(self, levels, fps=50, live=False, size=(24, 32), depth=8):
        self.levels, self.fps, self.live, self.depth = np.rint(levels).astype(int), Fraction(fps), live, depth
        self.height, self.width = size
        self.path, self.frames, self.colour = "greys", None if live else len(self.levels), Colour.usual(size[0])
        self.closed = 0
        self.interval = 1.0 / fps
        self.failure = None

    def __iter__(self):
        try:
            for level in self.levels:
                if self.live:
                    time.sleep(self.interval)
                kind, unit = (np.uint16, 257) if self.depth == 16 else (np.uint8, 1)
                yield np.full((self.height, self.width, 3), unit * level, kind)
            if self.failure is not None:
                raise self.failure
        finally:
            self.closed += 1


class Plain(Method):
    """Amplifies the change of every pixel, exactly; takes as long as it is told."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def encode(self, frames):
        time.sleep(self.seconds)
        return Encoded((frames,), None, tuple(frames.shape[2:]))

    def render(self, encoded, change, alpha):
        return encoded.signal[0] + (alpha - 1.0) * change[0]


class Browser:
    """Requests to a live view as the page makes them."""

    def __init__(self, url):
        self.url = url

    def get(self, path, **headers):
        request = urllib.request.Request(self.url + path, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    def status(self):
        return json.loads(self.get("status"))

    def control(self, wished, content_type="application/json", **headers):
        body = wished if isinstance(wished, bytes) else json.dumps(wished).encode()
        return json.loads(self.post(body, {"Content-Type": content_type, **headers}))

    def post(self, body, headers):
        request = urllib.request.Request(self.url + "control", body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.read()

    @contextmanager
    def pictures(self):
        """The stream's parts, one JPEG after the other."""
        with urllib.request.urlopen(self.url + "stream", timeout=10) as answer:
            kind = answer.headers["Content-Type"]
            assert kind.startswith("multipart/x-mixed-replace")
            yield parts(answer, kind.partition("boundary=")[2].encode())

    def until(self, holds, seconds=20.0):
        """The first status for which something holds."""
        end = time.monotonic() + seconds
        while not holds(status := self.status()):
            assert time.monotonic() < end, status
            time.sleep(0.02)
        return status


def parts(answer, boundary):
    assert answer.readline() == b"--" + boundary + b"\r\n"
    while line := answer.readline():
        length = None
        while line.strip():
            name, _, value = line.decode().partition(":")
            length = int(value) if name.lower() == "content-length" else length
            line = answer.readline()
        content = answer.read(length)
        assert answer.readline() == b"\r\n"
        assert answer.readline() == b"--" + boundary + b"\r\n"
        yield content


def refusal(call):
    """Status and reason of an answer that is an error."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        call()
    with caught.value as answer:
        return answer.code, json.loads(answer.read())["error"]
