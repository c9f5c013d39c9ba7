"""The broker: calls to the scripts, and what their answers mean."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from streamy_core.broker import Broker, StreamInfo, Watch
from streamy_core.errors import BrokerUnavailable, Closed, ConfigError, StreamEnded
from streamy_core.events import Entry, Event, Page
from streamy_core.ids import OLDEST, make_id, new_epoch, new_nonce, sequence_of
from streamy_core.urls import redact

from .names import Names
from .options import Options, Place
from .scripts import Call, Runner, Script, passing_faults
from .servers import Node, Servers, open_servers
from .watch import RedisWatch

_NO_NONCE: Final = "000"
_OLDEST_VERSION: Final = (6, 2)

logger = logging.getLogger("streamy")


class RedisBroker(Broker):
    """See the package. Any thread; a forked process gets connections of its own.

    Made by `from_url`, as a rule. Connects to nothing before it is used.
    """

    _servers: Servers
    _runner: Runner
    _watches: set[RedisWatch]
    _lock: threading.Lock
    _pid: int

    def __init__(self, place: Place, options: Options) -> None:
        self._place = place
        self._options = options
        self._names = Names(options.prefix)
        self._append = Script("append")
        self._read = Script("read")
        self._end = Script("end")
        self._checked = False
        self._closed = False
        self._fork_lock = threading.Lock()
        self._start()

    def check(self) -> None:
        """See whether the server has what is needed. Raises ConfigError; logs that it is away.

        One that is away now is looked at when it is first used.
        """
        try:
            self._open()
        except BrokerUnavailable as error:
            logger.warning("%s can't be reached now, and may come later: %s", self._url, error)

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        if not events:
            return []
        options, names = self._options, self._names
        # Without a key, one of ours: somebody else's client may try again by itself.
        key = secrets.token_hex(8) if idempotency_key is None else idempotency_key
        args: list[Any] = [
            new_nonce(),
            options.history,
            *map(_ms, (options.history_age, options.stream_age, options.key_age)),
            *self._bell(stream_id),
        ]
        for event in events:
            args += (event.data, event.name or "", "" if event.retry is None else event.retry)
        keys = (names.state(stream_id), names.log(stream_id), names.key(stream_id, key))
        kind, *stored = self._write(self._append, keys, args)
        if kind == "ended":
            raise StreamEnded(stream_id)
        epoch, place, nonce, count = stored
        return [make_id(_text(epoch), place + n, _text(nonce)) for n in range(1, count + 1)]

    def end(self, stream_id: str) -> None:
        args = [new_nonce(), _ms(self._options.stream_age), *self._bell(stream_id)]
        self._write(self._end, (self._names.state(stream_id),), args)

    def read(self, cursors: Mapping[str, str], limit: int) -> Mapping[str, Page]:
        runner = self._open()
        replies = runner.read([self._reading(name, cursor, limit) for name, cursor in cursors.items()])
        # What isn't there is the same to all, and rare: streams appear, and are seldom forgotten.
        origin = self._origin() if any(len(reply) == 1 for reply in replies) else ""
        return {
            name: _page(name, cursor, reply, origin)
            for (name, cursor), reply in zip(cursors.items(), replies, strict=True)
        }

    def tail(self, stream_id: str) -> str:
        (reply,) = self._open().read([self._reading(stream_id, OLDEST, 0)])
        if len(reply) == 1:
            return self._origin()
        return make_id(_text(reply[1]), reply[2], _text(reply[3]))

    def watch(self) -> Watch:
        self._open()
        with passing_faults("listen to Redis"):
            watch = RedisWatch(
                self._servers, self._names, patience=self._options.timeout, on_close=self._watches.discard
            )
        with self._lock:
            self._watches.add(watch)
        if self._closed:
            watch.close()
        return watch

    def streams(self) -> Iterable[StreamInfo]:
        self._open()
        with passing_faults("list the streams in Redis"):
            found = [info for node in self._servers.nodes() for info in self._streams_of(node)]
        return sorted(found, key=lambda info: info.stream_id)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._pid == os.getpid():
            with self._lock:
                watches = list(self._watches)
            for watch in watches:
                watch.close()
            self._servers.close()

    @property
    def _url(self) -> str:
        return redact(self._place.url)

    def _start(self) -> None:
        options = self._options
        self._lock = threading.Lock()
        self._watches = set()
        self._servers = open_servers(self._place, options)
        self._runner = Runner(
            self._servers,
            connections=options.max_connections,
            wait_replicas=options.wait_replicas,
            timeout=options.timeout,
        )
        self._pid = os.getpid()  # last: another thread takes the rest to be there then

    def _open(self) -> Runner:
        """The runner, if all is well. Raises Closed, ConfigError, BrokerUnavailable."""
        if self._pid != os.getpid():
            # In a forked child: the parent's connections and locks are not to be touched.
            with self._fork_lock:
                if self._pid != os.getpid():
                    self._start()
        if self._closed:
            raise Closed("this Redis broker has been closed")
        if not self._checked:
            self._check_servers()
            self._checked = True
        return self._runner

    def _check_servers(self) -> None:
        try:
            for node in self._servers.nodes():
                _check_server(node.info("server"), self._url, clustered=self._place.kind == "cluster")
        except AuthenticationError as error:
            raise ConfigError(f"{self._url} refuses the login: {error}") from error
        except NoPermissionError:
            pass  # then it will be seen whether it can do what is needed
        except RedisError as error:
            raise BrokerUnavailable(f"could not reach Redis: {type(error).__name__}: {error}") from error

    def _bell(self, stream_id: str) -> tuple[str, str]:
        self._open()
        command = "SPUBLISH" if self._servers.sharded else "PUBLISH"
        return command, self._names.bell(stream_id)

    def _write(self, script: Script, keys: tuple[str, ...], args: Sequence[Any]) -> list[Any]:
        """Run a script that makes the stream if there is none: then it is told the epoch, and run again."""
        runner = self._open()
        reply = runner.write(Call(script, keys, ("", *args)))
        if _text(reply[0]) == "unknown":
            reply = runner.write(Call(script, keys, (self._epoch(), *args)))
        return [_text(reply[0]), *reply[1:]]

    def _reading(self, stream_id: str, cursor: str, limit: int) -> Call:
        keys = (self._names.state(stream_id), self._names.log(stream_id))
        if cursor == OLDEST:
            return Call(self._read, keys, ("", 0, "", limit))
        place = sequence_of(cursor) if cursor.isascii() else None
        if place is None:
            return Call(self._read, keys, ("?", -1, "", limit))
        epoch, _, nonce = cursor.split(".")
        return Call(self._read, keys, (epoch or "?", place, nonce, limit))

    def _origin(self) -> str:
        """The place before the first entry of a stream that isn't there."""
        return make_id(self._epoch(), 0, _NO_NONCE)

    def _epoch(self) -> str:
        """The epoch of new streams: the same for all, so that their joint cursors stay short."""
        with passing_faults("read from Redis"):
            node = self._servers.node_of(self._names.epoch)
            pipeline = node.pipeline(transaction=False)
            pipeline.set(self._names.epoch, new_epoch(), nx=True)
            pipeline.get(self._names.epoch)
            return _text(pipeline.execute()[1])

    def _streams_of(self, node: Node) -> Iterable[StreamInfo]:
        keys = [_text(key) for key in node.scan_iter(match=self._names.all_states, count=1_000)]
        names = [self._names.stream_of(key) for key in keys]
        calls = [self._reading(name, OLDEST, 0) for name in names]
        for name, reply in zip(names, self._runner.read(calls) if calls else (), strict=True):
            if len(reply) > 1:
                _, epoch, head, nonce, before, _, end, *_ = reply
                yield StreamInfo(name, head - before, make_id(_text(epoch), head, _text(nonce)), bool(end))


