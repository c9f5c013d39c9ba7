"""Who may be told what isn't for everybody: of metrics, of what is wrong, of the live page."""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Final

from flask import Request

Allow = str | Callable[[Any], object] | None
"""`LOOPBACK`, or a function that is given the request and says whether it may; None: nobody."""

_OF_PROXIES: Final = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
"""What a proxy may add to requests: those come from its address, and from anybody."""

logger: Final = logging.getLogger("streamy.manager")


def may_be_told(allow: Allow, request: Request, setting: str) -> bool:
    """Whether the one who sends this request may be told. A function that fails lets nobody in.

    setting: its name, for the log.
    """
    if allow is None:
        return False
    if isinstance(allow, str):  # LOOPBACK; a name has been looked up
        return is_local(request)
    try:
        return bool(allow(request))
    except Exception:
        logger.exception("%s has failed, so nobody is told", setting)
        return False


def is_local(request: Request) -> bool:
    """Whether a request comes from this very machine, and by no proxy that says so."""
    if any(name in request.headers for name in _OF_PROXIES):
        return False
    return is_loopback(request.remote_addr or "")


def is_loopback(address: str) -> bool:
    """Whether this is an address of the machine itself. A Unix socket has none: whoever is in front of it."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
