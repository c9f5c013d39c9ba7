"""Brokers that each break one promise of writing within transactions of the app's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...broker import Duplicate, Event, StreamEnded
from ..within_contract import Transaction
from .appending import Ids
from .breaking import breaks
from .sound import Log, SoundBroker


@dataclass
class SoundTransaction:
    """A transaction: what is to be done when it commits, and the logs as they will be then."""

    broker: HasTransactions
    logs: dict[str, Log] = field(default_factory=dict[str, Log])
    todo: list[Callable[[], object]] = field(default_factory=list[Callable[[], object]])

    def commit(self) -> None:
        for do in self.todo:
            do()
        self.over()

    def rollback(self) -> None:
        self.over()

    def over(self) -> None:
        """Let others write."""
        self.todo.clear()
        self.broker.let_others_write(self)


class HasTransactions(SoundBroker):
    """A sound broker in memory, that writes within transactions, too; one transaction at a time."""

    def __init__(self, folder: Path | None = None, history: int = 10_000) -> None:
        super().__init__(None, history)
        self._writing = threading.Lock()
        self._writer: SoundTransaction | None = None

    @contextmanager
    def begin(self) -> Generator[Transaction]:
        """A transaction of the app's."""
        transaction = SoundTransaction(self)
        try:
            yield Transaction(transaction, transaction.commit, transaction.rollback)
        finally:
            transaction.over()

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        with self._writing:
            return super().append(stream_id, events, **key)

    def end(self, stream_id: str) -> None:
        with self._writing:
            super().end(stream_id)

    def append_within(
        self, session: Any, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> Ids:
        ids = self._append_to(self._as_it_will_be(session, stream_id), stream_id, events, idempotency_key)
        if not isinstance(ids, Duplicate):
            self._at_commit(session, stream_id)
        return ids

    def end_within(self, session: Any, stream_id: str) -> None:
        log = self._as_it_will_be(session, stream_id)
        log.end = log.end or self._id_after(log)
        self._at_commit(session, stream_id)

    def let_others_write(self, transaction: SoundTransaction) -> None:
        if self._writer is transaction:
            self._writer = None
            self._writing.release()

    def _as_it_will_be(self, session: Any, stream_id: str) -> Log:
        if not isinstance(session, SoundTransaction):
            raise TypeError(f"a transaction is wanted, not {session!r}")
        if self._writer is not session:
            self._writing.acquire()
            self._writer = session
        return session.logs.setdefault(stream_id, deepcopy(self.log(stream_id)))

    def _at_commit(self, session: SoundTransaction, stream_id: str) -> None:
        session.todo.append(lambda: self._take_over(stream_id, session.logs[stream_id]))

    def _take_over(self, stream_id: str, log: Log) -> None:
        with self.opened(to_write=True):
            self._logs[stream_id] = log
        self._ring(stream_id)


@breaks(
    what_a_transaction_appends_is_there_once_it_commits_and_not_before="seen before the commit",
    a_transaction_that_rolls_back_leaves_nothing_not_even_a_hole="what was rolled back is there",
    a_transaction_that_is_given_up_leaves_nothing="what was never committed is there",
    a_stream_ends_once_the_transaction_commits_and_not_before="the end is seen before the commit",
    a_stream_whose_end_is_rolled_back_goes_on="StreamEnded",
)
class WritesAtOnce(HasTransactions):
    def _at_commit(self, session: SoundTransaction, stream_id: str) -> None:
        self._take_over(stream_id, session.logs[stream_id])


@breaks(
    a_transaction_that_rolls_back_leaves_nothing_not_even_a_hole="that nothing has caused",
)
class LeavesAHole(HasTransactions):
    """As a database's sequences do, whose numbers aren't given back."""

    def append_within(self, session: Any, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        log = self._as_it_will_be(session, stream_id)
        ids = super().append_within(session, stream_id, events, **key)
        actual = self._log_for_writing(stream_id)
        actual.count = log.count
        actual.before = ids[-1]
        actual.entries.clear()
        return ids


@breaks(what_a_transaction_appends_is_there_once_it_commits_and_not_before="are the entries' ids")
class GivesIdsOfItsOwn(HasTransactions):
    def append_within(self, session: Any, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return [entry_id[::-1] for entry_id in super().append_within(session, stream_id, events, **key)]


@breaks(several_appends_of_a_transaction_are_in_order_in_all_its_streams="")
class KeepsOneAppendOfATransaction(HasTransactions):
    def append_within(self, session: Any, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        getattr(session, "logs", {}).pop(stream_id, None)
        return super().append_within(session, stream_id, events, **key)


@breaks(who_appends_during_a_transaction_waits_for_it_and_nothing_is_passed_over="")
class LetsOthersOvertake(HasTransactions):
    """Who reads on from what overtook never sees what comes to light late."""

    def append(self, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        if self._writer is None:
            return super().append(stream_id, events, **key)
        return SoundBroker.append(self, stream_id, events, **key)


@breaks(the_bell_rings_for_what_a_transaction_has_committed="the watch never named")
class CommitsInSilence(HasTransactions):
    def _take_over(self, stream_id: str, log: Log) -> None:
        self._logs[stream_id] = log


@breaks(the_bell_rings_for_what_a_transaction_has_committed="the watch never named")
class RingsBeforeTheCommit(CommitsInSilence):
    def _at_commit(self, session: SoundTransaction, stream_id: str) -> None:
        self._ring(stream_id)
        super()._at_commit(session, stream_id)


@breaks(
    a_key_holds_for_transactions_and_for_those_that_have_none="the ids of its first time",
)
class HeedsNoKeyWithin(HasTransactions):
    def append_within(self, session: Any, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        return super().append_within(session, stream_id, events)


@breaks(a_key_of_a_transaction_that_rolls_back_was_never_used="keeps an event from being stored")
class RemembersKeysThatWereRolledBack(HasTransactions):
    def append_within(
        self, session: Any, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> Ids:
        ids = super().append_within(session, stream_id, events, idempotency_key=idempotency_key)
        self._log_for_writing(stream_id).keys[f"{idempotency_key}"] = ids
        return ids


@breaks(a_stream_that_has_ended_refuses_and_the_transaction_goes_on="")
class GivesTheTransactionUpAtAnEnd(HasTransactions):
    def append_within(self, session: Any, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        try:
            return super().append_within(session, stream_id, events, **key)
        except StreamEnded:
            session.logs.clear()
            session.todo.clear()
            raise


@breaks(what_is_no_session_is_refused="DID NOT RAISE")
class TakesAnythingForASession(HasTransactions):
    def append_within(self, session: Any, stream_id: str, events: Sequence[Event], **key: Any) -> Ids:
        if isinstance(session, SoundTransaction):
            return super().append_within(session, stream_id, events, **key)
        return self.append(stream_id, events, **key)


@breaks(
    a_stream_ends_once_the_transaction_commits_and_not_before="the end is seen before the commit",
    a_stream_whose_end_is_rolled_back_goes_on="StreamEnded",
)
class EndsAtOnce(HasTransactions):
    def end_within(self, session: Any, stream_id: str) -> None:
        self._as_it_will_be(session, stream_id)
        SoundBroker.end(self, stream_id)
