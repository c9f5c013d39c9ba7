"""The broker: calls to the scripts, and what their answers mean."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from redis.exceptions import NoPermissionError, RedisError, ResponseError

from streamy_core.broker import Broker, StreamInfo, Watch
from streamy_core.errors import BrokerUnavailable, Closed, ConfigError, StreamEnded
from streamy_core.events import Event, Page
from streamy_core.ids import OLDEST, make_id, new_epoch, new_nonce, sequence_of
from streamy_core.urls import redact

from .entries import decode, encode, text_of
from .lines import Lines
from .names import Names
from .options import Options, Place
from .scripts import NOTHING_WRITTEN, Call, Runner, Script, passing_faults
from .servers import Node, Servers, open_servers
from .watch import RedisWatch

_NO_NONCE: Final = "000"
_OLDEST_VERSION: Final = (6, 2)
_AT_ONCE: Final = 1_000

logger = logging.getLogger("streamy")


class RedisBroker(Broker):
    """See the package. Any thread; a forked process gets connections of its own.

    Made by `from_url`, as a rule. Connects to nothing before it is used.
    """

    _servers: Servers
    _lines: Lines
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
        ages = (options.history_age, options.stream_age, options.key_age)
        self._settings = f"{options.history} {' '.join([str(round(age * 1_000)) for age in ages])} "
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
        # Without a key, one of ours: somebody else's client may try again by itself.
        key = secrets.token_hex(8) if idempotency_key is None else idempotency_key
        names, nonce = self._names, new_nonce()
        args: list[str] = []
        for event in events:
            args += encode(event, nonce)
        reply = self._write(self._append, names.for_append(stream_id, key), args)
        if reply == "ended":
            raise StreamEnded(stream_id)
        epoch, place, nonce, count = reply.split(" ")
        before = int(place)
        return [make_id(epoch, before + n, nonce) for n in range(1, int(count) + 1)]

    def end(self, stream_id: str) -> None:
        self._write(self._end, (self._names.state(stream_id),), [new_nonce()])

    def read(self, cursors: Mapping[str, str], limit: int) -> Mapping[str, Page]:
        runner = self._open()
        replies = runner.read([self._reading(name, cursor, limit) for name, cursor in cursors.items()])
        epoch = ""
        pages = {}
        for (name, cursor), reply in zip(cursors.items(), replies, strict=True):
            if found := _Found.of(reply[0]):
                pages[name] = found.page(name, cursor, reply)
            else:
                epoch = epoch or self._epoch()
                origin = _origin(epoch, reply[0])
                pages[name] = Page((), origin, gap=cursor not in (origin, OLDEST))
        return pages

    def tail(self, stream_id: str) -> str:
        (reply,) = self._open().read([self._reading(stream_id, OLDEST, 0)])
        found = _Found.of(reply[0])
        return found.id_at_head if found else _origin(self._epoch(), reply[0])

    def watch(self) -> Watch:
        runner = self._open()
        watch = RedisWatch(
            self._servers,
            self._names,
            patience=self._options.timeout,
            look_again=runner.look_again,
            on_close=self._watches.discard,
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
            self._lines.close()
            self._servers.close()

    @property
    def _url(self) -> str:
        return redact(self._place.url)

    def _start(self) -> None:
        options = self._options
        self._checked = False
        self._lock = threading.Lock()
        self._watches = set()
        self._servers = open_servers(self._place, options)
        self._lines = Lines(
            most=min(options.max_connections, self._servers.most_connections),
            timeout=options.timeout,
            keep=options.client is None,
        )
        self._runner = Runner(
            self._servers, self._lines, wait_replicas=options.wait_replicas, timeout=options.timeout
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
        """See whether the servers have what is needed. One that is away keeps nobody from the others."""
        try:
            found = [self._fault_of(node) for node in self._servers.nodes()]
        except RedisError as error:
            found = [error]
        faults = [fault for fault in found if fault is not None]
        for fault in faults:
            if reason := _refusal(fault):
                raise ConfigError(f"{self._url} {reason}: {fault}") from fault
        if not faults:
            return
        with suppress(RedisError):
            self._runner.look_again()
        if len(faults) == len(found):
            reasons = "; ".join([f"{type(fault).__name__}: {fault}" for fault in faults])
            raise BrokerUnavailable(f"could not reach Redis: {reasons}") from faults[0]

    def _fault_of(self, node: Node) -> RedisError | None:
        """What keeps this server from being asked, if anything does."""
        try:
            _check_server(node.info("server"), self._url, clustered=self._servers.clustered)
            _warn_of_eviction(node.info("memory"), self._url)
        except NoPermissionError:
            pass  # then it will be seen whether it can do what is needed
        except RedisError as error:
            return error
        return None

    def _write(self, script: Script, keys: tuple[str, ...], args: Sequence[str]) -> str:
        """Run a script that makes the stream if there is none: then it is told the epoch, and run again."""
        runner = self._open()
        settings = self._settings + ("SPUBLISH" if self._servers.sharded else "PUBLISH")
        reply = runner.write(script.call(keys, settings, "", *args))
        if reply in NOTHING_WRITTEN:
            reply = runner.write(script.call(keys, settings, self._epoch(), *args))
        return text_of(reply)

    def _reading(self, stream_id: str, cursor: str, limit: int) -> Call:
        keys = self._names.for_read(stream_id)
        if cursor == OLDEST:
            return self._read.call(keys, "", 0, "", limit)
        place = sequence_of(cursor) if cursor.isascii() else None
        if place is None:
            return self._read.call(keys, "?", -1, "", limit)
        epoch, _, nonce = cursor.split(".")
        return self._read.call(keys, epoch or "?", place, nonce, limit)

    def _epoch(self) -> str:
        """The epoch of new streams: the same for all, so that their joint cursors stay short."""
        with passing_faults("read from Redis"):
            key = self._names.epoch
            (epoch,) = self._runner.ask(key, [("GET", key)])
            if epoch is None:
                _, epoch = self._runner.ask(key, [("SET", key, new_epoch(), "NX"), ("GET", key)])
            return text_of(epoch)

    def _streams_of(self, node: Node) -> Iterable[StreamInfo]:
        keys = sorted({text_of(key) for key in node.scan_iter(match=self._names.all_states, count=_AT_ONCE)})
        names = [self._names.stream_of(key) for key in keys]
        for first in range(0, len(names), _AT_ONCE):
            some = names[first : first + _AT_ONCE]
            replies = self._runner.read([self._reading(name, OLDEST, 0) for name in some])
            for name, reply in zip(some, replies, strict=True):
                if found := _Found.of(reply[0]):
                    yield StreamInfo(name, found.head - found.before, found.id_at_head, found.end != "-")


def _origin(epoch: str, header: str | bytes) -> str:
    """The place before the first entry of a stream that isn't there: see read.lua."""
    return make_id(epoch, int(text_of(header).removeprefix("unknown ")), _NO_NONCE)


