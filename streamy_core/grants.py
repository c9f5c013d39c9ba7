"""Signed rights to read streams: who was given what, how far back, and until when.

A grant is a JSON list, signed by itsdangerous with the app's SECRET_KEY. It is no session and no login: it
lets whoever holds it read these streams until it expires, and do nothing else.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self

from itsdangerous import BadData, BadSignature, URLSafeSerializer
from itsdangerous.encoding import base64_decode, base64_encode

from .engine.streams import names_of
from .errors import ConfigError, InvalidStreamId
from .exact import exact_number, exact_text
from .kinds import MAX_SECONDS
from .starts import Floor, Last, Now, Since

PARAMETER: Final = "grant"
"""The name that a grant has in a URL's query."""

_VERSION: Final = 1
_MICRO: Final = 1_000_000
_SALT: Final = "streamy.grant."
_CLOCKS_DIFFER: Final = 5.0
"""Seconds by which the clocks of those who grant and of those who serve may differ: by so much, a grant may
also outlast a `disconnect` that comes right after it."""


class Refusal(StrEnum):
    """Why a request isn't granted what it asks for. Only the log is told."""

    MISSING = "it has no grant"
    EXPIRED = "its grant has expired"
    UNSIGNED = "its grant isn't signed by this app for this manager"
    FOREIGN = "its grant isn't one of this release"
    FUTURE = "its grant is of the future: clocks of machines differ by more than 5 seconds"
    OTHER_KEY = "its grant is for another key"
    REVOKED = "its grant was given before `disconnect` was called for it"


class Refused(Exception):
    """A request is refused. reason: why."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Grant:
    """A right to read streams.

    streams: their ids.
    key:     whom it was given to; None: whoever holds it.
    expires: when it ends.
    floor:   how far back it reaches: a cursor, `Last(n)` or `Since(s)`; None: as far as entries are kept.
    issued:  when it was given.
    """

    streams: tuple[str, ...]
    key: str | None
    expires: datetime
    floor: Floor | None = None
    issued: datetime = datetime.fromtimestamp(0, UTC)

    @classmethod
    def give(cls, streams: Sequence[str], key: str | None, seconds: float, floor: Floor | None) -> Self:
        """One that ends in so many seconds. floor: no `NOW`, which only says something at one moment."""
        now = time.time()
        return cls(tuple(streams), key, _moment(now + seconds), floor, _moment(now))

    def fields(self) -> list[Any]:
        """What is signed."""
        issued = round(self.issued.timestamp() * _MICRO)
        lifetime = round((self.expires - self.issued).total_seconds() * 1000)
        return [_VERSION, list(self.streams), self.key, issued, lifetime, _told(self.floor)]

    @classmethod
    def of(cls, fields: Any) -> Self:
        """The grant that was signed. Raises ValueError, TypeError, InvalidStreamId for what is none."""
        version, streams, key, issued, lifetime, floor = fields
        if version != _VERSION or not isinstance(fields[1], list) or not isinstance(key, str | None):
            raise ValueError
        given = int(issued) / _MICRO
        ends = _moment(given + int(lifetime) / 1000)
        return cls(tuple(names_of(streams)), key, ends, _floor(floor), _moment(given))


class Granter:
    """Signs grants of one manager in one app, and reads them. Any thread.

    config: the app's. Raises ConfigError without a SECRET_KEY.
    """

    def __init__(self, config: Mapping[str, Any], manager: str) -> None:
        keys: Any = _keys(config)
        self._serializer = URLSafeSerializer(
            keys,
            salt=_SALT + manager,
            serializer=_Canonical,
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )

    def sign(self, grant: Grant) -> str:
        """The grant as text, which may stand in a URL."""
        signed: str | bytes = self._serializer.dumps(grant.fields())
        return signed if isinstance(signed, str) else signed.decode()

    def read(self, signed: str | None, key: str | None) -> Grant:
        """The grant that a request has brought. Raises Refused.

        key: whom it has to be for; None: that isn't asked.
        """
        if not signed:
            raise Refused(Refusal.MISSING)
        try:
            fields = self._serializer.loads(_spelled_right(signed))
        except (BadData, ValueError):
            raise Refused(Refusal.UNSIGNED) from None
        try:
            grant = Grant.of(fields)
        except (ValueError, TypeError, OverflowError, InvalidStreamId):
            raise Refused(Refusal.FOREIGN) from None
        now = time.time()
        if grant.issued.timestamp() > now + _CLOCKS_DIFFER:
            raise Refused(Refusal.FUTURE)
        if grant.expires.timestamp() <= now:
            raise Refused(Refusal.EXPIRED)
        if key is not None and grant.key != key:
            raise Refused(Refusal.OTHER_KEY)
        return grant


class _Canonical:
    """JSON text that is the same for the same values, and as short as it can be."""

    @staticmethod
    def dumps(value: Any) -> str:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        # A key may be any text: what UTF-8 has no bytes for is escaped.
        return text.encode(errors="backslashreplace").decode()

    @staticmethod
    def loads(text: str | bytes) -> Any:
        return json.loads(text)


def check_lifetime(seconds: object) -> float:
    """For how long a grant is given. Raises ValueError."""
    number = None if isinstance(seconds, str) else exact_number(seconds)
    if number is None or not 0 < number <= MAX_SECONDS:
        raise ValueError(f"expires is a number of seconds above 0, and at most 24 days, not {seconds!r:.100}")
    return number


def _spelled_right(signed: str) -> str:
    """The text, if its signature is spelled as this module does: Base64 leaves room for others."""
    signature = signed.rpartition(".")[2]
    if base64_encode(base64_decode(signature)).decode() != signature:
        raise BadSignature("another spelling")
    return signed


def _keys(config: Mapping[str, Any]) -> list[str | bytes]:
    """The oldest first: the last one signs."""
    secret = config.get("SECRET_KEY")
    if not secret or not isinstance(secret, str | bytes):
        raise ConfigError(
            "grants are signed with the app's SECRET_KEY, which is not set, or no text: "
            "app.config['SECRET_KEY'] = …, as `python -c 'import secrets; print(secrets.token_hex())'` makes "
            "one"
        )
    older = config.get("SECRET_KEY_FALLBACKS") or ()
    if isinstance(older, str | bytes) or not all(isinstance(key, str | bytes) for key in older):
        raise ConfigError("SECRET_KEY_FALLBACKS is a list of earlier keys: app.config[…] = ['…']")
    return [*filter(None, older), secret]  # an empty one would have anybody sign


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _told(floor: Floor | None) -> Any:
    if isinstance(floor, Last):
        return ["last", floor.count]
    if isinstance(floor, Since):
        return ["since", floor.seconds]
    if isinstance(floor, Now):
        raise TypeError("NOW is the cursor of the moment in which it is said")
    return floor


def _floor(told: Any) -> Floor | None:
    if told is None or isinstance(told, str):
        return exact_text(told)
    kind, number = told
    kinds: dict[Any, Any] = {"last": Last, "since": Since}
    if kind not in kinds:
        raise ValueError
    found: Floor = kinds[kind](number)
    return found
