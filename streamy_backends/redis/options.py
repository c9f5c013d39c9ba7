"""What may be set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import redis

from streamy_core.broker import ConfigError, options_of
from streamy_core.options import flag, instance, option, optional, parse_options, seconds, text, whole

from .address import Address, parse_url

_TEXT = optional(text())


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """What is handed on to redis-py's connections, if it is given."""

    username: str | None = option(None, _TEXT, doc="The login's name.")
    password: str | None = option(None, _TEXT, secret=True, doc="The login's password.")
    db: int | None = option(None, optional(whole()), doc="The database's number.")
    client_name: str | None = option(None, _TEXT, doc="What the server calls its connections.")
    ssl_cert_reqs: str | None = option(None, _TEXT, doc="Whether the server's certificate is checked.")
    ssl_ca_certs: str | None = option(None, _TEXT, doc="A file of certificates to trust.")
    ssl_ca_path: str | None = option(None, _TEXT, doc="A directory of them.")
    ssl_certfile: str | None = option(None, _TEXT, doc="The file of the client's own certificate.")
    ssl_keyfile: str | None = option(None, _TEXT, doc="The file of its key.")
    ssl_check_hostname: bool | None = option(
        None, optional(flag()), doc="Whether the certificate has to name the host."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(ConnectionOptions):
    """What a Redis broker keeps, how long it waits, and how it connects."""

    prefix: str = option(
        "streamy",
        text("text without braces", lambda value: bool(value) and not set(value) & set("{}")),
        doc="What its keys and channels begin with.",
    )
    history: int = option(
        1_000,
        whole(1),
        doc="The newest entries of a stream that are kept, at least; up to an eighth more are.",
    )
    history_age: float = option(
        86_400.0,
        seconds(),
        doc="Seconds; older entries go when the stream is next written to, and all of them when it has not "
        "been written to for so long.",
    )
    stream_age: float = option(
        30 * 86_400.0,
        seconds(),
        doc="Seconds after which a stream that isn't written to is forgotten, its end too.",
    )
    key_age: float = option(300.0, seconds(), doc="Seconds for which an idempotency key is remembered.")
    wait_replicas: int = option(
        0, whole(), doc="Publishing succeeds only when so many replicas have the entry."
    )
    timeout: float = option(5.0, seconds(), doc="Seconds to wait for a connection or an answer.")
    max_connections: int = option(
        8, whole(1), doc="The most connections that are in use at once, beside those for bells."
    )
    client: Any = option(
        None,
        optional(instance((redis.Redis, redis.RedisCluster), "a redis.Redis or a redis.RedisCluster")),
        secret=True,
        doc="A client to share, in place of connections by the URL; it is left open when the broker closes.",
    )
    sentinel_username: str | None = option(None, _TEXT, doc="The sentinels' own login.")
    sentinel_password: str | None = option(None, _TEXT, secret=True, doc="And its password.")

    def __post_init__(self) -> None:
        if self.stream_age < self.history_age:
            raise ConfigError("redis option 'stream_age' can't be less than 'history_age'")

    def for_connections(self) -> dict[str, Any]:
        """Those that are handed on to redis-py."""
        found = {item.name: getattr(self, item.name) for item in fields(ConnectionOptions)}
        return {name: value for name, value in found.items() if value is not None}


def parse(url: str, options: Mapping[str, Any]) -> tuple[Address, Options]:
    """What the URL and the options say; options win. Raises ConfigError."""
    address, in_url = parse_url(url)
    given = {**in_url, **options_of(url), **options}
    parsed = parse_options(Options, given, "redis option {!r}".format)
    if address.kind == "cluster":
        if parsed.db:
            raise ConfigError(f"{address.shown!r}: a cluster has no database but 0")
        parsed = replace(parsed, db=None)
    return address, parsed
