"""Broker URLs: their scheme, their options, and a form of them that may be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from .errors import ConfigError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_ADDRESS = re.compile(r"(?:[\w.-]+|\[[\w:]+\]):(\d{1,5})(?:/\w*)?", re.ASCII)
_PORTS = {"3306": "mysql", "5432": "postgresql", "6379": "redis"}
_SECRET = "pass|pwd|secret|token|key|credential|auth|sig|user|login"
_SECRET_NAME = re.compile(_SECRET, re.IGNORECASE)
_SECRET_WITHIN = re.compile(rf"(?:{_SECRET})\w*\s*=", re.IGNORECASE)
"""A secret in the value of another parameter: where others have an &, JDBC has a semicolon."""
_PARAMETER = re.compile(r"([?&][^=&#]*=)[^&]*(?:&[^=&]*(?=&|$))*")
"""One of a query, with what follows it and is none: an & that should have been encoded."""
_TORN = re.compile(r"[?#]")
_HOSTS_END = re.compile(r"[/?#]")
_HEAD = re.compile(r"(?:[^:/?#@]*:+)?//")
_FILE = re.compile(r"(?:sqlite|unix)\b[^/]*:///", re.IGNORECASE)
_NO_PORT = re.compile(r"(?:^|,)(?:\[[^\]]*\]|[^:,\[]*):(?!\d{0,5}(?:,|$))", re.ASCII)
_HIDDEN = "***"


def scheme_of(url: str) -> str:
    """The URL's scheme in lower case. Raises ConfigError, which doesn't show it, if it has none."""
    if address := _ADDRESS.fullmatch(url):
        scheme = _PORTS.get(address[1], "redis")
        raise ConfigError(f"this is no broker URL, but an address alone: put {scheme}:// in front of it")
    found = _SCHEME.match(url)
    if not found:
        raise ConfigError("this is no broker URL: one starts with a scheme, as memory:// does")
    if (rest := url[found.end() :]) and not rest.startswith(("//", "?")):
        raise ConfigError(
            "in a broker URL, // follows the scheme: redis://localhost:6379, sqlite:///beside.db, "
            "sqlite:////with/an/absolute/path.db"
        )
    return found[1].lower()


def options_of(url: str) -> dict[str, str]:
    """What the URL's query says: `memory://?history=50` -> `{"history": "50"}`. Raises ConfigError."""
    try:
        parts = urlsplit(url)
    except ValueError:  # its text may hold the whole login
        raise ConfigError(f"{redact(url)!r} is no URL: percent-encode what is special in it") from None
    if "@" in parts.query + parts.fragment:  # a ? or # in a password ends the login, and errors would show it
        raise ConfigError(f"{redact(url)!r} can't be read: percent-encode what is special in it, @ as %40")
    _refuse_a_torn_secret(parts.query)
    return dict(parse_qsl(parts.query, keep_blank_values=True))


def _refuse_a_torn_secret(query: str) -> None:
    """An & or ; in a password begins another parameter, which errors would show; so these show none."""
    for part in query.split("&"):
        if part and "=" not in part:
            raise ConfigError(
                "a parameter of a broker URL lacks its =: percent-encode an & that is in one, as %26"
            )
        if any(_SECRET_NAME.search(unquote_plus(more.partition("=")[0])) for more in part.split(";")[1:]):
            raise ConfigError("parameters of a broker URL are separated by &, and not by ;")


def redact(url: str) -> str:
    """The URL without its password and without the value of any secret-looking query parameter.

    A user name is shown beside a password alone: without one, as in `nats://token@host`, it may be a
    token. Nor is shown what stands in a port's place and is none: half of a login whose host is missing;
    and what follows it.

    What isn't a proper URL, with a password that should have been percent-encoded, must not leak
    either: so this isn't done by `urlsplit`, and rather hides too much.
    """
    head = _HEAD.match(url)
    start, at = head.end() if head else 0, url.rfind("@")
    if at > start and not (_FILE.match(url) and _is_path(url[start:at])):
        if _TORN.search(url, start, at):  # where the login ends, nobody knows
            return f"{url[:start]}{_HIDDEN}"
        url = f"{url[:start]}{_redact_login(url[start:at])}{url[at:]}"
    return _PARAMETER.sub(_hide_parameter, _redact_port(url, start) if head else url)


def _is_path(text: str) -> bool:
    return text.startswith("/") and ":" not in text


def _redact_login(login: str) -> str:
    user, _, password = login.partition(":")
    return f"{user}:{_HIDDEN}" if password and "@" not in user else _HIDDEN


def _redact_port(url: str, start: int) -> str:
    end = start + len(_HOSTS_END.split(url[start:], maxsplit=1)[0])
    hosts = url.rfind("@", start, end) + 1 or start
    found = _NO_PORT.search(url[hosts:end])
    return f"{url[: hosts + found.end()]}{_HIDDEN}" if found else url


def _hide_parameter(found: re.Match[str]) -> str:
    name, value = unquote_plus(found[1]), unquote_plus(found[0][len(found[1]) :])
    hides = _SECRET_NAME.search(name) or _SECRET_WITHIN.search(value)
    return f"{found[1]}{_HIDDEN}" if hides else found[0]


def redact_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with every secret-looking value hidden, at any depth."""
    return {
        name: _HIDDEN if _SECRET_NAME.search(str(name)) else _redact_value(value)
        for name, value in options.items()
    }


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    given: Any = value
    if isinstance(value, Mapping):
        return redact_options(given)
    if isinstance(value, list | tuple):
        return [_redact_value(item) for item in given]
    return value
