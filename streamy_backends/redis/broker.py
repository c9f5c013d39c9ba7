"""The broker: calls to the scripts, and what their answers mean."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from redis.exceptions import RedisError

from streamy_core.broker import (
    OLDEST,
    Broker,
    BrokerUnavailable,
    Closed,
    ConfigError,
    Event,
    ForkGuard,
    Page,
    StreamEnded,
    StreamInfo,
    Watch,
    new_epoch,
    new_nonce,
    sequence_of,
)
from streamy_core.events import CONTROL

from .address import Address
from .appends import appended_of, by_stream, in_lots, stored_of
from .checks import fault_of, other_language, refusal
from .entries import encode, epoch_of, text_of, text_or_none
from .faults import faults
from .keys import Keys
from .options import Options
from .pages import Header, cursor_of, damage_of, origin
from .pool import Pool
from .scripts import NOTHING_WRITTEN, Call, Runner, Script
from .servers import Node, Servers, open_servers
from .trial import Trial
from .watch import RedisWatch

_NOWHERE: Final = "?"  # a cursor that can't be placed: after it nothing is read but the state

_STREAMS_AT_ONCE: Final = 1_000
_A_MONTH: Final = 30 * 86_400_000
"""Milliseconds for which is kept what is said, if nobody says how long streams are."""

_PATIENCE: Final = 1.0
"""Seconds for a second look at a server that can't be reached."""

logger: Final = logging.getLogger("streamy.redis")


