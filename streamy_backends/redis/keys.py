"""How keys and channels are named.

All of one stream's have its name in braces, so that a cluster keeps them on one node (Redis cluster
specification, hash tags). What would end or empty the braces is encoded, so that no two names meet.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

_CODES: Final = {"%": "%25", "{": "%7B", "}": "%7D"}
_ENCODED: Final = str.maketrans(_CODES)
# None ends like another kind's name; a backslash stands for what has no UTF-8 form.
_KEY_ENCODED: Final = str.maketrans({"%": "%25", ":": "%3A", "\\": "%5C"})


class Keys(NamedTuple):
    """The keys and channels in use under one prefix."""

    prefix: str

    @property
    def epoch(self) -> str:
        """The key of the epoch that new streams get."""
        return f"{self.prefix}:epoch"

    @property
    def kept(self) -> str:
        """The key of what is kept of streams of which their publishers say nothing."""
        return f"{self.prefix}:kept"

    def state(self, stream_id: str) -> str:
        """The key of a stream's state."""
        return f"{self._base(stream_id)}:state"

    def for_read(self, stream_id: str) -> tuple[str, str]:
        """The keys of a stream's state and of its log."""
        base = self._base(stream_id)
        return f"{base}:state", f"{base}:log"

    def for_append(self, stream_id: str, idempotency_key: str) -> tuple[str, str, str]:
        """The same, and the key that remembers what was stored under this idempotency key."""
        base, key = self._base(stream_id), _encoded(idempotency_key)
        return f"{base}:state", f"{base}:log", f"{base}:key:{key}"

    def for_append_to_many(self, stream_ids: Iterable[str], idempotency_key: str) -> list[str]:
        """Those of each of these streams, in turn."""
        key = _encoded(idempotency_key)
        keys: list[str] = []
        for stream_id in stream_ids:
            base = self._base(stream_id)
            keys += f"{base}:state", f"{base}:log", f"{base}:key:{key}"
        return keys

    def channel(self, stream_id: str) -> str:
        """The channel of a stream's bell."""
        return f"{self._base(stream_id)}:bell"

    @property
    def all_states(self) -> str:
        """The pattern of all streams' states (SCAN, glob-style)."""
        prefix = "".join(f"\\{char}" if char in "*?[]\\^-" else char for char in self.prefix)
        return f"{prefix}:{{*}}:state"

    def stream_of(self, state: str) -> str:
        """The stream whose state has this key."""
        name = state[len(self.prefix) + 2 : -len("}:state")]
        for char, code in reversed(_CODES.items()):
            name = name.replace(code, char)
        return name

    def _base(self, stream_id: str) -> str:
        return f"{self.prefix}:{{{stream_id.translate(_ENCODED)}}}"


def _encoded(idempotency_key: str) -> str:
    return idempotency_key.translate(_KEY_ENCODED).encode(errors="backslashreplace").decode()
