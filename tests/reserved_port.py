"""A port of this machine for a server that a test starts."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that, within the context, the system gives to nobody who asks for any; a server can listen on it."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: both can have it
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
