"""What is known of keys that came lately: of so many at most, whatever keys come."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections import OrderedDict
from hashlib import blake2b
from typing import Final, Generic, TypeVar

MOST_KEYS: Final = 10_000

_DIGEST: Final = 12
"""Bytes: too many to find another key for the same digest."""

T = TypeVar("T")


class Recent(Generic[T]):
    """A value for each key, as long as no `most` others were given one since. Not for several threads.

    Keys are kept as digests, which are of one size.
    """

    def __init__(self, most: int = MOST_KEYS) -> None:
        self._most = most
        self._values: OrderedDict[str, T] = OrderedDict()

    def get(self, key: str) -> T | None:
        """The key's value; None if it has none, or none any more."""
        return self._values.get(digest_of(key))

    def put(self, key: str, value: T) -> None:
        """Give the key this value."""
        digest = digest_of(key)
        self._values[digest] = value
        self._values.move_to_end(digest)
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def __len__(self) -> int:
        return len(self._values)


def digest_of(key: str) -> str:
    """What stands for a key: 16 characters, from which the key can't be read."""
    digest = blake2b(key.encode("utf-8", "surrogatepass"), digest_size=_DIGEST)
    return urlsafe_b64encode(digest.digest()).decode("ascii")
