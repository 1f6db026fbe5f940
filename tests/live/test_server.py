"""What the server answers, to whom, and what it refuses."""

import http.client
import json
import socket
import threading
import urllib.error
import urllib.request
from contextlib import closing

import pytest
from live.views import Greys, Plain, refusal

from lightning_mm.errors import InputError
from lightning_mm.live.broadcast import MOST_VIEWERS
from lightning_mm.live.server import LiveServer
from lightning_mm.live.session import Session
from lightning_mm.magnification.motions import make_plan
from lightning_mm.magnification.selection import everything


def session(mode="static", **options):
    clip = Greys([100] * 5000, fps=200)
    return Session(clip, 200.0, Plain(), make_plan(5.0, mode, **options), everything(clip.width, clip.height))


def test_the_page_is_whole_and_asks_nobody_else(shown):
    with shown(session()) as browser:
        page = browser.get("").decode()
        for name in ("live.js", "live.css"):
            assert name in page
            assert b"http" not in browser.get(name)
        assert "http" not in page
        with urllib.request.urlopen(browser.url) as answer:
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            assert answer.headers["Access-Control-Allow-Origin"] is None
        assert refusal(lambda: browser.get("../../etc/passwd"))[0] == 404
        assert refusal(lambda: browser.get("page/live.js"))[0] == 404


@pytest.mark.parametrize("path", ["", "status", "stream"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost@evil.example", ""]
)
def test_names_that_were_made_to_lead_here_are_refused(shown, path, host):
    with shown(session()) as browser:
        code, reason = refusal(lambda: browser.get(path, Host=host))
        assert (code, browser.url in reason) == (403, True)


def test_requests_of_other_sites_are_refused(shown):
    with shown(session()) as browser:
        own = browser.url.rstrip("/")
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "https" + own.removeprefix("http")):
            assert refusal(lambda origin=origin: browser.control({"alpha": 3}, Origin=origin))[0] == 403
        for site in ("cross-site", "same-site"):
            assert refusal(lambda site=site: browser.get("stream", **{"Sec-Fetch-Site": site}))[0] == 403
        assert browser.status()["alpha"] == 5.0
        assert browser.control({"alpha": 3}, Origin=own, **{"Sec-Fetch-Site": "same-origin"})["alpha"] == 3.0
        port = browser.url.rstrip("/").rpartition(":")[2]
        for name in (f"localhost:{port}", f"[::1]:{port}", f"127.0.0.1:{port}", "127.0.0.1"):
            assert json.loads(browser.get("status", Host=name))["alpha"] == 3.0


@pytest.mark.parametrize(
    ("wished", "code"),
    [
        ({"alpha": -1}, 400),
        ({"alpha": 1e9}, 400),
        ({"alpha": "3"}, 400),
        ({"alpha": True}, 400),
        (b'{"alpha": NaN}', 400),
        (b'{"alpha": 1e999}', 400),
        ({"paused": 1}, 400),
        ({"reference": False}, 400),
        ({"alpha": 3, "other": 1}, 400),
        ({}, 400),
        ([1], 400),
        (b"alpha=3", 400),
        (b"\xff\xfe", 400),
        (b"[" * 900, 400),
        (b" " * 1025, 413),
    ],
)
def test_controls_that_make_no_sense_change_nothing(shown, wished, code):
    with shown(session()) as browser:
        assert refusal(lambda: browser.control(wished))[0] == code
        assert (browser.status()["alpha"], browser.status()["paused"]) == (5.0, False)


def test_controls_are_json_of_a_known_length_in_their_place(shown):
    with shown(session("dynamic")) as browser:
        assert refusal(lambda: browser.control({"alpha": 3}, content_type="text/plain"))[0] == 415
        code, reason = refusal(lambda: browser.control({"reference": True}))
        assert (code, "dynamic" in reason) == (400, True)
        address = browser.url.split("/")[2]
        assert answered(address, "/control", iter([b"{}"])) == 411
        assert answered(address, "/status", b"{}") == 404


def answered(address, path, body):
    """Status of the answer to what urllib would not send."""
    with closing(http.client.HTTPConnection(address, timeout=10)) as connection:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        with connection.getresponse() as answer:
            answer.read()
            return answer.status


def test_viewers_are_limited_and_make_room_when_they_go(shown):
    with shown(session()) as browser:
        streams = [urllib.request.urlopen(browser.url + "stream", timeout=10) for _ in range(MOST_VIEWERS)]
        for stream in streams:
            stream.readline()
        assert refusal(lambda: browser.get("stream"))[0] == 503
        for stream in streams:
            stream.close()
        for _ in range(200):
            try:
                urllib.request.urlopen(browser.url + "stream", timeout=10).close()
                break
            except urllib.error.HTTPError as full:
                full.close()
        else:
            pytest.fail("no room")


def test_silent_connections_do_not_hold_up_the_end(shown):
    with shown(session()) as browser:
        host, port = browser.url.split("/")[2].split(":")
        silent = [socket.create_connection((host, int(port))) for _ in range(3)]
        silent[0].sendall(b"POST /control HTTP/1.1\r\nContent-Length: 10\r\n")
        browser.until(lambda status: status["shown"] > 2)
    for connection in silent:
        connection.close()


def test_a_port_in_use_is_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            InputError, match=f"host = 127.0.0.1, port = {port}: .*in use; choose another --port"
        ) as caught:
            LiveServer("127.0.0.1", port)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "port"), [("127.0.0.1", -1), ("127.0.0.1", 65536), ("192.0.2.1", 0), ("no such.name", 0)]
)
def test_addresses_that_cannot_be_had_are_named(host, port):
    with pytest.raises(InputError, match=f"port = {port}"):
        LiveServer(host, port)
    assert threading.active_count() < 50
