"""The page, its pictures and its controls over HTTP, from this machine to itself."""

import contextlib
import json
import math
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from lightning_mm.errors import InputError
from lightning_mm.live.hosts import is_own_host
from lightning_mm.live.session import MOST_ALPHA, Session

_MOST_BYTES, _MOST_UNREAD = 1024, 65536
_LINGER = 0.5
_BOUNDARY = "lightning-mm-picture"
_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/live.js": ("live.js", "text/javascript; charset=utf-8"),
    "/live.css": ("live.css", "text/css; charset=utf-8"),
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Refused(Exception):
    """A request that is not answered as wished.

    Args:
        status: Of the answer.
        reason: One line.
    """

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class LiveServer(ThreadingHTTPServer):
    """Serves one session. It listens from when it is made, and answers within ``serving``.

    Args:
        host: Address to listen on.
        port: Port; 0 for any that is free.

    Raises:
        InputError: It cannot listen there.
    """

    daemon_threads = False  # so that closing waits for them
    allow_reuse_address = os.name == "posix"  # elsewhere two programs could then have the same port
    session: Session

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        if not 0 <= port <= 65535:
            raise InputError(f"port = {port}: must be 1 to 65535, or 0 for any free one")
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self.address_family = found[0]
            super().__init__(found[4][:2], LiveHandler)  # type: ignore[arg-type]
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise InputError(f"host = {host}, port = {port}: {reason}; choose another --port") from None

    @property
    def url(self) -> str:
        """Address of the page."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}/"

    @contextmanager
    def serving(self, session: Session) -> Iterator[None]:
        """Answer requests within the context. When it is left, every connection and every thread has ended."""
        self.session = session
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, name="live server")
        thread.start()
        try:
            yield
        finally:
            session.broadcast.close()
            self.shutdown()
            thread.join()
            with self._lock:
                for connection in self._sockets:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
            self.server_close()

    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called, as the standard library does."""
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, int(self.allow_reuse_address))
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.host, self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember a connection until it is closed."""
        with self._lock:
            self._sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._sockets.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of browsers that went away."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class LiveHandler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: LiveServer  # type: ignore[assignment]
    timeout = 10.0
    server_version, sys_version = "lightning-mm", ""

    def do_GET(self) -> None:
        """The page, its status, its pictures."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """The controls."""
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the terminal quiet."""

    def _answer(self, how: Any) -> None:
        try:
            self._check_origin()
            how(urlsplit(self.path).path)
        except Refused as refused:
            self._send_json({"error": str(refused)}, refused.status)
            self._leave()

    def _leave(self) -> None:
        """Let go of a request that was not read to its end: closing at once would discard the answer on its way."""
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(_LINGER)
            for _ in range(_MOST_UNREAD // _MOST_BYTES):
                if not self.connection.recv(_MOST_BYTES):
                    break

    def _check_origin(self) -> None:
        host, origin = self.headers.get("Host"), self.headers.get("Origin")
        if not is_own_host(host, self.server.host):
            raise Refused(HTTPStatus.FORBIDDEN, f"no such host here; open {self.server.url}")
        if origin is not None and origin != f"http://{host}":
            raise Refused(HTTPStatus.FORBIDDEN, "requests of other sites are not answered")
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise Refused(HTTPStatus.FORBIDDEN, "requests of other sites are not answered")

    def _get(self, path: str) -> None:
        if path in _PAGE:
            name, kind = _PAGE[path]
            self._send(files("lightning_mm.live").joinpath("page", name).read_bytes(), kind)
        elif path == "/status":
            self._send_json(self.server.session.status())
        elif path == "/stream":
            self._stream()
        else:
            raise Refused(HTTPStatus.NOT_FOUND, "nothing here")

    def _post(self, path: str) -> None:
        if path != "/control":
            raise Refused(HTTPStatus.NOT_FOUND, "nothing here")
        # Only pages of this origin may send this type without being asked first.
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "must be application/json")
        length = self.headers.get("Content-Length", "")
        if not length.isdigit():
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "no Content-Length")
        if int(length) > _MOST_BYTES:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {_MOST_BYTES} bytes")
        try:
            wished = json.loads(self.rfile.read(int(length)))
        except ValueError:
            raise Refused(HTTPStatus.BAD_REQUEST, "no JSON") from None
        self._control(wished)
        self._send_json(self.server.session.status())

    def _control(self, wished: Any) -> None:
        session = self.server.session
        if not isinstance(wished, dict) or not wished or not wished.keys() <= {"alpha", "paused", "reference"}:
            raise Refused(HTTPStatus.BAD_REQUEST, "must be an object with alpha, paused or reference")
        alpha, paused = wished.get("alpha", session.controls.alpha), wished.get("paused", session.controls.paused)
        number = isinstance(alpha, (int, float)) and not isinstance(alpha, bool)
        if not number or not math.isfinite(alpha) or not 0.0 <= alpha <= MOST_ALPHA:
            raise Refused(HTTPStatus.BAD_REQUEST, f"alpha must be a number from 0 to {MOST_ALPHA:g}")
        if not isinstance(paused, bool) or wished.get("reference", True) is not True:
            raise Refused(HTTPStatus.BAD_REQUEST, "paused must be true or false, reference must be true")
        if "reference" in wished and session.plan.mode != "static":
            raise Refused(HTTPStatus.BAD_REQUEST, f"there is no reference frame in {session.plan.mode} mode")
        session.controls.alpha, session.controls.paused = float(alpha), paused
        if "reference" in wished:
            session.controls.reference.set()

    def _stream(self) -> None:
        """Pictures as parts of one answer without end.

        Browsers draw a part when the boundary behind it has come, so that goes out with the part.
        """
        session = self.server.session
        with session.broadcast.viewer() as free:
            if not free:
                raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many viewers")
            self._send_head(HTTPStatus.OK, f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
            self.wfile.write(f"--{_BOUNDARY}\r\n".encode())
            number = 0
            while not session.broadcast.closed:
                picture = session.broadcast.newer(number, timeout=0.5)
                if picture is None:
                    continue
                number = picture.number
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(picture.jpeg)}\r\nX-Number: {number}\r\n\r\n"
                self.wfile.write(head.encode() + picture.jpeg + f"\r\n--{_BOUNDARY}\r\n".encode())
                session.counters.sent(number, time.monotonic() - picture.arrived)

    def _send_json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(value).encode(), "application/json", status)

    def _send(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send_head(status, kind, {"Content-Length": str(len(content))})
        self.wfile.write(content)

    def _send_head(self, status: HTTPStatus, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **_HEADERS, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
