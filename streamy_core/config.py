"""`app.config` -> one frozen settings object, checked at start-up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, Final

from . import kinds
from .broker import Broker
from .errors import ConfigError
from .events import MAX_STREAMS
from .observers import Observer
from .observers.metrics import Instruments
from .observers.traces import Tracer
from .options import (
    check_option,
    flag,
    instance,
    mapping,
    near_name,
    one_of,
    option,
    option_names,
    optional,
    seconds,
    whole,
)
from .strategies.clock import Clock, SystemClock
from .strategies.keepalive import FixedInterval, KeepAliveScheduler
from .strategies.retry import ExponentialBackoff, RetryPolicy
from .strategies.slow_clients import Disconnect, SlowClientPolicy
from .urls import redact, redact_options

PREFIX: Final = "STREAMY_"
MANAGERS: Final = "STREAMY_MANAGERS"

DEFAULT_URL: Final = "memory://"

_OUTBOX_RETRIES: Final = 30
"""They take a minute, and two at most: less than any backend of ours remembers idempotency keys."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one manager goes by in one app. Each field is the key `STREAMY_` + its name in capitals."""

    broker_url: str | Broker = option(
        DEFAULT_URL,
        kinds.broker_url(),
        secret=True,
        doc="Chooses the backend. The installed ones: `streamy backends`. In tests, a Broker itself.",
    )
    broker_options: Mapping[str, Any] = option(
        dict,
        mapping(),
        secret=True,
        doc="The backend's options by name; they win over those in the URL's query.",
    )
    max_event_bytes: int = option(
        2**20, whole(1), doc="The most data in one event, in bytes as they are sent: a line break is seven."
    )
    max_retries: int = option(3, whole(), doc="How often publishing is tried again before it fails.")
    retry_policy: RetryPolicy | None = option(
        None,
        optional(kinds.strategy(RetryPolicy, "streamy.retry", "a RetryPolicy")),
        doc="How to try again; None: exponential backoff with full jitter, `STREAMY_MAX_RETRIES` times.",
    )
    slow_client_policy: SlowClientPolicy = option(
        Disconnect,
        kinds.strategy(SlowClientPolicy, "streamy.slow_clients", "a SlowClientPolicy"),
        doc="What happens to a client that can't keep up.",
    )
    keep_alive: KeepAliveScheduler = option(
        FixedInterval,
        kinds.keep_alive(),
        doc="Seconds between keep-alives of an idle connection, or a scheduler.",
    )
    end_stream_on_failure: bool = option(
        False, flag(), doc="Whether a stream is also ended when publishing to it has failed for good."
    )
    reconnect_delay: float = option(
        3.0,
        seconds(most=kinds.MAX_SECONDS),
        doc="How long browsers are told to wait before they reconnect, in seconds.",
    )
    delivery: str = option(
        "auto",
        one_of("auto", "detached", "wsgi"),
        doc="How bytes reach clients; `auto`: detached where the server allows it.",
    )
    wsgi_slots: int | None = option(
        None,
        optional(whole()),
        doc="How many clients may each hold a thread at once, with delivery by `wsgi`; None: half "
        "of the server's threads where it says how many it has, else any number.",
    )
    max_connections: int | None = option(
        None,
        optional(whole(1)),
        doc="The most clients that one process keeps; None: as many as it has descriptors left for.",
    )
    max_connections_per_key: int | None = option(
        None, optional(whole(1)), doc="The most of one `get_stream(key=…)`, likewise."
    )
    max_connections_per_key_total: int | None = option(
        None, optional(whole(1)), doc="The most of one key in all processes together, within seconds."
    )
    max_opens_per_minute: int | None = option(
        None,
        optional(whole(1)),
        doc="How often one key may open streams in one process: so often at once, and again over a minute.",
    )
    max_streams_per_connection: int = option(
        MAX_STREAMS, whole(1, MAX_STREAMS), doc="The most streams that one connection reads."
    )
    allow_origins: tuple[str, ...] = option(
        tuple,
        kinds.origins(),
        doc="Other origins whose pages may read streams, with cookies; `get_stream(allow_origins=…)` wins.",
    )
    refuse_cross_site: bool = option(
        True,
        flag(),
        doc="Whether requests with cookies are refused that pages of other origins send, and none allows.",
    )
    max_connection_age: float | None = option(
        None,
        optional(seconds(most=kinds.MAX_SECONDS)),
        doc="Seconds after which a client is told to come back, less up to a fifth by chance; None: never.",
    )
    recheck: Callable[..., Any] | None = option(
        None,
        optional(kinds.named_function("a key and stream ids", "streamy.recheck")),
        doc="Asked again whether a connected client may still read: a function of its key and its streams' "
        "ids, which returns a bool, or those that it may read.",
    )
    recheck_many: Callable[..., Any] | None = option(
        None,
        optional(kinds.named_function("a list of pairs of a key and stream ids", "streamy.recheck")),
        doc="The same for many clients by one call: a function of a list of such pairs, which returns the "
        "answers in that order.",
    )
    recheck_every: float = option(
        15.0, seconds(most=kinds.MAX_SECONDS), doc="Seconds from one time to the next, at most."
    )
    recheck_timeout: float = option(
        5.0, seconds(most=kinds.MAX_SECONDS), doc="Seconds that such a call may take before it has failed."
    )
    recheck_failure: str = option(
        "disconnect",
        one_of("disconnect", "keep"),
        doc="What becomes of the clients that a call was about that failed: they are disconnected, or go on.",
    )
    level_workers: bool = option(
        False,
        flag(),
        doc="Whether a worker of gunicorn's with far more clients than its siblings lets some go.",
    )
    tcp_user_timeout: float = option(
        30.0,
        seconds(most=kinds.MAX_SECONDS),
        doc="Seconds after which the system gives up on a peer that acknowledges nothing (detached).",
    )
    window_entries: int = option(
        1_000, whole(1), doc="How many of a stream's newest entries each process keeps encoded."
    )
    window_bytes: int = option(2**20, whole(1), doc="The same in bytes.")
    watchdog_interval: float = option(
        30.0,
        seconds(most=kinds.MAX_SECONDS),
        doc="Seconds between looks at streams whose bell hasn't rung, in case one was lost.",
    )
    observers: tuple[Observer, ...] = option(
        tuple, kinds.observers(), doc="Observers that are told what happens, beside signals and the log."
    )
    metrics: Instruments | None = option(
        None,
        optional(kinds.metrics()),
        doc='Where metrics are kept: "prometheus", "opentelemetry", or an object; None: nowhere.',
    )
    metrics_allow: Callable[..., Any] | None = option(
        None,
        optional(kinds.function_named("a function of a request, not async, or the name of one")),
        doc="Whether a request may read `/streamy/metrics`; None: one from this very machine, by no proxy.",
    )
    stream_group: Callable[[str], str] | None = option(
        None,
        optional(kinds.function_named("a function of a stream's name, not async, or the name of one")),
        doc="Gives the group of a stream, a label of metrics; None: what stands before the first `:`.",
    )
    traces: Tracer | None = option(
        None,
        optional(kinds.traces()),
        doc='Who makes spans of what is published and delivered: "opentelemetry", a TracerProvider, a '
        "Tracer, or the name of one; None: nobody.",
    )

    canary_interval: float = option(
        2.0,
        seconds(most=kinds.MAX_SECONDS),
        doc="Seconds between two entries by which a process sees whether it hears: `/ready`, `/live`.",
    )
    health_allow: str | Callable[[Any], object] | None = option(
        None,
        optional(kinds.allow("streamy.health_allow")),
        doc="Who is told by `/ready` and `/live` what failed, with names and hosts: `'loopback'`, or a "
        "function that is given the request; None: nobody.",
    )
    overview: str | Callable[[Any], object] | None = option(
        None,
        optional(kinds.allow("streamy.overview")),
        doc="Who is shown the live page, at `/streamy/`: `'loopback'`, or a function that is given the "
        "request; None: nobody, and processes tell nothing of themselves.",
    )
    overview_data: bool = option(
        False, flag(), doc="Whether the live page shows the data of events, and not only how long it is."
    )
    outbox_events: int = option(
        10_000,
        whole(1),
        doc="The most events of `send_soon` that wait in one process; more are lost.",
    )
    outbox_bytes: int = option(2**24, whole(1), doc="The same in bytes of data.")
    outbox_retry_policy: RetryPolicy | None = option(
        None,
        optional(kinds.strategy(RetryPolicy, "streamy.retry", "a RetryPolicy")),
        doc="How `send_soon` tries again before an event is lost; None: by `STREAMY_RETRY_POLICY`, and where "
        "that isn't set, for about a minute.",
    )
    outbox_flush_timeout: float = option(
        5.0,
        seconds(most=kinds.MAX_SECONDS),
        doc="Seconds that `close`, and the interpreter's exit, wait until what waits is published.",
    )
    run_threads: int = option(
        200, whole(1), doc="How many runs of `start_run` may have threads of one process's own at once."
    )
    run_grace: float = option(
        25.0,
        seconds(0, most=kinds.MAX_SECONDS),
        doc="Seconds that runs may go on when their process is told to stop; then they end as lost. In debug "
        "mode 0. Less than the server's own patience: gunicorn's `graceful_timeout` and `timeout` are 30.",
    )
    clock: Clock = option(
        SystemClock,
        instance(Clock, "a Clock"),
        doc="What keep-alives, connection ages, limits by the minute, re-checks and pauses between attempts "
        "to publish go by, for tests.",
    )

    @property
    def retry(self) -> RetryPolicy:
        """The retry policy that all these come to."""
        if self.retry_policy is not None:
            return self.retry_policy
        return ExponentialBackoff(retries=self.max_retries)

    @property
    def outbox_retry(self) -> RetryPolicy:
        """The same for `send_soon`, which holds nobody, and so can wait until a backend is back."""
        for policy in (self.outbox_retry_policy, self.retry_policy):
            if policy is not None:
                return policy
        return ExponentialBackoff(retries=_OUTBOX_RETRIES)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.redacted().items())})"

    def redacted(self) -> dict[str, Any]:
        """All of them by their names, without secrets."""
        shown = {item.name: getattr(self, item.name) for item in fields(self)}
        if isinstance(self.broker_url, str):
            shown["broker_url"] = redact(self.broker_url)
        return {**shown, "broker_options": redact_options(self.broker_options)}


