"""Which requests are meant for a server of this machine, and which only came here by a trick."""

import ipaddress
import socket
from urllib.parse import urlsplit


def is_own_host(header: str | None, host: str) -> bool:
    """Whether a request was sent to this machine by a name of its own.

    A page of another site may have its own name lead to this machine (DNS rebinding), and would then be taken by the
    browser for a part of what is served here. Such a name is none of these, and never a number.

    Args:
        header: The request's "Host".
        host: The address that the server was told to listen on.
    """
    if not header:
        return False
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    if name in ("localhost", host.lower(), socket.gethostname().lower()):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(address: str) -> bool:
    """Whether only this machine itself reaches an address, a number."""
    return ipaddress.ip_address(address.split("%")[0]).is_loopback
