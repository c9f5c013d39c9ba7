"""The options of `memory://`."""

from __future__ import annotations

from dataclasses import dataclass

from streamy_core.options import option, seconds, whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a memory broker keeps."""

    history: int = option(1_000, whole(1), doc="The newest entries of a stream.")
    history_bytes: int = option(
        4 * 2**20, whole(1), doc="Bytes of a stream's data; its newest entry stays, however large."
    )
    history_age: float = option(3_600.0, seconds(), doc="Seconds.")
    streams: int = option(
        10_000, whole(1), doc="Streams with entries; beyond, the one idle for longest is dropped."
    )
    total_bytes: int = option(256 * 2**20, whole(1), doc="Bytes of data in all; beyond, likewise.")
    tombstones: int = option(100_000, whole(1), doc="Dropped streams that are remembered.")
    keys: int = option(1_000, whole(1), doc="Idempotency keys remembered for one stream.")
