"""Whether a server has what is needed, and why one refuses us."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Final

from redis.exceptions import NoPermissionError, RedisError

from streamy_core.broker import ConfigError

from .address import Address
from .faults import Meaning, is_login, meaning_of
from .servers import Node

_OLDEST_VERSION: Final = (6, 2)

_NO_TLS: Final = "doesn't speak TLS on this port: its URL begins with redis, not with rediss"
_TLS: Final = "speaks TLS on this port: its URL begins with rediss, not with redis"

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
    """What a server has against us, and what mends it; None if that may pass by itself."""
    meaning, cure = meaning_of(error)
    if meaning not in (Meaning.SETUP, Meaning.OPENING):
        return None
    said = "refuses the login" if is_login(error) else "can't be used"
    return f"{said}: {error}: {cure}" if cure else f"{said}: {error}"


def other_language(address: Address, timeout: float) -> str | None:
    """What is wrong if the server speaks TLS and the URL doesn't say so, or the other way round."""
    for host, port in address.hosts:
        try:
            with socket.create_connection((host, port), timeout) as plain:
                if address.tls and _answers_plainly(plain):
                    return _NO_TLS
                if not address.tls and _shakes_hands(plain):
                    return _TLS
        except OSError:
            continue
    return None


def _answers_plainly(plain: socket.socket) -> bool:
    plain.sendall(b"PING\r\n")
    return plain.recv(1) in (b"+", b"-")


def _shakes_hands(plain: socket.socket) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.wrap_socket(plain, do_handshake_on_connect=True).close()
    return True


def _warn_of_eviction(info: Mapping[str, Any], shown: str) -> None:
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory", 0) and policy != "noeviction":
        logger.warning(
            "%s has maxmemory-policy %s: when memory is short it drops streams, and their ends, which "
            "clients are told of by a gap at best; set it to noeviction",
            shown,
            policy,
        )
