"""What a broker keeps that writes within transactions of the app's: the contract's part on `AppendsWithin`
and `EndsWithin`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from typing import Any, NamedTuple

import pytest

from ..broker import AppendsWithin, Broker, EndsWithin, Event, KeepsMeta
from ..errors import StreamEnded
from .basis import Contract
from .reading import data_of, events, finish, in_a_thread, read, read_all, rest, wait_for_bell


class Transaction(NamedTuple):
    """A transaction of an app's, which is under way: what `append_within` takes, and how it ends."""

    session: Any
    commit: Callable[[], object]
    rollback: Callable[[], object]


Begin = Callable[[], AbstractContextManager[Transaction]]
"""Begins a transaction, which is rolled back in the end unless it has been committed."""


class WithinContract(Contract):
    """What `AppendsWithin` and `EndsWithin` promise."""

    @pytest.fixture
    def begin(self) -> Begin | None:
        """To be given by the subclass, if the broker writes within transactions: begins one of the app's, in
        the database that has the log of `make_broker()`."""
        return None

    @pytest.fixture
    def within(self, broker: Broker, begin: Begin | None) -> AppendsWithin:
        """The broker, which can append within a transaction."""
        if not isinstance(broker, AppendsWithin):
            pytest.skip(f"{type(broker).__name__} has no `append_within`")
        if begin is None:
            pytest.skip("the fixture `begin` doesn't say how an app begins a transaction")
        return broker

    def test_what_a_transaction_appends_is_there_once_it_commits_and_not_before(
        self, broker: Broker, within: AppendsWithin, begin: Begin
    ) -> None:
        before = broker.append("news", events("before"))
        with begin() as transaction:
            ids = within.append_within(transaction.session, "news", events("1", "2"))
            assert data_of(read_all(broker, "news")) == ["before"], "it is seen before the commit"
            transaction.commit()
        found = read_all(broker, "news", before[-1])
        assert data_of(found) == ["1", "2"], "after the commit all of it is there, in order"
        assert [entry.id for entry in found] == ids, "what is returned are the entries' ids"

    def test_what_a_transaction_appends_is_kept_with_its_meta(
        self, broker: Broker, within: AppendsWithin, begin: Begin
    ) -> None:
        if not isinstance(broker, KeepsMeta):
            pytest.skip(f"{type(broker).__name__} has no `keeps_meta`")
        given = [Event("a", "name", 0, meta={"n": "1"}), Event("b")]
        with begin() as transaction:
            within.append_within(transaction.session, "news", given)
            transaction.commit()
        assert [entry.event for entry in read_all(broker, "news")] == given

    def test_a_transaction_that_rolls_back_leaves_nothing_not_even_a_hole(
        self, broker: Broker, within: AppendsWithin, begin: Begin
    ) -> None:
        before = broker.append("news", events("before"))
        with begin() as transaction:
            within.append_within(transaction.session, "news", events("never", "nor this"))
            within.append_within(transaction.session, "new", events("never"))
            transaction.rollback()
        broker.append("news", events("after"))
        assert data_of(read_all(broker, "news", before[-1])) == ["after"], "what was rolled back is there"
        assert read(broker, "new").entries == (), "what was rolled back is there"

    def test_a_transaction_that_is_given_up_leaves_nothing(
        self, broker: Broker, within: AppendsWithin, begin: Begin
    ) -> None:
        with begin() as transaction:
            within.append_within(transaction.session, "news", events("never"))
        broker.append("news", events("after"))
        assert data_of(read_all(broker, "news")) == ["after"], "what was never committed is there"

    def test_several_appends_of_a_transaction_are_in_order_in_all_its_streams(
        self, broker: Broker, within: AppendsWithin, begin: Begin
    ) -> None:
        with begin() as transaction:
            for n in range(3):
                for name in ("a", "b"):
                    within.append_within(transaction.session, name, events(f"{name}{n}"))
            transaction.commit()
        assert data_of(read_all(broker, "a")) == ["a0", "a1", "a2"]
        assert data_of(read_all(broker, "b")) == ["b0", "b1", "b2"]

    def test_who_appends_during_a_transaction_waits_for_it_and_nothing_is_passed_over(
        self, broker: Broker, within: AppendsWithin, begin: Begin
    ) -> None:
        before = broker.append("news", events("before"))
        with begin() as transaction:
            within.append_within(transaction.session, "news", events("in the transaction"))
            beside = in_a_thread(lambda: broker.append("news", events("beside it")))
            seen = read(broker, "news", before[-1])
            transaction.commit()
        finish(beside, "the return of an append that waits for a transaction")
        rest_of_it = read_all(broker, "news", seen.cursor)
        assert sorted(data_of([*seen.entries, *rest_of_it])) == ["beside it", "in the transaction"], (
            "who reads all along is passed over by an entry that comes to light late"
        )

    def test_the_bell_rings_for_what_a_transaction_has_committed(
        self, broker: Broker, within: AppendsWithin, begin: Begin
    ) -> None:
        broker.append("news", events("before"))
        with closing(broker.watch()) as watch:
            watch.add("news")
            with begin() as transaction:
                within.append_within(transaction.session, "news", events("event"))
                rest(watch, broker)
                transaction.commit()
            wait_for_bell(watch, "news", within=broker.rings_within)

    def test_a_key_holds_for_transactions_and_for_those_that_have_none(
        self, broker: Broker, within: AppendsWithin, begin: Begin
    ) -> None:
        first = broker.append("news", events("event"), idempotency_key="before")
        with begin() as transaction:
            again = within.append_within(
                transaction.session, "news", events("event"), idempotency_key="before"
            )
            own = within.append_within(transaction.session, "news", events("own"), idempotency_key="own")
            transaction.commit()
        assert again == first, "a key that was used before gives the ids of its first time"
        assert broker.append("news", events("own"), idempotency_key="own") == own
        assert data_of(read_all(broker, "news")) == ["event", "own"], "an event is stored twice"

    def test_a_key_of_a_transaction_that_rolls_back_was_never_used(
        self, broker: Broker, within: AppendsWithin, begin: Begin
    ) -> None:
        with begin() as transaction:
            within.append_within(transaction.session, "news", events("event"), idempotency_key="k")
            transaction.rollback()
        broker.append("news", events("event"), idempotency_key="k")
        assert data_of(read_all(broker, "news")) == ["event"], "its key keeps an event from being stored"

    def test_a_stream_that_has_ended_refuses_and_the_transaction_goes_on(
        self, broker: Broker, within: AppendsWithin, begin: Begin
    ) -> None:
        broker.end("over")
        with begin() as transaction:
            within.append_within(transaction.session, "news", events("before"))
            with pytest.raises(StreamEnded):
                within.append_within(transaction.session, "over", events("refused"))
            within.append_within(transaction.session, "news", events("after"))
            transaction.commit()
        assert data_of(read_all(broker, "news")) == ["before", "after"]

    def test_what_is_no_session_is_refused(self, broker: Broker, within: AppendsWithin) -> None:
        with pytest.raises(TypeError):
            within.append_within(object(), "news", events("never"))
        assert read(broker, "news").entries == ()

    def test_a_stream_ends_once_the_transaction_commits_and_not_before(
        self, broker: Broker, within: AppendsWithin, begin: Begin
    ) -> None:
        ends = _ending(broker)
        with begin() as transaction:
            within.append_within(transaction.session, "job", events("done"))
            ends.end_within(transaction.session, "job")
            assert read(broker, "job").ended is False, "the end is seen before the commit"
            transaction.commit()
        page = read(broker, "job")
        assert (data_of(page.entries), page.ended) == (["done"], True), "the end is told after the commit"

    def test_a_stream_whose_end_is_rolled_back_goes_on(
        self, broker: Broker, within: AppendsWithin, begin: Begin
    ) -> None:
        ends = _ending(broker)
        with begin() as transaction:
            ends.end_within(transaction.session, "job")
            transaction.rollback()
        broker.append("job", events("on"))
        page = read(broker, "job")
        assert (data_of(page.entries), page.ended) == (["on"], False), "an end that was rolled back holds"


def _ending(broker: Broker) -> EndsWithin:
    if not isinstance(broker, EndsWithin):
        pytest.skip(f"{type(broker).__name__} has no `end_within`")
    return broker
