"""Where the servers are, by a broker URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from streamy_core.broker import ConfigError, options_of, redact

_PORTS: Final = {"": 6379, "sentinel": 26379, "cluster": 6379}


@dataclass(frozen=True, slots=True)
class Address:
    """Where the servers are.

    shown:   the URL as it may be shown.
    kind:    "", "sentinel" or "cluster".
    hosts:   host and port of each; empty for a Unix socket.
    path:    the Unix socket's.
    service: the name under which sentinels know the primary.
    tls:     whether to encrypt.
    """

    shown: str
    kind: str = ""
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    tls: bool = False


def parse_url(url: str) -> tuple[Address, dict[str, Any]]:
    """The address, and the options that the URL has outside of its query. Raises ConfigError."""
    _refuse_a_torn_login(url)
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    shown, path = redact(url), unquote(parts.path).strip("/")
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    options = {"username": unquote(user), "password": unquote(password)}
    if scheme == "unix":
        if hosts or not path:
            raise ConfigError(f"{shown!r} names no socket: unix:///path/to/redis.sock")
        return Address(shown, kind, path=f"/{path}"), _given(options)
    service, db = "", path
    if kind == "sentinel":
        service, _, db = path.partition("/")
        if not service:
            raise ConfigError(f"{shown!r} names no service: redis+sentinel://host:26379/mymaster")
    found = tuple([_host(shown, text, _PORTS[kind]) for text in hosts.split(",")])
    if len(found) > 1 and not kind:
        raise ConfigError(f"{shown!r} names several servers: is it redis+cluster:// or redis+sentinel://?")
    address = Address(shown, kind, found, service=service, tls=scheme == "rediss")
    return address, _given({**options, "db": db})


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value}


def _refuse_a_torn_login(url: str) -> None:
    """A `/` in a password ends it for who reads the URL, who may show the rest."""
    options_of(url)  # which refuses what is no URL at all, and an @ anywhere else
    if "@" in urlsplit(url).path:
        raise ConfigError(f"{redact(url)!r} can't be read: percent-encode what is special in its login")


def _host(shown: str, text: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        return unquote(parts.hostname or "localhost"), parts.port or port
    except ValueError:
        raise ConfigError(f"{shown!r}: {redact(f'//{text}')[2:]!r} is no host:port") from None
