"""Whether a server has what is needed, and why one refuses us."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from redis.exceptions import NoPermissionError, RedisError, ResponseError

from streamy_core.broker import ConfigError

from .servers import Node

_OLDEST_VERSION: Final = (6, 2)

logger: Final = logging.getLogger("streamy.redis")


def fault_of(node: Node, shown: str, *, clustered: bool) -> RedisError | None:
    """What keeps this server from being asked, if anything does. Raises ConfigError if it can't be used.

    shown: the URL as it may be shown.
    """
    try:
        check_server(node.info("server"), shown, clustered=clustered)
        _warn_of_eviction(node.info("memory"), shown)
    except NoPermissionError:
        pass  # then it will be seen whether it can do what is needed
    except RedisError as error:
        return error
    return None


def check_server(info: Mapping[str, Any], shown: str, *, clustered: bool) -> None:
    """Raise ConfigError if a server that says this of itself (INFO server) can't be used."""
    version = str(info.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if "valkey_version" not in info and numbers < _OLDEST_VERSION:
        raise ConfigError(f"{shown} is Redis {version}, and 6.2 or newer is needed, or Valkey")
    mode = info.get("redis_mode") or info.get("server_mode")  # Valkey's word
    if mode == "sentinel":
        raise ConfigError(f"{shown} is a sentinel: its URL begins with redis+sentinel://")
    if mode == "cluster" and not clustered:
        raise ConfigError(f"{shown} is a node of a cluster: its URL begins with redis+cluster://")


def refusal(error: RedisError) -> str | None:
    """What a server has against us, if it is there. By the text: redis-py wraps what nodes have said."""
    text = f"{type(error).__name__}: {error}"
    if any(word in text for word in ("AuthenticationError", "WRONGPASS", "NOAUTH", "username-password pair")):
        return "refuses the login"
    if "luster mode is not enabled" in text:
        return "is no cluster: its URL begins with redis://"
    passing = any(word in text for word in ("BUSY", "TRYAGAIN", "MASTERDOWN", "CLUSTERDOWN"))
    return "can't be used" if isinstance(error, ResponseError) and not passing else None


def _warn_of_eviction(info: Mapping[str, Any], shown: str) -> None:
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory", 0) and policy != "noeviction":
        logger.warning(
            "%s has maxmemory-policy %s: when memory is short it drops streams, and their ends, which "
            "clients are told of by a gap at best; set it to noeviction",
            shown,
            policy,
        )
