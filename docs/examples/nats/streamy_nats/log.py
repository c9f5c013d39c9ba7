"""The logs of all streams: one stream of JetStream, in which each has a subject of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Never
from urllib.parse import quote, unquote
from weakref import WeakValueDictionary

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import Header, PubAck, RePublish, StorageType, StreamConfig
from nats.js.errors import APIError, NotFoundError

from streamy_core import InvalidEvent
from streamy_core.broker import OLDEST, ConfigError, Duplicate, Event, Page, StreamEnded, StreamInfo, bounded

from .options import Options
from .record import Record, make_id, seq_of

KEY_AGE = 600.0
"""Seconds for which an idempotency key is remembered, and a server's memory is taken."""

_NOT_STORED = (10_070, 10_071, 10_158)  # wrong last message id, wrong last sequence, key in process
_NOBODYS = "-"
_HEADERS = 1_024  # more than those of a message of ours take
_BYTES_PER_ANSWER = 8 * 2**20
_MESSAGES_PER_ANSWER = 2**30


class Log:
    """What can be asked of one connection. For the thread of its event loop.

    lost: fails when the connection is lost.
    """

    def __init__(self, client: Client, options: Options, lost: asyncio.Future[Never], epoch: str) -> None:
        self.client = client
        self.lost = lost
        self._stream = client.jetstream(timeout=options.timeout)
        self._options = options
        self._origin = Record.origin(epoch)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @classmethod
    async def open(cls, client: Client, options: Options, lost: asyncio.Future[Never]) -> Log:
        """The logs, made if there are none."""
        stream, prefix = client.jetstream(timeout=options.timeout), options.prefix
        config = StreamConfig(
            name=prefix,
            subjects=[f"{prefix}.log.*"],
            storage=StorageType.FILE,
            duplicate_window=KEY_AGE,
            allow_direct=True,
            # By the server and once it is stored: whoever hears it finds it.
            republish=RePublish(f"{prefix}.log.*", f"{prefix}.bell.{{{{wildcard(1)}}}}", headers_only=True),
        )
        try:
            info = await stream.stream_info(prefix)
        except NotFoundError:
            info = await stream.add_stream(config)
        if info.config.subjects != config.subjects:
            raise ConfigError(
                f"nats:// option prefix: {prefix!r} is a stream of JetStream that isn't Streamy's"
            )
        return cls(client, options, lost, sha256(str(info.created).encode()).hexdigest()[:8])

    async def append(self, stream_id: str, events: Sequence[Event], key: str) -> list[str]:
        digest = _digest(self._origin.nonce, stream_id, key)
        # One after the other here; of processes, the server takes the first and sends back the others.
        async with self._turns.setdefault(stream_id, asyncio.Lock()):
            while True:
                head = await self._head(stream_id)
                record = head.followed_by(events, digest[:8], self._options.history)
                headers: dict[str, str] = {Header.MSG_ID.value: digest}
                if head.ends:
                    # Only the server knows whether it has had the key. This is the condition it looks
                    # at after looking for the key; at those on numbers it looks before.
                    headers[Header.EXPECTED_LAST_MSG_ID.value] = _NOBODYS
                stored = await self._store(stream_id, record, head, headers)
                if stored is not None:
                    break
                if head.ends:
                    raise StreamEnded(stream_id)
        if record.mark != head.mark and head.mark.seq:
            # It is stored, whatever comes of this; the next time will drop these as well.
            with suppress(nats.errors.Error, TimeoutError):
                await self._stream.purge_stream(
                    self._options.prefix, seq=head.mark.seq + 1, subject=self._subject(stream_id)
                )
        count = await self._count_of(stored.seq) if stored.duplicate else None
        ids = [make_id(stored.seq, index, record.nonce) for index in range(count or len(events))]
        return Duplicate(ids) if stored.duplicate else ids

    async def _count_of(self, seq: int) -> int | None:
        """How many entries the message of this number holds; None if it has been trimmed."""
        try:
            found = await self._stream.get_msg(self._options.prefix, seq, direct=True)
        except NotFoundError:
            return None
        return len(Record.decode(seq, found.data or b"").events)

    async def end(self, stream_id: str, nonce: str) -> None:
        while not (head := await self._head(stream_id)).ends:
            record = head.followed_by((), nonce, self._options.history)
            if await self._store(stream_id, record, head, {}) is not None:
                return

    async def page(self, stream_id: str, cursor: str, limit: int, max_bytes: int | None) -> Page:
        records = await self._records(stream_id, seq_of(cursor), limit, max_bytes)
        first = records[0] if records else None
        before = first.before if first else self._origin.last
        entries = [entry for record in records for entry in record.entries(stream_id)]
        known = [entry.id for entry in first.entries(stream_id)] if first else []
        if first and first.ends and cursor == first.last:
            return Page((), cursor, ended=True)
        if cursor in known:
            del entries[: known.index(cursor) + 1]
        elif cursor not in (OLDEST, before):
            oldest = await self._oldest(stream_id)
            return Page((), oldest.before if oldest else before, gap=True)
        taken = bounded(entries, limit, max_bytes)
        more = len(taken) < len(entries)
        if records and records[-1].ends and not more:
            return Page(taken, records[-1].last, ended=True)
        return Page(taken, taken[-1].id if taken else cursor or before, more=more)

    async def tail(self, stream_id: str) -> str:
        head = await self._head(stream_id)
        return head.before if head.ends else head.last

    async def streams(self) -> list[StreamInfo]:
        info = await self._stream.stream_info(self._options.prefix, subjects_filter=self._subject_of("*"))
        subjects = info.state.subjects or {}
        names = [unquote(subject.rpartition(".")[2]) for subject in subjects]
        return sorted(await asyncio.gather(*map(self._info, names)), key=lambda info: info.stream_id)

    async def look_up(self) -> None:
        """One question that only the server which stores, and rings, can answer."""
        await self._stream.stream_info(self._options.prefix)

    def bell(self, stream_id: str) -> str:
        """The subject on which a stream's bell rings."""
        return f"{self._options.prefix}.bell.{_token(stream_id)}"

    def _subject(self, stream_id: str) -> str:
        return self._subject_of(_token(stream_id))

    def _subject_of(self, token: str) -> str:
        return f"{self._options.prefix}.log.{token}"

    async def _info(self, stream_id: str) -> StreamInfo:
        head, oldest = await asyncio.gather(self._head(stream_id), self._oldest(stream_id))
        dropped = oldest.total - len(oldest.events) if oldest else 0
        return StreamInfo(stream_id, head.total - dropped, head.before if head.ends else head.last, head.ends)

    async def _head(self, stream_id: str) -> Record:
        try:
            found = await self._stream.get_last_msg(
                self._options.prefix, self._subject(stream_id), direct=True
            )
        except NotFoundError:
            return self._origin
        return Record.decode(found.seq or 0, found.data or b"")

    async def _store(
        self, stream_id: str, record: Record, head: Record, headers: Mapping[str, str]
    ) -> PubAck | None:
        """Append the record if `head` is still the newest, and all is as the headers say.

        Returns which message holds it, of that time if its key was used before; None, if it was not
        stored.
        """
        data = record.encode()
        if len(data) + _HEADERS > self.client.max_payload:
            raise InvalidEvent(
                f"what is appended at once has {len(data)} bytes for NATS, and the server takes "
                f"{self.client.max_payload} with headers: see its max_payload"
            )
        try:
            return await self._stream.publish(
                self._subject(stream_id),
                data,
                headers={**headers, Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(head.seq)},
            )
        except APIError as error:
            if error.err_code in _NOT_STORED:
                return None
            raise

    async def _oldest(self, stream_id: str) -> Record | None:
        found = await self._records(stream_id, 0, 0, 0)
        return found[0] if found else None

    async def _records(self, stream_id: str, first: int, limit: int, max_bytes: int | None) -> list[Record]:
        """The stream's records from the number `first` on, until they hold one entry more than a page may.

        (Those of the record `first` itself don't count: it is the cursor's own.)
        """
        found: list[Record] = []
        count = size = 0
        more = True
        while more and count <= limit and (count <= 1 or max_bytes is None or size <= max_bytes):
            most = max(_BYTES_PER_ANSWER, self.client.max_payload)
            if max_bytes is not None:
                # The server sends one message at least, and goes beyond this by up to one.
                most = min(most, max(1, max_bytes - size))
            asked: dict[str, str | int] = {
                "seq": found[-1].seq + 1 if found else max(first, 1),
                "next_by_subj": self._subject(stream_id),
                "batch": min(limit - count + 2, _MESSAGES_PER_ANSWER),
                "max_bytes": most,
            }
            messages, more = await self._ask_for_many(asked)
            new = [Record.decode(int(_header(msg, "Nats-Sequence")), msg.data) for msg in messages]
            count += sum(len(record.events) for record in new if record.seq != first)
            size += sum(record.size for record in new if record.seq != first)
            found += new
        return found

    async def _ask_for_many(self, asked: dict[str, str | int]) -> tuple[list[Msg], bool]:
        """What a direct get gives, which nats-py doesn't do in batches; and whether there is more."""
        answer = self.client.new_inbox()
        answers = await self.client.subscribe(answer)
        try:
            subject = f"$JS.API.DIRECT.GET.{self._options.prefix}"
            await self.client.publish(subject, json.dumps(asked).encode(), reply=answer)
            messages: list[Msg] = []
            while True:
                msg = await answers.next_msg(self._options.timeout)
                status = _header(msg, "Status")
                if not status:
                    messages.append(msg)
                elif status == "404":
                    return [], False
                elif status == "204":
                    return messages, bool(messages) and _header(msg, "Nats-Num-Pending") not in ("", "0")
                elif status == "503":
                    raise nats.errors.NoRespondersError
                else:
                    raise nats.errors.Error(f"nats: {status} {_header(msg, 'Description')}")
        finally:
            await answers.unsubscribe()


def _token(stream_id: str) -> str:
    """The name as one token of a subject: readable, and never two names alike."""
    return quote(stream_id, safe="").replace(".", "%2E")


def _header(msg: Msg, name: str) -> str:
    return (msg.headers or {}).get(name, "")


def _digest(*parts: str) -> str:
    text = json.dumps(parts)
    return sha256(text.encode()).hexdigest()[:32]
