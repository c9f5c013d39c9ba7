"""What may be set, and what a broker URL says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from streamy_core.broker import ConfigError, options_of
from streamy_core.options import mapping, option, parse_options, seconds, text, whole

_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a NATS broker keeps, and how it connects."""

    prefix: str = option(
        "streamy",
        text("1 to 64 of A-Z, a-z, 0-9, _ and -", lambda value: bool(_PREFIX.fullmatch(value))),
        doc="The name of the JetStream stream that holds everything, and what its subjects begin with.",
    )
    history: int = option(
        1_000,
        whole(1),
        doc="The newest entries of a stream that are kept, at least; up to twice as many are.",
    )
    timeout: float = option(
        5.0,
        seconds(),
        doc="Seconds after which a call, or a connection without a sign of life, is given up.",
    )
    connect: Mapping[str, Any] = option(
        dict,
        mapping(),
        secret=True,
        doc="Handed on to `nats.connect`: `tls`, `user_credentials` and the like.",
    )


def parse(url: str, options: Mapping[str, Any]) -> tuple[str, Options]:
    """The server's URL, and what else this one and the options say; options win. Raises ConfigError."""
    given = {**options_of(url), **options}
    parts = urlsplit(url)
    try:
        found = bool(parts.hostname) and parts.port != 0
    except ValueError:
        found = False
    if not found:
        raise ConfigError("nats:// needs a host, and a port that is a number: nats://localhost:4222")
    return f"nats://{parts.netloc}", parse_options(Options, given, "nats:// option {!r}".format)
