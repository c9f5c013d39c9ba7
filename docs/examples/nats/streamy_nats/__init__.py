"""`nats://host:4222?history=1000&prefix=streamy`: streams in NATS JetStream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamy_core.broker import Broker, BrokerFactory, hookimpl


@hookimpl
def streamy_brokers() -> Mapping[str, BrokerFactory]:
    """What Streamy finds this plug-in by."""
    return {"nats": from_url}


def from_url(url: str, options: Mapping[str, Any]) -> Broker:
    """The broker for this URL; options win over what the URL's query says. Connects to nothing yet."""
    # Here, because whoever uses another backend has no driver for this one.
    from .broker import NatsBroker
    from .options import parse

    return NatsBroker(*parse(url, options))