def _check_server(info: Mapping[str, Any], url: str, *, clustered: bool) -> None:
    version = str(info.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if "valkey_version" not in info and numbers < _OLDEST_VERSION:
        raise ConfigError(f"{url} is Redis {version}, and 6.2 or newer is needed, or Valkey")
    if info.get("redis_mode") == "cluster" and not clustered:
        raise ConfigError(f"{url} is a node of a cluster: its URL begins with redis+cluster://")


def _page(name: str, cursor: str, reply: Sequence[Any], origin: str) -> Page:
    """The page that an answer of the script's means."""
    if len(reply) == 1:
        return Page((), origin, gap=cursor not in (origin, OLDEST))
    kind, epoch, before, end = _text(reply[0]), _text(reply[1]), reply[4], _text(reply[6])
    if kind == "over":
        return Page((), cursor, ended=True)
    if kind == "gap":
        return Page((), make_id(epoch, before, _text(reply[5])), gap=True)
    head, place = reply[2], reply[7]
    entries = tuple(_entries(name, epoch, place, reply[8:]))
    if end and place + len(entries) == head:
        return Page(entries, make_id(epoch, head + 1, end), ended=True)
    if entries:
        return Page(entries, entries[-1].id)
    return Page((), make_id(epoch, before, _text(reply[5])) if cursor == OLDEST else cursor)


def _entries(name: str, epoch: str, place: int, flat: Sequence[Any]) -> Iterable[Entry]:
    for at in range(0, len(flat), 4):
        nonce, data, event_name, retry = map(_text, flat[at : at + 4])
        event = Event(data, event_name or None, int(retry) if retry else None)
        yield Entry(make_id(epoch, place + at // 4 + 1, nonce), name, event)


def _text(value: Any) -> str:
    # A client that is shared with others may decode by itself.
    return value if isinstance(value, str) else bytes(value).decode()


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)
