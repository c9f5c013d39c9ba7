"""`redis://`, `rediss://`, `unix://`, also with `+sentinel` or `+cluster`: streams in Redis or Valkey.

Needs the extra `redis`. Each stream is a Redis stream whose ids are Streamy's own sequence, and a
small text that says where it begins, where it is, and whether it has ended. Everything that changes
a stream is one script on the server, so that it happens whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from streamy_core.broker import BrokerFactory, hookimpl

if TYPE_CHECKING:
    from .broker import RedisBroker

SCHEMES = (
    "redis", "rediss", "unix",
    "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster",
)  # fmt: skip


@hookimpl
def streamy_brokers() -> Mapping[str, BrokerFactory]:
    return dict.fromkeys(SCHEMES, from_url)


def from_url(url: str, options: Mapping[str, Any]) -> RedisBroker:
    """The broker for `redis://localhost:6379/0?history=5000`; `options` win over the query.

    Raises ConfigError for a URL or an option that can't be, and for a server that lacks what is
    needed or refuses the login. One that can't be reached may come later: that is logged.
    """
    # Here, because whoever uses another backend has no driver for this one.
    from .broker import RedisBroker
    from .options import parse  # pyright: ignore[reportAssignmentType] - the argument is no module

    broker = RedisBroker(*parse(url, options))
    broker.check()
    return broker
