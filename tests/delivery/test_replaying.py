"""Replaying large entries reads about as many bytes as it delivers."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from streamy_backends.memory import Limits
from streamy_core import OLDEST
from streamy_core.broker import Page
from streamy_core.engine.byte_reader import ByteReader
from streamy_core.engine.frames import Framing
from streamy_core.engine.hub import Hub
from streamy_core.testing.reading import events

from ..engine.conftest import hub_of
from ..engine.doubles import FaultyBroker

pytestmark = pytest.mark.slow

LARGE = 200_000


class Metered(FaultyBroker):
    """Counts the bytes of data that it has given."""

    given = 0

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        pages = super().read(cursors, limit, max_bytes)
        self.given += sum(entry.event.size for page in pages.values() for entry in page.entries)
        return pages


def replay(hub: Hub, names: Collection[str]) -> int:
    """The bytes that a client of these streams is sent until it has everything."""
    reader = ByteReader.open_for_client(hub, dict.fromkeys(names, OLDEST), framing=Framing(), retry=1)
    delivered = 0
    while True:
        if data := reader.take():
            delivered += len(data)
        elif reader.level:
            return delivered
        else:
            delivered += len(reader.catch_up())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("streams", "entries", "clients"), [(1, 1_000, 20), (10, 20, 5)], ids=["one stream", "ten streams"]
)
def test_what_is_read_is_at_most_twice_what_is_delivered(streams: int, entries: int, clients: int) -> None:
    with Metered(Limits(history_bytes=2**30, total_bytes=2**30)) as broker:
        names = [f"s{number}" for number in range(streams)]
        for name in names:
            for number in range(entries):
                broker.append(name, events(f"{number:0{LARGE}}"))
        hub = hub_of(broker)
        delivered = sum(replay(hub, names) for _ in range(clients))
        hub.close()
    assert delivered >= streams * entries * clients * LARGE
    assert broker.given <= 2 * delivered