@dataclass(frozen=True, slots=True)
class Key:
    """A row of the reference table."""

    name: str
    default: Any
    doc: str


def known_keys() -> list[Key]:
    """Every key that an app's config may hold, with its default."""
    keys = [
        Key(PREFIX + item.name.upper(), item.default_factory(), item.metadata["doc"])
        for item in fields(Settings)
        if item.default_factory is not MISSING
    ]
    return [
        *keys,
        Key(MANAGERS, {}, "Further managers by name, each a dict of the keys above without `STREAMY_`."),
    ]


def load_settings(
    config: Mapping[str, Any], name: str = "default", given: Mapping[str, Any] | None = None
) -> Settings:
    """The settings of the manager `name` in an app's config.

    It goes by the arguments `given` to it; then by `STREAMY_MANAGERS[name]`; then by the common
    keys. Raises ConfigError for an unknown key, a wrong type or an impossible value anywhere.
    """
    known = {key.name for key in known_keys()}
    for key in config:
        if key.startswith(PREFIX) and key not in known:
            raise ConfigError(_unknown(key, known))
    names = option_names(Settings)
    for argument in given or {}:
        if argument not in names:
            raise ConfigError(f"StreamManager: {_unknown(argument, set(names))}")
    common = {item: config[PREFIX + item.upper()] for item in names if PREFIX + item.upper() in config}
    sources = (
        ("argument {0} of StreamManager", given or {}),
        (f"{MANAGERS}[{name!r}][{{0!r}}]", _section(config, name)),
        (PREFIX + "{0}", common),
    )
    checked: dict[str, Any] = {}
    for item in names:
        for pattern, values in sources:
            if item in values:
                shown = item if values is given else item.upper()
                checked[item] = check_option(Settings, item, values[item], pattern.format(shown))
                break
    settings = Settings(**checked)
    if settings.recheck is not None and settings.recheck_many is not None:
        raise ConfigError(
            f"{PREFIX}RECHECK and {PREFIX}RECHECK_MANY are both set (manager {name!r}): they are two ways to "
            "ask the same; set one of them to None"
        )
    return settings


def _section(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    given: Any = config.get(MANAGERS, {})
    is_mapping = mapping().accepts
    try:
        sections: dict[str, dict[str, Any]] = {
            who: is_mapping(keys) for who, keys in is_mapping(given).items()
        }
    except ValueError:
        raise ConfigError(
            f"{MANAGERS} has to be a dict of dicts: the keys of each manager by its name"
        ) from None
    known = {item.upper() for item in option_names(Settings)}
    for section, keys in sections.items():
        for key in keys:
            if key not in known:
                raise ConfigError(f"{MANAGERS}[{section!r}]: {_unknown(key, known)}")
    return {key.lower(): value for key, value in sections.get(name, {}).items()}


def _unknown(key: str, known: set[str]) -> str:
    # Without the prefix that they all have, which makes anything look alike.
    names = {name.removeprefix(PREFIX): name for name in known}
    near = near_name(str(key).removeprefix(PREFIX), names)
    hint = f"did you mean {names[near]}?" if near else f"known: {', '.join(sorted(known))}"
    return f"unknown key {key}; {hint}"
