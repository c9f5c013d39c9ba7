"""The hook that a backend's plug-in implements (pluggy project and entry-point group `streamy`).

from streamy_core.broker import hookimpl

@hookimpl
def streamy_brokers():
    return {"nats": connect}      # connect(url, options) -> Broker
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pluggy

if TYPE_CHECKING:
    from .broker.interface import Broker

PROJECT: Final = "streamy"

BrokerFactory: TypeAlias = "Callable[[str, Mapping[str, Any]], Broker]"
"""Makes a broker of a URL and of `STREAMY_BROKER_OPTIONS`.

Import drivers in here, not in the plug-in's module, so that a missing one harms nobody else, and
raise ConfigError, naming the option, for one that is unknown or impossible. Should not connect.
"""

hookspec: Final = pluggy.HookspecMarker(PROJECT)
hookimpl: Final = pluggy.HookimplMarker(PROJECT)


@hookspec
def streamy_brokers() -> Mapping[str, BrokerFactory]:
    """The URL schemes that this plug-in serves, each with what makes its broker."""
    return {}
