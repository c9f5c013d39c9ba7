"""What holds when the backend goes away: the contract's part for authors who can stop theirs.

Subclass `FaultContract`, and give it `make_broker` and `faults`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

import pytest

from ..broker import Broker, Forgets, ListsStreams, ReadsBack, TellsTime, Watch
from ..errors import BrokerUnavailable
from ..ids import OLDEST
from .basis import Contract
from .reading import data_of, events, eventually, finish, in_a_thread, read, read_all, wait_for_bell


class Faults(Protocol):
    """How to take the backend away, and give it back, in the midst of a test."""

    def stop(self) -> None:
        """Take it away, at once: kill the server, or cut the network. Returns when it is gone."""

    def start(self) -> None:
        """Give it back, where it was. Returns when it answers."""


class FaultContract(Contract):
    """What every broker keeps while its backend is away, and afterwards."""

    @pytest.fixture
    def faults(self) -> Faults:
        """To be given by the subclass: how to take away and give back the backend of `make_broker`."""
        raise NotImplementedError(
            "define the fixture faults: an object whose stop() takes the backend away, and whose start() "
            "gives it back"
        )

    def test_while_the_backend_is_away_each_call_says_so(self, broker: Broker, faults: Faults) -> None:
        broker.append("news", events("a"))
        faults.stop()
        calls: dict[str, Callable[[], object]] = {
            "append": lambda: broker.append("news", events("b")),
            "read": lambda: broker.read({"news": OLDEST}, 1),
            "tail": lambda: broker.tail(["news"]),
            "end": lambda: broker.end("news"),
        }
        for name, call in calls.items():
            assert not _answers(call), f"{name} returned although the backend is away"
        faults.start()

    def test_while_the_backend_is_away_each_capability_says_so(self, broker: Broker, faults: Faults) -> None:
        broker.append("news", events("a"))
        faults.stop()
        calls: dict[str, Callable[[], object]] = {}
        if isinstance(broker, ListsStreams):
            calls["streams"] = lambda: list(broker.streams())
        if isinstance(broker, ReadsBack):
            calls["back"] = lambda: broker.back({"news": None}, 1)
            calls["since"] = lambda: broker.since(["news"], 1)
        if isinstance(broker, Forgets):
            calls["forget"] = lambda: broker.forget(3_600)
        if isinstance(broker, TellsTime):
            calls["time"] = broker.time
        for name, call in calls.items():
            assert not _answers(call), f"{name} returned although the backend is away"
        faults.start()

    def test_a_watch_made_while_the_backend_is_away_raises_nothing_else(
        self, broker: Broker, faults: Faults
    ) -> None:
        faults.stop()

        def watch() -> None:
            made = broker.watch()
            made.add("news")
            made.wait(0.2)
            made.discard("news")
            made.close()

        _answers(watch)
        faults.start()

    def test_closing_works_while_the_backend_is_away(self, broker: Broker, faults: Faults) -> None:
        watch = broker.watch()
        watch.add("news")
        broker.append("news", events("a"))
        faults.stop()
        finish(in_a_thread(broker.close), "closing a broker whose backend is away")
        faults.start()

    def test_the_broker_works_again_when_the_backend_is_back(self, broker: Broker, faults: Faults) -> None:
        broker.append("news", events("a"))
        faults.stop()
        assert not _answers(lambda: broker.append("news", events("lost"))), (
            "append returned without a backend"
        )
        faults.start()
        eventually(lambda: _answers(lambda: broker.append("other", events("b"))), "publishing again")
        assert data_of(read_all(broker, "other"))[-1:] == ["b"], "what append has stored can't be read"

    def test_what_was_appended_is_there_after_an_outage_or_readers_are_told(
        self, broker: Broker, faults: Faults
    ) -> None:
        first, second = broker.append("news", events("a", "b"))
        faults.stop()
        faults.start()
        eventually(lambda: _answers(lambda: broker.read({"news": OLDEST}, 1)), "reading again")
        page = read(broker, "news", first)
        kept = [entry.id for entry in page.entries] == [second]
        assert kept or page.gap, "an entry is gone, and its reader wasn't told by a gap"

    def test_a_repeated_append_is_stored_once_however_the_first_try_ended(
        self, broker: Broker, faults: Faults
    ) -> None:
        faults.stop()

        def again() -> list[str]:
            return broker.append("news", events("a"), idempotency_key="k")

        _answers(again)
        faults.start()
        eventually(lambda: _answers(again), "publishing again")
        again()
        found = data_of(read_all(broker, "news"))
        assert found == ["a"], "one key, tried before, in and after an outage, was not stored once"

    def test_after_an_outage_a_watch_names_every_stream_or_raises(
        self, broker: Broker, faults: Faults
    ) -> None:
        watch = broker.watch()
        for name in ("a", "b"):
            watch.add(name)
            broker.append(name, events("x"))
        heard: set[str] = set()
        wait_for_bell(watch, "a", "b")
        faults.stop()
        faults.start()
        for name in ("a", "b"):
            grow = partial(broker.append, name, events("y"))
            eventually(partial(_answers, grow), "publishing again")
        eventually(
            lambda: _hears(watch, heard) >= {"a", "b"}, "the watch heard of what came after the outage"
        )


def _answers(call: Callable[[], object]) -> bool:
    try:
        call()
    except BrokerUnavailable:
        return False
    except Exception as error:
        raise AssertionError(
            f"for a passing fault a broker raises BrokerUnavailable and nothing else, not {error!r}"
        ) from error
    return True


def _hears(watch: Watch, heard: set[str]) -> set[str]:
    """All streams named so far; every one, if the watch raises, as then a new one is made."""
    try:
        heard.update(watch.wait(0.1))
    except BrokerUnavailable:
        heard.update({"a", "b"})
    return heard
