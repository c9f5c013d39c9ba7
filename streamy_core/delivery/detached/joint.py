"""Clients of several streams: what is new in one of them goes to its clients directly.

A client of several streams is a *member* of each while it has all that the loop has sent of them. It has
no position of its own then: it is where its streams are. So a stream's new frames cost a look at that
stream only, and all that is made for each member is its id lines. Whatever is out of the ordinary (an
end, a gap, another epoch, a socket that takes no more) makes a member a group of one, which reads by
itself, and becomes a member again when it is level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from ...engine.frames import Frame
from ...engine.hub import Hub
from ...engine.reader import SLICE
from ...ids import Spelling, epoch_of
from .client import Client

if TYPE_CHECKING:
    from .joint_kind import Kind

_PIECES: Final = 4
"""Those of a frame: the id line up to the stream's part, that part, the rest of the line, the other lines."""


class Members:
    """Members, in the order of their arrival. Who has left is swept out later, with many others.

    Most streams of such clients are theirs alone: so the only member takes no room.
    """

    __slots__ = ("_first", "_gone", "_others")

    def __init__(self) -> None:
        self._first: Member | None = None
        self._others: list[Member] | None = None
        self._gone = 0

    def __iter__(self) -> Iterator[Member]:
        """Those who are there when their turn comes."""
        first = () if self._first is None else (self._first,)
        members = chain(first, self._others) if self._others else first
        return (member for member in members if member.client.group is member)

    def __len__(self) -> int:
        return (self._first is not None) + len(self._others or ()) - self._gone

    def add(self, member: Member) -> None:
        """It has come."""
        if self._first is None:
            self._first = member
        else:
            self._others = self._others or []
            self._others.append(member)

    def has_left(self) -> None:
        """One of them is a member no more."""
        self._gone += 1
        if self._gone >= len(self):
            left = list(self)
            self._first = left.pop(0) if left else None
            self._others = left or None
            self._gone = 0


class Member:
    """One client of several streams. Only the loop's thread touches it.

    streams:  in the order of their parts in an id line.
    seen:     the newest round that it was there for: of each stream, it has been sent all rounds up to it.
    told:     the stream that its last id line was made for, if any.
    before, after: what that line says before and after this stream's part.
    wrote_at: when it was last sent something.
    kind:     how it is sent what it is sent.
    """

    __slots__ = ("after", "before", "client", "kind", "seen", "streams", "told", "wrote_at")

    def __init__(
        self, client: Client, streams: tuple[JointStream, ...], kind: Kind, *, seen: int, now: float
    ) -> None:
        self.client: Client = client
        self.streams: tuple[JointStream, ...] = streams
        self.kind: Kind = kind
        self.seen: int = seen
        self.wrote_at: float = now
        self.told: JointStream | None = None
        self.before: bytes = b""
        self.after: bytes = b""

    @property
    def position(self) -> dict[str, str]:
        """Where it is in each of its streams."""
        return {stream.name: stream.position_of(self)[0] for stream in self.streams}

    @property
    def reading(self) -> set[str]:
        """Those of them that go on."""
        return {stream.name for stream in self.streams if not stream.ended}

    def entries_behind(self) -> int | None:
        """None that it knows of: it is level."""
        return 0

    def is_too_much(self, frames: int) -> bool:
        """Whether so many id lines are more than it should be sent at once: some are long."""
        if self.told is None:
            self.tell(self.streams[0])
        return frames > 1 and frames * (len(self.before) + len(self.after)) > SLICE

    def tell(self, told: JointStream) -> None:
        """Make the pieces of its id lines around the part of this stream."""
        parts = [stream.position_of(self)[1] for stream in self.streams]
        index = self.streams.index(told)
        self.told = told
        self.before = b"".join((b"id: ", told.alike.front, *parts[:index]))
        self.after = b"".join((*parts[index + 1 :], b"\n"))


class SpelledAlike:
    """Streams of members whose id lines have the same front.

    ring:   any thread: told of one that may have grown.
    rounds: those that have begun, in that order.
    """

    __slots__ = ("front", "hub", "ring", "rounds", "spelling", "streams")

    def __init__(self, hub: Hub, spelling: Spelling, ring: Callable[[JointStream], None]) -> None:
        self.hub: Hub = hub
        self.spelling: Spelling = spelling
        self.front: bytes = spelling.front.encode()
        self.streams: dict[str, JointStream] = {}
        self.rounds: dict[Round, None] = {}
        self.ring: Callable[[JointStream], None] = ring


