"""Lets nobody near the live page but those who are meant to see it, and only from its own origin.

Who isn't let in gets a 404, as if there were no such page; the log says why.
"""

from __future__ import annotations

import logging
from typing import Final
from urllib.parse import urlsplit

from flask import Request, Response, abort, request

from ..admission import Allow, is_loopback, may_be_told
from ..cross_origin import check_host
from ..origins import is_of_host
from ..tally import Tally

SETTING: Final = "STREAMY_OVERVIEW"

ASKED_BY: Final = "X-Streamy-Page"
"""A header that the page of another origin can't send unless CORS allows it, which is never done here."""

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

logger: Final = logging.getLogger("streamy.live_page")


class Guard:
    """See the module. Any thread; within a request."""

    def __init__(self) -> None:
        self._tally = Tally()

    def check(self, allow: Allow, *, acts: bool = False, is_page: bool = False) -> None:
        """Abort unless the request's client may see the page.

        acts:    it does something, rather than to look.
        is_page: it is the page itself, to which others may link.

        Raises `SecurityError`, a 400, for a host that the app doesn't trust.
        """
        check_host()
        if allow is None:  # nobody asked for it: no word of it in the log
            abort(404)
        cause = self._cause(allow, acts=acts, is_page=is_page)
        if cause is None:
            return
        if count := self._tally.count("refused"):
            logger.warning(
                "requests for the live page refused: %d since it was last said, one from %s for %.200r: %s",
                count,
                request.remote_addr,
                request.path,
                cause,
            )
        abort(404)

    def _cause(self, allow: Allow, *, acts: bool, is_page: bool) -> str | None:
        """Why the client isn't let in; None: it is."""
        if not may_be_told(allow, request, SETTING):
            if isinstance(allow, str):
                return f"{SETTING} lets in only who asks from this very machine, by no proxy"
            return f"{SETTING} says no"
        if isinstance(allow, str) and (named := _other_name(request)) is not None:
            return named
        return _foreign(request, acts=acts, is_page=is_page)


def seal(response: Response) -> Response:
    """Have browsers keep what is shown here to itself."""
    response.headers.update(_HEADERS)
    return response


def _other_name(asked: Request) -> str | None:
    """What shows that the machine was asked by another name than its own, or by a proxy that doesn't say so.

    The name of any site may point to this machine, with a page of that site (DNS rebinding). And nginx, as it
    comes, passes requests on by HTTP/1.0 and under the name of where it passes them.
    """
    try:
        host = urlsplit(f"//{asked.host}").hostname or ""
    except ValueError:
        host = ""
    if host != "localhost" and not is_loopback(host):
        return f"it was asked for at {asked.host!r:.100}, which isn't localhost"
    if asked.environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
        return "it was asked for by HTTP/1.0, as proxies do"
    return None


def _foreign(asked: Request, *, acts: bool, is_page: bool) -> str | None:
    """What shows that a page of another origin asks."""
    site, origin = asked.headers.get("Sec-Fetch-Site"), asked.headers.get("Origin")
    is_visit = is_page and asked.headers.get("Sec-Fetch-Mode") == "navigate"
    if site not in (None, "same-origin", "none") and not is_visit:
        return f"a page of another origin asks (Sec-Fetch-Site: {site:.20})"
    if origin is not None and not is_of_host(origin, asked.host):
        return f"a page of another origin asks ({origin!r:.100})"
    if acts and asked.headers.get(ASKED_BY) is None:
        return f"it lacks the header {ASKED_BY}"
    return None
