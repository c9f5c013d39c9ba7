"""Two workers of gunicorn, of which one is killed: what metrics count agrees with what a crowd has seen."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from streamy_core.testing.reading import eventually

from ...support.app_server import AppServer
from ...support.crowd import Crowd, Record, Source
from ...support.process import suspend
from ...support.web_server import Pair

pytestmark = pytest.mark.slow

CLIENTS: Final = 6
"""Of each worker."""
APP: Final = f"{__package__}.app"
_PRELOADED: Final = {"detached": ["--preload"], "wsgi": []}
"""Whether workers are forked from a process that has the app already: each is tried once."""


class Scraped(AppServer):
    """gunicorn with two workers, and what any of them says of both."""

    def __init__(self, folder: Path, delivery: str) -> None:
        kept = folder / "metrics"
        kept.mkdir()
        # Each worker has threads for the whole crowd, and for the others that ask.
        super().__init__(
            folder / "log",
            Pair("gthread", delivery, threads=4 * CLIENTS),
            app=f"{APP}:create_app()",
            workers=2,
            options=("-c", f"python:{APP}", "--graceful-timeout", "5", *_PRELOADED[delivery]),
            settings={
                "STREAMY_BROKER_URL": f"sqlite:///{folder / 'streams.db'}",
                "STREAMY_METRICS": "prometheus",
                "STREAMY_RECONNECT_DELAY": 0.1,
                "STREAMY_KEEP_ALIVE": 0.2,
                "PROMETHEUS_MULTIPROC_DIR": str(kept),
            },
        )

    def scrape(self) -> dict[str, float]:
        """All values, those of all labels together, by the names of their metrics."""
        text = self.ask("/streamy/metrics").decode()
        values: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                values[sample.name] = values.get(sample.name, 0.0) + sample.value
        return values

    def labelled(self, name: str, label: str) -> dict[str, float]:
        """The values of one metric by one of its labels."""
        text = self.ask("/streamy/metrics").decode()
        values: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name:
                    shown = sample.labels[label]
                    values[shown] = values.get(shown, 0.0) + sample.value
        return values


@pytest.fixture(params=["detached", "wsgi"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scraped]:
    with Scraped(tmp_path, request.param).start() as server:
        eventually(lambda: len(server.children) == 2, "both workers")
        yield server


class Crowds:
    """The same clients at each of two workers, who live together."""

    def __init__(self, server: Scraped, stream: str, heard: Record, stack: ExitStack) -> None:
        self.pids = server.children
        self._crowds: list[Crowd] = []
        for pid in self.pids:
            others = [psutil.Process(other) for other in self.pids if other != pid]
            crowd = Crowd(server.address, server.path(stream), CLIENTS, heard)
            self._crowds.append(stack.enter_context(crowd))
            try:
                suspend(others)  # so whoever connects is this worker's
                self.run_until(lambda: all(source.open for source in self.sources), "everybody connected")
            finally:
                for other in others:
                    other.resume()

    @property
    def sources(self) -> list[Source]:
        return [source for crowd in self._crowds for source in crowd.sources]

    @property
    def connections(self) -> int:
        return sum(source.connections for source in self.sources)

    def run_until(self, condition: Callable[[], object], what: str) -> None:
        """Live until `condition()` is true."""
        *others, last = self._crowds

        def is_true() -> object:
            for crowd in others:
                crowd.turn()
            return condition()

        last.run_until(is_true, what)


def test_counts_agree_with_what_a_crowd_has_seen_of_two_workers_one_of_which_is_killed(
    server: Scraped, stream: str
) -> None:
    heard = Record()
    delivery = server.pair.delivery

    def publish(numbers: range) -> None:
        for number in numbers:
            server.send(stream, str(number))
        crowds.run_until(
            lambda: all(len(heard.frames[source]) == numbers.stop for source in crowds.sources),
            "everybody has all events",
        )

    def told(name: str, expected: float) -> bool:
        return server.scrape().get(name, 0.0) == expected

    with ExitStack() as stack:
        crowds = Crowds(server, stream, heard, stack)
        everybody = len(crowds.sources)
        publish(range(5))
        crowds.run_until(
            lambda: told("streamy_delivered_events_total", 5 * everybody), "deliveries are counted"
        )
        before = server.scrape()
        assert before["streamy_clients"] == before["streamy_connections_opened_total"] == everybody

        victim = crowds.pids[0]
        os.kill(victim, signal.SIGKILL)
        crowds.run_until(lambda: crowds.connections == everybody + CLIENTS, "its clients are back")
        crowds.run_until(lambda: told("streamy_clients", everybody), "those who are present are counted")
        publish(range(5, 8))
        crowds.run_until(
            lambda: told("streamy_delivered_events_total", 8 * everybody), "deliveries are counted"
        )
        seen = server.scrape()
        crowds.run_until(lambda: told("streamy_published_events_total", 8), "what was published is counted")
        crowds.run_until(lambda: told("streamy_publish_duration_seconds_count", 8), "so are the calls")
        assert seen["streamy_connections_opened_total"] == crowds.connections
        assert seen["streamy_connections_closed_total"] == CLIENTS
        assert server.labelled("streamy_connections_closed_total", "reason") == {"died": CLIENTS}
        assert server.labelled("streamy_clients", "delivery") == {delivery: everybody}
        began = server.labelled("streamy_connections_opened_total", "began")
        assert began == {"live": everybody, "resumed": CLIENTS}
        assert "streamy_gaps_total" not in seen
        assert seen["streamy_delivered_bytes_total"] > 8 * everybody * len("data: 0\n\n")

    eventually(lambda: told("streamy_clients", 0), "that they have left is counted")
    eventually(lambda: told("streamy_connection_duration_seconds_count", everybody), "so are their lives")
    left = server.scrape()
    assert left["streamy_connections_closed_total"] == left["streamy_connections_opened_total"]


def test_a_worker_that_stops_leaves_all_that_it_has_counted(server: Scraped, stream: str) -> None:
    def told(name: str, expected: float) -> bool:
        return server.scrape().get(name, 0.0) == expected

    with ExitStack() as stack:
        crowds = Crowds(server, stream, Record(), stack)
        everybody = len(crowds.sources)
        os.kill(crowds.pids[0], signal.SIGTERM)
        crowds.run_until(lambda: crowds.connections == everybody + CLIENTS, "its clients are back")
        crowds.run_until(lambda: told("streamy_clients", everybody), "those who are present are counted")
        assert server.labelled("streamy_connections_closed_total", "reason") == {"shutdown": CLIENTS}
        lives = "streamy_connection_duration_seconds_count"
        crowds.run_until(lambda: told(lives, CLIENTS), "the lives of those who had to leave are counted")
