"""Which pages may read a stream: what browsers say of a request's page, and CORS, which answers them.

Rules: https://fetch.spec.whatwg.org/#http-cors-protocol and https://www.w3.org/TR/fetch-metadata/.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeVar

from flask import Response, current_app, has_request_context, request
from werkzeug.wsgi import get_host

from .origins import is_of_host
from .tally import Tally

logger: Final = logging.getLogger("streamy.manager")

REFUSED: Final = b"This stream is not for pages of other origins.\n"

R = TypeVar("R", bound=Response)

_ALLOW_ORIGIN: Final = "Access-Control-Allow-Origin"
_MAX_AGE: Final = "7200"  # seconds: what chromium takes at most
_NAMES: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+(?:[ \t]*,[ \t]*[\w!#$%&'*+.^`|~-]+)*", re.ASCII)
_MOST_NAMES: Final = 1_000
"""Characters in a preflight's list of names that is allowed as it is."""


def check_host() -> None:
    """Raise `SecurityError`, a 400, for a `Host` that isn't among the app's `TRUSTED_HOSTS`.

    Flask does so from 3.1 on, for every request.
    """
    if not has_request_context():
        return
    app: Any = current_app  # whose config isn't typed
    if (trusted := app.config.get("TRUSTED_HOSTS")) is not None:
        get_host(request.environ, trusted)


def why_refused(allowed: Collection[str], headers: Mapping[str, str] | None = None) -> str | None:
    """What shows that the request is for a page that may not read the stream; None if it may.

    Only what browsers add by themselves, cookies and logins, makes another origin's page dangerous. What
    they say of the page's origin is believed; who says nothing, as scripts do, is let in.

    allowed: the origins that may.
    headers: the response's own, which may allow one.
    """
    if not has_request_context() or not ("Cookie" in request.headers or "Authorization" in request.headers):
        return None
    origin = request.headers.get("Origin")
    if origin is not None and (origin in allowed or origin == _allowed_by(headers)):
        return None
    site = request.headers.get("Sec-Fetch-Site")
    if site in ("same-origin", "none"):
        return None
    if site in ("same-site", "cross-site"):
        return f"Sec-Fetch-Site: {site}, Origin: {origin or 'not said'}"
    if origin is None or any(is_of_host(origin, host) for host in _own_hosts()):
        return None
    return f"Origin: {origin}"


def refuse(response: R, cause: str, tally: Tally) -> R:
    """Make this the answer to who is refused. It says no more than that; the log has the cause."""
    response.status_code = 403
    response.headers["Content-Type"] = "text/plain; charset=utf-8"
    if count := tally.count("other origins"):
        logger.warning(
            "requests for streams refused, since a page of another origin sent them with cookies: %d since "
            "it was last said, one for %.100r with %.200r. Where it is yours: STREAMY_ALLOW_ORIGINS, or "
            "get_stream(…, allow_origins=[…]); to refuse none: STREAMY_REFUSE_CROSS_SITE=False",
            count,
            request.path,
            cause,
        )
    return response


def share(response: R, allowed: Collection[str]) -> R:
    """Let the page read the answer if its origin is allowed. What the response says by itself stands.

    That the answer depends on the origin is said in any case, for caches.
    """
    if not allowed or not has_request_context():
        return response
    response.vary.add("Origin")
    origin = request.headers.get("Origin")
    if origin not in allowed:
        return response
    response.headers.setdefault(_ALLOW_ORIGIN, origin)
    response.headers.setdefault("Access-Control-Allow-Credentials", "true")
    if is_preflight():
        response.headers.setdefault("Access-Control-Allow-Methods", "GET, HEAD")
        response.headers.setdefault("Access-Control-Allow-Headers", _allowed_names())
        response.headers.setdefault("Access-Control-Max-Age", _MAX_AGE)
    return response


def is_preflight() -> bool:
    """Whether the current request only asks whether a page may send another one."""
    if not has_request_context() or request.method != "OPTIONS":
        return False
    return "Origin" in request.headers and "Access-Control-Request-Method" in request.headers


def may_be_answered(allowed: Collection[str]) -> bool:
    """Whether the current request is a preflight from these origins for a GET, which Flask would answer."""
    rule = request.url_rule
    if rule is None or not getattr(rule, "provide_automatic_options", False):
        return False
    wanted = request.headers.get("Access-Control-Request-Method")
    serves = wanted in ("GET", "HEAD") and wanted in (rule.methods or ())
    return serves and request.headers.get("Origin") in allowed


def _allowed_names() -> str:
    """The headers that a page may send: those that it asks for, if they are names and not too many."""
    asked = request.headers.get("Access-Control-Request-Headers", "").strip()
    if len(asked) > _MOST_NAMES or not _NAMES.fullmatch(asked):
        return "Last-Event-ID"
    return asked if "last-event-id" in asked.lower() else f"{asked}, Last-Event-ID"


def _allowed_by(headers: Mapping[str, str] | None) -> str | None:
    """The origin that a view's own headers allow."""
    found = {name.lower(): value for name, value in (headers or {}).items()}
    return found.get(_ALLOW_ORIGIN.lower())


def _own_hosts() -> list[str]:
    """What this server may be called. Another site's page can't set a forwarded host unless it is allowed."""
    forwarded = ",".join(request.headers.getlist("X-Forwarded-Host"))
    return [request.headers.get("Host", ""), request.host, *forwarded.split(",")]
