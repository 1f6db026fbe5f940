"""Opening files with FFmpeg."""

from pathlib import Path
from typing import Any

import av


def open_container(path: Path) -> Any:
    """Open a file with PyAV for reading; raises what PyAV raises.

    "file:" keeps a colon in the name from being taken for a protocol, and the list of protocols keeps a file such as a
    playlist from making FFmpeg reach for the network.
    """
    options = {"protocol_whitelist": "file,crypto,data"}
    return av.open(f"file:{path}", options=options, metadata_errors="replace")


def reason_of(error: BaseException) -> str:
    """Why something failed, in one short line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).strip().splitlines()[0][:120]
