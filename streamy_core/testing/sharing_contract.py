"""What holds between processes: the contract's part for brokers whose streams are shared.

The other processes are real ones, which make their broker by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..broker import Broker
from ..errors import StreamEnded
from .basis import MakeBroker
from .others import (
    append,
    append_in_order,
    append_to_each,
    append_under_keys,
    echo,
    end,
    entries,
    hear_all,
    hear_of,
    hears_each,
    is_refused,
    next_page,
    tail_of,
)
from .processes import Process, starter_of
from .reading import data_of, events, read, read_all, rest, tail, wait_for_bell

Elsewhere = Callable[..., Process]
"""Starts a process with a broker of its own: `elsewhere()`, `elsewhere("another log", history=10)`."""

_BELLS = 200
_ROUNDS, _SECONDS = 200, 1.0


class ElsewhereFixture:
    """Other processes, for the parts of the contract that need them."""

    @pytest.fixture
    def elsewhere(
        self, broker: Broker, make_elsewhere: MakeBroker, pytestconfig: pytest.Config
    ) -> Iterator[Elsewhere]:
        """Starts processes that make their own broker on the same log."""
        if not broker.shared:
            pytest.skip(f"{type(broker).__name__} says shared = False: its streams are one process's")
        with starter_of(pytestconfig).starting(make_elsewhere) as start:
            yield start

    @pytest.fixture
    def other(self, elsewhere: Elsewhere) -> Process:
        """Another process."""
        return elsewhere()


class SharingContract(ElsewhereFixture):
    """What every broker keeps whose streams are shared by processes."""

    def test_what_one_process_appends_another_reads(self, broker: Broker, other: Process) -> None:
        ids = broker.append("news", events("a")) + other.call(append, "news", "b")
        log = read_all(broker, "news")
        assert [entry.id for entry in log] == ids, (
            "this process doesn't read what both have appended, in order"
        )
        assert other.call(entries, "news") == log, "the processes read different logs"

    def test_a_cursor_of_one_process_holds_in_another(self, broker: Broker, other: Process) -> None:
        unknown = tail(broker, "news")
        (first,) = broker.append("news", events("a"))
        broker.append("news", events("b"))
        assert data_of(other.call(entries, "news", unknown)) == ["a", "b"]
        assert data_of(other.call(entries, "news", first)) == ["b"]
        assert other.call(tail_of, "news") == tail(broker, "news"), "a stream has one tail, in every process"

    def test_a_bell_rings_in_every_process(self, broker: Broker, elsewhere: Elsewhere) -> None:
        listeners = [elsewhere() for _ in range(2)]
        for listener in listeners:
            listener.start(hear_of, "news")
        for listener in listeners:
            listener.go()
        broker.append("news", events("a"))
        for listener in listeners:
            listener.result()

    def test_a_bell_of_another_process_is_heard_here(self, broker: Broker, other: Process) -> None:
        watch = broker.watch()
        watch.add("news")
        rest(watch, broker)
        other.call(append, "news", "a")
        wait_for_bell(watch, "news", within=broker.rings_within)

    def test_an_end_rings_in_every_process(self, broker: Broker, other: Process) -> None:
        other.start(hear_of, "news")
        other.go()
        broker.end("news")
        other.result()

    def test_processes_answer_each_other_bell_by_bell(self, broker: Broker, other: Process) -> None:
        other.start(echo, "question", "answer", _ROUNDS, _SECONDS)
        watch = broker.watch()
        watch.add("answer")
        rest(watch, broker)
        other.go()
        cursor = tail(broker, "answer")
        for n in range(_ROUNDS):
            broker.append("question", events(str(n)))
            page = next_page(broker, watch, "answer", cursor)
            cursor = page.cursor
            if page.ended:
                break
            assert data_of(page.entries) == [str(n)], "what another process appended in answer isn't there"
        other.result()

    def test_no_bell_between_processes_is_lost(self, broker: Broker, other: Process) -> None:
        here, there = ([f"{where} {n}" for n in range(_BELLS)] for where in ("here", "there"))
        other.start(hears_each, there, here)
        watch = broker.watch()
        for name in there:
            watch.add(name)
        rest(watch, broker)
        other.go()
        with ThreadPoolExecutor(1) as pool:
            publishing = pool.submit(append_to_each, broker, here)
            missed = hear_all(broker, watch, there)
            publishing.result()
        assert missed == other.result() == [], (
            "the watch named these too early, when what was appended couldn't be read yet, or never: and "
            "nothing will ever tell its readers"
        )

    def test_a_bell_is_heard_from_add_on_whoever_rings_it(self, broker: Broker, other: Process) -> None:
        watch = broker.watch()
        names = [f"s{n}" for n in range(200)]
        for name in names:
            watch.add(name)
            other.call(append, name, "a")
        wait_for_bell(watch, *names)

    def test_an_end_holds_in_every_process(self, broker: Broker, other: Process) -> None:
        broker.append("news", events("a"))
        broker.end("news")
        assert other.call(is_refused, "news"), "another process appends to a stream that has ended"
        log, ended, cursor = other.call(end, "news")
        assert (log, ended) == (["a"], True), "another process isn't told of the whole log and its end"
        assert cursor == read(broker, "news").cursor, "the end has one id, in every process"

    def test_an_end_by_another_process_holds_here(self, broker: Broker, other: Process) -> None:
        broker.append("news", events("a"))
        other.call(end, "news")
        with pytest.raises(StreamEnded):
            broker.append("news", events("b"))
        assert read(broker, "news").ended, "another process has ended the stream, and nobody is told here"

    def test_a_key_holds_in_every_process(self, broker: Broker, other: Process) -> None:
        first = broker.append("news", events("a"), idempotency_key="k")
        again = other.call(append_under_keys, "news", ["k"])
        assert again == first, "a key that one process used is answered by every other with the same ids"
        assert data_of(read_all(broker, "news")) == ["a"]

    def test_one_key_from_many_processes_stores_once(self, broker: Broker, elsewhere: Elsewhere) -> None:
        keys = [f"k{n}" for n in range(50)]
        others = [elsewhere() for _ in range(3)]
        for other in others:
            other.start(append_under_keys, "news", keys, True)
        for other in others:
            other.go()
        answers = [other.result() for other in others]
        stored = [entry.id for entry in read_all(broker, "news")]
        assert answers == [stored] * len(others), (
            "a key that processes used at once was stored more than once"
        )

    def test_processes_that_publish_at_once_make_one_log(self, broker: Broker, elsewhere: Elsewhere) -> None:
        others = {f"there{n}": elsewhere() for n in range(3)}
        for name, other in others.items():
            other.start(append_in_order, "news", name, 50)
        for other in others.values():
            other.go()
        for n in range(50):
            broker.append("news", events(f"here {n}"))
        for other in others.values():
            other.result()
        log = read_all(broker, "news")
        assert log == elsewhere().call(entries, "news"), "the processes read different logs"
        for who in ("here", *others):
            mine = [data for data in data_of(log) if data.startswith(f"{who} ")]
            assert mine == [f"{who} {n}" for n in range(50)], f"{who} lost entries, or their order"
        assert len({entry.id for entry in log}) == len(log), "two processes have handed out one id"

    def test_what_was_appended_outlives_the_broker(self, broker: Broker, other: Process) -> None:
        ids = broker.append("news", events("a", "b"))
        broker.close()
        found = [entry.id for entry in other.call(entries, "news")]
        assert found == ids, "closing a broker takes nothing away from others"
        assert data_of(other.call(entries, "news", ids[0])) == ["b"]

    def test_what_a_process_did_outlives_it(self, make_broker: MakeBroker, elsewhere: Elsewhere) -> None:
        first = elsewhere()
        ids = first.call(append_under_keys, "news", ["k"])
        first.call(end, "news")
        first.kill()
        second = elsewhere()
        assert [entry.id for entry in second.call(entries, "news")] == ids, (
            "entries are lost with their process"
        )
        assert second.call(is_refused, "news"), "an end is lost with its process"
        assert second.call(append_under_keys, "news", ["k"]) == ids, "a key is lost with its process"
