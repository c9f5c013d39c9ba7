"""Small histories made by hand: those of sound brokers, and those that contradict themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from streamy_core.testing.soaking.history import (
    Add,
    Append,
    Call,
    End,
    History,
    Outage,
    Read,
    Tail,
    Wait,
    in_order,
)
from streamy_core.testing.soaking.plan import SECOND

MS = SECOND // 1_000
ORIGIN = "id-nothing"


def append(
    *data: str,
    at: int,
    to: int | None = None,
    ids: Sequence[str] | None = None,
    who: str = "w1",
    key: str | None = None,
    fault: str = "",
) -> Append:
    """An append at a time (ms), of 1 ms; its ids are "id-" with the data, unless it failed."""
    given = [f"id-{each}" for each in data] if ids is None and not fault else ids or ()
    return Append(
        who=who,
        called=at * MS,
        returned=(at + 1 if to is None else to) * MS,
        stream="news",
        data=data,
        key=key,
        ids=tuple(given),
        fault=fault,
    )


def cut_off(*data: str, at: int, key: str | None = None) -> Append:
    """An append in whose midst its process was killed."""
    return Append(who="w9", called=at * MS, stream="news", data=data, key=key)


def read(
    *data: str,
    at: int,
    after: str = "nothing",
    who: str = "r1",
    ids: Sequence[str] | None = None,
    ended: bool = False,
    more: bool = False,
) -> Read:
    found = tuple(ids or [f"id-{each}" for each in data])
    cursor = after and f"id-{after}"
    return Read(
        who=who,
        called=at * MS,
        returned=(at + 1) * MS,
        stream="news",
        cursor=cursor,
        ids=found,
        data=data,
        next="the-end" if ended else found[-1] if found else cursor,
        ended=ended,
        more=more,
    )


def gap(after: str, to: str, at: int, who: str = "r1") -> Read:
    return Read(
        who=who,
        called=at * MS,
        returned=(at + 1) * MS,
        stream="news",
        cursor=f"id-{after}",
        next=f"id-{to}",
        gap=True,
    )


def end(at: int) -> End:
    return End(who="w1", called=at * MS, returned=(at + 1) * MS, stream="news")


def add(at: int) -> Add:
    return Add(who="v1", called=at * MS, returned=(at + 1) * MS, stream="news")


def wait(at: int, to: int, *named: str, seconds: float | None = None) -> Wait:
    return Wait(
        who="v1",
        called=at * MS,
        returned=to * MS,
        seconds=(to - at) / 1_000 if seconds is None else seconds,
        named=named,
    )


def history(*calls: Call, kept: int | None = None) -> History:
    """A history of the stream "news", whose cursor before the first entry is known."""
    tail = Tail(who="main", called=-2, returned=-1, stream="news", cursor=ORIGIN)
    return History(about="", rings_within=2.0, kept=kept, calls=in_order([tail, *calls]))


SOUND: Final[dict[str, list[Call]]] = {
    "nothing": [],
    "one after the other": [append("a", at=0), append("b", at=2), read("a", "b", at=4)],
    "at once, in either order": [
        append("a", at=0, to=5),
        append("b", at=1, to=2, who="w2"),
        append("c", at=1, to=3, who="w3"),
        read("c", "b", "a", at=6),
    ],
    "read before it returned": [append("a", at=0, to=9), read("a", at=2), read("a", at=10)],
    "not read before it returned": [append("a", at=0, to=9), read(at=2), read("a", at=10)],
    "cut off, and there": [cut_off("a", at=0), append("b", at=2), read("b", "a", at=4)],
    "cut off, and not there": [cut_off("a", at=0), append("b", at=2), read("b", at=4)],
    "failed, and there much later": [
        append("a", at=0, fault="BrokerUnavailable: gone"),
        append("b", at=2),
        read("b", at=4),
        read("b", "a", at=6),
    ],
    "failed, and repeated": [
        append("a", at=0, key="k", fault="BrokerUnavailable: gone"),
        append("a", at=5, key="k"),
        append("b", at=2, who="w2"),
        read("a", "b", at=8),
    ],
    "one key from two": [
        append("a", at=0, to=5, key="k"),
        append("a", at=1, to=3, key="k", who="w2"),
        read("a", at=6),
    ],
    "a gap between windows": [
        *[append(each, at=2 * place) for place, each in enumerate("abcdef")],
        read("a", "b", at=4),
        gap("b", "c", at=12),
        read("d", "e", "f", at=14, after="c"),
    ],
    "a gap, after which nobody knows what comes before": [
        *[append(each, at=2 * place) for place, each in enumerate("abcdef")],
        read("a", "b", at=4),
        gap("b", "before-e", at=12),
        read("e", "f", at=14, after="before-e"),
    ],
    "pages": [
        append("a", "b", "c", at=0),
        read("a", "b", at=2, more=True),
        read("c", at=4, after="b"),
        read("b", "c", at=6, after="a", who="r2"),
    ],
    "the end": [
        append("a", at=0),
        end(at=2),
        append("b", at=4, fault="StreamEnded"),
        end(at=6),
        read("a", at=8, ended=True),
        read(at=8, after="a", ended=True, who="r2"),
    ],
    "a key after the end": [append("a", at=0, key="k"), end(at=2), append("a", at=4, key="k")],
    "refused while it ended": [
        append("a", at=0, to=9, fault="StreamEnded"),
        Append(who="w2", called=1, returned=8 * MS, stream="news", data=("b",), ids=("id-b",)),
        End(who="w3", called=2, returned=7 * MS, stream="news"),
        read("b", at=10, ended=True),
    ],
    "at the same moment": [append("a", at=0, to=2), append("b", at=2), read("a", at=3), read("a", "b", at=4)],
    "at the same moment, turned": [append("a", at=0, to=2), append("b", at=2), read("b", "a", at=4)],
    "read at the moment when it returned": [append("a", at=0, to=2), read(at=2), read("a", at=4)],
    "read before the end": [read(at=0), end(at=2), read(at=4, ended=True)],
    "a gap, with as many after it as are kept": [
        *[append(each, at=2 * place) for place, each in enumerate("abcd")],
        read("a", at=1),
        gap("a", "b", at=10),
        read("c", "d", at=12, after="b"),
    ],
    "what is lost in an outage, if somebody is told": [
        append("a", at=0),
        read("a", at=2),
        Outage(who="main", called=4 * MS, returned=6 * MS),
        gap("a", "new", at=8),
        append("b", at=10),
        read("b", at=12, after="new"),
    ],
    "added later, and not named": [append("a", at=0), add(2), wait(4, 9_000), read("a", at=9_500)],
    "heard of late, as the machine is late": [
        add(0),
        append("a", at=2),
        wait(1, 4_000, "news", seconds=1.0),
        read("a", at=4_001, who="v1"),
    ],
    "heard of late, after an outage": [
        add(0),
        Outage(who="main", called=1 * MS, returned=4_000 * MS),
        append("a", at=2),
        wait(1, 8_000, "news"),
        read("a", at=8_001, who="v1"),
    ],
    "heard of": [add(0), append("a", at=2), wait(1, 5, "news"), read("a", at=6, who="v1"), wait(8, 9_000)],
    "heard of late, as nobody waited": [
        add(0),
        wait(1, 2),
        append("a", at=3),
        wait(8_000, 8_001, "news"),
        read("a", at=8_005, who="v1"),
    ],
    "read at once, and not named": [add(0), append("a", at=0), read("a", at=2, who="v1"), wait(4, 9_000)],
}  # fmt: skip

BROKEN: Final[dict[str, tuple[list[Call], str]]] = {
    "lost": (
        [append("a", at=0), append("b", at=2), append("c", at=4), read("a", "c", at=6)],
        "append 'b' returned at 0.003000 s, but it isn't there: r1, who read all there was at 0.006000 s",
    ),
    "lost between what is there, although somebody was told of a gap elsewhere": (
        [
            *[append(each, at=2 * place) for place, each in enumerate("abcdefg")],
            read("a", "b", at=4),
            gap("b", "before-d", at=14),
            read("d", "f", "g", at=16, after="before-d"),
        ],
        "append 'e' returned at 0.009000 s, but it isn't there",
    ),
    "lost at the beginning": (
        [append("a", at=0), append("b", at=2), read("b", at=4)],
        "append 'a' returned at 0.001000 s, but it isn't there",
    ),
    "not there yet": (
        [append("a", at=0), append("b", at=2), read("a", at=4), read("a", "b", at=6)],
        "append 'b' returned at 0.003000 s, but r1",
    ),
    "stored twice": (
        [cut_off("a", at=0), read("a", "a", at=4, ids=["id-1", "id-2"])],
        "'a' is stored twice: as id-1",
    ),
    "stored by nobody": ([read("a", at=4)], "r1 read 'a' (id-a), which nobody has appended"),
    "read too early": ([append("a", at=8), read("a", at=4)], "before anybody had appended it"),
    "out of order, by one writer": (
        [append("a", at=0), append("b", at=2), read("b", "a", at=4)],
        "append 'a' returned at 0.001000 s, before append 'b' was called at 0.002000 s (both by w1), but",
    ),
    "out of order, by two": (
        [append("a", at=0), append("b", at=2, who="w2"), read("b", "a", at=4)],
        "before append 'b' was called at 0.002000 s, but lies after it",
    ),
    "two orders": (
        [append("a", at=0, to=9), append("b", at=0, to=9, who="w2"), read("a", "b", at=4), read("b", at=6)],
        "right after the cursor 'id-nothing' comes 'a' (id-a), as r1 was told at 0.005000 s, but 'b' (id-b)",
    ),
    "what was committed late is skipped": (
        [append("a", at=0), append("b", at=1, to=9, who="w2"), append("c", at=2),
         read("a", "c", at=4), read("b", "c", at=10, after="a", who="r2")],
        "right after 'a' (id-a) comes 'c' (id-c), as r1",
    ),
    "two before one": (
        [append("a", at=0, to=9), append("b", at=0, to=9, who="w2"), append("c", at=0, to=9, who="w3"),
         read("c", at=4, after="a"), read("c", at=6, after="b")],
        "'c' (id-c) comes right after 'a' (id-a)",
    ),
    "trimmed in silence": (
        [*[append(each, at=2 * place) for place, each in enumerate("abcd")], read("a", at=1),
         read("c", "d", at=10, after="a")],
        "append 'b' returned at 0.003000 s, but it isn't there",
    ),
    "a gap for nothing": (
        [append("a", at=0), append("b", at=2), append("c", at=4), read("a", at=1), gap("a", "b", at=6)],
        "although at most 2 entries lay after id-a, and at least 3 are kept",
    ),
    "a gap that leads back": (
        [append("a", at=0), append("b", at=2), read("a", "b", at=4), gap("b", "a", at=6)],
        "that leads back",
    ),
    "one id for two": (
        [append("a", at=0, ids=["id-1"]), append("b", at=2, ids=["id-1"])],
        "the id id-1 is that of 'a', as w1 was told at 0.001000 s, and of 'b'",
    ),
    "another id for others": (
        [append("a", at=0, ids=["id-1"]), read("a", at=2, ids=["id-2"])],
        "'a' is stored twice: as id-1",
    ),
    "an entry that comes again": (
        [append("a", "b", at=0), read("a", "b", at=2), read("a", at=4, after="b")],
        "comes again",
    ),
    "too few ids": ([append("a", "b", at=0, ids=["id-a"])], "has 2 events, but was answered by 1 ids"),
    "half of a batch": (
        [cut_off("a", "b", at=0), read("a", at=4)],
        "that 'a' is the last entry, but append 'a' and 'b' has more",
    ),
    "a batch torn apart": (
        [cut_off("a", "b", at=0), append("c", at=0, to=9), read("a", "c", "b", at=10)],
        "lie within each other",
    ),
    "an acknowledged batch torn apart": (
        [append("a", "b", at=0), append("c", at=0, to=9, who="w2"), read("a", "c", "b", at=10)],
        "right after 'a' (id-a) comes 'b' (id-b), as w1 was told",
    ),
    "a key stored again": (
        [append("a", at=0, key="k", ids=["id-1"]), append("a", at=2, key="k", ids=["id-2"])],
        "the key 'k' was answered by id-1 at 0.001000 s, but by id-2",
    ),
    "a key refused after the end": (
        [append("a", at=0, key="k"), end(at=2), append("a", at=4, key="k", fault="StreamEnded")],
        "a key is answered after the end of the stream, too",
    ),
    "taken after the end": (
        [end(at=0), append("a", at=2)],
        "end returned at 0.001000 s, but append 'a', called at 0.002000 s, was taken",
    ),
    "something after the end": (
        [append("a", at=0, to=9), end(at=0), read(at=4, ended=True), read("a", at=10, ended=True)],
        "right after the cursor 'id-nothing' comes the end (the-end)",
    ),
    "an end that nobody is told of": ([end(at=0), read(at=2)], "wasn't told of it"),
    "an end that nobody has made yet": ([read(at=0, ended=True), end(at=4)], "before anybody had ended it"),
    "a gap from the oldest": (
        [append("a", at=0), replace(gap("a", "a", at=2), cursor="")],
        "but the oldest that is left is none",
    ),
    "an end that nobody made": ([read(at=2, ended=True)], "before anybody had ended it"),
    "refused before the end": (
        [append("a", at=0, fault="StreamEnded"), end(at=2)],
        "append 'a' was refused at 0.001000 s, as the stream had ended, before anybody had ended it",
    ),
    "refused, and stored": (
        [append("a", at=0, to=9, fault="StreamEnded"), end(at=0), read("a", at=10, ended=True)],
        "append 'a' was refused, as the stream had ended",
    ),
    "another error": ([append("a", at=0, fault="KeyError: 'a'")], "raised KeyError: 'a'"),
    "a bell that is lost": (
        [add(0), append("a", at=2), wait(1, 9_000), read("a", at=9_500)],
        "append 'a' on 'news' returned at 0.003000 s, but the watch of v1, to which the stream was",
    ),
    "a bell that is late": (
        [add(0), append("a", at=2), wait(1, 6_000, "news"), read("a", at=6_001, who="v1")],
        "named it at 6.000000 s only",
    ),
    "a bell that rang too early": (
        [add(0), append("a", at=2, to=9), wait(1, 3, "news"), read(at=4, who="v1"), wait(6, 9_000),
         read("a", at=9_500)],
        "append 'a' on 'news' returned at 0.009000 s",
    ),
    "an end without a bell": (
        [add(0), end(at=2), wait(1, 9_000), read(at=9_500, ended=True)],
        "end on 'news' returned at 0.003000 s, but the watch of v1",
    ),
}  # fmt: skip
"""With the words by which each is told."""
