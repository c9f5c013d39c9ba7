"""What a process tells of itself, when, and what is made of what all have told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from flask import Flask, Response

from streamy_backends.memory import MemoryBroker
from streamy_core import Event, StreamManager
from streamy_core.events import LOOKS, SUMMARIES
from streamy_core.overview import Overview, Process, Summary
from streamy_core.overview.telling import EVERY, EVERY_WHILE_SEEN
from streamy_core.testing.reading import eventually


class Site:
    """An app that tells of itself, and an overview of it whose clock is set by hand."""

    def __init__(self, broker: MemoryBroker, **settings: Any) -> None:
        self.app = Flask(__name__)
        self.sse = StreamManager(self.app, broker=broker, **{"overview": "loopback", **settings})
        self.app.add_url_rule("/stream/<name>", view_func=self.stream)
        self.client = self.app.test_client()
        self.broker = broker
        self.now = 100.0
        self.overview = Overview(self.sse.binding.engine, lambda: self.now)

    def stream(self, name: str) -> Response:
        return self.sse.get_stream(name)

    def processes(self) -> list[Process]:
        self.overview.refresh()
        return self.overview.processes()

    def told(self, wanted: Callable[[Summary], object]) -> Summary:
        """The first summary of which that is so."""
        found: list[Summary] = []

        def look() -> bool:
            reporting = self.sse.binding.reporting
            assert reporting is not None
            reporting.hurry()
            found.extend(one.summary for one in self.processes() if wanted(one.summary))
            return bool(found)

        eventually(look, "it is told")
        return found[0]

    def hear(self, **summary: Any) -> None:
        """Have another process tell this."""
        text = Summary(process="other:1:a", every=EVERY).as_json() | summary
        self.broker.append(SUMMARIES, [Event(json.dumps(text))])


@pytest.fixture
def make_site() -> Iterator[Callable[..., Site]]:
    broker = MemoryBroker()
    made: list[Site] = []

    def make(**settings: Any) -> Site:
        made.append(Site(broker, **settings))
        return made[-1]

    yield make
    for site in made:
        site.sse.close()
    broker.close()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site()


def test_a_process_tells_of_its_clients_by_delivery_group_and_stream(site: Site) -> None:
    response = site.client.get("/stream/room:1")
    next(iter(response.response))
    summary = site.told(lambda told: told.all_clients and told.watched)
    assert (summary.clients, summary.watched) == ({"wsgi": 1}, 1)
    assert summary.groups["room"].clients == 1
    assert [(line.name, line.clients) for line in summary.streams] == [("room:1", 1)]
    response.close()
    summary = site.told(lambda told: not told.all_clients)
    assert (summary.groups, summary.streams) == ({}, ())


def test_it_tells_what_it_has_published_and_how_fast_that_grows(site: Site) -> None:
    site.client.get("/")
    site.told(lambda told: told.published == 0)
    for _ in range(3):
        site.sse.send_event("room:1", "x")
    site.told(lambda told: told.streams and told.streams[0].published > 0)
    assert site.told(lambda told: told.published == 3).groups["room"].published == 3
    site.hear(at=10.0, published=100, cpu=1.0)
    site.hear(at=12.0, published=150, cpu=1.5)
    rates = next(one.rates for one in site.processes() if one.summary.process == "other:1:a")
    assert (rates.published, rates.cpu) == (25.0, 0.25)


def test_two_summaries_in_a_row_make_no_peak(site: Site) -> None:
    for at, published in ((10.0, 100), (12.0, 120), (12.1, 125), (14.0, 140)):
        site.hear(at=at, published=published)
        rate = next(one.rates for one in site.processes() if one.summary.process == "other:1:a").published
        assert rate == (0.0 if at == 10.0 else 10.0)


def test_it_says_what_it_is_and_how_soon_it_hears(site: Site) -> None:
    site.client.get("/")
    summary = site.told(lambda told: told.bell_seconds is not None)
    assert summary.versions["backend"] == "MemoryBroker"
    assert (summary.wrong, summary.live, summary.manager) == ((), True, "default")
    assert summary.pid
    assert summary.memory


def test_without_the_setting_nothing_is_told(make_site: Callable[..., Site]) -> None:
    site = make_site(overview=None)
    site.client.get("/")
    site.sse.send_event("room:1", "x")
    assert site.sse.binding.reporting is None
    assert not {SUMMARIES, LOOKS} & {info.stream_id for info in site.broker.streams()}


def test_metrics_and_the_overview_count_together(make_site: Callable[..., Site]) -> None:
    from prometheus_client import CollectorRegistry

    from streamy_core.observers.metrics.prometheus import PrometheusInstruments

    registry = CollectorRegistry()
    site = make_site(metrics=PrometheusInstruments(registry))
    site.client.get("/")
    site.sse.send_event("room:1", "x")
    labels = {"manager": "default", "group": "room", "outcome": "stored"}
    assert registry.get_sample_value("streamy_published_events_total", labels) == 1.0
    assert site.told(lambda told: told.published).published == 1


def test_it_tells_more_often_while_somebody_looks(site: Site) -> None:
    site.client.get("/")
    site.told(lambda told: told.every == EVERY_WHILE_SEEN)


def test_a_process_that_stops_says_so(site: Site, make_site: Callable[..., Site]) -> None:
    other = make_site()
    for one in (site, other):
        one.client.get("/")
    eventually(lambda: len(site.processes()) == 2, "both are there")
    other.sse.close()
    eventually(lambda: len(site.processes()) == 1, "one is gone")


def test_a_process_that_says_nothing_any_more_is_gone(site: Site) -> None:
    site.hear(at=1.0)
    assert [one.silent_for for one in site.processes()] == [0.0]
    site.now += 3 * EVERY
    assert [one.silent_for for one in site.processes()] == [3 * EVERY]
    site.now += 2
    assert site.processes() == []


def test_who_begins_to_look_is_not_shown_who_was_gone_before(site: Site) -> None:
    now = time.time()
    site.hear(process="dead:1:a", at=now - 14, every=EVERY_WHILE_SEEN)
    site.hear(process="alive:1:a", at=now - 3)
    site.hear(process="alive:2:a", at=now)
    assert [(one.summary.process, round(one.silent_for)) for one in site.processes()] == [
        ("alive:1:a", 3),
        ("alive:2:a", 0),
    ]


def test_who_looks_again_after_a_while_is_not_shown_who_has_gone_meanwhile(site: Site) -> None:
    now = time.time()
    site.hear(process="dead:1:a", at=now - 100)
    assert len(site.processes()) == 1
    site.now += 100
    site.hear(process="dead:1:a", at=now - 60)
    site.hear(process="alive:1:a", at=now)
    assert [(one.summary.process, one.silent_for) for one in site.processes()] == [("alive:1:a", 0.0)]
    site.now += 6
    assert [round(one.silent_for) for one in site.processes()] == [6], "nothing is heard twice"


def test_of_a_host_that_was_gone_long_before_nothing_is_shown() -> None:
    now = 100.0
    with closing(MemoryBroker(clock=lambda: now)) as broker:
        site = Site(broker)
        assert site.processes() == []
        site.hear(process="dead:1:a", host="dead", at=time.time())
        site.now = now = now + 60
        assert site.processes() == []
        site.sse.close()


def test_a_host_after_whose_last_word_others_have_told_for_long_is_gone(site: Site) -> None:
    now = time.time()
    site.hear(process="other:1:a", host="other", at=now - 30)
    site.hear(process="dead:1:a", host="dead", at=now + 1_000)
    site.hear(process="other:1:a", host="other", at=now)
    assert [one.summary.host for one in site.processes()] == ["other"]


@pytest.mark.parametrize("ahead", [60, -60, 2**52])
def test_hosts_whose_clocks_are_apart_are_all_shown_at_the_first_look(site: Site, ahead: float) -> None:
    now = time.time()
    site.hear(process="one:1:a", host="one", at=now)
    site.hear(process="two:1:a", host="two", at=now + ahead)
    assert [one.summary.host for one in site.processes()] == ["one", "two"]


def test_what_is_no_summary_is_passed_over(site: Site) -> None:
    site.broker.append(SUMMARIES, [Event("{"), Event("[]", "x"), Event('{"process": "p", "clients": 7}')])
    assert [one.summary.process for one in site.processes()] == ["p"]
    assert json.dumps(site.overview.as_json())


def test_where_no_thread_is_to_be_had_requests_are_answered_and_the_next_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = Flask(__name__)
    sse = StreamManager(app, overview="loopback")
    app.add_url_rule("/", view_func=lambda: "hello")
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name == "streamy-summaries":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert app.test_client().get("/").data == b"hello"
    with app.app_context():
        reporting = sse.binding.reporting
    assert reporting is not None
    assert not reporting.serving
    monkeypatch.undo()
    assert app.test_client().get("/").data == b"hello"
    assert reporting.serving
    sse.close()
