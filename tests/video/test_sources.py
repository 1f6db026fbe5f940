"""Pipes, addresses and cameras."""

import functools
import http.server
import io
import os
import socket
import subprocess
import sys
import threading
import types
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from written_videos import noise, numbered, numbers, write_video

from lightning_mm.errors import InputError
from lightning_mm.video.excerpt import excerpt
from lightning_mm.video.opening import open_clip


class OnlyForward(io.RawIOBase):
    """What a pipe is: readable, a little at a time, and without a way back."""

    def __init__(self, data):
        self.rest = io.BytesIO(data)

    def readable(self):
        return True

    def seekable(self):
        return False

    def read(self, size=-1):
        return self.rest.read(min(size, 1000) if size > 0 else size)


def pipe_in(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=OnlyForward(data), isatty=lambda: False))


@pytest.mark.parametrize("suffix", ["mkv", "ts", "avi"])
def test_pipe(tmp_path, monkeypatch, suffix):
    path = write_video(tmp_path / f"c.{suffix}", noise(30), fps=Fraction(30000, 1001))
    reference = list(open_clip(path))
    pipe_in(monkeypatch, path.read_bytes())
    clip = open_clip("-")
    assert (clip.name, clip.fps, clip.width, clip.height) == ("-", Fraction(30000, 1001), 32, 16)
    assert (clip.once, clip.sound) == (True, None)
    frames = list(clip)
    assert len(frames) == 30
    assert all(np.array_equal(a, b) for a, b in zip(frames, reference, strict=True))
    assert clip.partial is None
    with pytest.raises(InputError, match="-: a pipe can be read once only"):
        next(iter(clip))


def test_a_real_pipe_between_processes(tmp_path):
    path = write_video(tmp_path / "c.mkv", numbered(25), crf="4")
    program = (
        "from lightning_mm.video.opening import open_clip\n"
        "from lightning_mm.video.excerpt import excerpt\n"
        "clip = excerpt(open_clip('-', fps=50), 0.1, 0.3)\n"
        "print(clip.fps, [round((f.mean() - 3) / 4) for f in clip])"
    )
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as cat:
        done = subprocess.run([sys.executable, "-c", program], stdin=cat.stdout, capture_output=True, text=True)
    assert done.stdout == f"50 {list(range(5, 15))}\n", done.stderr


def test_a_pipe_cut_short_keeps_what_decodes(tmp_path, monkeypatch):
    data = write_video(tmp_path / "c.mkv", noise(60)).read_bytes()
    pipe_in(monkeypatch, data[: int(0.6 * len(data))])
    clip = open_clip("-")
    count = len(list(clip))
    assert 20 < count < 45
    assert clip.partial is not None
    assert f"{count} " in clip.partial


def test_bad_pipes_are_named(tmp_path, monkeypatch):
    pipe_in(monkeypatch, b"this is no video\n" * 500)
    with pytest.raises(InputError, match="-: no readable video is piped in") as caught:
        open_clip("-")
    assert "\n" not in str(caught.value)
    pipe_in(monkeypatch, b"")
    with pytest.raises(InputError, match="-: no readable video is piped in"):
        open_clip("-")
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(), isatty=lambda: True))
    with pytest.raises(InputError, match="-: nothing is piped in"):
        open_clip("-")
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="-: nothing is piped in"):
        open_clip("-")


