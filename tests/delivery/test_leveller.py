"""A worker that has far more clients than its siblings."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from flask import Flask

from streamy_core import StreamManager
from streamy_core.delivery.descriptors import descriptors_of
from streamy_core.delivery.leveller import FEWEST, Level

from ..support.app_server import GTHREAD, SLOTS, AppServer
from ..support.crowd import Crowd, Record
from ..support.process import suspend
from ..support.web_server import Pair
from . import levelling_app

NOW = 1_000.0


def let_go(level: Level, clients: int, others: list[int], seconds: int, now: float = NOW) -> list[int]:
    """How many go in each of so many seconds. They come back to others."""
    gone: list[int] = []
    for second in range(seconds):
        gone.append(level.due(clients, [clients, *others], now + second))
        clients -= gone[-1]
        others = [other + gone[-1] // len(others) for other in others]
    return gone


def test_nobody_goes_at_once() -> None:
    gone = let_go(Level(), 2_000, [0], 17)
    assert gone[:15] == [0] * 15
    assert gone[16] > 0


def test_one_in_a_hundred_goes_in_a_second_until_the_worker_is_near_its_share() -> None:
    gone = let_go(Level(), 2_000, [0], 120)
    assert max(gone) == 20
    assert 2_000 - sum(gone) == 1_250, "of a share of 1,000"
    assert gone[-1] == 0


def test_who_is_not_far_from_its_share_lets_nobody_go() -> None:
    assert sum(let_go(Level(), 1_490, [510], 120)) == 0
    assert sum(let_go(Level(), 2_000, [], 120)) == 0, "it has no siblings"


def test_a_worker_that_fills_up_meanwhile_is_no_reason() -> None:
    level = Level()
    assert sum(let_go(level, 2_000, [0], 14)) == 0
    assert level.due(2_000, [2_000, 1_500], NOW + 14) == 0
    assert sum(let_go(level, 2_000, [0], 14, NOW + 15)) == 0


def test_few_clients_are_left_where_they_are() -> None:
    assert sum(let_go(Level(), FEWEST - 1, [0], 120)) == 0
    assert sum(let_go(Level(), FEWEST, [0], 120)) == 3, "then they are fewer"


def test_clients_who_come_back_to_where_they_were_are_not_sent_about_for_ever() -> None:
    level = Level()
    gone = [level.due(1_000, [1_000, 0], NOW + second) for second in range(400)]
    assert sum(gone) == 1_000
    assert gone[120:] == [0] * 280, "it rests"
    assert sum([level.due(1_000, [1_000, 0], NOW + second) for second in range(400, 700)]) == 1_000


def test_descriptors_of_a_process_are_counted() -> None:
    before = descriptors_of([os.getpid()])
    with Path(os.devnull).open():
        after = descriptors_of([os.getpid(), 2**22])
    assert before is not None
    assert after == [before[0] + 1], "one that is gone is left out"


def test_a_server_that_does_not_tell_of_its_workers_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Flask(__name__)
    with StreamManager(app, level_workers=True) as sse:
        app.add_url_rule("/stream", view_func=lambda: sse.get_stream("news"))
        with closing(app.test_client().get("/stream")):
            assert "STREAMY_LEVEL_WORKERS is on, but nobody can tell" in caplog.text


@pytest.mark.slow
@pytest.mark.parametrize("pair", [GTHREAD, Pair("gevent", "wsgi", 4)], ids=str)
def test_a_worker_that_has_the_clients_of_one_that_died_lets_some_go_and_they_miss_nothing(
    pair: Pair, tmp_path: Path
) -> None:
    server = AppServer(
        tmp_path / "log",
        pair,
        app=levelling_app.APP,
        workers=2,
        settings={
            "STREAMY_BROKER_URL": f"sqlite:///{tmp_path}/streams.db",
            "STREAMY_LEVEL_WORKERS": True,
            "STREAMY_RECONNECT_DELAY": 0.1,
            SLOTS: None,
        },
    )
    record = Record()
    with server.start(), Crowd(server.address, server.path("news"), 400, record) as crowd:
        dying, *_ = server.children
        suspend([psutil.Process(dying)])
        crowd.run_until_open()
        os.kill(dying, signal.SIGKILL)
        crowd.run_until(lambda: sum([len(source.goodbyes) for source in crowd.sources]) >= 20, "some leave")
        server.send("news", "a")
        crowd.run_until(
            lambda: all(record.data(source)[-1:] == ["a"] for source in crowd.sources), "it comes"
        )
        gone = [source for source in crowd.sources if source.goodbyes]
        goodbyes = [source.goodbyes[0] for source in gone]
    assert None not in goodbyes, "they are told when to come back"
    assert {tuple(record.data(source)).count("a") for source in crowd.sources} == {1}
    places = [crowd.sources.index(source) for source in gone]
    assert max(places) < 100, "those go that have been there for longest"
