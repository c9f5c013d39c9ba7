"""What holds between processes: the contract's part for brokers whose streams are shared."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..broker import Broker
from ..errors import StreamEnded
from ..ids import OLDEST
from .basis import MakeBroker, closed_in_the_end
from .reading import DEADLINE, data_of, events, read, read_all, tail, wait_for_bell


class SharingContract:
    """What every broker keeps whose streams are shared by processes."""

    @pytest.fixture
    def other(self, broker: Broker, make_broker: MakeBroker) -> Iterator[Broker]:
        """A broker on the same log, which stands for another process."""
        if not broker.shared:
            pytest.skip(f"{type(broker).__name__} says shared = False: its streams are one process's")
        with closed_in_the_end(make_broker()) as other:
            yield other

    def test_what_one_process_appends_another_reads(self, broker: Broker, other: Broker) -> None:
        ids = broker.append("news", events("a")) + other.append("news", events("b"))
        log = read_all(broker, "news")
        assert [entry.id for entry in log] == ids, (
            "this process doesn't read what both have appended, in order"
        )
        assert read_all(other, "news") == log, "the processes read different logs"

    def test_a_cursor_of_one_process_holds_in_another(self, broker: Broker, other: Broker) -> None:
        unknown = tail(broker, "news")
        (first,) = broker.append("news", events("a"))
        broker.append("news", events("b"))
        assert data_of(read_all(other, "news", unknown)) == ["a", "b"]
        assert data_of(read_all(other, "news", first)) == ["b"]
        assert tail(other, "news") == tail(broker, "news"), "a stream has one tail, in every process"

    def test_a_bell_rings_in_every_process(self, broker: Broker, other: Broker) -> None:
        watch = other.watch()
        watch.add("news")
        broker.append("news", events("a"))
        wait_for_bell(watch, "news")

    def test_a_bell_is_heard_from_add_on_whoever_rings_it(self, broker: Broker, other: Broker) -> None:
        watch = broker.watch()
        names = [f"s{n}" for n in range(200)]
        for name in names:
            watch.add(name)
            other.append(name, events("a"))
        wait_for_bell(watch, *names)

    def test_an_end_holds_in_every_process(self, broker: Broker, other: Broker) -> None:
        watch = other.watch()
        watch.add("news")
        broker.append("news", events("a"))
        broker.end("news")
        wait_for_bell(watch, "news")
        page = read(other, "news")
        assert (data_of(page.entries), page.ended) == (["a"], True), (
            "another process isn't told of the whole log and its end"
        )
        assert page.cursor == read(broker, "news").cursor, "the end has one id, in every process"
        with pytest.raises(StreamEnded):
            other.append("news", events("b"))

    def test_a_key_holds_in_every_process(self, broker: Broker, other: Broker) -> None:
        first = broker.append("news", events("a"), idempotency_key="k")
        again = other.append("news", events("a"), idempotency_key="k")
        assert again == first, "a key that one process used is answered by every other with the same ids"
        assert data_of(read_all(other, "news")) == ["a"]

    def test_processes_that_publish_at_once_make_one_log(self, broker: Broker, other: Broker) -> None:
        def publish(which: Broker, who: str) -> None:
            for n in range(50):
                which.append("news", events(f"{who} {n}"))

        with ThreadPoolExecutor(4) as pool:
            publishers = [
                pool.submit(publish, which, f"{name}{n}")
                for name, which in (("here", broker), ("there", other))
                for n in range(2)
            ]
            for publisher in publishers:
                publisher.result()
        log = read_all(broker, "news")
        assert log == read_all(other, "news"), "the processes read different logs"
        for who in ("here0", "here1", "there0", "there1"):
            mine = [data for data in data_of(log) if data.startswith(f"{who} ")]
            assert mine == [f"{who} {n}" for n in range(50)], f"{who} lost entries, or their order"

    def test_what_was_appended_outlives_the_broker(self, broker: Broker, make_broker: MakeBroker) -> None:
        if not broker.shared:
            pytest.skip(f"{type(broker).__name__} says shared = False: it keeps nothing for others")
        ids = broker.append("news", events("a", "b"))
        broker.close()
        with make_broker() as later:
            found = [entry.id for entry in read_all(later, "news")]
            assert found == ids, "closing a broker takes nothing away from others"
            assert data_of(read_all(later, "news", ids[0])) == ["b"]

    def test_a_forked_process_and_its_parent_both_go_on(self, broker: Broker) -> None:
        if not hasattr(os, "fork"):
            pytest.skip("this system has no fork")
        watch = broker.watch()
        watch.add("news")
        broker.append("news", events("before"))
        assert _in_a_child(lambda: _publishes_and_reads(broker)), "the child could not use the broker"
        broker.append("news", events("after"))
        wait_for_bell(watch, "news")
        log = data_of(read_all(broker, "news"))
        expected = ["before", "child", "after"] if broker.shared else ["before", "after"]
        assert log == expected, "parent and child disturbed each other"


def _publishes_and_reads(broker: Broker) -> bool:
    broker.append("news", events("child"))
    watch = broker.watch()
    watch.add("news")
    broker.append("of the child", events("x"))
    return "child" in data_of(read_all(broker, "news", OLDEST))


def _in_a_child(action: Callable[[], bool]) -> bool:
    """Whether the action succeeds in a forked process."""
    with warnings.catch_warnings():
        # Python warns of locks that are held at the fork: whether the broker copes is the question.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        succeeded = False
        try:
            succeeded = action()
        finally:
            os._exit(0 if succeeded else 1)
    return _exit_code(pid) == 0


def _exit_code(pid: int) -> int | None:
    """The child's, or None if it was still running after the deadline."""
    with ThreadPoolExecutor(1) as pool:
        try:
            _, status = pool.submit(os.waitpid, pid, 0).result(DEADLINE)
        except TimeoutError:
            os.kill(pid, 9)
            return None
    return os.waitstatus_to_exitcode(status)
