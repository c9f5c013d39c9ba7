"""One manager, several apps; several managers, one app; no app at all."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from flask import Flask, render_template_string
from werkzeug.test import TestResponse

from streamy_backends.memory import MemoryBroker
from streamy_core import OLDEST, ConfigError, InvalidEvent, InvalidStreamId, StreamManager
from streamy_core.strategies import FixedInterval, Never
from streamy_core.testing import FaultyBroker

from .apps import make_app

MakeApp = Callable[..., Flask]


@pytest.fixture
def managers() -> Iterator[list[StreamManager]]:
    """Those to close afterwards."""
    made: list[StreamManager] = []
    yield made
    for manager in made:
        manager.close()


@pytest.fixture
def make_manager(managers: list[StreamManager]) -> Callable[..., StreamManager]:
    def make(*args: object, **options: object) -> StreamManager:
        managers.append(StreamManager(*args, **options))  # type: ignore[arg-type]
        return managers[-1]

    return make


def with_stream(app: Flask, sse: StreamManager) -> Flask:
    app.add_url_rule("/stream", view_func=lambda: sse.get_stream("news"))
    return app


def first_bytes(response: TestResponse) -> bytes:
    first = next(iter(response.iter_encoded()))
    response.close()
    return first


def test_without_an_app_it_publishes_and_reads(make_manager: Callable[..., StreamManager]) -> None:
    sse = make_manager()
    with sse.subscribe("news") as entries:
        entry_id = sse.send_event("news", {"a": 1})
        entry = next(entries)
    assert (entry.id, entry.event.data) == (entry_id, '{"a": 1}')


def test_each_app_of_one_manager_has_its_own_streams(make_manager: Callable[..., StreamManager]) -> None:
    sse = make_manager()
    apps = [make_app(), make_app()]
    for app in apps:
        sse.init_app(app)
    cursors = set()
    for app in apps:
        with app.app_context():
            sse.send_event("news", "x")
            cursors.add(sse.cursor("news"))
    assert len(cursors) == 2


def test_with_several_apps_it_wants_to_know_which(make_manager: Callable[..., StreamManager]) -> None:
    sse = make_manager()
    apps = [make_app(), make_app()]
    for app in apps:
        sse.init_app(app)
    with pytest.raises(ConfigError, match="several apps"):
        sse.send_event("news", "x")


def test_with_one_app_it_works_outside_its_context(make_manager: Callable[..., StreamManager]) -> None:
    app = make_app()
    sse = make_manager(app)
    entry_id = sse.send_event("news", "x")
    with app.app_context():
        assert sse.cursor("news") == entry_id


def test_several_managers_share_an_app_by_name(make_manager: Callable[..., StreamManager]) -> None:
    app = make_app(STREAMY_MAX_EVENT_BYTES=10, STREAMY_MANAGERS={"audit": {"MAX_EVENT_BYTES": 20}})
    main, audit = make_manager(app), make_manager(app, name="audit")
    with pytest.raises(InvalidEvent):
        main.send_event("news", "x" * 15)
    audit.send_event("news", "x" * 15)
    assert set(app.extensions["streamy"]) == {"default", "audit"}


def test_a_second_manager_of_the_same_name_is_refused(make_manager: Callable[..., StreamManager]) -> None:
    app = make_app()
    make_manager(app)
    with pytest.raises(ConfigError, match="another name="):
        make_manager(app)


def test_init_app_twice_does_nothing_more(make_manager: Callable[..., StreamManager]) -> None:
    app = make_app()
    sse = make_manager(app)
    binding = sse.binding
    sse.init_app(app)
    assert sse.binding is binding


def test_an_app_that_never_met_the_manager_is_bound_at_first_use(
    make_manager: Callable[..., StreamManager],
) -> None:
    sse = make_manager()
    app = make_app(STREAMY_MAX_EVENT_BYTES=1)
    with app.app_context(), pytest.raises(InvalidEvent, match="STREAMY_MAX_EVENT_BYTES"):
        sse.send_event("news", "xx")


def test_settings_that_come_too_late_are_not_ignored(make_manager: Callable[..., StreamManager]) -> None:
    sse = make_manager()
    sse.send_event("news", "without an app")
    with make_app(STREAMY_MAX_EVENT_BYTES=1).app_context(), pytest.raises(ConfigError, match="init_app"):
        sse.send_event("news", "x")


def test_a_thread_that_publishes_before_the_first_request_shares_the_streams(
    make_manager: Callable[..., StreamManager],
) -> None:
    sse = make_manager()
    entry_id = sse.send_event("news", "from a thread")
    with make_app().app_context():
        assert sse.cursor("news") == entry_id


def test_a_broker_that_was_given_is_not_closed(make_manager: Callable[..., StreamManager]) -> None:
    with MemoryBroker() as broker:
        sse = make_manager(broker=broker)
        sse.send_event("news", "x")
        sse.close()
        broker.tail("news")


def test_a_bad_setting_is_found_at_start_up(make_manager: Callable[..., StreamManager]) -> None:
    with pytest.raises(ConfigError, match="did you mean STREAMY_BROKER_URL"):
        make_manager(make_app(STREAMY_BROKER_URI="memory://"))


def test_data_that_is_not_text_goes_as_the_apps_json(make_manager: Callable[..., StreamManager]) -> None:
    app = make_app()
    sse = make_manager(app)
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    with app.app_context(), sse.subscribe("news") as entries:
        sse.send_event("news", {"at": moment})
        assert next(entries).event.data == app.json.dumps({"at": moment})


@pytest.mark.parametrize("name", ["", "x" * 256, "a\nb", "\0", 7, b"news"])
def test_a_bad_stream_id_is_refused_everywhere(make_manager: Callable[..., StreamManager], name: str) -> None:
    sse = make_manager()
    for call in (sse.get_stream, sse.cursor, sse.subscribe, sse.end_stream, lambda x: sse.send_event(x, "d")):
        with pytest.raises((InvalidStreamId, TypeError)):
            call(name)


def test_no_more_than_a_hundred_streams_share_a_connection(
    make_manager: Callable[..., StreamManager],
) -> None:
    sse = make_manager()
    with pytest.raises(InvalidStreamId, match="1 to 100"):
        sse.get_stream([str(n) for n in range(101)])
    with pytest.raises(InvalidStreamId, match="1 to 100"):
        sse.get_stream([])


def test_sending_no_events_stores_none(make_manager: Callable[..., StreamManager]) -> None:
    assert make_manager().send_events("news", []) == []


def test_one_bad_event_among_many_stores_none(make_manager: Callable[..., StreamManager]) -> None:
    sse = make_manager()
    before = sse.cursor("news")
    with pytest.raises(InvalidEvent):
        sse.send_events("news", ["good", b"bad"])
    assert sse.cursor("news") == before


def test_templates_know_the_cursor(make_manager: Callable[..., StreamManager]) -> None:
    app = make_app()
    sse = make_manager(app)
    entry_id = sse.send_event("news", "x")
    with app.test_request_context():
        assert render_template_string("{{ streamy_cursor('news') }}") == entry_id


def test_several_workers_with_a_broker_in_memory_are_warned_loudly(
    make_manager: Callable[..., StreamManager], caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()
    with_stream(app, make_manager(app))
    for _ in range(2):
        response = app.test_client().get("/stream", environ_overrides={"wsgi.multiprocess": True})
        response.close()
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "STREAMY_BROKER_URL" in warnings[0].getMessage()


def test_web_concurrency_is_a_warning_too(
    make_manager: Callable[..., StreamManager],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "2")
    make_manager(make_app())
    assert "EVENTS WILL BE LOST" in caplog.text


def test_a_client_is_sent_away_for_now_while_the_broker_is_away(
    make_manager: Callable[..., StreamManager],
) -> None:
    with FaultyBroker(MemoryBroker()) as broker:
        app = make_app()
        with_stream(app, make_manager(app, broker=broker))
        broker.go_away()
        response = app.test_client().get("/stream")
        assert response.status_code == 200
        # No blank line: it would make a reader that has had no id yet forget its place.
        assert re.fullmatch(rb"retry: (\d+)\n", response.data)


def test_a_thousand_clients_that_are_sent_away_for_now_are_a_few_lines_in_the_log(
    make_manager: Callable[..., StreamManager], caplog: pytest.LogCaptureFixture
) -> None:
    with FaultyBroker(MemoryBroker()) as broker:
        app = make_app()
        with_stream(app, make_manager(app, broker=broker))
        broker.go_away()
        client, began = app.test_client(), time.monotonic()
        for _ in range(1_000):
            client.get("/stream").close()
        lines = [r.getMessage() for r in caplog.records if "come back later" in r.getMessage()]
        assert "later: 1 since" in lines[0]
        assert len(lines) <= 1 + time.monotonic() - began


def test_keep_alive_interval_has_to_be_above_zero(make_manager: Callable[..., StreamManager]) -> None:
    with pytest.raises(ValueError, match="more than 0"):
        make_manager().get_stream("news", keep_alive_interval=0)


def test_disconnecting_nobody_in_particular_is_refused(make_manager: Callable[..., StreamManager]) -> None:
    with pytest.raises(ValueError, match="whom"):
        make_manager().disconnect()


def test_the_first_frame_tells_place_reconnection_time_and_keep_alive(
    make_manager: Callable[..., StreamManager],
) -> None:
    app = make_app(STREAMY_RECONNECT_DELAY=1.5)
    sse = make_manager(app)
    with_stream(app, sse)
    entry_id = sse.send_event("news", "before")
    expected = f'id: {entry_id}\nretry: 1500\nevent: streamy.open\ndata: {{"keep_alive": 30}}\n\n'
    assert first_bytes(app.test_client().get("/stream")) == expected.encode()


@pytest.mark.parametrize(
    ("streams", "accept", "told"),
    [
        (["news", "user:7"], "text/event-stream;streams=1", [b"news", b"user:7"]),
        (
            ["news", "user:7"],
            'text/event-stream, text/event-stream; streams="1"; q=0.5',
            [b"news", b"user:7"],
        ),
        (["news", "user:7"], "TEXT/Event-Stream;Streams=1", [b"news", b"user:7"]),
        (["news", "user:7"], "text/event-stream", []),
        (["news", "user:7"], "text/event-stream;streams=0, text/html;streams=1, */*", []),
        (["news", "user:7"], "", []),
        (["user:7"], "text/event-stream;streams=1", []),
    ],
)
def test_each_event_of_a_joint_connection_says_its_stream_to_who_asks(
    make_manager: Callable[..., StreamManager], streams: list[str], accept: str, told: list[bytes]
) -> None:
    sse = make_manager()
    for name in streams:
        sse.send_event(name, "a", "tick")
        sse.end_stream(name)
    with make_app().test_request_context(headers={"Accept": accept}):
        data = b"".join(sse.get_stream(streams, after=OLDEST).response)
    assert re.findall(rb"^stream: (.*)\nevent: tick\n", data, re.MULTILINE) == told


def test_an_interval_of_thirty_seconds_that_was_given_is_honoured() -> None:
    with StreamManager(keep_alive=1) as sse:
        schedulers = []
        for interval in ({"keep_alive_interval": 30}, {}, {"keep_alive_interval": None}):
            stream = sse.get_stream("news", **interval)
            schedulers.append(stream.response._session.keep_alive)
    assert schedulers == [FixedInterval(30), FixedInterval(1), Never()]
