"""An app under test goes by the clock that its test moves."""

from __future__ import annotations

import threading

import pytest
from flask import Flask, Response

from streamy_core import StreamManager
from streamy_core.strategies import Clock, FixedDelay, FixedInterval, SystemClock
from streamy_core.testing import EventClient, FaultyBroker, ManualClock
from streamy_core.testing.reading import DEADLINE, finish, in_a_thread

from ..support.app import manager_of

pytest_plugins = ["pytester"]


@pytest.fixture
def app(streamy_broker: FaultyBroker) -> Flask:
    app = Flask(__name__)
    app.config.update(
        STREAMY_BROKER_URL=streamy_broker,
        STREAMY_KEEP_ALIVE=FixedInterval(30),
        STREAMY_MAX_CONNECTION_AGE=600,
        STREAMY_RETRY_POLICY=FixedDelay(7, retries=2),
    )
    sse = StreamManager(app)

    @app.get("/events")
    def events() -> Response:
        return sse.get_stream("news")

    return app


@pytest.fixture
def sse(app: Flask) -> StreamManager:
    return manager_of(app)


def test_keep_alives_come_when_the_clock_has_been_moved(
    streamy_client: EventClient, streamy_clock: ManualClock
) -> None:
    stream = streamy_client.open("/events")
    for _ in range(3):
        streamy_clock.advance(29)
        with pytest.raises(AssertionError, match=r"gave no keep-alive, within 0\.02 s, but nothing else"):
            stream.wait_for_keep_alive(timeout=0.02)
        streamy_clock.advance(1)
        stream.wait_for_keep_alive()


def test_an_event_puts_the_keep_alive_off(
    sse: StreamManager, streamy_client: EventClient, streamy_clock: ManualClock
) -> None:
    stream = streamy_client.open("/events")
    streamy_clock.advance(20)
    sse.send_event("news", "a")
    stream.events(1)
    streamy_clock.advance(20)
    with pytest.raises(AssertionError):
        stream.wait_for_keep_alive(timeout=0.02)


def test_a_connection_ends_when_the_clock_says_that_it_is_old(
    streamy_client: EventClient, streamy_clock: ManualClock
) -> None:
    stream = streamy_client.open("/events")
    streamy_clock.advance(479)  # less up to a fifth by chance
    stream.wait_for_keep_alive()
    streamy_clock.advance(121)
    assert stream.read_to_end() == []
    stream.reconnect()
    assert stream.status == 200


def test_publishing_is_tried_again_at_once_and_the_pauses_are_told(
    sse: StreamManager, streamy_broker: FaultyBroker, streamy_clock: ManualClock
) -> None:
    streamy_broker.fail_next_append(2)
    sse.send_event("news", "a")
    assert streamy_clock.slept == [7, 7]
    assert streamy_clock() == 14


def test_without_the_fixture_an_app_has_the_systems_clock(sse: StreamManager) -> None:
    assert sse.binding.settings.clock == SystemClock()


def test_a_clock_that_the_app_was_given_stays(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest
        from flask import Flask
        from streamy_core import StreamManager
        from streamy_core.testing import ManualClock

        OWN = ManualClock()

        @pytest.fixture
        def app():
            app = Flask("shop")
            app.config["STREAMY_CLOCK"] = OWN
            StreamManager(app)
            return app

        @pytest.fixture(scope="session")
        def shared():
            return Flask("shared")

        def test_own(app, streamy_clock):
            assert app.config["STREAMY_CLOCK"] is OWN

        class TestShared:
            @pytest.fixture(scope="class")
            def app(self):
                return Flask("shared")

            def test_shared(self, app, streamy_clock):
                assert "STREAMY_CLOCK" not in app.config
    """)
    pytester.runpytest("-p", "no:cacheprovider", "-p", "no:xdist").assert_outcomes(passed=2)


@pytest.fixture(params=[SystemClock, ManualClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    clock = request.param()
    assert isinstance(clock, Clock)
    return clock


def test_a_wait_ends_when_the_event_is_set(clock: Clock) -> None:
    event = threading.Event()
    waiting = in_a_thread(lambda: clock.wait(event, clock() + 1_000))
    event.set()
    finish(waiting, "the return of wait", DEADLINE)
    assert waiting.result() is True


def test_a_wait_until_now_ends_at_once(clock: Clock) -> None:
    assert clock.wait(threading.Event(), clock()) is False


def test_a_wait_ends_when_the_clock_is_moved_so_far() -> None:
    clock = ManualClock()
    waiting = in_a_thread(lambda: clock.wait(threading.Event(), 10))
    clock.advance(10)
    finish(waiting, "the return of wait")
    assert waiting.result() is False
