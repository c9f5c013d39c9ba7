"""The connection of one process: an event loop on a thread of its own, and what asks it from others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, Never, TypeVar

import nats.errors
from nats.aio.client import Client
from nats.js.errors import NoStreamResponseError, NotFoundError

from streamy_core import StreamyError
from streamy_core.broker import BrokerUnavailable, Closed, ConfigError

from .log import Log
from .options import Options

if TYPE_CHECKING:
    from .watch import NatsWatch

T = TypeVar("T")

_REFUSALS = ("Authorization Violation", "Authentication")
_NO_LOG = (NotFoundError, NoStreamResponseError, nats.errors.NoRespondersError)

PASSING = (nats.errors.Error, OSError, TimeoutError)
"""What a server that is away, slow or restarting brings about."""


def unavailable(error: Exception) -> BrokerUnavailable:
    """What to raise for one of them."""
    return BrokerUnavailable(f"NATS: {str(error) or 'no answer in time'}")


class Connection:
    """Any thread of one process.

    Connects at the first call, and again at the first after the connection was lost: trying again is
    for the caller to decide, so nats-py doesn't, and nothing waits in its buffers to be sent late.
    """

    def __init__(self, server: str, options: Options) -> None:
        self.watches: set[NatsWatch] = set()  # those that are open
        self._server = server
        self._options = options
        self._log: Log | None = None
        self._connecting = asyncio.Lock()
        self._lock = threading.Lock()
        self._closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def ask(self, call: Callable[[Log], Awaitable[T]]) -> T:
        """What `call` gives of the log. Raises BrokerUnavailable, Closed, ConfigError."""
        try:
            return self.start(self._within_time(call)).result()
        except CancelledError:
            raise Closed("this NATS broker has been closed") from None
        except StreamyError:
            raise
        except PASSING as error:
            if any(word in str(error) for word in _REFUSALS):  # it has no type of its own there
                raise ConfigError(f"the NATS server refuses the login: {error}") from error
            raise unavailable(error) from error

    def start(self, task: Coroutine[Any, Any, T]) -> Future[T]:
        """Have the loop do this. Raises Closed."""
        with self._lock:
            if not self._closed:
                return asyncio.run_coroutine_threadsafe(task, self._running())
        task.close()
        raise Closed("this NATS broker has been closed")

    def close(self) -> None:
        """End the calls under way, the connection, and the thread. Closing twice does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for watch in list(self.watches):
            watch.close()
        if self._loop is not None and self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _running(self) -> asyncio.AbstractEventLoop:
        """The loop, which a thread of this process runs from the first call on."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="streamy-nats", daemon=True)
            self._thread.start()
        return self._loop

    async def _within_time(self, call: Callable[[Log], Awaitable[T]]) -> T:
        async with asyncio.timeout(self._options.timeout):
            log = await self._open()
            asked = asyncio.ensure_future(call(log))
            asked.add_done_callback(_look_at)
            try:
                # nats-py leaves what was asked of a lost connection waiting.
                await asyncio.wait((asked, log.lost), return_when=asyncio.FIRST_COMPLETED)
                return asked.result() if asked.done() else log.lost.result()
            except _NO_LOG:
                # Somebody deleted it, and it is made again when the next call connects.
                await log.client.close()
                raise
            finally:
                asked.cancel()

    async def _open(self) -> Log:
        async with self._connecting:
            if self._log is None or not self._log.client.is_connected:
                self._log = None
                lost: asyncio.Future[Never] = asyncio.get_running_loop().create_future()
                client = await self._connect(lost)
                try:
                    self._log = await Log.open(client, self._options, lost)
                except BaseException:
                    await client.close()
                    raise
            return self._log

    async def _connect(self, lost: asyncio.Future[Never]) -> Client:
        client = Client()

        async def on_error(error: Exception) -> None:
            self._lost(error)

        async def on_close() -> None:
            error = client.last_error or nats.errors.ConnectionClosedError()
            lost.set_exception(error)
            lost.exception()  # it is no fault of the program's if nobody asks
            self._lost(error)

        settings = {
            "connect_timeout": self._options.timeout,
            "ping_interval": self._options.timeout,
            "max_outstanding_pings": 1,
            **self._options.connect,
            "allow_reconnect": False,
            # Twice at once is the least; left alone, it would try for minutes.
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0,
            "error_cb": on_error,
            "closed_cb": on_close,
        }
        try:
            await client.connect(self._server, **settings)
        except BaseException:
            await client.close()
            raise
        return client

    def _lost(self, error: Exception) -> None:
        for watch in list(self.watches):
            watch.fail(unavailable(error))

    async def _finish(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if self._log is not None:
            await self._log.client.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _look_at(task: asyncio.Task[Any]) -> None:
    """How it ends after its caller has left is no fault of the program's if nobody asks."""
    if not task.cancelled():
        task.exception()
