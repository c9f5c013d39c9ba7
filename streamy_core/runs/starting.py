"""Of all that start a run of one name, in any process, one has it: the log's first entry says who."""

from __future__ import annotations

from typing import Final

from ..broker import Duplicate
from ..engine.hub import Hub
from ..engine.outcomes import RunStart, start_of
from ..engine.publisher import Publisher
from ..errors import RunExists, StreamEnded
from ..ids import OLDEST, sequence_of

_KEY: Final = "streamy.run: the first entry"
"""The idempotency key of all starters. It is only remembered for a while: so it spares most of the others
their entry, and decides nothing."""

_BYTES: Final = 2**16


class Claims:
    """See the module. Any thread."""

    def __init__(self, hub: Hub, publisher: Publisher) -> None:
        self._hub = hub
        self._publisher = publisher

    def found(self, stream_id: str) -> RunStart | None:
        """What the run says that has begun on this stream; None: nothing is there at all.

        Raises RunExists where there is something, and no run; BrokerUnavailable.
        """
        frames, page = self._hub.log.read({stream_id: OLDEST}, _BYTES, 1)[stream_id]
        # Of a run that is long, the first entry may be kept no more; of another broker, ids may not tell.
        if frames and sequence_of(frames[0].entry.id) in (1, None):
            start = start_of(frames[0].entry.event)
            if start is not None:
                return start
        if frames or page.ended or sequence_of(page.cursor):
            raise RunExists(stream_id)
        return None

    def claim(self, stream_id: str, start: RunStart) -> RunStart:
        """Store this beginning, unless there is another; the one that holds.

        Raises RunExists where something else was published first; PublishFailed; BrokerUnavailable.
        """
        try:
            ids = self._publisher.append_own(stream_id, [start.as_event()], _KEY)
        except StreamEnded:
            raise RunExists(stream_id) from None
        if not isinstance(ids, Duplicate) and sequence_of(ids[0]) == 1:
            return start
        if (found := self.found(stream_id)) is None:
            raise RunExists(stream_id)  # what was stored is gone again
        return found
