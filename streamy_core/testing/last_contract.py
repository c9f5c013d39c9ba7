"""What a broker keeps that can append a stream's last entries: the contract's part on `AppendsLast`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from ..broker import AppendsLast, Broker, Duplicate
from ..errors import StreamEnded
from .others import append_last, append_until_the_end, hear_of
from .processes import Process
from .reading import data_of, events, read, read_all, rest, tail, wait_for_bell
from .sharing_contract import ElsewhereFixture

_RACES = 10
_AT_ONCE = 3


def _last(broker: Broker) -> AppendsLast:
    if not isinstance(broker, AppendsLast):
        pytest.skip(f"{type(broker).__name__} has no `append_last`")
    return broker


class LastContract(ElsewhereFixture):
    """What `AppendsLast` promises."""

    @pytest.mark.parametrize("before", [0, 3])
    def test_the_last_entries_are_there_with_the_end(self, broker: Broker, before: int) -> None:
        last = _last(broker)
        for n in range(before):
            broker.append("job", events(str(n)))
        ids = last.append_last("job", events("all", "done"))
        found = read_all(broker, "job")
        assert [entry.id for entry in found][before:] == ids, "what is returned are the entries' ids"
        assert data_of(found)[before:] == ["all", "done"], "the last entries are there, in order"
        page = read(broker, "job")
        assert page.ended, "the stream goes on after its last entries"
        assert page.cursor not in [entry.id for entry in found], "the end has an id of its own"

    def test_the_page_that_holds_the_last_entry_tells_of_the_end(self, broker: Broker) -> None:
        last = _last(broker)
        broker.append("job", events("1", "2"))
        last.append_last("job", events("3"))
        page = read(broker, "job", limit=3)
        assert (len(page.entries), page.ended, page.more) == (3, True, False), (
            "with the last entry comes the end: no other page has to be read for it"
        )
        assert tail(broker, "job") == page.entries[-1].id, "the tail lies before the end"

    def test_who_appends_last_second_has_stored_nothing(self, broker: Broker) -> None:
        last = _last(broker)
        last.append_last("job", events("first"))
        page = read(broker, "job")
        with pytest.raises(StreamEnded):
            last.append_last("job", events("second"))
        assert read(broker, "job") == page, "nothing is stored after an end"
        broker.end("plain")
        with pytest.raises(StreamEnded):
            last.append_last("plain", events("late"))
        assert read(broker, "plain").entries == (), "an end that is there already was the last"

    def test_after_the_last_entries_an_append_is_refused(self, broker: Broker) -> None:
        _last(broker).append_last("job", events("done"))
        with pytest.raises(StreamEnded):
            broker.append("job", events("late"))
        broker.end("job")
        page = read(broker, "job")
        assert (data_of(page.entries), page.ended) == (["done"], True), "what comes late is stored"

    def test_repeating_a_key_of_the_last_entries_gives_their_ids(self, broker: Broker) -> None:
        last = _last(broker)
        ids = last.append_last("job", events("done"), idempotency_key="k")
        page = read(broker, "job")
        again = last.append_last("job", events("done"), idempotency_key="k")
        assert again == ids, "a key that is repeated gives the ids of its first time, also after the end"
        assert isinstance(again, Duplicate), "it doesn't say that it has stored nothing"
        assert read(broker, "job") == page, "a key that is repeated stores nothing more"

    def test_of_many_who_append_last_at_once_one_is_the_first(self, broker: Broker) -> None:
        last = _last(broker)

        def try_it(name: str, who: int) -> bool:
            try:
                last.append_last(name, events(str(who)), idempotency_key=f"key of {who}")
            except StreamEnded:
                return False
            return True

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for race in range(_RACES):
                name = f"job {race}"
                won = list(pool.map(try_it, [name] * _AT_ONCE, range(_AT_ONCE)))
                assert won.count(True) == 1, f"{won.count(True)} of {_AT_ONCE} have appended last"
                assert data_of(read_all(broker, name)) == [str(won.index(True))], "another's entry is stored"

    def test_nothing_comes_between_the_last_entries_and_the_end(self, broker: Broker, other: Process) -> None:
        last = _last(broker)
        names = [f"job {race}" for race in range(_RACES)]
        other.start(append_until_the_end, names)
        other.go()
        for name in names:
            while not read(broker, name).entries:
                pass
            last.append_last(name, events("the last"))
        other.result()
        for name in names:
            assert data_of(read_all(broker, name))[-1] == "the last", "an append has come after the last"

    def test_the_last_entries_ring_the_bell(self, broker: Broker) -> None:
        last = _last(broker)
        broker.append("job", events("1"))
        with closing(broker.watch()) as watch:
            watch.add("job")
            rest(watch, broker)
            last.append_last("job", events("done"))
            wait_for_bell(watch, "job", within=broker.rings_within)
            page = read(broker, "job")
            assert (data_of(page.entries), page.ended) == (["1", "done"], True), "the bell came too early"

    def test_the_last_entries_are_heard_of_in_other_processes(self, broker: Broker, other: Process) -> None:
        last = _last(broker)
        other.start(hear_of, "job")
        other.go()
        last.append_last("job", events("done"))
        other.result()
        assert other.call(append_last, "job", "late") is None, "another process has appended after the last"
