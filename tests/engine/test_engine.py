"""The verbs work without any web framework, and so does whatever lies below them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from streamy_backends.memory import MemoryBroker
from streamy_core import END, OLDEST, InvalidEvent
from streamy_core.config import Settings
from streamy_core.engine.engine import Engine
from streamy_core.testing.reading import DEADLINE

WITHOUT_FLASK = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("flask", "werkzeug", "jinja2"):
            raise ImportError(f"{name} can't be imported here")

sys.meta_path.insert(0, Refuse())

from streamy_core.config import load_settings
from streamy_core.engine.engine import Engine
import streamy_core.delivery.service
import streamy_core.broker, streamy_core.observers.logs, streamy_core.strategies

with Engine(load_settings({"STREAMY_BROKER_URL": "memory://?history=5"})) as engine:
    with engine.subscribe("news") as entries:
        sent = engine.send_event("news", {"a": 1})
        assert entries.next(10).id == sent
        engine.end_stream("news")
        assert entries.next(10) is None
assert not {"flask", "werkzeug"} & {name.partition(".")[0] for name in sys.modules}
print("done")
"""


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine(Settings()) as engine:
        yield engine


def test_the_engine_works_where_flask_can_not_be_imported() -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT_FLASK], capture_output=True, text=True, timeout=30)
    assert (run.stdout, run.stderr) == ("done\n", "")


def test_what_is_sent_is_read(engine: Engine) -> None:
    with engine.subscribe(["a", "b"]) as entries:
        ids = [engine.send_event("a", "1"), *engine.send_events("b", ["2", {"n": 3}])]
        found = [entries.next(DEADLINE) for _ in range(3)]
    assert sorted(entry.id for entry in found if entry) == sorted(ids)


def test_a_subscription_goes_on_after_a_cursor(engine: Engine) -> None:
    first, second, *_ = engine.send_events("news", ["1", "2", "3"])
    with engine.subscribe("news", after=second) as entries:
        assert entries.next(DEADLINE).event.data == "3"  # type: ignore[union-attr]
    with engine.subscribe("news", after=OLDEST) as entries:
        assert entries.next(DEADLINE).id == first  # type: ignore[union-attr]


def test_a_broker_that_was_given_stays_open() -> None:
    with MemoryBroker() as broker:
        Engine(Settings(), broker=broker).close()
        assert broker.append("news", []) == []


def test_nobody_is_disconnected_by_no_name(engine: Engine) -> None:
    with pytest.raises(ValueError, match="disconnect whom"):
        engine.disconnect()


def test_one_text_is_not_taken_for_many_events(engine: Engine) -> None:
    with pytest.raises(InvalidEvent, match="use send_event"):
        engine.send_events("news", "abc")


def test_an_end_ends_a_subscription(engine: Engine) -> None:
    with engine.subscribe("news") as entries:
        engine.end_stream("news")
        assert entries.next(DEADLINE) is None
    assert END == "streamy.end"
