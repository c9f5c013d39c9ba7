"""Who may be told what isn't for everybody: of metrics, of what is wrong, of the live page."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_address
from typing import Any, Final

from flask import Request
from werkzeug.sansio.response import Response

Allow = str | Callable[[Any], object] | None
"""`LOOPBACK`, or a function that is given the request and says whether it may; None: nobody."""

_OF_PROXIES: Final = re.compile(
    r"forwarded|via|x-forwarded.*|x-original-.*|x-real-ip|x-client-ip|x-cluster-client-ip|true-client-ip|"
    r"x-envoy-.*|x-amzn-trace-id|x-azure-.*|cf-.*|fly-.*|fastly-.*",
    re.IGNORECASE,
)
"""What a proxy may add to requests: those come from its address, and from anybody."""

_NO_ANSWERS: Final[tuple[type, ...]] = (Response, tuple, Awaitable, Iterator)

logger: Final = logging.getLogger("streamy.manager")


def may_be_told(allow: Allow, request: Request, setting: str) -> bool:
    """Whether the one who sends this request may be told. A function that fails lets nobody in.

    Nor does one that returns an answer for the client, as a view does that asks for a login, or what still
    has to be awaited: such are true whatever they mean.

    setting: its name, for the log.
    """
    if allow is None:
        return False
    if isinstance(allow, str):  # LOOPBACK; a name has been looked up
        return is_local(request)
    try:
        return bool(_said(allow(request)))
    except Exception:
        logger.exception("%s has failed, so nobody is told", setting)
        return False


def _said(given: object) -> object:
    """The answer, if it can be one to the question whether. Raises TypeError."""
    answer: Any = given
    if answer is NotImplemented or isinstance(answer, _NO_ANSWERS):
        raise TypeError(f"it has to return True or False, not {type(given).__name__}")
    return answer


def is_local(request: Request) -> bool:
    """Whether a request comes from this very machine, and by no proxy that says so."""
    if any(_OF_PROXIES.fullmatch(name) for name, _ in request.headers):
        return False
    return is_loopback(request.remote_addr or "")


def is_loopback(address: str) -> bool:
    """Whether this is an address of the machine itself. A Unix socket has none: whoever is in front of it."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False
