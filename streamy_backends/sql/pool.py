"""SQLAlchemy's pool of connections, where it has to be renewed as a whole."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event


def renew_pool(engine: Engine) -> None:
    """Close the engine's connections: idle ones now, those that are lent on their return. Any thread.

    `Engine.dispose` alone leaves the latter open in a pool that nobody has any more:
    https://docs.sqlalchemy.org/en/20/core/connections.html#engine-disposal
    """
    pool = engine.pool
    engine.dispose()
    # Only now, since the new pool takes over the listeners of the old one.
    event.listen(pool, "checkin", _close)
    pool.dispose()  # what came back meanwhile


def _close(_connection: object, record: Any) -> None:
    record.invalidate()
