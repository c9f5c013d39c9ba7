"""Appends events, trying again as the retry policy says."""

from __future__ import annotations

import itertools
import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from ..broker import AppendsToMany, Broker, Duplicate, KeepsMeta
from ..errors import BrokerUnavailable, PublishFailed, StreamEnded, StreamyError
from ..events import Event, is_internal
from ..observers import Observer, PublishOutcome
from ..strategies.retry import RetryPolicy
from ..strategies.trying import keep_trying
from .abilities import that_appends_last, that_appends_within, that_ends_within
from .broadcast import (
    Batches,
    Progress,
    append_to_many,
    append_to_those_in_reach,
    append_within,
    in_slices,
)
from .making import EventMaker, check_idempotency_key
from .traces import Traces

_MOST_TOGETHER: Final = 25
"""Streams whose events are published together: more would keep others from the backend for long."""

_ENDING_TAKES: Final = 10.0
"""Seconds for ending streams to which a broadcast has failed, where that is set."""

logger: Final = logging.getLogger("streamy.publisher")

T = TypeVar("T")


class Publisher:
    """Publishes to one broker. Any thread.

    dumps, max_bytes: as for an EventMaker, whose `event`, `check` and `most_text` are.
    end_on_failure: whether to end a stream to which publishing has failed for good.
    observer:  told what comes of each call.
    sleep:     waits between attempts; injected by tests. None: time.sleep.
    traces:    make a span of each call.

    used: whether anything was to be published or ended.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        retry: RetryPolicy,
        dumps: Callable[[Any], str],
        max_bytes: int,
        end_on_failure: bool = False,
        observer: Observer | None = None,
        sleep: Callable[[float], None] | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._broker = broker
        self._retry = retry
        maker = EventMaker(dumps, max_bytes, keeps_meta=isinstance(broker, KeepsMeta))
        self.event: Final = maker.event
        self.check: Final = maker.check
        self.most_text: Final[int] = maker.most_text
        self._end_on_failure = end_on_failure
        self._observer = observer or Observer()
        self._traces = traces
        self._count = itertools.count()
        self._key_source = (0, "")
        self.used: bool = False
        # Looked up late: gevent may patch `time` after this module was imported.
        self._sleep: Callable[[float], None] = sleep or (lambda seconds: time.sleep(seconds))

    def tell(self, stream_id: str, event: Event) -> None:
        """Append an event of Streamy's own, by one attempt of which nobody is told.

        Raises BrokerUnavailable, Closed.
        """
        self._broker.append(stream_id, (event,))

    def publish(
        self,
        stream_id: str,
        events: Sequence[Event],
        idempotency_key: str | None = None,
        session: Any = None,
        *,
        may_end: bool = True,
    ) -> list[str]:
        """Append the events in one round trip and return their ids.

        session: whose transaction they are to be part of; then there is one attempt, since after a
                 fault a transaction can only be rolled back, by the caller.
        may_end: whether a failure for good may end the stream, where that is set; if not, the caller does.

        Raises InvalidEvent for the key; StreamEnded; PublishFailed after the last attempt; Closed; with a
        session ConfigError, if the broker can't, and TypeError.
        """
        if idempotency_key is not None:
            idempotency_key = check_idempotency_key(idempotency_key)
        may_end = may_end and session is None
        if self._traces is None or is_internal(stream_id):
            return self._publish(stream_id, events, idempotency_key, session, may_end)
        with self._traces.publishing((stream_id,), len(events)) as publishing:
            ids = self._publish(stream_id, publishing.marked(events), idempotency_key, session, may_end)
            publishing.stored(ids)
        return ids

    def _publish(
        self, stream_id: str, events: Sequence[Event], key: str | None, session: Any, may_end: bool
    ) -> list[str]:
        self.used = True
        began = time.monotonic()
        count = len(events)
        try:
            ids = (
                self._append(stream_id, events, key)
                if session is None
                else self._append_within(session, stream_id, events, key)
            )
        except (StreamEnded, PublishFailed) as error:
            self._observer.published(stream_id, _failure_of(error), count, time.monotonic() - began, error)
            if may_end and isinstance(error, PublishFailed):
                self.end_after_failure(stream_id)
            raise
        self._observer.published(stream_id, outcome_of(ids), count, time.monotonic() - began, None)
        return ids

    @property
    def most_streams(self) -> int:
        """So many streams at a time are best given to `publish_each`."""
        grouped = isinstance(self._broker, AppendsToMany) and self._traces is None  # a span is of one stream
        return _MOST_TOGETHER if grouped else 1

    def publish_each(self, batches: Batches, settled: Callable[[str, Exception | None], object]) -> None:
        """Append to each stream its own events: together, and those where that fails one after the other.

        settled: told of each stream once, and of those that fail last: its name, and why its events could not
                 be stored, if so, which is what `publish` raises.
        """
        key = None
        if len(batches) > 1:
            key = self.new_key()
            batches = self._publish_together(batches, key, settled)
        for name, events in batches.items():
            error: Exception | None = None
            try:
                self.publish(name, events, key, may_end=False)
            except Exception as raised:  # noqa: BLE001 - it is told
                error = raised
            settled(name, error)

    def _publish_together(
        self, batches: Batches, key: str | None, settled: Callable[[str, Exception | None], object]
    ) -> Batches:
        """By one attempt, without waiting; those of which nothing is known after it."""
        self.used = True
        began = time.monotonic()
        progress = Progress(batches)
        try:
            for some in in_slices(batches):
                append_to_many(self._broker, some, key, progress)
        except BrokerUnavailable:
            append_to_those_in_reach(self._broker, batches, key, progress)
        except Exception:
            logger.exception("publishing to several streams together has failed: each is tried by itself")
        told = self._observer.published
        seconds = time.monotonic() - began
        for name, ids in progress.stored.items():
            told(name, outcome_of(ids), len(batches[name]), seconds, None)
            settled(name, None)
        for name in progress.ended:
            error = StreamEnded(name)
            told(name, PublishOutcome.ENDED, len(batches[name]), seconds, error)
            settled(name, error)
        return {name: batches[name] for name in progress.left}

    def broadcast(
        self, names: Sequence[str], event: Event, idempotency_key: str | None = None, session: Any = None
    ) -> dict[str, str]:
        """Append the event to each of the streams. Returns its ids by stream, without those that have ended.

        Raises as `publish`; PublishFailed says what has been stored.
        """
        if idempotency_key is not None:
            idempotency_key = check_idempotency_key(idempotency_key)
        if self._traces is None or not names:
            return self._publish_to_all(names, event, idempotency_key, session)
        with self._traces.publishing(names, len(names)) as publishing:
            (event,) = publishing.marked((event,))
            return self._publish_to_all(names, event, idempotency_key, session)

    def _publish_to_all(
        self, names: Sequence[str], event: Event, idempotency_key: str | None, session: Any
    ) -> dict[str, str]:
        self.used = True
        began = time.monotonic()
        progress = Progress(names)
        failure: StreamyError | None = None
        try:
            if session is None:
                self._broadcast(names, event, idempotency_key, progress)
            else:
                self._broadcast_within(session, names, event, idempotency_key, progress)
        except StreamyError as error:
            # What a part of them has got is never told by an error that says nothing of it.
            told = isinstance(error, PublishFailed) or not progress.stored
            failure = error if told else self._given_up(progress, 1, error)
        self._tell_of(progress, time.monotonic() - began, failure)
        if failure is None:
            return progress.ids
        if session is None and isinstance(failure, PublishFailed):
            self._end_all_after_failure(progress.left)
        raise failure

    def _end_all_after_failure(self, names: Sequence[str]) -> None:
        """As `end_after_failure`, for so many as can be ended in a while."""
        over = time.monotonic() + _ENDING_TAKES
        for done, name in enumerate(names if self._end_on_failure else ()):
            if time.monotonic() > over:
                logger.error("streams that there was no time to end, of a broadcast: %d", len(names) - done)
                break
            self.end_after_failure(name)

    def append_own(self, stream_id: str, events: Sequence[Event], key: str | None = None) -> list[str]:
        """Append events of Streamy's own, trying again. Raises StreamEnded, PublishFailed, Closed."""
        return self._append(stream_id, events, key)

    def publish_last(self, stream_id: str, events: Sequence[Event]) -> None:
        """Append the stream's last entries and end it, in one step, trying again.

        Raises StreamEnded, if others were first; PublishFailed; Closed; ConfigError, if the broker can't.
        """
        *events, last = events
        if self._traces is None or not events:
            self._publish_last(stream_id, [*events, last])
            return
        with self._traces.publishing((stream_id,), len(events)) as publishing:
            self._publish_last(stream_id, [*publishing.marked(events), last])

    def _publish_last(self, stream_id: str, events: Sequence[Event]) -> None:
        broker = that_appends_last(self._broker)
        self.used = True
        began = time.monotonic()
        append = partial(broker.append_last, stream_id, events, idempotency_key=self.new_key())
        failed = partial(self._failed, "end", stream_id)
        count = len(events)
        try:
            keep_trying(append, self._retry, wait=self._sleep, failed=failed)
        except (StreamEnded, PublishFailed) as error:
            self._observer.published(stream_id, _failure_of(error), count, time.monotonic() - began, error)
            raise
        self._observer.published(stream_id, PublishOutcome.STORED, count, time.monotonic() - began, None)

    def new_key(self) -> str | None:
        """An idempotency key that nothing else has; None where the broker needs none."""
        # With it, a reply that is lost doesn't have the events stored twice.
        return self._unique() if self._broker.loses_replies else None

    def append_once(self, stream_id: str, events: Sequence[Event], key: str | None) -> list[str]:
        """Append in one attempt, of which nobody is told. Raises what the broker raises."""
        self.used = True
        return self._broker.append(stream_id, events, idempotency_key=key)

    def end_after_failure(self, stream_id: str) -> None:
        """End the stream, to which publishing has failed for good, if it is set so. Never raises."""
        if not self._end_on_failure or is_internal(stream_id):
            return
        try:
            self._broker.end(stream_id)
            logger.info(
                "stream %r: ended", stream_id, extra={"streamy_event": "ended", "streamy_stream": stream_id}
            )
        except Exception as error:  # noqa: BLE001 - there is another already, which is told
            logger.error("stream %r: could not be ended either: %s", stream_id, error)

    def end(self, stream_id: str, session: Any = None) -> None:
        """End the stream. Raises PublishFailed after the last attempt; Closed; by a session as `publish`."""
        self.used = True
        began = time.monotonic()
        try:
            if session is None:
                end = partial(self._broker.end, stream_id)
                keep_trying(
                    end, self._retry, wait=self._sleep, failed=partial(self._failed, "end", stream_id)
                )
            else:
                self._end_within(session, stream_id)
        except PublishFailed as error:
            self._observer.published(stream_id, PublishOutcome.FAILED, 0, time.monotonic() - began, error)
            raise
        logger.info(
            "stream %r: ended", stream_id, extra={"streamy_event": "ended", "streamy_stream": stream_id}
        )

    def _append(self, stream_id: str, events: Sequence[Event], key: str | None) -> list[str]:
        key = key if key is not None else self.new_key()
        try:
            return self._broker.append(stream_id, events, idempotency_key=key)
        except BrokerUnavailable as error:
            append = partial(self._broker.append, stream_id, events, idempotency_key=key)
            return self._try_again("publish to", stream_id, append, error)

    def _append_within(
        self, session: Any, stream_id: str, events: Sequence[Event], key: str | None
    ) -> list[str]:
        broker = that_appends_within(self._broker)
        try:
            return broker.append_within(session, stream_id, events, idempotency_key=key)
        except BrokerUnavailable as error:
            raise PublishFailed("publish to", stream_id, 1, error) from error

    def _end_within(self, session: Any, stream_id: str) -> None:
        broker = that_ends_within(self._broker)
        try:
            broker.end_within(session, stream_id)
        except BrokerUnavailable as error:
            raise PublishFailed("end", stream_id, 1, error) from error

    def _broadcast(self, names: Sequence[str], event: Event, key: str | None, progress: Progress) -> None:
        key = key if key is not None else self.new_key()
        for some in in_slices(dict.fromkeys(names, (event,))):
            append = partial(append_to_many, self._broker, some, key, progress)
            failed = partial(self._broadcast_failed, progress)
            keep_trying(append, self._retry, wait=self._sleep, failed=failed)

    def _broadcast_within(
        self, session: Any, names: Sequence[str], event: Event, key: str | None, progress: Progress
    ) -> None:
        broker = that_appends_within(self._broker)
        try:
            append_within(broker, session, names, (event,), key, progress)
        except BaseException as error:
            progress.stored.clear()  # with the transaction
            if isinstance(error, BrokerUnavailable):
                raise self._given_up(progress, 1, error) from error
            raise

    def _broadcast_failed(
        self, progress: Progress, error: BrokerUnavailable, attempt: int, delay: float | None
    ) -> None:
        if delay is None:
            raise self._given_up(progress, attempt, error) from error
        self._observer.publish_retried(progress.left[0], attempt, delay, error)

    def _given_up(self, progress: Progress, attempts: int, error: StreamyError) -> PublishFailed:
        first, *others = progress.left
        failure = PublishFailed("publish to", first, attempts, error, others=len(others), stored=progress.ids)
        failure.__cause__ = error
        return failure

    def _tell_of(self, progress: Progress, seconds: float, failure: StreamyError | None) -> None:
        stored, ended, left = progress.stored, progress.ended, progress.left if failure else ()
        known = {name for name, ids in stored.items() if isinstance(ids, Duplicate)}
        new = [name for name in stored if name not in known] if known else stored
        told = self._observer.published_to_many
        if new:
            told(new, PublishOutcome.STORED, seconds, None)
        if known:
            told(known, PublishOutcome.DUPLICATE, seconds, None)
        if ended:
            told(ended, PublishOutcome.ENDED, seconds, StreamEnded(next(iter(ended))))
        if left:
            told(left, PublishOutcome.FAILED, seconds, failure)

    def _unique(self) -> str:
        pid, prefix = self._key_source
        if pid != os.getpid():
            # Of forked processes, none must use a key of another's.
            prefix = secrets.token_hex(8)
            self._key_source = os.getpid(), prefix
        return f"{prefix}{next(self._count):x}"

    def _try_again(self, what: str, stream_id: str, action: Callable[[], T], error: BrokerUnavailable) -> T:
        failed = partial(self._failed, what, stream_id)
        return keep_trying(action, self._retry, wait=self._sleep, failed=failed, after=error)

    def _failed(
        self, what: str, stream_id: str, error: BrokerUnavailable, attempt: int, delay: float | None
    ) -> None:
        if delay is None:
            raise PublishFailed(what, stream_id, attempt, error) from error
        self._observer.publish_retried(stream_id, attempt, delay, error)


def _failure_of(error: StreamEnded | PublishFailed) -> PublishOutcome:
    return PublishOutcome.ENDED if isinstance(error, StreamEnded) else PublishOutcome.FAILED


def outcome_of(ids: list[str]) -> PublishOutcome:
    """What came of an append that returned these."""
    return PublishOutcome.DUPLICATE if isinstance(ids, Duplicate) else PublishOutcome.STORED
