"""Whose requests the demo answers: those of its own page, and no other site's."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Flask, request
from flask.typing import ResponseReturnValue

_SAFE = ("GET", "HEAD", "OPTIONS")


def guard(app: Flask, host: str) -> None:
    """Have the app refuse what another web site sends by a user's browser.

    A site may point a name of its own at this machine, to read what the page shows (DNS rebinding): so a
    host is an address, `localhost`, this machine's name or `host`. And it may send what needs no answer:
    so what changes something comes from the page itself
    (https://owasp.org/www-community/attacks/csrf).
    """
    names = {"localhost", socket.gethostname().lower(), host.lower()}

    @app.before_request
    def refuse() -> ResponseReturnValue | None:
        name = _name_in(request.headers.get("Host", ""))
        if not (name in names or _is_address(name)):
            return {"error": f"the demo isn't called {name!r}: start it with --host {name}"}, 400
        if request.method not in _SAFE and _is_another_sites():
            return {"error": "only the demo's own page may ask for this"}, 403
        return None


def _name_in(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _is_another_sites() -> bool:
    """By what browsers send: https://www.w3.org/TR/fetch-metadata/ or, before that, only `Origin`."""
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site not in (None, "same-origin", "none"):
        return True
    return origin is not None and urlsplit(origin).netloc != request.headers.get("Host")
