"""What holds when a process forks, or is killed in the midst of something."""

from __future__ import annotations

import os
import random
import threading
import time
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import pytest

from ..broker import Broker
from ..ids import OLDEST
from .others import append, append_batches, append_under_keys, end, end_streams, entries, is_refused
from .processes import Process
from .reading import DEADLINE, data_of, events, in_a_thread, read, read_all, rest, wait_for_bell
from .sharing_contract import Elsewhere, ElsewhereFixture

_KILLS = 6
_FORKS = 8
_BATCH = 20


class SurvivingContract(ElsewhereFixture):
    """What every broker keeps when processes fork or die."""

    def test_a_forked_process_and_its_parent_both_go_on(self, broker: Broker) -> None:
        watch = broker.watch()
        watch.add("news")
        broker.append("news", events("before"))
        assert _in_a_child(lambda: _publishes_and_reads(broker)), "the child could not use the broker"
        rest(watch, broker)
        broker.append("news", events("after"))
        wait_for_bell(watch, "news", within=broker.rings_within)
        log = data_of(read_all(broker, "news"))
        expected = ["before", "child", "after"] if broker.shared else ["before", "after"]
        assert log == expected, "parent and child disturbed each other"

    def test_a_fork_while_other_threads_append_and_read_disturbs_nobody(self, broker: Broker) -> None:
        with _busy(broker) as appended:
            for n in range(_FORKS):
                before = len(appended)
                assert _in_a_child(lambda: _publishes_and_reads(broker)), (
                    f"fork {n}, amid other threads' calls: the child could not use the broker, or hangs"
                )
                _wait_for(lambda: len(appended) > before, "the parent's appends go on after a fork")  # noqa: B023
        log = data_of(read_all(broker, "busy", limit=10_000))
        kept = appended[-max(len(log), 5_000) :]  # a fast broker has trimmed some by now
        assert log == kept, "the parent's entries were lost, or doubled, around a fork"

    def test_a_forked_process_hears_bells_and_its_parent_too(self, broker: Broker) -> None:
        watch = broker.watch()
        watch.add("news")
        rest(watch, broker)
        assert _in_a_child(lambda: _hears_its_own(broker)), "the child's own watch hears nothing"
        broker.append("news", events("a"))
        wait_for_bell(watch, "news", within=broker.rings_within)

    def test_a_child_that_closes_the_broker_takes_nothing_from_its_parent(self, broker: Broker) -> None:
        watch = broker.watch()
        watch.add("news")
        broker.append("news", events("before"))

        def use_and_close() -> bool:
            broker.append("other", events("child"))
            broker.close()
            return True

        assert _in_a_child(use_and_close), "the child could not close the broker"
        rest(watch, broker)
        broker.append("news", events("after"))
        wait_for_bell(watch, "news", within=broker.rings_within)
        assert data_of(read_all(broker, "news")) == ["before", "after"]

    def test_a_process_killed_in_an_append_leaves_whole_batches_and_holds_nobody_up(
        self, broker: Broker, elsewhere: Elsewhere
    ) -> None:
        for n in range(_KILLS):
            name = f"s{n}"
            victim = elsewhere()
            victim.start(append_batches, name, _BATCH)
            begun = _killed_at_random(victim)
            again = [f"{begun} {part}" for part in range(_BATCH)]
            _in_time(lambda: broker.append(name, events(*again), idempotency_key=f"{begun}"))  # noqa: B023
            stored = data_of(read_all(broker, name))
            assert stored == [f"{batch} {part}" for batch in range(begun + 1) for part in range(_BATCH)], (
                "a process was killed while it appended: a batch of its is torn, lost or doubled"
            )

    def test_a_process_killed_in_an_end_leaves_streams_that_have_ended_or_not(
        self, broker: Broker, elsewhere: Elsewhere
    ) -> None:
        for n in range(_KILLS // 2):
            victim = elsewhere()
            victim.start(end_streams, f"{n} ")
            begun = _killed_at_random(victim)
            for name in [f"{n} {number}" for number in range(begun)]:
                page = read(broker, name)
                assert (data_of(page.entries), page.ended) == (["a"], True), "an acknowledged end is gone"
            last = f"{n} {begun}"
            _in_time(lambda: broker.end(last))  # noqa: B023
            page = read(broker, last)
            assert page.ended, "a stream whose end was cut short can't be ended any more"
            assert len(page.entries) <= 1, "an entry was stored twice"

    def test_what_a_killed_process_stored_others_go_on_from(
        self, broker: Broker, elsewhere: Elsewhere
    ) -> None:
        victim = elsewhere()
        ids = victim.call(append_under_keys, "news", ["k"])
        victim.kill()
        watcher = broker.watch()
        watcher.add("news")
        rest(watcher, broker)
        second = elsewhere()
        ids += second.call(append, "news", "b")
        wait_for_bell(watcher, "news", within=broker.rings_within)
        assert [entry.id for entry in second.call(entries, "news")] == ids
        second.call(end, "news")
        assert elsewhere().call(is_refused, "news"), "an end holds in processes that come later"


def _killed_at_random(victim: Process) -> int:
    """Kill it in the midst of things; the number of what it had begun last."""
    begun: int = victim.told()
    told = victim.told_for(random.uniform(0.005, 0.05))
    victim.kill()
    last: int = max([begun, *told, *victim.told_for(0)])
    return last


def _in_time(call: Callable[[], object]) -> None:
    outcome = in_a_thread(call)
    try:
        outcome.result(DEADLINE)
    except TimeoutError:
        raise AssertionError("a process was killed, and what it held is held for ever") from None


@contextmanager
def _busy(broker: Broker) -> Generator[list[str]]:
    """Two threads that append and read all the while. Gives what has been appended so far, in order."""
    broker.append("busy", events("0"))
    appended = ["0"]
    over = threading.Event()

    def publish() -> None:
        while not over.is_set():
            data = str(len(appended))
            broker.append("busy", events(data))
            appended.append(data)

    def follow() -> None:
        while not over.is_set():
            broker.read({"busy": OLDEST}, 10)
            broker.tail(["busy"])

    threads = [in_a_thread(publish), in_a_thread(follow)]
    try:
        yield appended
    finally:
        over.set()
        for thread in threads:
            thread.result(DEADLINE)


def _wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {DEADLINE:g} s"
        time.sleep(0.001)


def _publishes_and_reads(broker: Broker) -> bool:
    broker.append("news", events("child"))
    watch = broker.watch()
    watch.add("news")
    broker.append("of the child", events("x"))
    return "child" in data_of(read_all(broker, "news", OLDEST))


def _hears_its_own(broker: Broker) -> bool:
    watch = broker.watch()
    watch.add("of the child")
    rest(watch, broker)
    broker.append("of the child", events("x"))
    wait_for_bell(watch, "of the child", within=broker.rings_within)
    return True


def _in_a_child(action: Callable[[], bool]) -> bool:
    """Whether the action succeeds in a forked process, in time."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
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
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if (ended := os.waitpid(pid, os.WNOHANG))[0]:
            return os.waitstatus_to_exitcode(ended[1])
        time.sleep(0.001)
    with suppress(ProcessLookupError):
        os.kill(pid, 9)
    os.waitpid(pid, 0)
    return None
