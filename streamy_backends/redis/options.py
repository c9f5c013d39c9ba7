"""What may be set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import redis

from streamy_core.broker import ConfigError, options_of
from streamy_core.options import Kind, flag, instance, option, optional, parse_options, seconds, text, whole

from .address import Address, parse_url

_TEXT = optional(text())
_FILE = optional(text("the path of a file that is there", lambda path: Path(path).is_file()))
_FOLDER = optional(text("the path of a directory that is there", lambda path: Path(path).is_dir()))
_CERT_REQS = ("none", "optional", "required")


def _cert_reqs() -> Kind:
    """As redis-py takes it; written as Python's `ssl` does, too."""

    def accepts(value: Any) -> str:
        word = str(value).lower().removeprefix("cert_")
        if not isinstance(value, str) or word not in _CERT_REQS:
            raise ValueError
        return word

    return Kind(f"one of {', '.join(_CERT_REQS)}", accepts)


_TEN_YEARS: Final = 3650 * 86_400_000


class Kept(NamedTuple):
    """What is kept of a stream: entries, and milliseconds; 0 where nobody has said anything."""

    history: int
    history_age: int
    forget_after: int

    def __str__(self) -> str:
        return " ".join(map(str, self))

    @property
    def of_commands(self) -> Kept:
        """These, for ten years: a gap among commands would have everybody disconnected."""
        return self._replace(forget_after=_TEN_YEARS)

    def otherwise(self, text: str) -> Kept:
        """These, and where they say nothing those that this text has, if it is one of ours."""
        found = re.fullmatch(r"(\d{1,15}) (\d{1,15}) (\d{1,15})", text, re.ASCII)
        others = map(int, found.groups()) if found else (0, 0, 0)
        return Kept(*[own or other for own, other in zip(self, others, strict=True)])


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionOptions:
    """What is handed on to redis-py's connections, if it is given."""

    username: str | None = option(None, _TEXT, doc="The login's name.")
    password: str | None = option(None, _TEXT, secret=True, doc="The login's password.")
    db: int | None = option(None, optional(whole()), doc="The database's number.")
    client_name: str | None = option(None, _TEXT, doc="What the server calls its connections.")
    ssl_cert_reqs: str | None = option(
        None,
        optional(_cert_reqs()),
        doc="Whether the server's certificate is checked: `required`, or `none`, which trusts anybody.",
    )
    ssl_ca_certs: str | None = option(None, _FILE, doc="A file of certificates to trust.")
    ssl_ca_path: str | None = option(None, _FOLDER, doc="A directory of them.")
    ssl_certfile: str | None = option(None, _FILE, doc="The file of the client's own certificate.")
    ssl_keyfile: str | None = option(None, _FILE, doc="The file of its key.")
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
    history: int | None = option(
        None,
        optional(whole(1, 2**31 - 1)),
        doc="The newest entries of a stream that are kept, at least; up to an eighth more are. `None`: what "
        "others have said of it, or 1,000.",
    )
    history_age: float | None = option(
        None,
        optional(seconds()),
        doc="Seconds; older entries go when the stream is next written to, and all of them when it has not "
        "been written to for so long. `None`: likewise, or 86,400, a day.",
    )
    forget_after: float | None = option(
        None,
        optional(seconds()),
        doc="Seconds after which a stream that isn't written to is forgotten, its end too. `None`: likewise, "
        "or 2,592,000, 30 days.",
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
        if self.forget_after is not None and self.forget_after < (self.history_age or 0):
            raise ConfigError("redis option 'forget_after' can't be less than 'history_age'")

    @property
    def declared(self) -> Kept:
        """What this process says of what is kept."""
        ages = [round((age or 0.0) * 1_000) for age in (self.history_age, self.forget_after)]
        return Kept(self.history or 0, *ages)

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
