"""StreamManager: the three verbs, and what belongs to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any, Final, Literal

from flask import Blueprint, Flask, current_app, request, request_finished, request_started

from .apps import Apps
from .binding import Binding
from .broker import Broker
from .browser.metrics import serve_metrics
from .browser.pages import make_blueprint, template_globals
from .closeable import Closeable
from .commands import check_key
from .cross_origin import is_preflight, may_be_answered, share
from .delivery.delivery import retry_ms
from .delivery.questions import MayRead, MayReadMany
from .delivery.servers import server_of
from .engine.health import Health
from .engine.outbox import Outbox
from .engine.publisher import Publisher
from .engine.streams import StreamIds, names_of
from .engine.subscription import Subscription
from .engine.verbs import PublishingVerbs
from .errors import ConfigError
from .events import MAX_RETRY_MS, History
from .exact import exact_text
from .granting import GrantVerbs, grant_of_request
from .grants import Grant
from .health_pages import add_health
from .live_page import add_live_page
from .opening import Opening, check_until, come_back, open_stream, respond
from .origins import check_origins
from .rechecking import recheck_for
from .response import EventStreamResponse, note_end, note_start
from .running import RunVerbs
from .starts import Floor, Start, check_floor, check_start
from .strategies.keepalive import FixedInterval, KeepAliveScheduler, Never
from .strategies.retry import RetryPolicy

EXTENSION: Final = "streamy"
"""The key in `app.extensions`: the app's managers, by their names."""


class _Default(int):
    """The keep-alive interval that leaves it to the manager's scheduler: flask-streamy's 30 seconds."""


_DEFAULT_INTERVAL: Final = _Default(30)


