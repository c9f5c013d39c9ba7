"""What may be set, and what a broker URL says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from streamy_core.errors import ConfigError
from streamy_core.urls import options_of, redact

_LONGEST: Final = 100 * 365 * 86_400.0
_PORTS: Final = {"": 6379, "sentinel": 26379, "cluster": 6379}

DRIVER_OPTIONS: Final = {
    "username": str, "password": str, "db": int, "client_name": str,
    "ssl_cert_reqs": str, "ssl_ca_certs": str, "ssl_ca_path": str, "ssl_certfile": str, "ssl_keyfile": str,
    "ssl_check_hostname": lambda value: str(value).lower() in ("true", "yes", "1"),
}  # fmt: skip
"""What is handed on to redis-py."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a Redis broker keeps, and how patient it is.

    prefix:          what its keys and channels begin with.
    history:         the newest entries of a stream that are kept, at least; up to an eighth more are.
    history_age:     seconds; older entries go when the stream is next written to, and all of them when
                     it has not been written to for so long.
    stream_age:      seconds after which a stream that isn't written to is forgotten, its end too.
    key_age:         seconds for which an idempotency key is remembered.
    wait_replicas:   publishing succeeds only when so many replicas have the entry.
    timeout:         seconds to wait for a connection or an answer.
    max_connections: the most connections that are in use at once, beside those for bells.
    client:          a redis.Redis or redis.RedisCluster to share; it is left open when the broker closes.
    """

    prefix: str = "streamy"
    history: int = 1_000
    history_age: float = 86_400.0
    stream_age: float = 30 * 86_400.0
    key_age: float = 300.0
    wait_replicas: int = 0
    timeout: float = 5.0
    max_connections: int = 8
    client: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        prefix: object = self.prefix
        if not isinstance(prefix, str) or not prefix or set(prefix) & set("{}"):
            raise ConfigError(f"redis option 'prefix' is text without braces, not {self.prefix!r}")
        for name in ("history", "max_connections", "wait_replicas"):
            value = getattr(self, name)
            least = 0 if name == "wait_replicas" else 1
            if type(value) is not int or value < least:
                raise ConfigError(f"redis option {name!r} is a whole number from {least}, not {value!r}")
        for name in ("history_age", "stream_age", "key_age", "timeout"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not 0.001 <= value <= _LONGEST
            ):
                raise ConfigError(f"redis option {name!r} is a number of seconds above 0, not {value!r}")
        if self.stream_age < self.history_age:
            raise ConfigError("redis option 'stream_age' can't be less than 'history_age'")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the servers are, by a URL.

    kind:    "", "sentinel" or "cluster".
    hosts:   host and port of each; empty for a Unix socket.
    path:    the Unix socket's.
    service: the name under which sentinels know the primary.
    driver:  for redis-py's connections.
    """

    url: str
    kind: str
    hosts: tuple[tuple[str, int], ...]
    path: str
    service: str
    tls: bool
    driver: Mapping[str, Any] = field(repr=False)
    sentinel_driver: Mapping[str, Any] = field(repr=False)


def parse(url: str, options: Mapping[str, Any]) -> tuple[Place, Options]:
    """What the URL and the options say; options win. Raises ConfigError."""
    _refuse_a_torn_login(url)
    given: dict[str, Any] = {**options_of(url), **options}
    ours = {option.name: _convert(option, given.pop(option.name))
            for option in fields(Options) if option.name in given}  # fmt: skip
    sentinel = {name.removeprefix("sentinel_"): given.pop(name)
                for name in ("sentinel_username", "sentinel_password") if name in given}  # fmt: skip
    driver: dict[str, Any] = {}
    for name, value in given.items():
        if name not in DRIVER_OPTIONS:
            known = ", ".join([*(option.name for option in fields(Options)), *DRIVER_OPTIONS])
            raise ConfigError(f"redis has no option {name!r}; it has {known}")
        driver[name] = _converted(name, value, DRIVER_OPTIONS[name])
    return _place(url, driver, sentinel), Options(**ours)


def _refuse_a_torn_login(url: str) -> None:
    """A `/`, `?` or `#` in a password ends it for who reads the URL, who may show the rest."""
    query = options_of(url)  # which refuses what is no URL at all
    parts = urlsplit(url)
    if any("@" in text for text in (parts.path, parts.fragment, *query)):
        raise ConfigError(f"{redact(url)!r} can't be read: percent-encode what is special in its login")


def _place(url: str, driver: dict[str, Any], sentinel: dict[str, Any]) -> Place:
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    login, _, where = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    if user:
        driver.setdefault("username", unquote(user))
    if password:
        driver.setdefault("password", unquote(password))
    path = unquote(parts.path).strip("/")
    if scheme == "unix":
        if where or not path:
            raise ConfigError(f"{redact(url)!r} names no socket: unix:///path/to/redis.sock")
        return Place(url, kind, (), "/" + path, "", False, driver, sentinel)
    service, db = "", path
    if kind == "sentinel":
        service, _, db = path.partition("/")
        if not service:
            raise ConfigError(f"{redact(url)!r} names no service: redis+sentinel://host:26379/mymaster")
    if db:
        driver.setdefault("db", _converted("db", db, int))
    if kind == "cluster" and driver.pop("db", 0):
        raise ConfigError(f"{redact(url)!r}: a cluster has no database but 0")
    hosts = tuple(_host(url, host, _PORTS[kind]) for host in where.split(","))
    if len(hosts) > 1 and not kind:
        raise ConfigError(
            f"{redact(url)!r} names several servers: is it redis+cluster:// or redis+sentinel://?"
        )
    return Place(url, kind, hosts, "", service, scheme == "rediss", driver, sentinel)


def _host(url: str, text: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        return unquote(parts.hostname or "localhost"), parts.port or port
    except ValueError:
        raise ConfigError(f"{redact(url)!r}: {text.rpartition('@')[2]!r} is no host:port") from None


def _convert(option: Field[Any], value: Any) -> Any:
    """A text of the query as what the option is; anything else is checked by Options."""
    if option.name == "client" or not isinstance(value, str):
        return value
    return _converted(option.name, value, type(option.default))


def _converted(name: str, value: Any, kind: Any) -> Any:
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise ConfigError(f"redis option {name!r} is of type {kind.__name__}, not {value!r}") from None
