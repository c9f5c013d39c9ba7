"""Broker URLs: their scheme, their options, and a form of them that may be shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .errors import ConfigError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|credential", re.IGNORECASE)
_HIDDEN = "***"


def scheme_of(url: str) -> str:
    """The URL's scheme in lower case. Raises ConfigError if it has none."""
    found = _SCHEME.match(url)
    if not found:
        raise ConfigError(
            f"{redact(url)!r} is no broker URL: it starts with a scheme, like memory:// or redis://host"
        )
    return found[1].lower()


def options_of(url: str) -> dict[str, str]:
    """What the URL's query says: `memory://?history=50` -> `{"history": "50"}`."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def redact(url: str) -> str:
    """The URL without its password and without the value of any secret-looking query parameter."""
    # By hand and not by urlsplit: what isn't a proper URL must not leak its secret either.
    rest = re.sub(r"//[^/?#]*@", _hide_password, url, count=1)
    return re.sub(r"([?&])([^=&#]*)=([^&#]*)", _hide_parameter, rest)


def _hide_password(found: re.Match[str]) -> str:
    user, colon, _ = found[0][2:-1].partition(":")
    return f"//{user}:{_HIDDEN}@" if colon else found[0]


def _hide_parameter(found: re.Match[str]) -> str:
    value = _HIDDEN if _SECRET_NAME.search(found[2]) else found[3]
    return f"{found[1]}{found[2]}={value}"


def redact_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with every secret-looking value hidden."""
    return {name: _HIDDEN if _SECRET_NAME.search(name) else value for name, value in options.items()}