class StreamManager(PublishingVerbs, GrantVerbs, RunVerbs, Closeable):
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
        if (own_name := exact_text(name)) is None:
            raise ConfigError(f"argument name of StreamManager has to be text, not {name!r}")
        self.name: str = own_name
        self._broker = broker if isinstance(broker, Broker) else None
        self._given = dict(settings)
        for key, value in (("broker_url", broker), ("retry_policy", retry), ("keep_alive", keep_alive)):
            if value is not None and value is not self._broker:
                self._given[key] = value
        self._apps = Apps(self, self.name, self._broker, self._given)
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Bind to an app: check its settings, find its broker, give templates their globals.

        These are `streamy_cursor`, `streamy_url`, `streamy_grant_url` and `streamy_script`.

        Raises ConfigError, also if another manager of the same name is bound to the app.
        """
        if app in self._apps:
            return
        managers: dict[str, StreamManager] = app.extensions.setdefault(EXTENSION, {})
        if managers.get(self.name, self) is not self:
            raise ConfigError(
                f"the app has a StreamManager named {self.name!r} already: give this one another name="
            )
        self._apps.bind(app)
        managers[self.name] = self
        for name, value in template_globals(template_cursor, template_grant_url).items():
            app.jinja_env.globals.setdefault(name, value)
        # By the structure, since a manager may be used first, and bound, within a request.
        app.before_request_funcs.setdefault(None, []).append(self._answer_preflight)
        app.before_request_funcs[None].append(self._note_request)
        request_started.connect(note_start, app)
        request_finished.connect(note_end, app)

    def get_stream(
        self,
        stream_id: StreamIds,
        event_name: str = "message",
        headers: Mapping[str, str] | None = None,
        keep_alive_interval: float | None = _DEFAULT_INTERVAL,
        *,
        after: Start | None = None,
        key: str | int | None = None,
        until: float | datetime | None = None,
        floor: Floor | None = None,
        allow_origins: str | Collection[str] | None = None,
        recheck: MayRead | Literal[False] | None = None,
        recheck_many: MayReadMany | None = None,
    ) -> EventStreamResponse:
        """The response that streams one stream, or several, to the client that asks.

        stream_id:  a stream's id, or up to 100 of them.
        event_name: the name given to entries that were published without one.
        headers:    more headers; they win over ours.
        keep_alive_interval: seconds between keep-alives; None for none. Where it isn't given, the
                    manager's scheduler decides.
        after:      where a client begins that comes without a cursor, and in streams that its cursor
                    doesn't speak of: "from now on" unless given. A cursor; `OLDEST` for all that is
                    still kept; `BEGINNING` for the same, and a gap if that isn't all; `Last(50)` for the
                    newest; `Since(600)` for what was published within so many seconds.
        key:        whom the client belongs to (a user's number, an address), for `disconnect` and
                    for limits of keys; 5 and "5" are the same.
        until:      when its right to read ends: in so many seconds, or at a datetime with a time zone. It is
                    told to come back before that, by up to a fifth of the time that is left, by chance, so
                    that not all who came at once are back at once. Where that time has passed, at once.
        floor:      how far back it may read, whatever cursor it brings: no further than a cursor, `Last(50)`,
                    `Since(600)` or `NOW`. What lies further back is a gap to it. Unless given, whoever may
                    read a stream may read all that is kept of it.
        allow_origins: the other origin whose pages may read the stream, with cookies, or several of
                    them, as browsers say them: "https://app.example". It wins over `STREAMY_ALLOW_ORIGINS`.

        recheck:    asked every `STREAMY_RECHECK_EVERY` seconds, while the client stays, whether it may still
                    read: called with its key and the ids of its streams, it returns True, False, or those
                    that it may read. Where neither this nor `recheck_many` is given, `STREAMY_RECHECK` or
                    `STREAMY_RECHECK_MANY` is; False: nobody is asked.
        recheck_many: the same for many clients by one call: called with a list of pairs of a key and
                    stream ids, it returns a list of such answers, in that order.

        Re-checks are called by threads of their own, within an app context and without a request. Whatever
        else they return, or raise, is no answer, as none within `STREAMY_RECHECK_TIMEOUT` is: the client
        is disconnected then, unless `STREAMY_RECHECK_FAILURE` says otherwise.

        A client that comes back goes on after its `Last-Event-ID` (or `?lastEventId=`, as polyfills
        give it), and one that connects first after `?last_event_id=`, if it has that. One that has seen
        the end gets 204. While the broker can't be reached, lacks its tables, no descriptor is left, or its
        key is at a limit, a client is told to come back, and loses nothing: as by `try_later`. A request with
        cookies that the page of another origin has sent, which isn't allowed, gets 403.

        Where the view has asked for a grant, by `granted`, it is the grant's end, floor and key that hold;
        a floor or a key that is given here wins, and the earlier end.

        Raises InvalidStreamId, InvalidEvent (for event_name), InvalidCursor, InvalidKey, ConfigError (for the
        origins), ValueError (for the interval, for until, and for what can't be called as a re-check).
        """
        binding = self.binding
        grant = grant_of_request(self.name)
        if grant is not None:
            key = grant.key if key is None else key
            floor = grant.floor if floor is None else floor
        opening = Opening(
            streams=names_of(stream_id),
            event_name=event_name,
            headers=headers,
            keep_alive=_keep_alive(binding, keep_alive_interval),
            start=None if after is None else check_start(after),
            key=None if key is None else check_key(key),
            until=_ends(until, grant),
            floor=None if floor is None else check_floor(floor),
            granted_at=None if grant is None else grant.issued.timestamp(),
            origins=None if allow_origins is None else check_origins(allow_origins),
            recheck=recheck_for(binding.settings, recheck, recheck_many),
        )
        return open_stream(binding, opening)

    def try_later(
        self, seconds: float | None = None, *, allow_origins: str | Collection[str] | None = None
    ) -> EventStreamResponse:
        """The response that has a browser come back, where an error would have it give up for good.

        It is a 200, a `retry:` and the close (WHATWG HTML section 9.2.3), for what passes: a database
        that is away, a table that is still to be made.

        seconds: how long it waits; about `STREAMY_RECONNECT_DELAY` unless given.
        allow_origins: as for `get_stream`.

        Raises ValueError for what is no such number, ConfigError for the origins.
        """
        settings = self.binding.settings
        allowed = settings.allow_origins if allow_origins is None else check_origins(allow_origins)
        if seconds is None:
            return share(come_back(self.binding, retry_ms(settings)), allowed)
        given: object = seconds
        number = isinstance(given, int | float) and not isinstance(given, bool)
        if not number or not 0 <= seconds * 1000 <= MAX_RETRY_MS:
            raise ValueError(f"seconds is a number from 0 to {MAX_RETRY_MS // 1000}, not {seconds!r}")
        return share(come_back(self.binding, round(seconds * 1000)), allowed)

    def exists(self, stream_id: str) -> bool:
        """Whether anything was ever published to a stream, or it was ended: for a view's 404.

        Raises InvalidStreamId, BrokerUnavailable.
        """
        return self.binding.engine.exists(stream_id)

    def cursor(self, stream_id: StreamIds) -> str:
        """The cursor "from now on" in a stream, or in several: what a page gives as `last_event_id`.

        Raises InvalidStreamId, BrokerUnavailable.
        """
        return self.binding.engine.cursor(stream_id)

    def history(self, stream_id: str, limit: int = 50, before: str | None = None) -> History:
        """The newest entries of a stream, and the cursor that continues them live, without hole or overlap.

        limit:  the most entries, 1 to 1,000.
        before: an entry's id: the entries before that one, as `History.before` asks for older ones.

        Entries that can't be read any more, and the end, aren't among them.

        Raises InvalidStreamId, InvalidCursor, ValueError for the limit, BrokerUnavailable.
        """
        return self.binding.engine.history(stream_id, limit, before)

    def subscribe(self, stream_ids: StreamIds, after: Start | None = None) -> Subscription:
        """An iterator of entries, for scripts and tests.

        after: where to begin, as for `get_stream`; "from now on" (from this call) unless given.

        Raises InvalidStreamId, InvalidCursor, BrokerUnavailable.
        """
        return self.binding.subscribe(stream_ids, after)

    @cached_property
    def blueprint(self) -> Blueprint:
        """Serves streamy.js, health, metrics and the live page: `app.register_blueprint(sse.blueprint)`."""
        blueprint = make_blueprint(self.name)
        add_health(blueprint, lambda: self.binding)
        serve_metrics(blueprint, lambda: self.binding.settings)
        add_live_page(blueprint, lambda: self.binding)
        return blueprint

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
        self._apps.close()

    @property
    def binding(self) -> Binding:
        """What this manager holds for the current app; for its only app where none is current.

        Raises ConfigError where it serves several apps and none of them is current, and for settings
        that have changed since they were first used.
        """
        return self._apps.current()

    def _answer_preflight(self) -> EventStreamResponse | None:
        """The answer to a page that asks whether it may ask, if its origin is allowed: a hook of the app."""
        if not is_preflight():
            return None
        allowed = self.binding.settings.allow_origins
        return share(respond(self.binding, None), allowed) if may_be_answered(allowed) else None

    def _note_request(self) -> None:
        """See that a process that serves requests tells how it is doing: a hook of the app."""
        reporting = self._apps.reporting()
        if reporting is not None and not reporting.serving:
            reporting.serves(server_of(request.environ).name)

    def _publishing(self) -> tuple[Publisher, Outbox]:
        binding = self.binding
        if binding.reporting is not None:
            binding.reporting.publishes()
        return binding.engine.publisher, binding.engine.outbox


def template_cursor(stream_id: StreamIds, manager: str = "default") -> str:
    """`StreamManager.cursor` for templates: `{{ streamy_cursor("news") }}`.

    manager: the name of the manager to ask.
    """
    return _manager_of(manager).cursor(stream_id)


def template_grant_url(manager: str, endpoint: str, stream_ids: StreamIds, **values: Any) -> str:
    """`StreamManager.grant_url` of the manager of this name, for templates."""
    return _manager_of(manager).grant_url(endpoint, stream_ids, **values)


def _manager_of(name: str) -> StreamManager:
    found: StreamManager = current_app.extensions[EXTENSION][name]
    return found


def _ends(until: float | datetime | None, grant: Grant | None) -> tuple[float | datetime, ...]:
    """When the right to read ends: the earliest of these."""
    told = () if until is None else (check_until(until),)
    return told if grant is None else (*told, grant.expires)


def _keep_alive(binding: Binding, interval: float | None) -> KeepAliveScheduler:
    if interval is _DEFAULT_INTERVAL:
        return binding.settings.keep_alive
    return Never() if interval is None else FixedInterval(interval)
