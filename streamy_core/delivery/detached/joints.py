"""Those clients of several streams that are level: who becomes a member, who leaves, and whose turn it is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from operator import attrgetter

from ...engine.byte_reader import ByteReader
from ...engine.reader import SLICE, Reader
from ...engine.traces import hand_over
from ...errors import Closed
from ...ids import Spelling
from ...observers import Observer
from .client import Client
from .groups import Group
from .joint import JointStream, Member, Round, SpelledAlike
from .joint_kind import Kind, KindKey
from .sending import DELIVERY, SENDS, Sending
from .timers import Timers


class Joints:
    """See `joint`. For the loop's thread.

    ring:     any thread: has `advance` called for a stream, by the loop.
    released: told of a group that was a member, to attach it before windows are forgotten.
    observer: told of what has been sent.
    """

    def __init__(
        self,
        sending: Sending,
        timers: Timers,
        ring: Callable[[JointStream], None],
        released: Callable[[Group], None],
        observer: Observer,
    ) -> None:
        self._sending = sending
        self._timers = timers
        self._ring = ring
        self._released = released
        self._observer = observer
        self._alike: dict[Spelling, SpelledAlike] = {}
        self._kinds: dict[KindKey, Kind] = {}
        self._number = 0

    def take_in(self, group: Group) -> bool:
        """Make members of the group's clients, if it is where its streams' members are; else False."""
        reader = group.reader
        spelling = Spelling.of(reader.position)
        alike = self._alike.get(spelling)
        if alike is None:
            alike = SpelledAlike(reader.hub, spelling, self._ring)
        # One that a stream was taken from would be where nobody else is in that.
        if reader.backlog or reader.taken or not self._is_level(reader, alike):
            return False
        new = {
            name: JointStream(name, cursor, alike, ended=name not in reader.reading)
            for name, cursor in reader.position.items()
            if name not in alike.streams
        }
        starts = {name: start for name, start in reader.starts().items() if name in new}
        try:
            reader.hub.attach_each(starts, new)
        except Closed:  # the loop is about to be shut down
            return False
        self._alike[spelling] = alike
        alike.streams |= new
        streams = sorted([alike.streams[name] for name in reader.position], key=attrgetter("part"))
        kind = self._kind_of(group)
        for client in group.members:
            self._add(client, tuple(streams), kind, group.wrote_at)
        group.members = {}
        for stream in new.values():
            stream()  # something may have come before the hub knew of it
        return True

    def release(self, member: Member, lost: Collection[str] = ()) -> Group:
        """Make a group of one of a member. lost: streams that it reads no more."""
        alike = member.streams[0].alike
        reader = ByteReader.going_on(alike.hub, member.position, member.reading, framing=member.kind.framing)
        if lost:
            reader.leave_out(lost)
        group = Group(reader, member.client)
        self._released(group)
        self.leave(member)
        return group

    def leave(self, member: Member) -> None:
        """It is a member no more: its client has another group, or is gone."""
        empty: list[JointStream] = []
        for stream in member.streams:
            stream.has_left()
            if not len(stream):
                empty.append(stream)
        if empty:
            self._close(empty)
        kind = member.kind
        kind.has_left()
        if not len(kind):
            self._kinds.pop(kind.key, None)

    def advance(self, stream: JointStream) -> None:
        """Begin to send what is new in the stream, if anything is."""
        if stream.round is not None or not len(stream):
            return  # it stays rung, and is looked at when the round has ended
        stream.rung = False
        frames = [] if stream.ended else stream.alike.hub.frames(stream.name, stream.cursor, SLICE)
        if frames == []:
            return
        if frames is None or not stream.goes_on_with(frames):
            frames = []
        self._number += 1
        begun = Round(stream, self._number, frames, self.release, self._timers.now)
        stream.alike.rounds[begun] = None
        stream.round = begun
        if frames:
            stream.move(frames[-1].entry.id)
            hand_over([frame.handover for frame in frames if frame.handover is not None])
        self._sending.start(begun, partial(self._finished, begun))

    def send_all_due(self) -> None:
        """Send members what windows hold for them, as far as their sockets take it at once."""
        for alike in list(self._alike.values()):
            while alike.rounds or self._has_more(alike):
                for begun in list(alike.rounds):
                    while not begun.sent:
                        self._sending.send(begun, SENDS)
                    self._finished(begun)

    def _has_more(self, alike: SpelledAlike) -> bool:
        for stream in list(alike.streams.values()):
            self.advance(stream)
        return bool(alike.rounds)

    def _is_level(self, reader: Reader, alike: SpelledAlike) -> bool:
        """Whether each of the reader's streams that has members is where the reader is."""
        for name, cursor in reader.position.items():
            if (stream := alike.streams.get(name)) is None:
                continue
            if stream.rung:
                self.advance(stream)
            going = stream.round is None or stream.round.frames
            if not (going and stream.cursor == cursor and stream.ended == (name not in reader.reading)):
                return False
        return True

    def _kind_of(self, group: Group) -> Kind:
        key = KindKey(*group.key[1:])
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = Kind(key, group.keep_alive, self._timers, self._sending)
        return kind

    def _add(self, client: Client, streams: tuple[JointStream, ...], kind: Kind, now: float) -> None:
        client.group = member = Member(client, streams, kind, seen=self._number, now=now)
        for stream in streams:
            stream.add(member)
        kind.add(member)
        kind.watch()

    def _close(self, streams: Sequence[JointStream]) -> None:
        """They have no members any more."""
        alike = streams[0].alike
        for stream in streams:
            del alike.streams[stream.name]
        alike.hub.detach_each({stream.name: stream for stream in streams if not stream.ended})
        if not alike.streams:
            self._alike.pop(alike.spelling, None)

    def _finished(self, sent: Round) -> None:
        stream = sent.stream
        if stream.round is not sent:
            return  # it was sent at once, for a shutdown
        del stream.alike.rounds[sent]
        stream.round = None
        if sent.clients:
            each = sent.bytes // sent.clients
            events = sent.clients * len(sent.frames) + sent.extra
            self._observer.delivered(DELIVERY, (stream.name,), sent.clients, each, events)
        for kind in self._kinds.values():
            kind.watch()
        if stream.rung or len(sent.frames) > 1:
            self.advance(stream)