class RedisBroker(Broker):
    """See the package. Any thread; a forked process gets connections of its own.

    Made by `from_url`, as a rule. Connects to nothing before it is used.
    """

    keeps_meta: bool = True
    _servers: Servers
    _pool: Pool
    _runner: Runner
    _watches: set[RedisWatch]
    _lock: threading.Lock
    _checked: bool

    def __init__(self, address: Address, options: Options) -> None:
        self._address = address
        self._options = options
        self._keys = Keys(options.prefix)
        self._commands = self._keys.state(CONTROL)
        self._append = Script("append")
        self._read = Script("read")
        self._end = Script("end")
        self._earlier = Script("earlier")
        self._probe = Script("probe")
        self._kept = options.declared
        self._key_age = round(options.key_age * 1_000)
        self._told = False
        self._secret = secrets.token_hex(8)  # that bells of new streams are signed with
        self._away = False
        self._closed = False
        self._guard = ForkGuard(self._start)

    def check(self) -> None:
        """See whether the server has what is needed; logs that it is away. Raises ConfigError, closed.

        One that is away now is looked at when it is first used.
        """
        try:
            self._open()
        except BrokerUnavailable as error:
            if self._options.client is None and (reason := other_language(self._address, _PATIENCE)):
                self.close()
                raise ConfigError(f"{self._address.shown} {reason}: {error}") from error
            self._away = True
            logger.warning("%s can't be reached now, and may come later: %s", self._address.shown, error)
        except BaseException:
            self.close()
            raise

    def append(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        return self._append_to_one(stream_id, events, idempotency_key)

    def append_last(
        self, stream_id: str, events: Sequence[Event], *, idempotency_key: str | None = None
    ) -> list[str]:
        """See AppendsLast."""
        return self._append_to_one(stream_id, events, idempotency_key, new_nonce())

    def _append_to_one(
        self, stream_id: str, events: Sequence[Event], key: str | None, end_nonce: str = ""
    ) -> list[str]:
        if not events:
            return []
        # Without a key, one of ours: somebody else's client may try again by itself.
        keys = self._keys.for_append(stream_id, secrets.token_hex(8) if key is None else key)
        ids = self._ids(stream_id, self._write(self._append, keys, encode(events, new_nonce()), end_nonce))
        if ids is None:
            raise StreamEnded(stream_id)
        return ids

    def append_to_many(
        self, batches: Mapping[str, Sequence[Event]], *, idempotency_key: str | None = None
    ) -> Mapping[str, list[str]]:
        """See AppendsToMany."""
        key = secrets.token_hex(8) if idempotency_key is None else idempotency_key
        found = self._append_to_many(batches, key, "")
        if unknown := {name: batches[name] for name, reply in found.items() if reply in NOTHING_WRITTEN}:
            found.update(self._append_to_many(unknown, key, self._epoch()))
        return {**{name: [] for name in batches if name not in found}, **stored_of(found, self._ids)}

    def _append_to_many(self, batches: Mapping[str, Sequence[Event]], key: str, epoch: str) -> dict[str, Any]:
        """What the script has said of each stream, or BrokerUnavailable. Raises as `append_to_many`."""
        runner = self._open()
        settings = self._settings()
        lots = in_lots(batches, clustered=self._servers.clustered)
        keys = self._keys.for_append_to_many
        calls = [self._append.call(keys(names, key), settings, epoch, *texts) for texts, names in lots]
        return by_stream([names for _, names in lots], runner.write_many(calls))

    def _ids(self, stream_id: str, reply: Any) -> list[str] | None:
        """The ids that an append has answered; None if the stream has ended. Raises BrokerUnavailable."""
        appended = appended_of(reply)
        if appended is None:
            return None
        self._compare(stream_id, appended.others)
        return appended.ids

    def end(self, stream_id: str) -> None:
        self._write(self._end, (self._keys.state(stream_id),), [new_nonce()])

    def read(
        self, cursors: Mapping[str, str], limit: int, max_bytes: int | None = None
    ) -> Mapping[str, Page]:
        runner = self._open()
        share = None if max_bytes is None or not cursors else max_bytes // len(cursors)
        replies = runner.read([self._reading(name, cursor, limit, share) for name, cursor in cursors.items()])
        epoch = ""
        pages: dict[str, Page] = {}
        for (name, cursor), reply in zip(cursors.items(), replies, strict=True):
            if header := Header.of(reply):
                pages[name] = header.page(name, cursor, reply)
                for watch in tuple(self._watches):
                    watch.learn(name, header.secret)
            else:
                epoch = epoch or self._epoch()
                start = origin(epoch, reply)
                lost = cursor not in (start, OLDEST)
                pages[name] = Page((), start, gap=lost, damage=damage_of(reply))
        return pages

    def tail(self, stream_ids: Collection[str]) -> Mapping[str, str]:
        runner = self._open()
        calls = [self._reading(name, _NOWHERE, 0) for name in stream_ids]
        if not calls:
            return {}
        known: Any = None
        try:
            # Asked along with the others, since a stream that isn't there yet needs it.
            *replies, known = runner.read([*calls, self._ask_epoch()])
        except BrokerUnavailable:
            if not self._servers.clustered:
                raise
            replies = runner.read(calls)  # only the node that has it may be away
        epoch = "" if known is None else epoch_of(known)
        tails: dict[str, str] = {}
        for name, reply in zip(stream_ids, replies, strict=True):
            if header := Header.of(reply):
                tails[name] = header.id_at_head
            else:
                epoch = epoch or self._epoch()
                tails[name] = origin(epoch, reply)
        return tails

    def back(self, cursors: Mapping[str, str | None], entries: int) -> Mapping[str, str]:
        """See ReadsBack."""
        before = {name: self._before(name, at, entries) for name, at in cursors.items() if at != OLDEST}
        return {**dict.fromkeys(cursors, OLDEST), **self._cursors(before)}

    def since(self, stream_ids: Collection[str], seconds: float) -> Mapping[str, str]:
        """See ReadsBack."""
        age = round(seconds * 1_000)
        return self._cursors(
            {name: self._earlier.call(self._keys.for_read(name), "since", age) for name in stream_ids}
        )

    @faults("ask Redis for the time")
    def time(self) -> float:
        """See TellsTime. In a cluster, of one node."""
        return self._open().time(self._keys.epoch)

    def watch(self) -> Watch:
        runner = self._open()
        watch = RedisWatch(
            self._servers,
            self._keys,
            timeout=self._options.timeout,
            ring=self._ring,
            rediscover=runner.rediscover,
            on_close=self._watches.discard,
        )
        with self._lock:
            self._watches.add(watch)
        if self._closed:
            watch.close()
        return watch

    def streams(self) -> Iterable[StreamInfo]:
        self._open()
        with faults("list the streams in Redis"):
            found = [info for node in self._servers.nodes() for info in self._streams_of(node)]
        return sorted(found, key=lambda info: info.stream_id)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._guard.inherited:
            return
        with self._lock:
            watches = list(self._watches)
        for watch in watches:
            watch.close()
        self._pool.close()
        self._servers.close()

    def _start(self) -> None:
        options = self._options
        self._checked = False
        self._lock = threading.Lock()
        self._watches = set()
        self._servers = open_servers(self._address, options)
        self._pool = Pool(
            size=min(options.max_connections, self._servers.most_connections),
            timeout=options.timeout,
            keep=options.client is None,
        )
        self._runner = Runner(
            self._servers, self._pool, wait_replicas=options.wait_replicas, timeout=options.timeout
        )

    def _open(self) -> Runner:
        """The runner, if all is well. Raises Closed, ConfigError, BrokerUnavailable."""
        self._guard.check()
        if self._closed:
            raise Closed("this Redis broker has been closed")
        if not self._checked:
            self._check_servers()
            self._checked = True
        return self._runner

    def _check_servers(self) -> None:
        """See whether the servers have what is needed. One that is away keeps nobody from the others."""
        shown, clustered = self._address.shown, self._servers.clustered
        scripts = (self._append, self._read, self._end)
        trial = Trial(self._keys, self._servers, self._runner, scripts, timeout=self._options.timeout)
        try:
            found = [
                fault_of(node, shown, clustered=clustered) or trial.fault_of(node)
                for node in self._servers.nodes()
            ]
        except RedisError as error:
            found = [error]
        wrong = [fault for fault in found if fault is not None]
        for fault in wrong:
            if reason := refusal(fault):
                raise ConfigError(f"{shown} {reason}") from fault
        if wrong:
            with suppress(RedisError):
                self._runner.rediscover()
        if wrong and len(wrong) == len(found):
            reasons = "; ".join([f"{type(fault).__name__}: {fault}" for fault in wrong])
            raise BrokerUnavailable(f"could not reach Redis: {reasons}") from wrong[0]
        if self._away:
            self._away = False
            logger.info("%s can be reached", shown)
        with suppress(RedisError):  # of a cluster's node that is away
            self._agree()

    def _agree(self) -> None:
        """Say what is kept, for whoever says nothing, or go by what others have said. Raises RedisError."""
        key, declared = self._keys.kept, self._options.declared
        (found,) = self._runner.execute(key, [("GET", key)])
        self._kept = declared.otherwise("" if found is None else found.decode("latin-1"))
        if any(declared):
            age = self._kept.forget_after or _A_MONTH
            self._runner.execute(key, [("SET", key, str(self._kept), "PX", age)])

    def _compare(self, stream_id: str, others: int) -> None:
        own = self._options.history
        if own and others not in (0, own) and not self._told:
            self._told = True
            logger.warning(
                "stream %r keeps %d entries from now on, as this process says, and not the %d that others "
                "have said: set the same history in all, or none in those that only publish",
                stream_id,
                own,
                others,
            )

    def _write(self, script: Script, keys: tuple[str, ...], args: Sequence[str], end_nonce: str = "") -> Any:
        """Run a script that makes the stream if there is none: then it is told the epoch, and run again."""
        runner = self._open()
        settings = f"{self._settings(keys[0])} {end_nonce}"
        reply = runner.write(script.call(keys, settings, "", *args))
        if reply in NOTHING_WRITTEN:
            reply = runner.write(script.call(keys, settings, self._epoch(), *args))
        return reply

    def _settings(self, state: str = "") -> str:
        """What the scripts that write are told by each publisher. state: the key of the stream's."""
        kept = self._kept.of_commands if state == self._commands else self._kept
        return f"{kept} {self._key_age} {self._servers.publish} {self._secret}"

    def _ring(self, channel: str) -> None:
        """Ring the bell on this channel alone. Raises RedisError."""
        self._runner.run(self._probe.call((channel,), self._servers.publish, channel))

    def _reading(self, stream_id: str, cursor: str, limit: int, max_bytes: int | None = None) -> Call:
        keys = self._keys.for_read(stream_id)
        bounds = (limit, "" if max_bytes is None else max_bytes)
        if cursor == OLDEST:
            return self._read.call(keys, "", 0, "", *bounds)
        sequence = sequence_of(cursor) if cursor.isascii() else None
        if sequence is None:
            return self._read.call(keys, _NOWHERE, -1, "", *bounds)
        epoch, _, nonce = cursor.split(".")
        return self._read.call(keys, epoch or _NOWHERE, sequence, nonce, *bounds)

    def _before(self, stream_id: str, cursor: str | None, entries: int) -> Call:
        keys = self._keys.for_read(stream_id)
        if cursor is None:
            return self._earlier.call(keys, "back", entries, "")
        sequence = sequence_of(cursor) if cursor.isascii() else None
        epoch, _, nonce = cursor.split(".") if sequence is not None else (_NOWHERE, 0, "")
        return self._earlier.call(keys, "back", entries, epoch or _NOWHERE, sequence or 0, nonce)

    def _cursors(self, calls: Mapping[str, Call]) -> dict[str, str]:
        replies = self._open().read(list(calls.values()))
        return {name: cursor_of(text_of(reply)) for name, reply in zip(calls, replies, strict=True)}

    def _ask_epoch(self) -> Call:
        key = self._keys.epoch
        return Call(key, ("GET", key))

    def _epoch(self) -> str:
        """The epoch of new streams: the same for all, so that their joint cursors stay short."""
        with faults("read from Redis"):
            key, command, _ = self._ask_epoch()
            (epoch,) = self._runner.execute(key, [command])
            if epoch is None:
                _, epoch = self._runner.execute(key, [("SET", key, new_epoch(), "NX"), command])
            if not (found := epoch_of(epoch)):  # somebody else has written it
                found = new_epoch()
                self._runner.execute(key, [("SET", key, found)])
            return found

    def _streams_of(self, node: Node) -> Iterable[StreamInfo]:
        pattern = self._keys.all_states
        keys = self._runner.keys_at(node, pattern, _STREAMS_AT_ONCE)
        states = sorted([text for key in keys if (text := text_or_none(key)) is not None])
        names = [self._keys.stream_of(state) for state in states]
        for first in range(0, len(names), _STREAMS_AT_ONCE):
            some = names[first : first + _STREAMS_AT_ONCE]
            replies = self._runner.read([self._reading(name, OLDEST, 0) for name in some])
            for name, reply in zip(some, replies, strict=True):
                if header := Header.of(reply):
                    yield header.info(name)
