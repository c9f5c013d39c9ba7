"""TLS as servers do it themselves: alone, behind sentinels, and as a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from streamy_core import StreamManager
from streamy_core.testing.reading import DEADLINE, eventually

from ...support.certificates import make_certificate
from .conftest import program
from .servers import Cluster, SentinelGroup, Server

pytestmark = pytest.mark.slow

Make = Callable[[str, Path, Path], Any]

ARRANGEMENTS: Final[dict[str, Make]] = {
    "alone": lambda name, folder, pem: Server(name, folder, certificate=pem).start(),
    "sentinel": lambda name, folder, pem: SentinelGroup(name, folder, pem),
    "cluster": lambda name, folder, pem: Cluster(name, folder, replicas=True, certificate=pem),
}


@pytest.fixture(params=ARRANGEMENTS)
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    found = ARRANGEMENTS[request.param](
        program("newer redis"), tmp_path / "servers", make_certificate(tmp_path)
    )
    yield found
    found.stop()


def test_events_go_both_ways_by_tls(servers: Any) -> None:
    names = [f"news-{n}" for n in range(6)]
    with StreamManager(broker=servers.url) as sse, sse.subscribe(names) as subscription:
        eventually(lambda: sse.health.streams == len(names), "streams that are watched")
        for name in names:
            sse.send_event(name, "hello")
        found = [subscription.next(DEADLINE) for _ in names]
        assert {entry.stream_id for entry in found if entry} == set(names)
        assert not sse.health.failing
