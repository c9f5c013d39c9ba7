"""A sentinel's primaries that are killed one after the other, under load."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.exceptions import ResponseError

from streamy_core.testing.reading import eventually

from ..promises.failovers import FailoverPromises
from .conftest import KINDS, program
from .servers import SentinelGroup, Server

pytestmark = pytest.mark.slow


class RollingGroup(SentinelGroup):
    """One whose servers take turns."""

    @property
    def url(self) -> str:
        # As many as there are replicas: what is acknowledged by a primary alone may go with it unheard.
        return f"{super().url}?timeout=1&history=100000&wait_replicas=1"

    def fail_over(self) -> None:
        self.primary.kill()
        eventually(self._has_taken_over, "a replica that has taken over", within=30)
        # Started as its service would be set up to.
        self.primary.start("--replicaof", "127.0.0.1", str(self.replica.port))
        eventually(self._follows, "the old primary in step", within=30)
        self.primary, self.replica = self.replica, self.primary

    def _has_taken_over(self) -> bool:
        sentinel = self.sentinel.client
        # The sentinel itself takes its time: it puts off a failover that comes soon after another.
        with suppress(ResponseError):  # one is under way, or it does not know yet that the replica is there
            if not leads(self.replica):
                sentinel.sentinel_failover(self.SERVICE)
        return leads(self.replica) and sentinel.sentinel_master(self.SERVICE)["port"] == self.replica.port

    def _follows(self) -> bool:
        known = self.sentinel.client.sentinel_slaves(self.SERVICE)
        is_known = any(one["port"] == self.primary.port and not one["is_sdown"] for one in known)
        return is_known and in_step(self.primary)


def leads(server: Server) -> bool:
    return bool(server.client.info("replication")["role"] == "master")


def in_step(server: Server) -> bool:
    return server.client.info("replication").get("master_link_status") == "up"


@pytest.fixture(params=KINDS)
def group(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RollingGroup]:
    group = RollingGroup(program(request.param), tmp_path)
    yield group
    group.stop()


class TestRollingFailovers(FailoverPromises):
    pass
