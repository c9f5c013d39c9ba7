"""`memory://`: streams in this process's memory, for development, tests and single-process apps.

Everything is bounded. Of a stream, the newest entries are kept, by count, bytes and age; of the
streams, those most recently written, by count and by bytes in all. A stream that is dropped leaves
a tombstone (its last id, and whether it has ended), so that its readers are told the truth when
they come back. When there are too many tombstones, the oldest go, and a cursor of a stream that
nothing is known of any more becomes a gap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamy_core.broker import BrokerFactory, ConfigError, hookimpl, options_of
from streamy_core.options import parse_options

from .broker import MemoryBroker
from .options import Limits

__all__ = ["Limits", "MemoryBroker", "from_url", "streamy_brokers"]


@hookimpl
def streamy_brokers() -> Mapping[str, BrokerFactory]:
    return {"memory": from_url}


def from_url(url: str, options: Mapping[str, Any]) -> MemoryBroker:
    """The broker for `memory://?history=50&history_age=60`; `options` win over the query."""
    if url.partition("?")[0].lower() != "memory://":
        raise ConfigError("memory:// has no host and no path: memory://?history=50")
    given = {**options_of(url), **options}
    return MemoryBroker(parse_options(Limits, given, "memory:// option {!r}".format))
