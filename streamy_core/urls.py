"""Broker URLs: their scheme, their options, and a form of them that may be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .errors import ConfigError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|credential|auth|sig", re.IGNORECASE)
_PARAMETER = re.compile(r"([?&][^=&#]*=)[^&]*(?:&[^=&]*(?=&|$))*")
"""One of a query, with what follows it and is none: an & that should have been encoded."""
_TORN = re.compile(r"[?#]")
_HEAD = re.compile(r"(?:[^:/?#@]*:+)?//")
_HIDDEN = "***"


def scheme_of(url: str) -> str:
    """The URL's scheme in lower case. Raises ConfigError, which doesn't show it, if it has none."""
    found = _SCHEME.match(url)
    if not found:
        raise ConfigError("this is no broker URL: one starts with a scheme, as memory:// does")
    return found[1].lower()


def options_of(url: str) -> dict[str, str]:
    """What the URL's query says: `memory://?history=50` -> `{"history": "50"}`. Raises ConfigError."""
    try:
        parts = urlsplit(url)
    except ValueError:  # its text may hold the whole login
        raise ConfigError(f"{redact(url)!r} is no URL: percent-encode what is special in it") from None
    if "@" in parts.query + parts.fragment:  # a ? or # in a password ends the login, and errors would show it
        raise ConfigError(f"{redact(url)!r} can't be read: percent-encode what is special in it, @ as %40")
    return dict(parse_qsl(parts.query, keep_blank_values=True))


def redact(url: str) -> str:
    """The URL without its password and without the value of any secret-looking query parameter.

    What isn't a proper URL, with a password that should have been percent-encoded, must not leak
    either: so this isn't done by `urlsplit`, and rather hides too much.
    """
    head = _HEAD.match(url)
    start, at = head.end() if head else 0, url.rfind("@")
    if at > start:
        if _TORN.search(url, start, at):  # where the login ends, nobody knows
            return f"{url[:start]}{_HIDDEN}"
        if (colon := url.find(":", start, at)) >= 0:
            url = f"{url[:colon]}:{_HIDDEN}{url[at:]}"
    return _PARAMETER.sub(_hide_parameter, url)


def _hide_parameter(found: re.Match[str]) -> str:
    return f"{found[1]}{_HIDDEN}" if _SECRET_NAME.search(found[1]) else found[0]


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