class JointStream(Members):
    """One stream of members, who are all at `cursor`, but for those whose turn in its round is to come.

    Calling it is the hub's wake: any thread.

    part:  what stands for it in an id line.
    ended: whether it has: then it only stands in id lines.
    rung:  whether there may be more to take.
    round: what is being sent of it at the moment.
    """

    __slots__ = ("alike", "cursor", "ended", "name", "part", "round", "rung")

    def __init__(self, name: str, cursor: str, alike: SpelledAlike, *, ended: bool) -> None:
        super().__init__()
        self.name: str = name
        self.alike: SpelledAlike = alike
        self.ended: bool = ended
        self.rung: bool = False
        self.round: Round | None = None
        self.move(cursor)

    def __call__(self) -> None:
        if not self.rung:
            self.rung = True
            self.alike.ring(self)

    def move(self, cursor: str) -> None:
        """From now on it is there."""
        self.cursor: str = cursor
        self.part: bytes = self.part_at(cursor)

    def part_at(self, cursor: str) -> bytes:
        """What stands in an id line for this cursor."""
        return self.alike.spelling.part(self.name, cursor).encode()

    def position_of(self, member: Member) -> tuple[str, bytes]:
        """Where the member is in it: the cursor, and the part."""
        begun = self.round
        if begun is not None and begun.number > member.seen:
            return begun.start, begun.part
        return self.cursor, self.part

    def goes_on_with(self, frames: list[Frame]) -> bool:
        """Whether these change nothing about an id line but this stream's part, in a way that is cheap."""
        epoch = epoch_of(self.cursor)
        return not any(frame.gap or frame.ends or epoch_of(frame.entry.id) != epoch for frame in frames)


class Round:
    """New frames of one stream on their way to its members, each of whom is sent all that is due to it.

    number: counts rounds, in the order in which they began.
    start, part: where the stream was before.
    frames: none if members leave: `leave` is called for each, and nobody is sent anything.
    clients, bytes: to how many it has been sent, and how much in all.
    extra: how many events of other rounds were among that.
    """

    __slots__ = (
        "_clock",
        "_leave",
        "_pieces",
        "_unsent",
        "bytes",
        "clients",
        "extra",
        "frames",
        "number",
        "part",
        "sent",
        "start",
        "stream",
    )

    def __init__(
        self,
        stream: JointStream,
        number: int,
        frames: list[Frame],
        leave: Callable[[Member], object],
        clock: Callable[[], float],
    ) -> None:
        self.stream: JointStream = stream
        self.number: int = number
        self.start: str = stream.cursor
        self.part: bytes = stream.part
        self.frames: list[Frame] = frames
        self.sent: bool = False
        self.clients: int = 0
        self.bytes: int = 0
        self.extra: int = 0
        self._clock = clock
        self._leave = leave
        self._unsent = iter(stream)
        self._pieces: dict[Kind, tuple[list[bytes], int]] = {}

    def next(self, most: int) -> Iterator[tuple[Client, bytes]]:
        """See `Outgoing`."""
        now = self._clock()
        bytes_for = self._bytes_for if len(self.stream.alike.rounds) == 1 else self._all_bytes_for
        looks = 0
        for member in islice(self._unsent, most):
            looks += 1
            if member.seen >= self.number:
                continue
            if (data := bytes_for(member)) is None:
                self._leave(member)
                continue
            member.wrote_at = now
            self.clients += 1
            self.bytes += len(data)
            yield member.client, data
        self.sent = looks < most

    def _all_bytes_for(self, member: Member) -> bytes | None:
        """All that is due to the member in any of its streams; None if it is to read that by itself."""
        begun = [stream.round for stream in member.streams if stream.round]
        due = [each for each in begun if each.number > member.seen]
        leaves = not all(each.frames for each in due)
        if leaves or member.is_too_much(sum([len(each.frames) for each in due])):
            return None
        due.sort(key=attrgetter("number"))
        self.extra += sum([len(each.frames) for each in due]) - len(self.frames)
        return b"".join([each._make_bytes(member) for each in due])

    def _bytes_for(self, member: Member) -> bytes | None:
        """As `_all_bytes_for`, while there is no other round."""
        count = len(self.frames)
        if count != 1 and (count == 0 or member.is_too_much(count)):
            return None
        return self._make_bytes(member)

    def _make_bytes(self, member: Member) -> bytes:
        if member.told is not self.stream:
            member.tell(self.stream)
        before, after, kind = member.before, member.after, member.kind
        pieces, size = self._pieces.get(kind) or self._pieces_for(kind)
        count = len(self.frames)
        if count == 1:  # as it is for whoever keeps up
            pieces[1] = before
            pieces[3] = after
        else:
            pieces[1:-1:_PIECES] = [before] * count
            pieces[3::_PIECES] = [after] * count
        if kind.chunked:
            pieces[0] = b"%x\r\n" % (size + count * (len(before) + len(after)))
        member.seen = self.number
        return b"".join(pieces)

    def _pieces_for(self, kind: Kind) -> tuple[list[bytes], int]:
        """All pieces, with room for what differs by member; and how many bytes of data the others are."""
        pieces = [b""]
        for frame in self.frames:
            pieces += (b"", self.stream.part_at(frame.entry.id), b"", frame.after_id(kind.framing))
        size = sum(map(len, pieces))
        pieces.append(b"\r\n" if kind.chunked else b"")
        self._pieces[kind] = (pieces, size)
        return pieces, size