@pytest.fixture
def server(tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_http(tmp_path, server):
    path = write_video(tmp_path / "c.mkv", noise(20))
    clip = open_clip(f"{server}/c.mkv", fps=100)
    assert (clip.fps, clip.retimed, clip.live, clip.once) == (100, True, False, False)
    for _ in range(2):  # a file at an address can be read again
        assert all(np.array_equal(a, b) for a, b in zip(clip, open_clip(path), strict=True))
    with pytest.raises(InputError, match=r"http://.*/missing\.mkv: cannot be opened \(.*404.*\)"):
        open_clip(f"{server}/missing.mkv")
    with pytest.raises(InputError, match="cannot be opened"):
        open_clip(f"{server}/")


def test_what_comes_over_the_network_reads_no_files(tmp_path, server):
    secret = write_video(tmp_path / "secret.ts", noise(20))
    (tmp_path / "list.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{secret}\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(InputError):
        open_clip(f"{server}/list.m3u8")


def test_a_file_never_makes_anything_reach_for_the_network(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        path = tmp_path / "list.m3u8"
        address = f"http://127.0.0.1:{listening.getsockname()[1]}/c.ts"
        path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n")
        with pytest.raises(InputError):
            open_clip(path)
        with pytest.raises(TimeoutError):
            listening.accept()


@pytest.mark.parametrize("scheme", ["rtsp", "http", "rtmp", "tcp"])
def test_nothing_answers(scheme):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(InputError) as caught:
        open_clip(f"{scheme}://user:secret@127.0.0.1:{port}/camera")
    message = str(caught.value)
    assert message == f"{scheme}://127.0.0.1:{port}/camera: cannot be opened (Connection refused)"


def test_something_that_never_answers_is_given_up(monkeypatch):
    from lightning_mm.video import sources

    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/camera"
        with pytest.raises(InputError, match=r"cannot be opened \(no answer within 0\.3 s\)"):
            sources.Stream(address, "rtp,udp,tcp", timeout=0.3)


@pytest.mark.parametrize(
    "address", ["ftp://host/c.mp4", "file:///etc/hosts", "concat://a.mp4", "data://x", "nonsense://x"]
)
def test_unknown_schemes_are_refused(address):
    with pytest.raises(InputError, match=r"cannot read from '.*://'; accepted: - for a pipe, http://"):
        open_clip(address)


def test_a_stream_is_live_and_its_sound_is_not_waited_for(tmp_path):
    data = write_video(tmp_path / "c.ts", numbered(20), crf="4").read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            connection, _ = listening.accept()
            with connection:
                connection.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        clip = open_clip(f"tcp://127.0.0.1:{listening.getsockname()[1]}")
        assert (clip.live, clip.once) == (True, False)
        assert numbers(clip) == list(range(20))
        thread.join()


class Camera:
    """As much of OpenCV's camera as is used: three pictures, blue, green and red."""

    opened = 0
    pictures = tuple(np.full((16, 32, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
    rate = 29.97

    def __init__(self, number):
        self.number, self.rest = number, list(self.pictures)
        type(self).opened += 1

    def isOpened(self):
        return self.number == 0

    def get(self, what):
        return self.rate if what == 5 else 0

    def read(self):
        return (True, self.rest.pop(0)) if self.rest else (False, None)

    def release(self):
        type(self).opened -= 1


@pytest.fixture
def opencv(monkeypatch):
    log = types.SimpleNamespace(setLogLevel=lambda level: 3, LOG_LEVEL_ERROR=2)
    utils = types.SimpleNamespace(logging=log)
    module = types.SimpleNamespace(VideoCapture=Camera, CAP_PROP_FPS=5, utils=utils)
    monkeypatch.setitem(sys.modules, "cv2", module)
    monkeypatch.setattr(Camera, "opened", 0)


@pytest.mark.parametrize("name", ["webcam:0", "/dev/video0"])
def test_webcam(opencv, name):
    clip = open_clip(name)
    assert (clip.width, clip.height, clip.depth, clip.fps) == (32, 16, 8, Fraction(30000, 1001))
    assert (clip.live, clip.frames, clip.name) == (True, None, name)
    frames = list(clip)
    assert [tuple(frame[0, 0]) for frame in frames] == [(0, 0, 255), (0, 255, 0), (255, 0, 0)]
    assert all(frame.flags.c_contiguous for frame in frames)
    assert "the camera stopped" in str(clip.partial)
    reading = iter(clip)
    next(reading)
    reading.close()
    assert Camera.opened == 0
    assert open_clip(name, fps=60).fps == 60
    assert len(list(excerpt(clip, end=2 / 30))) == 2


@pytest.mark.parametrize("rate", [0.0, -1.0, 90000.0, float("nan")])
def test_a_camera_that_names_no_rate(opencv, monkeypatch, rate):
    monkeypatch.setattr(Camera, "rate", rate)
    assert open_clip("webcam:0").fps == 30


def test_bad_cameras_are_named(opencv, monkeypatch):
    with pytest.raises(InputError, match="webcam:7: no such camera here"):
        open_clip("webcam:7")
    for name in ("webcam:", "webcam:front", "webcam:-1"):
        with pytest.raises(InputError, match=f"{name}: must be 'webcam:' and the number of the camera"):
            open_clip(name)
    monkeypatch.setattr(Camera, "pictures", ())
    with pytest.raises(InputError, match="webcam:0: the camera gives no picture"):
        open_clip("webcam:0")
    assert Camera.opened == 0
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(InputError, match=r"webcam:0: cameras need OpenCV: pip install 'lightning_mm\[measure\]'"):
        open_clip("webcam:0")


def test_a_missing_camera_is_one_line_with_opencv_itself(capfd):
    cv2 = pytest.importorskip("cv2")
    before = cv2.utils.logging.getLogLevel()
    with pytest.raises(InputError, match="webcam:99: no such camera here"):
        open_clip("webcam:99")
    assert capfd.readouterr().err == ""
    assert cv2.utils.logging.getLogLevel() == before


def test_paths_are_no_addresses(tmp_path, monkeypatch):
    """A file may be called like a camera when it is written as a path."""
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "c.mp4", noise(2)).rename("webcam:0")
    assert len(list(open_clip("./webcam:0"))) == 2
    assert len(list(open_clip(tmp_path / "webcam:0"))) == 2
    with pytest.raises(InputError, match="no such file or folder"):
        open_clip(Path("rtsp://host/1"))


@pytest.mark.skipif(sys.platform == "win32", reason="waiting at a pipe cannot be given up on Windows")
def test_a_pipe_that_stalls_can_be_stopped_from_another_thread(tmp_path, monkeypatch):
    data = write_video(tmp_path / "c.mkv", noise(60)).read_bytes()
    reading, writing = os.pipe()
    with open(reading, "rb") as piped, open(writing, "wb", buffering=0) as other_end:
        feeding = threading.Thread(target=other_end.write, args=(data[: len(data) // 2],))
        feeding.start()
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=piped, isatty=lambda: False))
        clip = excerpt(open_clip("-"), start=0.04)
        seen = []
        thread = threading.Thread(target=lambda: seen.extend(clip), daemon=True)
        thread.start()
        feeding.join(10)
        thread.join(0.5)
        assert thread.is_alive()  # the other end is open, so that more may come
        clip.stop()
        thread.join(10)
        stopped = not thread.is_alive()
    thread.join(10)
    assert stopped
    assert 5 < len(seen) < 59
