"""`nats://host:4222?history=1000&prefix=streamy`: streams in NATS JetStream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamy_core.broker import Broker, hookimpl

from .options import Options


@hookimpl
def streamy_brokers() -> Mapping[str, Callable[[str, Mapping[str, Any]], Broker]]:
    """What Streamy finds this plug-in by."""
    return {"nats": from_url}


def from_url(url: str, options: Mapping[str, Any]) -> Broker:
    """The broker for this URL; options win over what the URL's query says. Connects to nothing yet."""
    from .broker import NatsBroker

    return NatsBroker(Options.of(url, options))
