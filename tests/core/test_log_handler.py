"""`StreamHandler`: what is logged is published, except for what publishing logs itself."""

from __future__ import annotations

import json
import logging
import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from streamy_backends.memory import MemoryBroker
from streamy_core import StreamHandler, StreamManager
from streamy_core.broker import Broker
from streamy_core.events import Event
from streamy_core.strategies import FixedDelay
from streamy_core.testing import FaultyBroker
from streamy_core.testing.reading import data_of, eventually, read_all


@pytest.fixture
def broker() -> Iterator[FaultyBroker]:
    with FaultyBroker(MemoryBroker()) as broker:
        yield broker


@pytest.fixture
def sse(broker: FaultyBroker) -> Iterator[StreamManager]:
    with StreamManager(broker=broker, retry=FixedDelay(0.01, retries=1_000)) as sse:
        yield sse
        broker.come_back()


@contextmanager
def handling(
    handler: logging.Handler, name: str | None = "shop", level: int = logging.DEBUG
) -> Iterator[None]:
    """The handler is that of this logger (None: the root) meanwhile, and the logger at this level."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def published(sse: StreamManager, stream_id: str = "log") -> list[str]:
    eventually(lambda: sse.health.queued == 0, "an empty queue")
    return data_of(read_all(sse.broker, stream_id))


shop = logging.getLogger("shop")


def test_a_record_is_published_as_the_formatter_has_it(sse: StreamManager) -> None:
    handler = StreamHandler(sse, "log", "line")
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    with handling(handler):
        shop.warning("%d left", 3)
    assert published(sse) == ["WARNING 3 left"]
    (entry,) = read_all(sse.broker, "log")
    assert entry.event == Event("WARNING 3 left", "line")


def test_an_error_is_published_with_its_traceback(sse: StreamManager) -> None:
    with handling(StreamHandler(sse, "log")):
        try:
            raise LookupError("nothing there")
        except LookupError:
            shop.exception("it failed")
    (text,) = published(sse)
    assert text.startswith("it failed\nTraceback")
    assert text.endswith("LookupError: nothing there")


def test_a_level_is_the_least_that_is_published(sse: StreamManager) -> None:
    with handling(StreamHandler(sse, "log", level="ERROR")):
        shop.warning("no")
        shop.error("yes")
    assert published(sse) == ["yes"]


def test_it_works_in_a_request_and_outside_of_any_app_context() -> None:
    app = Flask("shop")
    with StreamManager(app) as sse, handling(StreamHandler(sse, "log")):
        shop.error("outside")
        with app.test_request_context():
            shop.error("inside")
        assert published(sse) == ["outside", "inside"]


def test_whoever_logs_is_not_held_while_the_broker_is_away(sse: StreamManager, broker: FaultyBroker) -> None:
    broker.go_away()
    with handling(StreamHandler(sse, "log")):
        began = time.perf_counter()
        for number in range(200):
            shop.error("%d", number)
        assert time.perf_counter() - began < 200 * 0.005
        broker.come_back()
        assert published(sse) == [str(number) for number in range(200)]


@pytest.mark.parametrize("name", ["streamy", "streamy.publisher", "streamy.mine"])
def test_what_streamy_logs_is_not_published(sse: StreamManager, name: str) -> None:
    with handling(StreamHandler(sse, "log"), None):
        logging.getLogger(name).error("mine")
        logging.getLogger("streamyard").error("another's")
    assert published(sse) == ["another's"]


def test_an_outage_is_not_published_by_the_loggers_that_tell_of_it(
    sse: StreamManager, broker: FaultyBroker
) -> None:
    broker.fail_next_append(5)
    with handling(StreamHandler(sse, "log"), None):
        shop.error("once")
        assert published(sse) == ["once"]


class ChattyBroker(FaultyBroker):
    """Its driver logs, before and after what it does."""

    def append(self, *args: Any, **kwargs: Any) -> list[str]:
        logging.getLogger("driver").debug("before")
        try:
            return super().append(*args, **kwargs)
        finally:
            logging.getLogger("driver").debug("after")


def test_what_a_driver_logs_while_it_publishes_is_not_published() -> None:
    broker = ChattyBroker(MemoryBroker())
    with broker, StreamManager(broker=broker) as sse, handling(StreamHandler(sse, "log"), None):
        shop.error("once")
        assert published(sse) == ["once"]
        logging.getLogger("driver").debug("by the app itself")
        assert published(sse) == ["once", "by the app itself"]


def test_what_a_driver_logs_is_not_published_when_it_comes_by_a_queue_either() -> None:
    records: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with ChattyBroker(MemoryBroker()) as broker, StreamManager(broker=broker) as sse:
        listener = QueueListener(records, StreamHandler(sse, "log"))
        listener.start()
        with handling(QueueHandler(records), None):
            shop.error("once")
            eventually(lambda: read_all(broker, "log"), "the record")
            assert published(sse) == ["once"]
        listener.stop()
        assert published(sse) == ["once"]


def test_nothing_is_published_for_ever_with_a_real_driver_that_logs_everything(tmp_path: Path) -> None:
    statements = Noting()
    url = f"sqlite:///{tmp_path}/streams.db"
    # Before it connects: SQLAlchemy looks then whether it is to log.
    with handling(statements, "sqlalchemy"), StreamManager(broker=url) as sse:
        with sse.subscribe("log") as log, handling(StreamHandler(sse, "log"), None):
            statements.threads.clear()
            for text in ("once", "and again"):
                shop.error(text)
                entry = log.next(10)
                assert entry is not None
                assert entry.event.data == text
            assert set(statements.threads) == {"streamy-outbox", "streamy-hub"}
        assert published(sse) == ["once", "and again"]


class Noting(logging.Handler):
    """Notes the threads of all records."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[str | None] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.threads.append(record.threadName)


