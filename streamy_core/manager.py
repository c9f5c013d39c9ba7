"""StreamManager: the three verbs, and what belongs to them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from flask import Flask, current_app, has_app_context, has_request_context, request

from .binding import Binding
from .broker import Broker
from .closeable import Closeable
from .config import PREFIX, Settings, load_settings
from .delivery.commands import order
from .delivery.connection import Connection
from .engine.hub import Health
from .engine.subscription import Subscription
from .errors import BrokerUnavailable, ConfigError, InvalidEvent, InvalidStreamId
from .events import CONTROL, Event, check_stream_id
from .ids import split_cursor
from .response import EventStreamResponse
from .strategies.keepalive import FixedInterval, KeepAliveScheduler, Never
from .strategies.retry import RetryPolicy
from .wire import encode_retry

EXTENSION: Final = "streamy"
"""The key in `app.extensions`: what the app's managers hold, by their names."""

OPENED: Final = "streamy.opened"
"""The key in a WSGI environ of what is called with the body of the stream that is opened: for tests."""

MAX_STREAMS: Final = 100
_DEFAULT_INTERVAL: Final = 30

StreamIds = str | Iterable[str]

logger = logging.getLogger("streamy")


class StreamManager(Closeable):
    """Publishes events to named streams and serves them to browsers. Any thread may use it.

    A context manager that closes itself in the end, for scripts.

    app:        an app to start with; others, or a later one, by `init_app`.
    name:       tells several managers of one app apart.
    broker:     a broker, or its URL; wins over `STREAMY_BROKER_URL`. A broker object that was
                given stays the giver's to close.
    retry:      a RetryPolicy; wins over `STREAMY_RETRY_POLICY`.
    keep_alive: a KeepAliveScheduler, or seconds; wins over `STREAMY_KEEP_ALIVE`.
    settings:   any other `STREAMY_` key by its name in small letters: `max_retries=5`.

    An app is checked and bound when it is given to `init_app`. Without any app (in a worker, a
    script) a manager works just the same, by its own arguments. An app that was never given to
    `init_app` is bound when it first uses the manager.

    Raises ConfigError for settings that can't work, when they are first bound.
    """

    def __init__(
        self,
        app: Flask | None = None,
        *,
        name: str = "default",
        broker: Broker | str | None = None,
        retry: RetryPolicy | None = None,
        keep_alive: KeepAliveScheduler | float | None = None,
        **settings: Any,
    ) -> None:
        if broker is not None and not isinstance(broker, Broker | str):
            raise ConfigError(f"argument broker of StreamManager has to be a Broker or a URL, not {broker!r}")
        self.name = name
        self._broker = broker if isinstance(broker, Broker) else None
        self._given = dict(settings)
        for key, value in (("broker_url", broker), ("retry_policy", retry), ("keep_alive", keep_alive)):
            if value is not None and value is not self._broker:
                self._given[key] = value
        self._lock = threading.Lock()
        self._bindings: list[Binding] = []
        self._alone: Binding | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Bind to an app: check its settings, find its broker, give templates `streamy_cursor`.

        Raises ConfigError, also if another manager of the same name is bound to the app.
        """
        with self._lock:
            if self._bound_to(app):
                return
            bindings: dict[str, Binding] = app.extensions.setdefault(EXTENSION, {})
            if self.name in bindings:
                raise ConfigError(
                    f"the app has a StreamManager named {self.name!r} already: give this one another name="
                )
            binding = Binding(self, self._settings(app.config), self._broker, app.json.dumps)
            bindings[self.name] = binding
            self._bindings.append(binding)
            app.jinja_env.globals.setdefault("streamy_cursor", template_cursor)

    def get_stream(
        self,
        stream_id: StreamIds,
        event_name: str = "message",
        headers: Mapping[str, str] | None = None,
        keep_alive_interval: float | None = _DEFAULT_INTERVAL,
        *,
        after: str | None = None,
        key: str | None = None,
    ) -> EventStreamResponse:
        """The response that streams one stream, or several, to the client that asks.

        stream_id:  a stream's id, or up to 100 of them.
        event_name: the name given to entries that were published without one.
        headers:    more headers; they win over ours.
        keep_alive_interval: seconds between keep-alives; None for none. 30, the default, leaves
                    it to the manager's scheduler.
        after:      the cursor for a client that comes without one; "from now on" unless given.
                    `OLDEST` sends it all that the streams still hold.
        key:        whom the client belongs to (a user, an address), for `disconnect` and for
                    `STREAMY_MAX_CONNECTIONS_PER_KEY`.

        A client that comes back goes on after its `Last-Event-ID`, and one that connects first
        after `?last_event_id=`, if it has that. One that has seen the end gets 204. While the
        broker can't be reached, a client is told to come back and loses nothing.

        Raises InvalidStreamId, InvalidEvent (for event_name), ValueError (for the interval).
        """
        names = _stream_ids(stream_id)
        binding = self.binding
        binding.publisher.check(Event("", event_name))
        keep_alive = self._keep_alive(binding, keep_alive_interval)
        if has_request_context():
            binding.warn_if_split(request.environ.get("wsgi.multiprocess", False))
        retry_ms = round(binding.settings.reconnect_delay * 1000)
        try:
            connection = Connection(
                binding.hub,
                _wanted(names, _cursor_of_request() or after),
                default_name=event_name,
                retry=retry_ms,
            )
        except BrokerUnavailable as error:
            logger.warning("a client of %s is sent away for now: %s", names, error)
            return EventStreamResponse((encode_retry(retry_ms),), headers)
        if connection.finished:
            return EventStreamResponse(None, headers)
        environ = request.environ if has_request_context() else None
        body = binding.delivery.body(connection, environ, keep_alive, key)
        if environ is not None and (opened := environ.get(OPENED)):
            opened(body)
        return EventStreamResponse(body, headers, take_over=partial(binding.delivery.take_over, body))

    def send_event(
        self,
        stream_id: str,
        data: Any,
        event_name: str | None = None,
        *,
        retry: int | None = None,
        idempotency_key: str | None = None,
        session: Any = None,
    ) -> str:
        """Publish one event and return its entry's id, once the broker has stored it.

        data:  text goes as it is, anything else as the app's JSON.
        retry: how long browsers are to wait before they reconnect, from now on, in milliseconds.
        idempotency_key: repeating a call with the same key stores nothing more.
        session: a SQLAlchemy Session or Connection, for a broker that keeps streams in its database:
               the event is part of its transaction. Clients get it once that commits, and never
               if it rolls back. Others that publish to the stream wait until then.

        Raises InvalidStreamId or InvalidEvent, and then nothing is stored; StreamEnded;
        PublishFailed when the retry policy has given up, with `session` at the first fault, after
        which that has to be rolled back; ConfigError if the broker can't publish by a session.
        """
        publisher = self.binding.publisher
        events = [publisher.event(data, event_name, retry)]
        return publisher.publish(check_stream_id(stream_id), events, idempotency_key, session)[0]

    def send_events(
        self,
        stream_id: str,
        events: Iterable[Any],
        *,
        idempotency_key: str | None = None,
        session: Any = None,
    ) -> list[str]:
        """Publish many events in one round trip, all or none, and return their ids.

        events: each an `Event`, or data as for `send_event`.

        Raises as `send_event`.
        """
        if isinstance(events, str | bytes | bytearray | Mapping):
            kind = type(events).__name__
            raise InvalidEvent(f"events is an iterable of events, not one {kind}: use send_event for that")
        publisher = self.binding.publisher
        checked = [
            publisher.check(event) if isinstance(event, Event) else publisher.event(event) for event in events
        ]
        check_stream_id(stream_id)
        return publisher.publish(stream_id, checked, idempotency_key, session) if checked else []

    def end_stream(self, stream_id: str) -> None:
        """End a stream for good: its clients get what is left, `streamy.end`, and the close.

        Ending twice does nothing. Raises InvalidStreamId; PublishFailed when the policy has given up.
        """
        self.binding.publisher.end(check_stream_id(stream_id))

    def disconnect(self, *, stream_id: str | None = None, key: str | None = None) -> None:
        """Send clients away now, in every process: a browser asks again, and you can say no.

        stream_id: those that read this stream; key: those of this `get_stream(key=…)`; given both,
        those to whom both apply.

        Raises ValueError if neither is given; PublishFailed when the retry policy has given up.
        """
        if stream_id is None and key is None:
            raise ValueError("disconnect whom? name a stream_id, a key, or both")
        self.binding.publisher.publish(CONTROL, [order(stream_id, key)], None)

    def cursor(self, stream_id: StreamIds) -> str:
        """The place "from now on" in a stream, or in several: what a page gives as `last_event_id`.

        Raises InvalidStreamId, BrokerUnavailable.
        """
        return self.binding.cursor(_stream_ids(stream_id))

    def subscribe(self, stream_ids: StreamIds, after: str | None = None) -> Subscription:
        """An iterator of entries, for scripts and tests.

        after: the cursor to go on from; "from now on" (from this call) unless given; `OLDEST` for
               all that the streams still hold.

        Raises InvalidStreamId, BrokerUnavailable.
        """
        binding = self.binding
        wanted = _wanted(_stream_ids(stream_ids), after)
        return Subscription(binding.hub, wanted, retry=binding.settings.retry)

    @property
    def broker(self) -> Broker:
        """The broker in use here."""
        return self.binding.broker

    @property
    def health(self) -> Health:
        """How reading is doing here: watched streams, failures, bells that were missed."""
        return self.binding.hub.health

    def close(self) -> None:
        """End all connections and subscriptions and free everything, in all apps. Any thread."""
        for binding in [*self._bindings, *([self._alone] if self._alone else [])]:
            binding.close()

    @property
    def binding(self) -> Binding:
        """What this manager holds for the current app; for its only app where none is current.

        Raises ConfigError where it serves several apps and none of them is current.
        """
        if has_app_context():
            app = current_app._get_current_object()  # type: ignore[attr-defined]
            return self._bound_to(app) or self._adopt(app)
        if len(self._bindings) > 1:
            raise ConfigError(
                "this StreamManager serves several apps: use it within `with app.app_context():`"
            )
        if self._bindings:
            return self._bindings[0]
        with self._lock:
            self._alone = self._alone or Binding(self, self._settings({}), self._broker)
            return self._alone

    def _bound_to(self, app: Flask) -> Binding | None:
        found: Binding | None = app.extensions.get(EXTENSION, {}).get(self.name)
        return found if found in self._bindings else None

    def _adopt(self, app: Flask) -> Binding:
        """Bind an app that was never given to `init_app`."""
        if self._alone is None:
            self.init_app(app)
            return self.binding
        if any(key.startswith(PREFIX) for key in app.config):
            raise ConfigError(
                "this StreamManager was used before it knew the app, whose STREAMY_ settings came too late: "
                "call init_app(app) first"
            )
        return self._alone

    def _settings(self, config: Mapping[str, Any]) -> Settings:
        return load_settings(config, self.name, self._given)

    def _keep_alive(self, binding: Binding, interval: float | None) -> KeepAliveScheduler:
        if interval is None:
            return Never()
        if interval == _DEFAULT_INTERVAL:
            return binding.settings.keep_alive
        return FixedInterval(interval)


def template_cursor(stream_id: StreamIds, manager: str = "default") -> str:
    """`StreamManager.cursor` for templates: `{{ streamy_cursor("news") }}`.

    manager: the name of the manager to ask.
    """
    binding: Binding = current_app.extensions[EXTENSION][manager]
    return binding.cursor(_stream_ids(stream_id))


def _stream_ids(stream_id: StreamIds) -> list[str]:
    if not isinstance(stream_id, Iterable):
        raise InvalidStreamId(f"a stream id is a str, or several of them, not {type(stream_id).__name__}")
    names = [stream_id] if isinstance(stream_id, str) else list(dict.fromkeys(stream_id))
    if not 1 <= len(names) <= MAX_STREAMS:
        raise InvalidStreamId(f"one connection reads 1 to {MAX_STREAMS} streams, not {len(names)}")
    return [check_stream_id(name) for name in names]


def _wanted(names: list[str], after: str | None) -> dict[str, str | None]:
    """Where to go on in each stream; None in one that `after` doesn't speak of."""
    wanted: dict[str, str | None] = dict.fromkeys(names)
    if after is not None:
        wanted.update(split_cursor(after, names))
    return wanted


def _cursor_of_request() -> str | None:
    if not has_request_context():
        return None
    return request.headers.get("Last-Event-ID") or request.args.get("last_event_id") or None
