"""How keys and channels are named.

All of one stream's have its name in braces, so that a cluster keeps them on one node (Redis cluster
specification, hash tags). What would end or empty the braces is encoded, so that no two names meet.
"""

from __future__ import annotations

from typing import Final, NamedTuple

_CODES: Final = {"%": "%25", "{": "%7B", "}": "%7D"}
_ENCODED: Final = str.maketrans(_CODES)


class Names(NamedTuple):
    """The names in use under one prefix."""

    prefix: str

    @property
    def epoch(self) -> str:
        """The key of the epoch that new streams get."""
        return f"{self.prefix}:epoch"

    def state(self, stream_id: str) -> str:
        """The key of a stream's hash."""
        return f"{self._base(stream_id)}:state"

    def log(self, stream_id: str) -> str:
        """The key of a stream's entries."""
        return f"{self._base(stream_id)}:log"

    def key(self, stream_id: str, idempotency_key: str) -> str:
        """The key that remembers what an append with this idempotency key has stored."""
        return f"{self._base(stream_id)}:key:{idempotency_key}"

    def bell(self, stream_id: str) -> str:
        """The channel of a stream's bell."""
        return f"{self._base(stream_id)}:bell"

    @property
    def all_states(self) -> str:
        """The pattern of all streams' hashes (SCAN, glob-style)."""
        prefix = "".join(f"\\{char}" if char in "*?[]\\^-" else char for char in self.prefix)
        return f"{prefix}:{{*}}:state"

    def stream_of(self, state: str) -> str:
        """The stream whose hash has this key."""
        name = state[len(self.prefix) + 2 : -len("}:state")]
        for char, code in reversed(_CODES.items()):
            name = name.replace(code, char)
        return name

    def _base(self, stream_id: str) -> str:
        return f"{self.prefix}:{{{stream_id.translate(_ENCODED)}}}"
