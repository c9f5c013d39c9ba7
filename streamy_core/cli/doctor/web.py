"""A running URL: what a browser meets that asks it for its stream, through all proxies on the way."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import ip_address
from itertools import pairwise
from typing import Final
from urllib.parse import urlsplit

from ...errors import ConfigError
from .asking import Answer, ask, server_behind, speaks_http2
from .findings import Finding, cure_in, shown_url
from .process import too_rare

_WITHIN: Final = 5.0
"""Seconds within which the opening event has to come."""
_SHORT: Final = 0.9
"""Seconds: what ends sooner was never meant to stay."""
_LATE: Final = 1.5
"""So many times its interval after the last sign of life a keep-alive is late."""

_THREADS: Final = "gunicorn --worker-class gthread --threads 8"
_SIGN_IN: Final = "streamy doctor … --header 'Cookie: session=…', with a signed-in browser's cookie"
_PASS_ON: Final = {
    "nginx": "proxy_buffering off;  # where streams are; and no proxy_ignore_headers X-Accel-Buffering",
    "apache": "ProxyPass … flushpackets=on",
}
_PASS_ON_ANYHOW: Final = "have the proxy pass on each piece as it comes, and no middleware collect any"
_NO_GZIP: Final = {"nginx": "take text/event-stream and * out of gzip_types"}


@dataclass(frozen=True, slots=True)
class Visit:
    """How a URL is asked.

    headers:  further ones, such as a cookie. origin: of the page that is to read it; None: its own.
    patience: seconds to go on listening after the opening.
    within:   seconds for the opening to come.
    """

    url: str
    headers: Mapping[str, str]
    origin: str | None = None
    patience: float = 0.0
    within: float = _WITHIN

    def ask(self) -> Answer:
        """Ask for the stream. Raises as `asking.ask`."""
        sent = dict(self.headers)
        if self.origin is not None:
            sent |= {"Origin": self.origin, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
        return ask(self.url, sent, within=self.within, patience=self.patience)


Look = Callable[[Visit, Answer], Iterator[Finding]]


def of_web(visit: Visit) -> Iterator[Finding]:
    """What is wrong with the stream at this URL."""
    try:
        answer = visit.ask()
    except ConfigError as error:
        yield Finding("error", "the URL can't be asked", str(error), cure_in(str(error)))
        return
    except (OSError, HTTPException) as error:
        yield _unreached(visit, error)
        return
    if answer.status is None:
        yield from held(visit, answer)
        return
    if not answer.is_stream:
        yield _no_stream(visit, answer)
        return
    for look in LOOKS:
        yield from look(visit, answer)


def held(visit: Visit, answer: Answer) -> Iterator[Finding]:
    """Whether what the app sends comes when it is sent."""
    if answer.opening is not None or answer.ended is not None:
        return
    if answer.pieces and answer.header("content-encoding") not in ("", "identity", "gzip", "deflate"):
        return  # nobody here can unpack it
    server = server_behind(visit.url, visit.within)
    if server is None:
        yield Finding(
            "error",
            f"{shown_url(visit.url)} doesn't answer",
            f"within {visit.within:g} s nothing has come, to another request neither: no worker or thread is "
            "free",
            f"{_THREADS}; and with delivery by wsgi, lower STREAMY_WSGI_SLOTS",
        )
        return
    said = "another event, but not streamy.open" if answer.pieces else "nothing"
    yield Finding(
        "error",
        "events are held back on the way",
        f"within {visit.within:g} s {said} has come of the stream, while {server} answers other requests: a "
        "proxy, or a middleware, collects the response before it passes it on",
        _by_server(_PASS_ON, server, _PASS_ON_ANYHOW),
    )


def compressed(_: Visit, answer: Answer) -> Iterator[Finding]:
    """Whether somebody compresses the stream."""
    encoding = answer.header("content-encoding")
    if encoding in ("", "identity"):
        return
    yield Finding(
        "warning" if answer.opening is not None else "error",
        f"the stream is compressed ({encoding})",
        "who compresses collects: events come late or in lumps, and each client costs a compressor's memory",
        _by_server(_NO_GZIP, answer.header("server"), "have nobody compress text/event-stream"),
    )


def transformable(_: Visit, answer: Answer) -> Iterator[Finding]:
    """Whether the header arrives that keeps proxies from changing the response."""
    if "no-transform" not in answer.header("cache-control").lower():
        yield Finding(
            "warning",
            "Cache-Control: no-transform doesn't arrive",
            f"it is {answer.header('cache-control') or 'missing'!r} here: whoever passes the response on may "
            "compress it, or store it",
            "leave Cache-Control alone in after_request hooks, in get_stream(headers=…), and in the proxy "
            "(nginx: no expires for streams)",
        )


def old_http(_: Visit, answer: Answer) -> Iterator[Finding]:
    """Whether HTTP/1.0 is spoken, which has no chunks."""
    if answer.version < 11:
        yield Finding(
            "warning",
            "the server answers by HTTP/1.0",
            "there a response ends with its connection: proxies can't tell the end from a failure, and some "
            "collect the whole response first",
            f"{_THREADS}; or nginx in front, with proxy_http_version 1.1;",
        )


def cut(_: Visit, answer: Answer) -> Iterator[Finding]:
    """Whether the connection lasts."""
    if answer.ended is None or b"streamy.end" in answer.text:
        return
    lasted = answer.ended - (answer.pieces[0][0] if answer.pieces else answer.ended)
    if lasted < _SHORT:
        yield Finding(
            "warning",
            "the stream is closed as soon as it has begun: clients poll",
            "the server has no thread left for a stream, no descriptor, or more clients than it may have",
            f"{_THREADS}; else raise STREAMY_WSGI_SLOTS, STREAMY_MAX_CONNECTIONS or ulimit -n",
        )
    elif not answer.pieces[-1][1].lstrip().startswith(b"retry:"):  # by which the app sends a client away
        interval = f"{answer.keep_alive:g} s" if answer.keep_alive else "time"
        yield Finding(
            "error",
            f"the connection is closed after {lasted:.1f} s of silence",
            f"a proxy's time-out is shorter than the {interval} between two keep-alives, and each client "
            "reconnects each time",
            f"proxy_read_timeout {_longer(answer.keep_alive)}s;  # nginx; or STREAMY_KEEP_ALIVE = "
            f"{max(1, int(lasted / 2))}",
        )


def late_keep_alives(_: Visit, answer: Answer) -> Iterator[Finding]:
    """Whether keep-alives come when they are due, as far as anybody has waited for them."""
    interval = answer.keep_alive
    if interval is None or answer.ended is not None or not answer.pieces:
        return
    times = [*(at for at, _ in answer.pieces), answer.waited]
    silence = max(later - before for before, later in pairwise(times))
    if silence > interval * _LATE + 1:
        yield Finding(
            "error",
            f"keep-alives of every {interval:g} s are held back for {silence:.1f} s",
            "a proxy or middleware collects what comes later than the opening: events are late, too",
            _by_server(_PASS_ON, answer.header("server"), _PASS_ON_ANYHOW),
        )


def rare_keep_alives(_: Visit, answer: Answer) -> Iterator[Finding]:
    """Whether keep-alives are more seldom than proxies have patience."""
    if answer.keep_alive is not None:
        yield from too_rare(answer.keep_alive)


def shared_with(visit: Visit, answer: Answer) -> Iterator[Finding]:
    """Whether a page of the other origin may read it (CORS)."""
    if visit.origin is None:
        return
    allowed = answer.header("access-control-allow-origin")
    with_cookies = answer.header("access-control-allow-credentials") == "true"
    if allowed != visit.origin or not with_cookies:
        yield _not_shared(visit.origin, f"Access-Control-Allow-Origin is {allowed or 'missing'!r}")


def few_connections(visit: Visit, answer: Answer) -> Iterator[Finding]:
    """Whether browsers open no more than six connections."""
    parts = urlsplit(answer.url)
    if _is_local(parts.hostname or ""):
        return
    if parts.scheme == "https" and speaks_http2(answer.url, visit.within):
        return
    yield Finding(
        "note",
        "browsers get HTTP/1.1",
        "they open about six connections to one host, in all tabs together, and each stream takes one",
        "listen 443 ssl http2;  # nginx; or have tabs share a connection: connect(url, {share: true})",
    )


LOOKS: Final[tuple[Look, ...]] = (
    held,
    compressed,
    transformable,
    old_http,
    cut,
    late_keep_alives,
    rare_keep_alives,
    shared_with,
    few_connections,
)
"""All that is looked at in a stream's answer."""


