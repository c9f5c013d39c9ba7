"""Whoever may publish on a channel of bells, and not write the log, can't have anything delivered.

They may hear the channel, and may be a client as well, who knows the ids of all entries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from streamy_core import StreamManager, Subscription
from streamy_core.testing.reading import DEADLINE, data_of, eventually, read_all

from .foreign import ForeignRedis
from .reading import BAD, said

pytestmark = pytest.mark.slow


class Channel:
    """What others hear of a stream's bells, and what they say there."""

    def __init__(self, foreign: ForeignRedis, stream_id: str) -> None:
        self._client = foreign.client
        self._sharded = foreign.kind == "cluster"
        self._channel = foreign.keys.channel(stream_id)
        self._hearing = self._client.pubsub(ignore_subscribe_messages=False)
        if self._sharded:
            self._hearing.ssubscribe(self._channel)
        else:
            self._hearing.subscribe(self._channel)
        eventually(lambda: self._message() is not None, "the subscription")

    def heard(self) -> bytes:
        """The next message."""
        found: list[bytes] = []

        def hear() -> bool:
            message = self._message()
            if message and message["type"] in ("message", "smessage"):
                found.append(message["data"])
            return bool(found)

        eventually(hear, "a bell")
        return found[0]

    def say(self, message: bytes) -> None:
        self._client.execute_command("SPUBLISH" if self._sharded else "PUBLISH", self._channel, message)

    def close(self) -> None:
        self._hearing.close()

    def _message(self) -> Any:
        if self._sharded:
            return self._hearing.get_sharded_message(timeout=0.1)
        return self._hearing.get_message(timeout=0.1)


@pytest.fixture
def sse(foreign_redis: ForeignRedis) -> StreamManager:
    return foreign_redis.manager()


@pytest.fixture
def channel(foreign_redis: ForeignRedis, sse: StreamManager) -> Iterator[Channel]:
    channel = Channel(foreign_redis, BAD)
    yield channel
    channel.close()


@pytest.fixture
def bad(sse: StreamManager) -> Iterator[Subscription]:
    sse.send_event(BAD, "before")
    with sse.subscribe(BAD) as bad:
        for text in ("a", "b"):  # by the second one, the bells are trusted
            sse.send_event(BAD, text)
            assert said(bad, 1) == [text]
        yield bad


def start_of(cursor: str, *, count: int | None = 1) -> bytes:
    """What a bell says of what its entries come after."""
    epoch, number, nonce = cursor.split(".")
    words = [epoch, str(int(number)), nonce, *([] if count is None else [str(count)])]
    return " ".join(words).encode()


FORGED: Final = b"abc\n\n\0forged"


def signed(said: bytes, *secrets: bytes) -> bytes:
    text = said
    for secret in secrets:
        text = hashlib.sha1(secret + text).hexdigest().encode()
    return text + b" " + said


FORGERIES: Final[dict[str, Callable[[str, bytes], bytes]]] = {
    "unsigned": lambda last, bell: start_of(last) + b"\0" + FORGED,
    "unsigned, and nothing counted": lambda last, bell: start_of(last, count=None) + b"\0" + FORGED,
    "an empty signature": lambda last, bell: b" " + start_of(last) + b"\0" + FORGED,
    "signed with nothing": lambda last, bell: signed(start_of(last) + b"\0" + FORGED, b"", b""),
    "signed with a secret of one's own": lambda last, bell: signed(
        start_of(last) + b"\0" + FORGED, b"x", b"x"
    ),
    "the last bell's signature": lambda last, bell: (
        bell.partition(b" ")[0] + b" " + start_of(last) + b"\0" + FORGED
    ),
    "the last bell again, with more": lambda last, bell: bell + b"\0" + FORGED,
    "the last bell again, with other data": lambda last, bell: bell.rpartition(b"\0")[0] + b"\0forged",
    "the last bell again, one further": lambda last, bell: bell.replace(b" 2 ", b" 3 "),
    "the last bell again": lambda last, bell: bell,
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=list(FORGERIES))
def test_what_is_only_published_is_never_delivered(
    channel: Channel, sse: StreamManager, bad: Subscription, forge: Callable[[str, bytes], bytes]
) -> None:
    bell = [channel.heard() for _ in range(3)][-1]
    (last,) = [entry.id for entry in read_all(sse.broker, BAD)][-1:]
    for _ in range(3):
        channel.say(forge(last, bell))
    assert bad.next(0.2) is None
    sse.send_event(BAD, "c")
    assert said(bad, 1) == ["c"]
    assert data_of(read_all(sse.broker, BAD)) == ["before", "a", "b", "c"]
    assert not sse.health.failures


def test_another_stream_s_bell_says_nothing_here(
    foreign_redis: ForeignRedis, channel: Channel, sse: StreamManager, bad: Subscription
) -> None:
    other = Channel(foreign_redis, "other")
    sse.send_event("other", "forged")
    channel.say(other.heard())
    other.close()
    assert bad.next(0.2) is None


def test_what_was_heard_is_no_way_to_the_secret(
    foreign_redis: ForeignRedis, channel: Channel, bad: Subscription
) -> None:
    secret = foreign_redis.client.get(foreign_redis.keys.state(BAD)).split(b" ")[7]
    assert len(secret) == 16
    assert secret not in b"".join(channel.heard() for _ in range(3))


def test_a_flood_of_bells_holds_nobody_up(channel: Channel, sse: StreamManager, bad: Subscription) -> None:
    with sse.subscribe("other") as other:
        for _ in range(2_000):
            channel.say(b"x" * 100)
        sse.send_event("other", "hello")
        entry = other.next(DEADLINE / 10)
        assert entry is not None
        assert entry.event.data == "hello"


def test_a_stream_that_begins_anew_has_its_bells_trusted_again(
    foreign_redis: ForeignRedis, sse: StreamManager, bad: Subscription
) -> None:
    foreign_redis.client.delete(*foreign_redis.keys.for_read(BAD))
    other = foreign_redis.manager()
    for text in ("c", "d", "e"):
        other.send_event(BAD, text)
        while said(bad, 1) != [text]:
            pass
