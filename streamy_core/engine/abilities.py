"""What only some brokers can do: the broker as one that can, or the error that says what it lacks."""

from __future__ import annotations

from ..broker import AppendsLast, AppendsWithin, Broker, EndsWithin
from ..errors import ConfigError


def that_appends_last(broker: Broker) -> AppendsLast:
    """One that can decide what a run's end is. Raises ConfigError."""
    if isinstance(broker, AppendsLast):
        return broker
    raise ConfigError(
        f"{type(broker).__name__} can't be used for runs: it has no append_last, by which a log decides how "
        "a run ends (see AppendsLast in streamy_core.broker)"
    )


def that_appends_within(broker: Broker) -> AppendsWithin:
    """One that can publish within an app's transaction. Raises ConfigError."""
    if isinstance(broker, AppendsWithin):
        return broker
    raise _no_transactions(broker, "publish")


def that_ends_within(broker: Broker) -> EndsWithin:
    """One that can end a stream within an app's transaction. Raises ConfigError."""
    if isinstance(broker, EndsWithin):
        return broker
    raise _no_transactions(broker, "end a stream")


def _no_transactions(broker: Broker, what: str) -> ConfigError:
    return ConfigError(
        f"{type(broker).__name__} can't {what} within a transaction: session= is for a "
        "backend that keeps streams in the app's database, like postgresql: or sqlite:"
    )
