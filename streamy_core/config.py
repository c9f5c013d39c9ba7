"""`app.config` -> one frozen settings object, checked at start-up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Final

from .broker import Broker
from .errors import ConfigError
from .plugins import load_named
from .strategies.keepalive import FixedInterval, KeepAliveScheduler
from .strategies.retry import ExponentialBackoff, RetryPolicy
from .strategies.slow_clients import Disconnect, SlowClientPolicy
from .urls import redact, redact_options, scheme_of

PREFIX: Final = "STREAMY_"
MANAGERS: Final = "STREAMY_MANAGERS"

MAX_SECONDS: Final = (2**31 - 1) / 1000
"""As many as fit a `retry:` field in milliseconds, and the longest wait that every system knows."""

DEFAULT_URL: Final = "memory://"


def _whole(least: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if type(value) is not int or value < least:
            raise ValueError(f"a whole number of {least} or more")
        return value

    return check


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_SECONDS:
        raise ValueError("a number of seconds above 0, and less than a month")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("True or False")
    return value


def _url(value: Any) -> str | Broker:
    if isinstance(value, Broker):
        return value
    if not isinstance(value, str):
        raise ValueError("a URL like memory://, or a Broker")
    scheme_of(value)
    return value


def _options(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError("a dict of options by name")
    return dict(value)


def _keep_alive(value: Any) -> KeepAliveScheduler:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return FixedInterval(_seconds(value))
    shown = "a number of seconds above 0, a KeepAliveScheduler, or the name of one"
    scheduler: KeepAliveScheduler = _strategy(KeepAliveScheduler, "streamy.keep_alive", shown)(value)
    return scheduler


def _strategy(protocol: Any, group: str, shown: str) -> Callable[[Any], Any]:
    """Takes an object of this protocol, or names one: an entry point of `group`, or "package.module:name"."""

    def check(value: Any) -> Any:
        if isinstance(value, str):
            value = load_named(value, group)
        # A class has the methods, too, but is no object that could be asked.
        if isinstance(value, type) or not isinstance(value, protocol):
            raise ValueError(shown)
        return value

    return check


def _or_none(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else check(value)


def _one_of(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return str(value)

    return check


def _key(default: Any, check: Callable[[Any], Any], *, doc: str, secret: bool = False) -> Any:
    factory = default if callable(default) else lambda: default
    return field(default_factory=factory, repr=not secret, metadata={"check": check, "doc": doc})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What one manager goes by in one app. Each field is the key `STREAMY_` + its name in capitals."""

    broker_url: str | Broker = _key(
        DEFAULT_URL,
        _url,
        secret=True,
        doc="Chooses the backend. The installed ones: `streamy backends`. In tests, a Broker itself.",
    )
    broker_options: Mapping[str, Any] = _key(
        dict,
        _options,
        secret=True,
        doc="The backend's options by name; they win over those in the URL's query.",
    )
    max_event_bytes: int = _key(2**20, _whole(1), doc="The most data in one event, in bytes of UTF-8.")
    max_retries: int = _key(3, _whole(0), doc="How often publishing is tried again before it fails.")
    retry_policy: RetryPolicy | None = _key(
        None,
        _or_none(_strategy(RetryPolicy, "streamy.retry", "a RetryPolicy, or the name of one")),
        doc="How to try again; None: exponential backoff with full jitter, `STREAMY_MAX_RETRIES` times.",
    )
    end_stream_on_failure: bool = _key(
        False,
        _flag,
        doc="Whether a stream is also ended when publishing to it has failed for good.",
    )
    keep_alive: KeepAliveScheduler = _key(
        FixedInterval,
        _keep_alive,
        doc="Seconds between keep-alives of an idle connection, or a scheduler.",
    )
    reconnect_delay: float = _key(
        3.0,
        _seconds,
        doc="How long browsers are told to wait before they reconnect, in seconds.",
    )
    delivery: str = _key(
        "auto",
        _one_of("auto", "detached", "generator"),
        doc="How bytes reach clients; `auto`: detached where the server allows it.",
    )
    generator_slots: int | None = _key(
        None,
        _or_none(_whole(0)),
        doc="How many clients may each hold a thread at once, with delivery by generator; None: half "
        "of the server's threads where it says how many it has, else any number.",
    )
    max_connections: int | None = _key(
        None, _or_none(_whole(1)), doc="The most clients that one process keeps; None: any number."
    )
    max_connections_per_key: int | None = _key(
        None, _or_none(_whole(1)), doc="The most of one `get_stream(key=…)`, likewise."
    )
    max_age: float | None = _key(
        None,
        _or_none(_seconds),
        doc="Seconds after which a client is told to come back, less up to a fifth by chance; None: never.",
    )
    slow_clients: SlowClientPolicy = _key(
        Disconnect,
        _strategy(SlowClientPolicy, "streamy.slow_clients", "a SlowClientPolicy, or the name of one"),
        doc="What happens to a client that can't keep up.",
    )
    dead_after: float = _key(
        30.0,
        _seconds,
        doc="Seconds after which the system gives up on a peer that acknowledges nothing (detached).",
    )
    window_entries: int = _key(
        1_000,
        _whole(1),
        doc="How many of a stream's newest entries each process keeps encoded for its clients.",
    )
    window_bytes: int = _key(2**20, _whole(1), doc="The same in bytes.")
    watchdog_interval: float = _key(
        30.0,
        _seconds,
        doc="Seconds between looks at streams whose bell hasn't rung, in case one was lost.",
    )

    @property
    def retry(self) -> RetryPolicy:
        """The retry policy that all these come to."""
        if self.retry_policy is not None:
            return self.retry_policy
        return ExponentialBackoff(retries=self.max_retries)

    def __repr__(self) -> str:
        shown = {item.name: getattr(self, item.name) for item in fields(self)}
        if isinstance(self.broker_url, str):
            shown["broker_url"] = redact(self.broker_url)
        shown["broker_options"] = redact_options(self.broker_options)
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


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
    names = {item.name for item in fields(Settings)}
    for argument in given or {}:
        if argument not in names:
            raise ConfigError(f"StreamManager: {_unknown(argument, names)}")
    common = {item: config[PREFIX + item.upper()] for item in names if PREFIX + item.upper() in config}
    sources = (
        ("argument {0} of StreamManager", given or {}),
        (f"{MANAGERS}[{name!r}][{{0!r}}]", _section(config, name)),
        (PREFIX + "{0}", common),
    )
    checked = {}
    for item in fields(Settings):
        for pattern, values in sources:
            if item.name in values:
                shown = item.name if values is given else item.name.upper()
                checked[item.name] = _check(item, pattern.format(shown), values[item.name])
                break
    return Settings(**checked)


def _check(item: Field[Any], key: str, value: Any) -> Any:
    try:
        return item.metadata["check"](value)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None
    except ValueError as error:
        shown = type(value).__name__ if not item.repr else repr(value)
        raise ConfigError(f"{key} has to be {error}, not {shown}") from None


def _section(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    sections = config.get(MANAGERS, {})
    if not isinstance(sections, Mapping) or not all(isinstance(part, Mapping) for part in sections.values()):
        raise ConfigError(f"{MANAGERS} has to be a dict of dicts: the keys of each manager by its name")
    known = {item.name.upper() for item in fields(Settings)}
    for section, keys in sections.items():
        for key in keys:
            if key not in known:
                raise ConfigError(f"{MANAGERS}[{section!r}]: {_unknown(key, known)}")
    return {key.lower(): value for key, value in sections.get(name, {}).items()}


def _unknown(key: str, known: set[str]) -> str:
    # Without the prefix that they all have, which makes anything look alike.
    names = {name.removeprefix(PREFIX): name for name in known}
    near = get_close_matches(str(key).removeprefix(PREFIX), names, n=1)
    hint = f"did you mean {names[near[0]]}?" if near else f"known: {', '.join(sorted(known))}"
    return f"unknown key {key}; {hint}"
