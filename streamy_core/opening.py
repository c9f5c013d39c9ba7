"""Opens the stream that a view has asked for, for the client of the current request."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from flask import Response, current_app, has_app_context, has_request_context, request
from werkzeug.http import parse_options_header

from .binding import Binding
from .cross_origin import REFUSED, check_host, is_preflight, refuse, share, why_refused
from .delivery.delivery import retry_ms
from .delivery.questions import Recheck
from .delivery.servers import server_of
from .engine.frames import Framing
from .errors import BrokerUnavailable, ConfigError
from .events import Event
from .exact import exact_number
from .kinds import MAX_SECONDS
from .observers import Beginning, TurnAwayCause
from .response import STARTED, EventStreamResponse, StreamBody, response_type
from .starts import Floor, Start
from .strategies.keepalive import KeepAliveScheduler
from .wire import encode_retry

OPENED: Final = "streamy.opened"
"""The key in a WSGI environ of what is called with the body of the stream that is opened: for tests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a view says of a client's stream: the arguments of `StreamManager.get_stream`, checked.

    describe: see `Framing`.
    """

    streams: list[str]
    event_name: str
    headers: Mapping[str, str] | None
    keep_alive: KeepAliveScheduler
    start: Start | None
    key: str | None
    until: tuple[float | datetime, ...]
    floor: Floor | None
    granted_at: float | None
    origins: tuple[str, ...] | None
    recheck: Recheck | None
    describe: Callable[[Event], Event] | None = None


def open_stream(binding: Binding, opening: Opening) -> EventStreamResponse:
    """The response to the current request's client, if it is for a page that may read it.

    Raises InvalidEvent for the name, and SecurityError, a 400, for a host that the app doesn't trust.
    """
    check_host()
    settings = binding.settings
    allowed = settings.allow_origins if opening.origins is None else opening.origins
    cause = why_refused(allowed, opening.headers) if settings.refuse_cross_site else None
    if is_preflight():
        response = respond(binding, None, opening.headers)
    elif cause is not None:
        binding.turned_away(opening.streams, opening.key, TurnAwayCause.ORIGIN)
        response = refuse(respond(binding, (REFUSED,)), cause, binding.tally)
    else:
        response = _open(binding, opening)
    return share(response, allowed)


def _open(binding: Binding, opening: Opening) -> EventStreamResponse:
    framing = _framing(binding, opening)
    until = min(map(seconds_until, opening.until), default=None)
    began = time.monotonic()
    if until is not None and until <= 0:
        binding.turned_away(opening.streams, opening.key, TurnAwayCause.EXPIRED)
        return come_back(binding, retry_ms(binding.settings), opening.headers)
    if (wait := binding.delivery.refusal(opening.streams, opening.key)) is not None:
        return come_back(binding, wait, opening.headers)
    cursor = cursor_of_request()
    environ = request.environ if has_request_context() else None
    server = server_of(environ)
    if environ is not None:
        binding.warn_if_split(server.multiprocess(environ))
    try:
        capacity = None if environ is None else server.capacity(environ)
        reader = binding.open_reader(
            opening.streams,
            cursor,
            opening.start,
            framing,
            capacity,
            opening.keep_alive,
            floor=opening.floor,
            until=until,
        )
    except (BrokerUnavailable, ConfigError, OSError) as error:
        binding.postponed(opening.streams, error, opening.key)
        return come_back(binding, retry_ms(binding.settings), opening.headers)
    if reader.finished:
        binding.turned_away(opening.streams, opening.key, TurnAwayCause.ENDED)
        return respond(binding, None, opening.headers)
    if until is not None and (until := until - (time.monotonic() - began)) <= 0:
        binding.turned_away(opening.streams, opening.key, TurnAwayCause.EXPIRED)
        return come_back(binding, retry_ms(binding.settings), opening.headers)
    requested_at = None if environ is None else environ.get(STARTED)
    session = binding.session(
        opening.streams,
        opening.key,
        opening.keep_alive,
        requested_at,
        until,
        opening.granted_at,
        _beginning(cursor, opening.start),
    )
    session = replace(session, recheck=opening.recheck)
    body = StreamBody(binding.delivery, session, reader, environ, binding)
    if environ is not None and (opened := environ.get(OPENED)):
        opened(body)
    return respond(binding, body, opening.headers)


def come_back(
    binding: Binding, delay_ms: int, headers: Mapping[str, str] | None = None
) -> EventStreamResponse:
    """The response that has a browser come back after so many milliseconds: 200, `retry:`, the close."""
    return respond(binding, (encode_retry(delay_ms),), headers)


def respond(
    binding: Binding, body: Iterable[bytes] | None, headers: Mapping[str, str] | None = None
) -> EventStreamResponse:
    """A response of the app's own class. body: None for "204 No Content"."""
    base = current_app.response_class if has_app_context() else Response
    types = binding.response_types
    if base not in types:
        types[base] = response_type(base)
    made: type[EventStreamResponse] = types[base]
    return made(body, headers)


def cursor_of_request() -> str | None:
    """The cursor that the current request's client has brought."""
    if not has_request_context():
        return None
    given = request.args.get
    # What a client says of itself, by the header or as polyfills do, is newer than what its page was given.
    return request.headers.get("Last-Event-ID") or given("lastEventId") or given("last_event_id") or None


def _beginning(cursor: str | None, start: Start | None) -> Beginning:
    if cursor is not None:
        return Beginning.RESUMED
    return Beginning.LIVE if start is None else Beginning.START


def check_until(until: object) -> float | datetime:
    """When a right to read ends: in how many seconds, or a moment. Raises ValueError."""
    if isinstance(until, datetime):
        if until.utcoffset() is None:
            raise ValueError(
                f"until={until!r} has no time zone, so that nobody knows when it is: "
                "datetime.now(timezone.utc) + timedelta(...) has one"
            )
        return until
    number = None if isinstance(until, str) else exact_number(until)
    if number is None or math.isnan(number):
        raise ValueError(f"until is a number of seconds, or a datetime with a time zone, not {until!r:.100}")
    return number


def seconds_until(until: float | datetime) -> float:
    """In how many seconds that is."""
    seconds = until.timestamp() - time.time() if isinstance(until, datetime) else until
    return min(seconds, MAX_SECONDS)


def _framing(binding: Binding, opening: Opening) -> Framing:
    named = binding.engine.publisher.check(Event("", opening.event_name)).name or opening.event_name
    tells_streams = len(opening.streams) > 1 and _asks_for_streams()
    framing = Framing.of(named, tells_streams=tells_streams, bounded=opening.floor is not None)
    return framing._replace(describe=opening.describe)


def _asks_for_streams() -> bool:
    """Whether the client accepts `text/event-stream;streams=1`: each event is to say its stream."""
    accepted = request.accept_mimetypes.values() if has_request_context() else ()
    return any(
        parse_options_header(kind.lower()) == ("text/event-stream", {"streams": "1"}) for kind in accepted
    )
