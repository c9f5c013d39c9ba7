"""Origins of pages, as browsers say them: checked, and compared as they are spelled."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from .errors import ConfigError
from .exact import exact_text

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
_HOST: Final = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")

_ANY: Final = (
    "'*' is no origin: any site's pages could read what your visitors' cookies open. Name the origins; for a "
    "stream that is public, say headers={'Access-Control-Allow-Origin': '*'} in get_stream"
)
_NULL: Final = (
    "'null' is what browsers say for pages whose origin is hidden, in sandboxed frames and files, whosever "
    "they are: serve the page from an origin of yours, and name that"
)


def check_origins(given: object) -> tuple[str, ...]:
    """The origins that these are: one, or a collection. Raises ConfigError, which says what is right."""
    found: Any = given
    if (text := exact_text(given)) is not None:
        return (check_origin(text),)
    if isinstance(given, bytes | Mapping) or not isinstance(given, Collection):
        raise ConfigError(f"origins are a list of texts such as ['https://app.example'], not {_shown(found)}")
    return tuple(dict.fromkeys(check_origin(item) for item in found))


def check_origin(given: object) -> str:
    """The text, if it is an origin as browsers say it in `Origin` (WHATWG HTML section 7.1.1).

    A scheme, a host, and a port unless it is the scheme's own: in small letters, and nothing behind.

    Raises ConfigError, which says what would be right.
    """
    text = exact_text(given)
    if text is None:
        raise ConfigError(f"an origin is text such as 'https://app.example', not {_shown(given)}")
    if text in ("*", "null"):
        raise ConfigError(_ANY if text == "*" else _NULL)
    if "*" in text:
        raise ConfigError(f"{_shown(text)} is no origin: each is named by itself, without any '*'")
    if not text.isascii():
        raise ConfigError(
            f"{_shown(text)} is no origin as browsers say it: they spell a host in ASCII (xn--…). Look at "
            "`location.origin` in the console of the page's browser, and write that"
        )
    right = _origin_of(text if "://" in text else f"https://{text.lstrip('/')}")
    if right is None:
        raise ConfigError(f"{_shown(text)} is no origin: one is spelled like 'https://app.example'")
    if right != text:
        raise ConfigError(f"{_shown(text)} is no origin as browsers say it: write {right!r}")
    return text


def is_of_host(origin: str, host: str) -> bool:
    """Whether an origin is of this host, as a `Host` field names it.

    The scheme isn't asked, which a proxy may have changed, and the port only where the field has one:
    many proxies leave it out.
    """
    parts, at = _split(origin), _split(f"//{host.strip()}")
    if parts is None or at is None or not parts.hostname or parts.hostname != at.hostname:
        return False
    return at.port in (None, parts.port) or (parts.port is None and at.port in _DEFAULT_PORTS.values())


def _origin_of(url: str) -> str | None:
    """The origin of an address; None if it has none."""
    parts = _split(url)
    if parts is None or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if not (_SCHEME.fullmatch(parts.scheme) and _HOST.fullmatch(host)):
        return None
    port = "" if parts.port in (None, _DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is none
    except ValueError:
        return None
    return parts


def _shown(given: object) -> str:
    return f"{given!r:.100}"
