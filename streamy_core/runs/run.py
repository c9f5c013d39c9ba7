"""A run, as its starter has it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Protocol, Self

from ..engine.outcomes import RunEnd, RunOutcome
from ..errors import RunStopped
from .held import Held
from .producing import close, produce

Within = Callable[[Callable[[], None]], None]
"""Calls what it is given, within the context that a producer is to have."""


def as_it_is(call: Callable[[], None]) -> None:
    """Within what is there."""
    call()


class Service(Protocol):
    """What a run needs of what has started it."""

    def stop(self, stream_id: str) -> None:
        """Have the run stopped, wherever it is."""

    def wait_for_end(self, stream_id: str, timeout: float | None) -> tuple[bool, RunEnd | None]:
        """Wait until the stream has ended; whether it has, and how."""
        raise NotImplementedError


class Run:
    """A run that was started here, or one that another has started, which is only followed. Any thread.

    As a context manager, it ends with the block: as done; as stopped, if the block raises RunStopped, which
    it takes; as failed by another error, which goes on.
    A process that is forked within the block does not end it.

    stream_id: the stream.
    held: whether this process produces it.
    """

    def __init__(
        self,
        service: Service,
        stream_id: str,
        held: Held | None,
        event_name: str | None = None,
        items: Any = None,
        within: Within = as_it_is,
    ) -> None:
        self.stream_id: Final[str] = stream_id
        self.held: Final[bool] = held is not None
        self._service = service
        self._own = held
        self._items = items
        self._name = event_name
        self._within = within
        self._draining = threading.Lock()
        self._pid = os.getpid()

    def send(self, data: Any, event_name: str | None = None) -> None:
        """Publish an item: data as for `send_event`, or an `Event`.

        event_name: of data; by itself, as `start_run` or `run` was told.

        Raises InvalidEvent, and then nothing of it is stored; RunStopped, once the run is to stop or has
        ended; PublishFailed.
        """
        self._holding().put(data, self._name if event_name is None else event_name)

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """Tell how far it is, by an event named `progress` with `done`, `total` and `note`.

        At most four are published a second, and the last one always. A total of 0, or less than what is done,
        can't be: it is mended, with a warning. Raises as `send`.
        """
        self._holding().put_progress(done, total, note)

    @property
    def stopped(self) -> bool:
        """Whether nothing more is wanted: it was stopped, or has ended."""
        return self._holding().stopping

    def raise_if_stopped(self) -> None:
        """Raises RunStopped if it was stopped, or has ended: for loops, now and then."""
        self._holding().raise_if_stopped()

    def stop(self) -> None:
        """As `StreamManager.stop_run` of its stream."""
        if self._own is not None and not self._own.ended.is_set():
            self._own.stop()
        else:
            self._service.stop(self.stream_id)

    def wait(self, timeout: float | None = None) -> RunOutcome | None:
        """Wait until it has ended, for so many seconds at most; its outcome, None if there is none.

        Of a stream that `end_stream` has ended there is none. Raises BrokerUnavailable.
        """
        if self._own is not None:
            self._own.ended.wait(timeout)
        else:
            self._service.wait_for_end(self.stream_id, timeout)
        return self.outcome

    @property
    def outcome(self) -> RunOutcome | None:
        """What came of it; None as long as it goes on. Raises BrokerUnavailable, if it is held elsewhere."""
        if self._own is not None:
            end = self._own.end
        else:
            _, end = self._service.wait_for_end(self.stream_id, 0)
        return None if end is None else end.outcome

    def drain(self) -> None:
        """Produce all of it on the calling thread, and return when it has ended: for `executor=False`.

        What the iterable raises ends it as failed, and isn't raised. Draining again does nothing.
        """
        with self._draining:
            items, self._items = self._items, None
        held = self._own
        if held is None or items is None:
            return
        self._within(lambda: self._produce(held, items))

    def _produce(self, held: Held, items: Any) -> None:
        if held.stopping:  # before it began
            close(items)
            held.finish(whole=False)
            return
        try:
            whole = produce(items, lambda item: held.writer.put(item, self._name), lambda: held.stopping)
        except BaseException as error:
            held.finish(error, whole=False)
            if not isinstance(error, Exception):
                raise
        else:
            held.finish(whole=whole)

    def _holding(self) -> Held:
        if self._own is None:
            raise RunStopped(self.stream_id, "started by another")
        return self._own

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        held = self._own
        if held is None or self._pid != os.getpid():  # a child that was forked within the block
            return False
        taken = isinstance(error, RunStopped) and error.stream_id == self.stream_id
        held.finish(error, whole=not taken)
        return taken
