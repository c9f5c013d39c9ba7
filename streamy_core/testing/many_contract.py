"""What a broker keeps that can append to many streams at once: the contract's part on `AppendsToMany`."""

from __future__ import annotations

from contextlib import closing
from functools import partial

import pytest

from ..broker import AppendsToMany, Broker, Event, KeepsMeta
from .basis import AWKWARD_NAMES
from .others import entries, hear_of
from .processes import Process
from .reading import data_of, events, finish, in_a_thread, read, read_all, rest, tail, wait_for_bell
from .sharing_contract import ElsewhereFixture

_MANY = 1_000
"""As many as `append_to_many` is given at the most."""


def _appending(broker: Broker) -> AppendsToMany:
    if not isinstance(broker, AppendsToMany):
        pytest.skip(f"{type(broker).__name__} has no `append_to_many`")
    return broker


class ManyContract(ElsewhereFixture):
    """What `AppendsToMany` promises."""

    def test_each_of_many_streams_has_the_events_after_what_it_had(self, broker: Broker) -> None:
        many = _appending(broker)
        before = {name: broker.append(name, events("before"))[-1] for name in ("b", "c")}
        stored = many.append_to_many(dict.fromkeys(["c", "a", "b"], events("1", "2")))
        assert set(stored) == {"a", "b", "c"}, "the ids of every stream are returned"
        for name, ids in stored.items():
            found = read_all(broker, name, before.get(name, ""))
            assert data_of(found) == ["1", "2"], "each stream has all events, in order, at its end"
            assert ids == [entry.id for entry in found], "what is returned are the entries' ids"
            assert {entry.stream_id for entry in found} == {name}
            assert tail(broker, name) == ids[-1]

    def test_each_of_many_streams_may_have_events_of_its_own(self, broker: Broker) -> None:
        many = _appending(broker)
        broker.end("over")
        same = events("same", "for two")
        given = {"c": events("1"), "b": same, "over": events("x"), "e": [], "a": events("2", "é"), "d": same}
        stored = many.append_to_many(given)
        assert set(stored) == {"a", "b", "c", "d", "e"}, "a stream that has ended is left out, and no other"
        for name, ids in stored.items():
            found = read_all(broker, name)
            assert [entry.event for entry in found] == list(given[name]), "each gets the events of its own"
            assert ids == [entry.id for entry in found], "what is returned are the entries' ids"

    def test_a_key_of_many_streams_with_events_of_their_own_is_one_of_each(self, broker: Broker) -> None:
        many = _appending(broker)
        given = {"a": events("a"), "b": events("b", "b"), "c": events("c")}
        first = broker.append("b", given["b"], idempotency_key="k")
        stored = many.append_to_many(given, idempotency_key="k")
        assert stored["b"] == first, "on this stream the key was used before"
        broker.end("c")
        assert many.append_to_many(given, idempotency_key="k") == stored, "an event is stored twice"
        assert [data_of(read_all(broker, name)) for name in given] == [["a"], ["b", "b"], ["c"]]

    def test_events_for_many_streams_are_kept_whole(self, broker: Broker) -> None:
        (event,) = events("é\r\n😀")
        event = type(event)(event.data, "name", 0)
        _appending(broker).append_to_many(dict.fromkeys(["a", "b"], (event,)))
        for name in ("a", "b"):
            assert [entry.event for entry in read_all(broker, name)] == [event]

    def test_events_for_many_streams_are_kept_with_their_meta(self, broker: Broker) -> None:
        many = _appending(broker)
        if not isinstance(broker, KeepsMeta):
            pytest.skip(f"{type(broker).__name__} has no `keeps_meta`")
        given = [Event("a", "name", 0, meta={"n": "1"}), Event("b"), Event("c", meta={"n": "3"})]
        many.append_to_many(dict.fromkeys(["a", "b"], given))
        for name in ("a", "b"):
            assert [entry.event for entry in read_all(broker, name)] == given

    def test_of_many_streams_those_that_have_ended_are_left_out(self, broker: Broker) -> None:
        many = _appending(broker)
        broker.append("over", events("before"))
        for name in ("over", "over, and never written to"):
            broker.end(name)
        names = ["a", "over", "over, and never written to", "z"]
        stored = many.append_to_many(dict.fromkeys(names, events("new")))
        assert sorted(stored) == ["a", "z"], "a stream that has ended is left out, and keeps no other from it"
        assert data_of(read_all(broker, "over")) == ["before"], "nothing is stored after an end"
        assert [data_of(read_all(broker, name)) for name in ("a", "z")] == [["new"], ["new"]]

    def test_repeating_a_key_for_many_streams_stores_nothing_more(self, broker: Broker) -> None:
        many = _appending(broker)
        names = ["a", "b", "c"]
        stored = many.append_to_many(dict.fromkeys(names, events("1", "2")), idempotency_key="k")
        for name in names:
            broker.append(name, events("later"))
        again = many.append_to_many(dict.fromkeys(names, events("1", "2")), idempotency_key="k")
        assert again == stored, "a key that is repeated gives the ids of its first time"
        for name in names:
            assert data_of(read_all(broker, name)) == ["1", "2", "later"], "an event is stored twice"

    def test_a_key_of_many_streams_is_one_of_each(self, broker: Broker) -> None:
        many = _appending(broker)
        first = broker.append("a", events("event"), idempotency_key="k")
        broker.append("b", events("event"), idempotency_key="another")
        stored = many.append_to_many(dict.fromkeys(["a", "b", "c"], events("event")), idempotency_key="k")
        assert stored["a"] == first, "on this stream the key was used before"
        assert broker.append("c", events("event"), idempotency_key="k") == stored["c"]
        assert [len(read_all(broker, name)) for name in ("a", "b", "c")] == [1, 2, 1]

    def test_a_key_of_many_streams_still_counts_when_some_have_ended(self, broker: Broker) -> None:
        many = _appending(broker)
        stored = many.append_to_many(dict.fromkeys(["a", "b"], events("event")), idempotency_key="k")
        broker.end("a")
        again = many.append_to_many(dict.fromkeys(["a", "b", "c"], events("event")), idempotency_key="k")
        assert {name: again[name] for name in stored} == stored
        assert [len(read_all(broker, name)) for name in ("a", "b", "c")] == [1, 1, 1]

    def test_a_key_of_many_streams_still_counts_when_all_have_ended(self, broker: Broker) -> None:
        many = _appending(broker)
        stored = many.append_to_many(dict.fromkeys(["a", "b"], events("event")), idempotency_key="k")
        for name in stored:
            broker.end(name)
        again = many.append_to_many(dict.fromkeys(["a", "b"], events("event")), idempotency_key="k")
        assert again == stored, "what is stored looks as if it weren't, to who tries again after a lost reply"

    def test_no_events_for_many_streams_and_no_streams_do_nothing(self, broker: Broker) -> None:
        many = _appending(broker)
        assert many.append_to_many(dict.fromkeys(["a", "b"], ())) == {"a": [], "b": []}
        assert many.append_to_many({}) == {}
        assert read(broker, "a").entries == ()

    def test_many_streams_are_appended_to_under_their_exact_names(self, broker: Broker) -> None:
        many = _appending(broker)
        stored = many.append_to_many(dict.fromkeys(AWKWARD_NAMES, events("event")))
        assert sorted(stored) == sorted(AWKWARD_NAMES)
        for name in AWKWARD_NAMES:
            assert [entry.id for entry in read_all(broker, name)] == stored[name]

    def test_a_thousand_streams_are_appended_to_at_once(self, broker: Broker) -> None:
        many = _appending(broker)
        names = [f"s{n}" for n in range(_MANY)]
        for _ in range(2):
            stored = many.append_to_many(dict.fromkeys(names, events("event")))
            assert set(stored) == set(names)
        pages = broker.read(dict.fromkeys(names, ""), 10)
        assert {len(page.entries) for page in pages.values()} == {2}

    def test_an_append_to_many_streams_rings_the_bell_of_each(self, broker: Broker) -> None:
        many = _appending(broker)
        names = [f"s{n}" for n in range(50)]
        with closing(broker.watch()) as watch:
            for name in names:
                watch.add(name)
            rest(watch, broker)
            many.append_to_many(dict.fromkeys([*names, "nobody's"], events("event")))
            wait_for_bell(watch, *names, within=broker.rings_within)

    def test_an_append_to_many_streams_is_heard_and_read_in_other_processes(
        self, broker: Broker, other: Process
    ) -> None:
        many = _appending(broker)
        other.start(hear_of, "news")
        other.go()
        stored = many.append_to_many(dict.fromkeys(["a", "news", "z"], events("event")))
        other.result()
        assert [entry.id for entry in other.call(entries, "news")] == stored["news"]

    def test_appends_to_many_streams_at_once_lose_nothing_and_end(self, broker: Broker) -> None:
        many = _appending(broker)
        names = [f"s{n}" for n in range(20)]

        def append(who: int) -> None:
            own = names if who % 2 else names[::-1]
            for n in range(5):
                text = f"{who} {n}"
                same = events(text)
                many.append_to_many({name: same if n % 2 else events(text) for name in own})
                broker.append(own[0], events(f"alone {who} {n}"))

        for appending in [in_a_thread(partial(append, who)) for who in range(4)]:
            finish(appending, "appending to streams that others append to in another order")
        for name in names:
            found = [data for data in data_of(read_all(broker, name)) if not data.startswith("alone")]
            assert sorted(found) == sorted(f"{who} {n}" for who in range(4) for n in range(5))
            for who in range(4):
                own = [data for data in found if data.startswith(f"{who} ")]
                assert own == sorted(own), "what one has appended is in order"