class LoudFormatter(logging.Formatter):
    """It logs itself."""

    def format(self, record: logging.LogRecord) -> str:
        shop.error("by the formatter")
        return super().format(record)


def test_what_is_logged_while_a_record_is_formatted_is_not_published(sse: StreamManager) -> None:
    handler = StreamHandler(sse, "log")
    handler.setFormatter(LoudFormatter())
    with handling(handler):
        shop.error("one")
        shop.error("two")
    assert published(sse) == ["one", "two"]


@pytest.fixture
def handled(monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """The records whose errors have been handled."""
    records: list[logging.LogRecord] = []
    monkeypatch.setattr(StreamHandler, "handleError", lambda self, record: records.append(record))
    return records


@pytest.mark.parametrize("text", ["a\0b", "x" * 2_000], ids=["NUL", "size"])
def test_what_can_not_be_published_is_an_error_of_the_handlers(
    broker: Broker, handled: list[logging.LogRecord], text: str
) -> None:
    with StreamManager(broker=broker, max_event_bytes=1_000) as sse, handling(StreamHandler(sse, "log")):
        shop.error(text)
        shop.error("next")
        assert [record.getMessage() for record in handled] == [text]
        assert published(sse) == ["next"]


def test_a_formatter_that_fails_is_an_error_of_the_handlers(
    sse: StreamManager, handled: list[logging.LogRecord]
) -> None:
    handler = StreamHandler(sse, "log")
    handler.setFormatter(logging.Formatter("%(nothing)s", validate=False))
    with handling(handler):
        shop.error("one")
    assert len(handled) == 1


def test_a_closed_manager_is_handled_as_an_error(
    sse: StreamManager, handled: list[logging.LogRecord]
) -> None:
    with handling(StreamHandler(sse, "log")):
        shop.error("before")
        sse.close()
        shop.error("after")
    assert [record.getMessage() for record in handled] == ["after"]


def test_it_can_be_named_in_a_config_of_logging(sse: StreamManager) -> None:
    from logging.config import dictConfig

    line = {"()": "streamy_core.StreamHandler", "manager": sse, "stream_id": "log", "formatter": "json"}
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"json": {"format": '{"text": "%(message)s"}'}},
            "handlers": {"line": line},
            "loggers": {"shop.config": {"handlers": ["line"], "level": "INFO"}},
        }
    )
    logger = logging.getLogger("shop.config")
    logger.info("hello")
    logger.handlers.clear()
    assert [json.loads(text) for text in published(sse)] == [{"text": "hello"}]
