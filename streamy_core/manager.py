"""StreamManager: the three verbs, and what belongs to them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from flask import Flask, current_app, has_app_context, has_request_context, request, request_started

from .binding import Binding
from .broker import Broker
from .closeable import Closeable
from .config import PREFIX, Settings, load_settings
from .delivery.delivery import retry_ms
from .delivery.servers import server_of
from .engine.hub import Health
from .engine.streams import StreamIds, names_of
from .engine.subscription import Subscription
from .errors import BrokerUnavailable, ConfigError
from .events import Event
from .response import EventStreamResponse, StreamBody
from .strategies.keepalive import FixedInterval, KeepAliveScheduler, Never
from .strategies.retry import RetryPolicy
from .wire import encode_retry

EXTENSION: Final = "streamy"
"""The key in `app.extensions`: what the app's managers hold, by their names."""

OPENED: Final = "streamy.opened"
"""The key in a WSGI environ of what is called with the body of the stream that is opened: for tests."""


_STARTED: Final = "streamy.started"
"""The key in a WSGI environ of when the request began, by `time.monotonic`."""


class _Default(int):
    """The keep-alive interval that leaves it to the manager's scheduler: flask-streamy's 30 seconds."""


_DEFAULT_INTERVAL: Final = _Default(30)


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
            template_globals: dict[str, Any] = app.jinja_env.globals
            template_globals.setdefault("streamy_cursor", template_cursor)
            request_started.connect(_note_start, app)

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
        keep_alive_interval: seconds between keep-alives; None for none. Where it isn't given, the
                    manager's scheduler decides.
        after:      the cursor for a client that comes without one; "from now on" unless given.
                    `OLDEST` sends it all that the streams still hold.
        key:        whom the client belongs to (a user, an address), for `disconnect` and for
                    `STREAMY_MAX_CONNECTIONS_PER_KEY`.

        A client that comes back goes on after its `Last-Event-ID`, and one that connects first
        after `?last_event_id=`, if it has that. One that has seen the end gets 204. While the
        broker can't be reached, a client is told to come back and loses nothing.

        Raises InvalidStreamId, InvalidEvent (for event_name), ValueError (for the interval).
        """
        names = names_of(stream_id)
        binding = self.binding
        binding.engine.publisher.check(Event("", event_name))
        keep_alive = _keep_alive(binding, keep_alive_interval)
        environ = request.environ if has_request_context() else None
        if environ is not None:
            binding.warn_if_split(environ.get("wsgi.multiprocess", False))
        try:
            capacity = None if environ is None else server_of(environ).capacity(environ)
            reader = binding.open_reader(names, _cursor_of_request() or after, event_name, capacity)
        except BrokerUnavailable as error:
            binding.postponed(names, error)
            return EventStreamResponse((encode_retry(retry_ms(binding.settings)),), headers)
        if reader.finished:
            return EventStreamResponse(None, headers)
        requested_at = None if environ is None else environ.get(_STARTED)
        session = binding.session(names, key, keep_alive, requested_at)
        body = StreamBody(binding.delivery, session, reader, environ)
        if environ is not None and (opened := environ.get(OPENED)):
            opened(body)
        return EventStreamResponse(body, headers)

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
        idempotency_key: repeating a call with the same key stores nothing more. At most 255 characters.
        session: a SQLAlchemy Session or Connection, for a broker that keeps streams in its database:
               the event is part of its transaction. Clients get it once that commits, and never
               if it rolls back. Others that publish to the stream wait until then.

        Raises InvalidStreamId or InvalidEvent, and then nothing is stored; StreamEnded;
        PublishFailed when the retry policy has given up, with `session` at the first fault, after
        which that has to be rolled back; ConfigError if the broker can't publish by a session.
        """
        return self.binding.engine.send_event(stream_id, data, event_name, retry, idempotency_key, session)

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
        return self.binding.engine.send_events(
            stream_id, events, idempotency_key=idempotency_key, session=session
        )

    def end_stream(self, stream_id: str) -> None:
        """End a stream for good: its clients get what is left, `streamy.end`, and the close.

        Ending twice does nothing. Raises InvalidStreamId; PublishFailed when the policy has given up.
        """
        self.binding.engine.end_stream(stream_id)

    def disconnect(self, *, stream_id: str | None = None, key: str | None = None) -> None:
        """Disconnect clients now, in every process: a browser asks again, and you can say no.

        stream_id: those that read this stream; key: those of this `get_stream(key=…)`; given both,
        those to whom both apply.

        Raises ValueError if neither is given; PublishFailed when the retry policy has given up.
        """
        self.binding.engine.disconnect(stream_id=stream_id, key=key)

    def cursor(self, stream_id: StreamIds) -> str:
        """The cursor "from now on" in a stream, or in several: what a page gives as `last_event_id`.

        Raises InvalidStreamId, BrokerUnavailable.
        """
        return self.binding.engine.cursor(stream_id)

    def subscribe(self, stream_ids: StreamIds, after: str | None = None) -> Subscription:
        """An iterator of entries, for scripts and tests.

        after: the cursor to go on from; "from now on" (from this call) unless given; `OLDEST` for
               all that the streams still hold.

        Raises InvalidStreamId, BrokerUnavailable.
        """
        return self.binding.engine.subscribe(stream_ids, after)

    @property
    def broker(self) -> Broker:
        """The broker in use here."""
        return self.binding.broker

    @property
    def health(self) -> Health:
        """How reading and delivering is doing here: watched streams, clients, failures, missed bells."""
        return self.binding.health

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
            proxy: Any = current_app
            app: Flask = proxy._get_current_object()
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
        config: Any = app.config
        if any(key.startswith(PREFIX) for key in config):
            raise ConfigError(
                "this StreamManager was used before it knew the app, whose STREAMY_ settings came too late: "
                "call init_app(app) first"
            )
        return self._alone

    def _settings(self, config: Mapping[str, Any]) -> Settings:
        return load_settings(config, self.name, self._given)


def template_cursor(stream_id: StreamIds, manager: str = "default") -> str:
    """`StreamManager.cursor` for templates: `{{ streamy_cursor("news") }}`.

    manager: the name of the manager to ask.
    """
    binding: Binding = current_app.extensions[EXTENSION][manager]
    return binding.engine.cursor(stream_id)


def _note_start(*_: object, **__: object) -> None:
    """Note when a request began: a command that comes later than that is for its client, too."""
    request.environ.setdefault(_STARTED, time.monotonic())


def _keep_alive(binding: Binding, interval: float | None) -> KeepAliveScheduler:
    if interval is _DEFAULT_INTERVAL:
        return binding.settings.keep_alive
    return Never() if interval is None else FixedInterval(interval)


def _cursor_of_request() -> str | None:
    if not has_request_context():
        return None
    return request.headers.get("Last-Event-ID") or request.args.get("last_event_id") or None
