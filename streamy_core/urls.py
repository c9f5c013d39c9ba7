"""Broker URLs: their scheme, their options, and a form of them that may be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .errors import ConfigError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|credential|auth|sig", re.IGNORECASE)
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
        query = urlsplit(url).query
    except ValueError:  # its text may hold the whole login
        raise ConfigError(f"{redact(url)!r} is no URL: percent-encode what is special in it") from None
    return dict(parse_qsl(query, keep_blank_values=True))


def redact(url: str) -> str:
    """The URL without its password and without the value of any secret-looking query parameter."""
    # Not by urlsplit, and rather too much than too little: from the first colon to the last @.
    # What isn't a proper URL, with a password that should have been encoded, must not leak either.
    head = re.match(r"[^:/?#@]*:*//", url)
    start, end = head.end() if head else 0, url.rfind("@")
    if (colon := url.find(":", start, max(end, 0))) >= 0:
        url = f"{url[:colon]}:{_HIDDEN}{url[end:]}"
    return re.sub(r"([?&])([^=&#]*)=([^&]*)", _hide_parameter, url)


def _hide_parameter(found: re.Match[str]) -> str:
    value = _HIDDEN if _SECRET_NAME.search(found[2]) else found[3]
    return f"{found[1]}{found[2]}={value}"


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