def _check_server(info: Mapping[str, Any], url: str, *, clustered: bool) -> None:
    version = str(info.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if "valkey_version" not in info and numbers < _OLDEST_VERSION:
        raise ConfigError(f"{url} is Redis {version}, and 6.2 or newer is needed, or Valkey")
    mode = info.get("redis_mode") or info.get("server_mode")  # Valkey's word
    if mode == "sentinel":
        raise ConfigError(f"{url} is a sentinel: its URL begins with redis+sentinel://")
    if mode == "cluster" and not clustered:
        raise ConfigError(f"{url} is a node of a cluster: its URL begins with redis+cluster://")


def _refusal(error: RedisError) -> str | None:
    """What a server has against us, if it is there. By the text: redis-py wraps what nodes have said."""
    text = f"{type(error).__name__}: {error}"
    if any(word in text for word in ("AuthenticationError", "WRONGPASS", "NOAUTH", "username-password pair")):
        return "refuses the login"
    if "luster mode is not enabled" in text:
        return "is no cluster: its URL begins with redis://"
    passing = any(word in text for word in ("BUSY", "TRYAGAIN", "MASTERDOWN", "CLUSTERDOWN"))
    return "can't be used" if isinstance(error, ResponseError) and not passing else None


def _warn_of_eviction(info: Mapping[str, Any], url: str) -> None:
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory", 0) and policy != "noeviction":
        logger.warning(
            "%s has maxmemory-policy %s: when memory is short it drops streams, and their ends, which "
            "clients are told of by a gap at best; set it to noeviction",
            url,
            policy,
        )


class _Found(NamedTuple):
    """What a reading says of a stream: see read.lua."""

    kind: str
    epoch: str
    head: int
    head_nonce: str
    before: int
    before_nonce: str
    end: str
    place: int

    @classmethod
    def of(cls, header: str | bytes) -> _Found | None:
        """None if there is no such stream."""
        text = text_of(header)
        if text.startswith("unknown "):
            return None
        kind, epoch, head, head_nonce, before, before_nonce, end, place = text.split(" ")
        return cls(kind, epoch, int(head), head_nonce, int(before), before_nonce, end, int(place))

    @property
    def id_at_head(self) -> str:
        return make_id(self.epoch, self.head, self.head_nonce)

    @property
    def id_before(self) -> str:
        """The cursor before the oldest entry that is left."""
        return make_id(self.epoch, self.before, self.before_nonce)

    def page(self, name: str, cursor: str, reply: Sequence[str | bytes]) -> Page:
        """The page that was read behind `cursor`."""
        if self.kind == "gap":
            return Page((), self.id_before, gap=True)
        if self.kind == "over":
            return Page((), cursor, ended=True)
        entries = decode(name, self.epoch, self.place, reply[1:])
        if self.end != "-" and self.place + len(entries) == self.head:
            return Page(entries, make_id(self.epoch, self.head + 1, self.end), ended=True)
        if entries:
            return Page(entries, entries[-1].id)
        return Page((), self.id_before if cursor == OLDEST else cursor)
