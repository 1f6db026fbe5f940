"""``lightning-mm demo``."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_mm.demo.limits import Limits
from lightning_mm.errors import InputError, first_line
from lightning_mm.live.hosts import is_loopback, is_own_host
from lightning_mm.machine import pick_device
from lightning_mm.measuring.tracking import require_opencv
from lightning_mm.signals import stop_wished
from lightning_mm.terminal import warn
from lightning_mm.weights.loading import locate


def demo(
    host: str = "127.0.0.1",
    port: int = 7860,
    device: str = "auto",
    weights: str | None = None,
    max_megabytes: float = 200.0,
    max_seconds: float = 20.0,
    max_side: int = 720,
) -> None:
    """Open a page in which a clip is uploaded, measured, magnified and compared.

    Runs until Ctrl-C. Everything is computed here, nothing is sent elsewhere, and what is written is deleted at the
    end.

    Args:
        host: Address to listen on. Any other than this machine's own lets everyone who reaches it use the page.
        port: Port to listen on; 0 for any free one.
        device: Where to compute: auto (a CUDA device if there is one, else cpu), cpu, cuda, cuda:1 and so on.
        weights: Weights to begin with: proposed (the default), baseline or tiny, or the path of a .safetensors file or
            of a checkpoint.
        max_megabytes: Larger files are refused.
        max_seconds: Of longer clips the beginning is taken.
        max_side: Larger pictures are scaled down to so many pixels.

    Raises:
        InputError: Gradio or OpenCV is not installed, an option is not usable, or the port is in use.
    """
    limits = Limits(max_megabytes, max_seconds, max_side)
    pick_device(device)
    require_opencv()
    if weights is not None:
        locate(weights)
    with stop_wished(lambda: None) as stop, serving(limits, host, port, device, weights) as url:
        print(f"open {url} (Ctrl-C ends)", flush=True)
        stop.wait()


@contextmanager
def serving(
    limits: Limits, host: str = "127.0.0.1", port: int = 7860, device: str = "auto", weights: str | None = None
) -> Iterator[str]:
    """Serve the page within the context; arguments and errors as of ``demo``.

    Yields:
        The page's address.
    """
    address, port = _free(host, port)
    if not is_loopback(address):
        warn([f"host = {host}: everyone who reaches this machine can use the page"])
    with tempfile.TemporaryDirectory(prefix="lightning-mm-demo-", ignore_cleanup_errors=True) as directory:
        folder = Path(directory)
        with _environment(folder):
            _require_gradio()
            from lightning_mm.demo.page import THEME, Page, assets

            page = Page(limits, folder, device, weights)
            try:
                page.blocks.launch(
                    server_name=host, server_port=port, share=False, prevent_thread_lock=True, quiet=True,
                    inbrowser=False, ssr_mode=False, pwa=False, mcp_server=False, enable_monitoring=False,
                    run_history=False, footer_links=[], max_file_size=int(limits.megabytes * 1e6),
                    allowed_paths=[str(folder / "runs")], theme=THEME, css=assets("demo.css"),
                    head=f"<script>{assets('player.js')}</script>", app_kwargs=_guarded(host),
                )  # fmt: skip
            except (OSError, ValueError) as error:
                raise InputError(
                    f"host = {host}, port = {port}: the page cannot be served: {first_line(error)}"
                ) from None
            try:
                shown = f"[{host}]" if ":" in host else host
                yield f"http://{shown}:{port}/"
            finally:
                page.blocks.close(verbose=False)


def _free(host: str, port: int) -> tuple[str, int]:
    """The address and the port, any free one for 0, when it can be listened on."""
    if not 0 <= port <= 65535:
        raise InputError(f"port = {port}: must be 1 to 65535, or 0 for any free one")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(os.name == "posix"))
            tried.bind(address[:2])
            return str(tried.getsockname()[0]), tried.getsockname()[1]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise InputError(f"host = {host}, port = {port}: {reason}; choose another --port") from None


@contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """What Gradio reads from the environment: no statistics to its makers, files in our folder."""
    wished = {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(folder / "uploads"), "GRADIO_SHARE": "False"}
    before = {name: os.environ.get(name) for name in wished}
    os.environ.update(wished)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _require_gradio() -> None:
    try:
        import gradio  # noqa: F401
    except ImportError:
        raise InputError("the demo needs Gradio: pip install 'lightning_mm[demo]'") from None


def _guarded(host: str) -> dict[str, Any]:
    """Of the web application: no pages of documentation, no answer to requests that others made the browser send."""
    from starlette.middleware import Middleware

    return {
        "docs_url": None,
        "redoc_url": None,
        "openapi_url": None,
        "middleware": [Middleware(_OwnHosts, host=host)],  # type: ignore[arg-type]
    }


class _OwnHosts:
    """Answers requests by names of this machine only, and fetches nothing from elsewhere for them."""

    def __init__(self, app: Callable, host: str) -> None:
        self._app, self._host = app, host

    async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        if scope["type"] == "http" and not self._allows(scope):
            head = {"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]}
            await send(head)
            await send({"type": "http.response.body", "body": b"no such host here"})
        else:
            await self._app(scope, receive, send)

    def _allows(self, scope: dict[str, Any]) -> bool:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin")
        own = origin is None or origin.decode("latin-1") == f"http://{host}"
        # Gradio would fetch the address in such a path.
        return is_own_host(host, self._host) and own and "file=http" not in scope["path"]
