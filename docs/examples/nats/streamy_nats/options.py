"""What may be set, and what a broker URL says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Self
from urllib.parse import urlsplit

from streamy_core import ConfigError
from streamy_core.broker import options_of

_KNOWN = {"history": int, "prefix": str, "timeout": float, "connect": dict}
_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Options:
    """What a NATS broker keeps, and how patient it is.

    server:  `nats://login@host:port`.
    prefix:  the name of the JetStream stream that holds everything, and what its subjects begin with.
    history: the newest entries of a stream that are kept, at least; up to twice as many are.
    timeout: seconds after which a call, or a connection without a sign of life, is given up.
    connect: handed on to `nats.connect`: `tls`, `user_credentials` and the like.
    """

    server: str = field(repr=False)
    prefix: str = "streamy"
    history: int = 1_000
    timeout: float = 5.0
    connect: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, url: str, options: Mapping[str, Any]) -> Self:
        """What URL and options say. Raises ConfigError, naming the option, for what is impossible."""
        given = {**options_of(url), **options}
        if unknown := given.keys() - _KNOWN:
            raise ConfigError(f"nats:// has no option {min(unknown)!r}; it has {', '.join(_KNOWN)}")
        made: dict[str, Any] = {}
        for name, value in given.items():
            try:
                made[name] = _KNOWN[name](value)
            except (TypeError, ValueError):
                raise ConfigError(f"nats:// option {name} is {_KNOWN[name].__name__}") from None
        parts = urlsplit(url)
        try:
            found = bool(parts.hostname) and parts.port != 0
        except ValueError:
            found = False
        if not found:
            raise ConfigError("nats:// needs a host, and a port that is a number: nats://localhost:4222")
        return cls(f"nats://{parts.netloc}", **made)

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ConfigError("nats:// option prefix is 1 to 64 of A-Z, a-z, 0-9, _ and -")
        if self.history < 1:
            raise ConfigError("nats:// option history is above 0")
        if not (isfinite(self.timeout) and self.timeout > 0):
            raise ConfigError("nats:// option timeout is a number of seconds above 0")
