"""What the errors of redis-py, and of the servers, mean: one table.

Servers: https://redis.io/docs/latest/develop/reference/protocol-spec/, section "Simple errors", and the
pages of "ACL", "Replication" and "Cluster specification". An error of a script begins with the script's
own words on some versions, so that what the server said stands anywhere in the text.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager
from enum import Enum, auto
from typing import Final, NamedTuple

from redis.exceptions import AuthenticationError, RedisError, ResponseError

from streamy_core.broker import BrokerUnavailable, ConfigError


class Meaning(Enum):
    """What comes of an error."""

    PASSING = auto()
    """Trying again may help."""
    REFUSAL = auto()
    """The server takes no writes, and nothing was written: the endpoint may lead to another by now."""
    OPENING = auto()
    """At start it is the set-up that is wrong; later it may pass, as while a password is changed."""
    SETUP = auto()
    """Somebody has to change something."""


class Fault(NamedTuple):
    """What an error means, and what mends it, or an empty text."""

    meaning: Meaning
    cure: str = ""


_RIGHTS: Final = "the user needs more rights: `ACL SETUSER … {}`, with your prefix in place of streamy"
TO_RING: Final = _RIGHTS.format("&streamy:* +publish +subscribe +unsubscribe")
"""What mends it that a bell can't be rung, or heard."""
_RENAMED: Final = "take `rename-command` for what Streamy needs out of the server's configuration"
_CERTIFICATE: Final = (
    "give ssl_ca_certs the file of certificates that signs the server's, and name the host as that does"
)
_LOGIN: Final = r"WRONGPASS|NOAUTH|username-password pair|AuthenticationError"

_RULES: Final = (
    (Meaning.REFUSAL, r"READONLY|ReadOnlyError", ""),
    (Meaning.SETUP, r"permissions.* channel", TO_RING),
    (Meaning.SETUP, r"permissions.* key|script can't access", _RIGHTS.format("~streamy:*")),
    (
        Meaning.SETUP,
        r"NOPERM|NoPermission|no permissions|script can't run",
        _RIGHTS.format("+@read +@write +@scripting +@pubsub +@connection +info +time"),
    ),
    (Meaning.SETUP, r"[Uu]nknown (Redis |Valkey )?command|Invalid command passed to", _RENAMED),
    (Meaning.OPENING, r"CERTIFICATE_VERIFY_FAILED|certificate verify failed", _CERTIFICATE),
    (Meaning.OPENING, r"CERTIFICATE_REQUIRED|certificate required", "give ssl_certfile and ssl_keyfile"),
    (Meaning.OPENING, _LOGIN, ""),
    (Meaning.OPENING, r"luster mode is not enabled", "its URL begins with redis://"),
    (Meaning.PASSING, r"BUSY|TRYAGAIN|MASTERDOWN|CLUSTERDOWN|LOADING|NOREPLICAS|MISCONF|OOM", ""),
    (Meaning.PASSING, r"Busy|TryAgain|MasterDown|ClusterDown|OutOfMemory", ""),
)


def meaning_of(error: RedisError) -> Fault:
    """What it means. By the text: redis-py wraps what nodes have said, or has a type for it."""
    text = _text(error)
    for meaning, words, cure in _RULES:
        if re.search(words, text):
            return Fault(meaning, cure)
    if isinstance(error, ResponseError | AuthenticationError):
        return Fault(Meaning.OPENING)
    return Fault(Meaning.PASSING)


def is_login(error: RedisError) -> bool:
    """Whether the server has refused the login."""
    return re.search(_LOGIN, _text(error)) is not None


def error_of(doing: str, error: RedisError) -> BrokerUnavailable | ConfigError:
    """What is raised for it: "could not {doing}: …"."""
    meaning, cure = meaning_of(error)
    text = f"could not {doing}: {_text(error)}"
    if meaning is Meaning.SETUP:
        return ConfigError(f"{text}: {cure}")
    return BrokerUnavailable(f"{text}: {cure}" if cure else text)


@contextmanager
def faults(doing: str) -> Generator[None]:
    """Every fault of the driver's or the server's as one of ours."""
    try:
        yield
    except RedisError as error:
        raise error_of(doing, error) from error


def _text(error: RedisError) -> str:
    return f"{type(error).__name__}: {error}"