def _unreached(visit: Visit, error: Exception) -> Finding:
    shown = shown_url(visit.url)
    if isinstance(error, ssl.SSLCertVerificationError):
        why, cure = f"its certificate isn't trusted: {error.verify_message}", "certbot --nginx"
    elif isinstance(error, ssl.SSLError | HTTPException):
        other = "http" if visit.url.startswith("https") else "https"
        why, cure = f"{type(error).__name__}: {error}", f"ask {other}:{shown.partition(':')[2]}"
    else:
        why = str(error) or type(error).__name__
        cure = f"start the server, or mend the URL: curl -iN {shown}"
    return Finding("error", f"{shown} can't be reached", why, cure)


def _no_stream(visit: Visit, answer: Answer) -> Finding:
    shown, status = shown_url(answer.url), answer.status or 0
    kind = answer.header("content-type") or "nothing"
    if visit.origin is not None and status == 403:
        return _not_shared(visit.origin, "the request is refused (403)")
    if answer.hops:
        return Finding(
            "error",
            f"{shown_url(visit.url)} leads to {shown}, which is no stream",
            f"it answers {status} with {kind}, as where one has to sign in; EventSource gives up for good",
            f"{_SIGN_IN}; in the view answer 401 instead of a redirect, as streamy.js tells its page of",
        )
    what = f"{shown} answers {status} with {kind}"
    why = "EventSource gives up for good on all but a 200 with text/event-stream"
    return Finding("error", what, why, _cure_of_status(status))


def _cure_of_status(status: int) -> str:
    if status == 204:
        return "nothing, if the stream has ended: take one that goes on"
    if status in (401, 403):
        return _SIGN_IN
    if status in (404, 405):
        return "flask routes, to see at which path the view is that returns get_stream(…)"
    if status in (502, 503, 504):
        return "start the app behind the proxy; and nginx: error_page 502 503 504 @nobody; as the guide says"
    if status >= 500:
        return "see the app's log: the view has failed"
    return "return sse.get_stream(…) from the view as it is"


def _not_shared(origin: str, found: str) -> Finding:
    return Finding(
        "error",
        f"pages of {origin} can't read the stream",
        f"{found}, and the browser keeps the stream from them",
        f"STREAMY_ALLOW_ORIGINS = [{origin!r}]",
    )


def _by_server(cures: Mapping[str, str], server: str, otherwise: str) -> str:
    return next((cure for name, cure in cures.items() if name in server.lower()), otherwise)


def _longer(interval: float | None) -> int:
    return max(60, round(2 * (interval or 30)))


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
