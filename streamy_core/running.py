"""The verbs for runs: whatever yields, as a stream that outlives the request that has started it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Callable, Iterable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, copy_context
from typing import Any, Literal

from flask import Flask, current_app, has_app_context, has_request_context, request
from flask.ctx import AppContext as FlaskAppContext
from flask.ctx import RequestContext

from .binding import Binding
from .delivery.servers import server_of
from .rechecking import AppContext
from .runs.coalescing import Coalesce
from .runs.run import Run
from .runs.service import Runs
from .runs.terms import Terms


class RunVerbs(ABC):
    """Starts runs and stops them. Any thread."""

    @property
    @abstractmethod
    def binding(self) -> Binding:
        """What is held for the current app."""

    def start_run(
        self,
        stream_id: str,
        iterable: Iterable[Any] | AsyncIterable[Any],
        *,
        event_name: str | None = None,
        coalesce: float | Coalesce | None = None,
        executor: Executor | Literal[False] | None = None,
        key: str | int | None = None,
        join: bool = False,
        lease: float = 10,
        on_error: Callable[[Exception], object] | None = None,
        stop_when_alone: float | None = None,
        resume: Callable[[str], str | None] | None = None,
    ) -> Run:
        """Publish what an iterable yields to a stream of its own, read or not, and end it. Returns at once.

        Readers get every item, and in the end `streamy.end`, whose `outcome` says `done`, `stopped`, `failed`
        or `lost`.

        stream_id:  a name that nobody has used before.
        iterable:   yields data as for `send_event`, or an `Event`; may be async. When the run is stopped, it
                    is closed: a generator's `finally` runs.
        event_name: the name of what isn't an `Event`.
        coalesce:   seconds within which texts of one name that come close together become one event, or a
                    `Coalesce`. They are published by another thread then, and the producer only waits where
                    262,144 characters have piled up.
        executor:   what runs it: by itself, a thread of Streamy's own (`STREAMY_RUN_THREADS`); anything with
                    `submit`; False: nothing, until somebody calls `drain` of what is returned.
        key:        whom the run belongs to, as for `get_stream`.
        join:       where a run of the same key has begun on the stream already, return one that follows it.
        lease:      seconds after which others end it as lost, if its process is killed. At least 1.
        on_error:   called with what the iterable raises; the text that it returns is told to readers, as
                    `error`. `str` tells the error's own.
        stop_when_alone: seconds after which it is stopped when nobody has been reading it. At least 1.
        resume:     called with the stream id where the run is about to be lost, since its process stops, once
                    all that was yielded can be read there. It has another process do the rest, on a stream
                    of its own, and returns the name of that, which readers are told as `resumed_on`; or None.
                    It mustn't take long. In a process that is killed, nothing is called.

        It runs in a copy of the current context, with an app context of its own, and without the request.

        Raises InvalidStreamId, InvalidEvent (for the name), InvalidKey, ValueError, and TypeError for what
        isn't iterable; RunExists; TooManyRuns; ConfigError if the broker can't be used for runs;
        PublishFailed and BrokerUnavailable.
        """
        terms = Terms.of(
            event_name=event_name,
            coalesce=coalesce,
            key=key,
            join=join,
            lease=lease,
            on_error=on_error,
            stop_when_alone=stop_when_alone,
            resume=resume,
        )
        runs = self._runs_of(self.binding)
        return runs.start(stream_id, iterable, terms, executor=executor, within=_within())

    def run(
        self,
        stream_id: str,
        *,
        event_name: str | None = None,
        coalesce: float | Coalesce | None = None,
        key: str | int | None = None,
        lease: float = 10,
        on_error: Callable[[Exception], object] | None = None,
        stop_when_alone: float | None = None,
        resume: Callable[[str], str | None] | None = None,
    ) -> Run:
        """A run whose items the caller sends, by `send` and `progress`: `with sse.run("job:7") as run:`.

        It ends with the block. Arguments, and what it raises, as for `start_run`. Of one that is never
        entered, nobody hears an end before its process stops.
        """
        terms = Terms.of(
            event_name=event_name,
            coalesce=coalesce,
            key=key,
            join=False,
            lease=lease,
            on_error=on_error,
            stop_when_alone=stop_when_alone,
            resume=resume,
        )
        return self._runs_of(self.binding).open(stream_id, terms)

    def stop_run(self, stream_id: str) -> None:
        """Have a run stopped, in whatever process it is: its iterable is closed after the item under way.

        What has ended, or isn't there, is left alone. Returns before it has stopped.

        Raises InvalidStreamId, BrokerUnavailable, PublishFailed.
        """
        self.binding.runs.stop(stream_id)

    def _runs_of(self, binding: Binding) -> Runs:
        if has_request_context():
            # A worker may have runs, and no client: it has to hear that its server stops.
            binding.delivery.begin(server_of(request.environ))
        if binding.reporting is not None:
            binding.reporting.publishes()
        return binding.runs


def _within() -> Callable[[Callable[[], None]], None]:
    """Calls something in a copy of the current context, but for its request, and within one of its app."""
    given = copy_context()
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    if has_app_context():
        proxy: Any = current_app
        app: Flask = proxy._get_current_object()
        around = AppContext(app)

    def call(producer: Callable[[], None]) -> None:
        def produce() -> None:
            for variable, value in given.items():
                if not isinstance(value, FlaskAppContext | RequestContext):
                    variable.set(value)
            with around():
                producer()

        Context().run(produce)

    return call
