"""`from_url` from a module that imports the driver: see `tests.backends.sql.drivers`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamy_backends import redis
from streamy_backends.redis import broker as _broker  # noqa: F401
from streamy_core.broker import Broker


def from_url(url: str, options: Mapping[str, Any]) -> Broker:
    """As the library's."""
    return redis.from_url(url, options)
