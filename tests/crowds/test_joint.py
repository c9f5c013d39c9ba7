"""Crowds whose clients read several streams over one connection, some of them shared and some their own."""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

import pytest

from ..support.crowd import Crowd, Record, Source
from .conftest import Gunicorn, Serving

pytestmark = pytest.mark.slow

CLIENTS: Final = 200
ROUNDS: Final = 100
CUTS: Final = 5
"""Clients that are cut in each round."""
SHARED: Final = ("news", "weather")


def streams_of(client: int) -> list[str]:
    """Two for all, one for ten of them, and one of its own."""
    return [*SHARED, f"group:{client % 20}", f"user:{client}"]


def told(record: Record, source: Source) -> Counter[str]:
    """How many events of each stream have come, which has to be in order, and each once."""
    counts: Counter[str] = Counter()
    for data in record.data(source):
        stream, _, number = str(data).rpartition(" ")
        assert int(number) == counts[stream], f"{data} came after {counts[stream]} of {stream}"
        counts[stream] += 1
    return counts


def publish(gunicorn: Gunicorn, sent: Counter[str], stream: str, count: int) -> None:
    gunicorn.batch(stream, [f"{stream} {sent[stream] + n}" for n in range(count)])
    sent[stream] += count


@pytest.mark.parametrize(("delivery", "clients"), [("detached", CLIENTS), ("wsgi", 2)])
def test_each_client_is_sent_each_entry_of_its_streams_once_and_in_order_however_often_it_is_cut(
    serving: Serving, delivery: str, clients: int
) -> None:
    chance = random.Random(7)
    sent: Counter[str] = Counter()
    record = Record()
    gunicorn = serving(delivery, STREAMY_RECONNECT_DELAY=0.05, STREAMY_KEEP_ALIVE=0.05, STREAMY_WSGI_SLOTS=2)
    paths = [gunicorn.path(*streams_of(client)) for client in range(clients)]
    with Crowd(gunicorn.address, paths, clients, record) as crowd:
        crowd.run_until_open()
        for _ in range(ROUNDS):
            for stream in chance.sample(streams_of(chance.randrange(clients)), 2):
                publish(gunicorn, sent, stream, chance.choice([1, 1, 1, 20]))
            for source in chance.sample(crowd.sources, min(CUTS, clients)):
                crowd.cut(source)
            for _ in range(chance.randrange(4)):
                crowd.turn()

        def have_all() -> bool:
            return all(
                told(record, source)[stream] == sent[stream]
                for client, source in enumerate(crowd.sources)
                for stream in streams_of(client)
            )

        crowd.run_until(have_all, "all events everywhere", within=60)
        assert all(frame.name == "message" for frames in record.frames.values() for frame in frames)
