"""What `send_soon` has taken and nobody has stored yet: bounded, in order per stream, each stream by itself.

No thread, no lock and no clock: whoever uses it has those.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from typing import Final, NamedTuple

from ..events import Event
from .traces import Publishing

_BATCH_EVENTS: Final = 100
_BATCH_BYTES: Final = 2**18


class Item(NamedTuple):
    """An event that waits.

    key: the idempotency key that its sender gave.
    publishing: its span; None if it has none.
    """

    event: Event
    key: str | None
    publishing: Publishing | None = None


class StreamQueue:
    """What waits of one stream. Its batch is what is being tried: it stays the same until it is done."""

    __slots__ = ("_singly", "batch", "items", "stream_id")

    def __init__(self, stream_id: str) -> None:
        self.stream_id: str = stream_id
        self.items: deque[Item] = deque()
        self.batch: list[Item] = []
        self._singly = 0

    def begin(self) -> None:
        """Make a batch of what waits longest, unless there is one."""
        size = 0
        while self.items and self._joins(self.items[0], size):
            size += self.items[0].event.size
            self.batch.append(self.items.popleft())
        if self._singly:
            self._singly -= 1

    def split(self) -> None:
        """Have each event of the batch be a batch of its own."""
        self._singly = len(self.batch)
        self.items.extendleft(reversed(self.batch))
        self.batch = []

    def _joins(self, item: Item, size: int) -> bool:
        if not self.batch:
            return True
        # A key is for one append: an event that came with one goes alone.
        alone = self._singly or item.key is not None or self.batch[0].key is not None
        fits = len(self.batch) < _BATCH_EVENTS and size + item.event.size <= _BATCH_BYTES
        return fits and not alone


class StreamQueues:
    """The queues of all streams, each in turn. For one thread at a time.

    max_events, max_bytes: the most that may wait, batches that are being tried included.
    """

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self.events: int = 0
        self.bytes: int = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._queues: dict[str, StreamQueue] = {}
        self._ready: deque[StreamQueue] = deque()
        self._waiting: list[tuple[float, int, StreamQueue]] = []  # a heap, by when each is due
        self._numbers = itertools.count()

    def put(self, stream_id: str, item: Item) -> bool:
        """Have the event wait; false: there is no room. One alone is taken whatever its size."""
        size = item.event.size
        if self.events and (self.events >= self._max_events or self.bytes + size > self._max_bytes):
            return False
        queue = self._queues.get(stream_id)
        if queue is None:
            queue = self._queues[stream_id] = StreamQueue(stream_id)
            self._ready.append(queue)
        queue.items.append(item)
        self.events += 1
        self.bytes += size
        return True

    def take(self, now: float) -> StreamQueue | None:
        """The queue whose turn it is, with a batch; None: none is due. It is to be given back."""
        while self._waiting and self._waiting[0][0] <= now:
            self._ready.append(heapq.heappop(self._waiting)[2])
        if not self._ready:
            return None
        queue = self._ready.popleft()
        if not queue.batch:
            queue.begin()
        return queue

    def due(self) -> float | None:
        """When the next queue is due; None: that isn't known."""
        return self._waiting[0][0] if self._waiting else None

    def give_back(self, queue: StreamQueue, due: float | None = None) -> None:
        """Its turn is over. due: when it is to have the next; None: when all others have had theirs."""
        if self._queues.get(queue.stream_id) is not queue:
            return
        if due is not None:
            heapq.heappush(self._waiting, (due, next(self._numbers), queue))
        elif queue.items:
            self._ready.append(queue)
        else:
            del self._queues[queue.stream_id]

    def finish(self, queue: StreamQueue) -> bool:
        """The batch waits no more; false: it was cleared meanwhile."""
        if self._queues.get(queue.stream_id) is not queue:
            return False
        self.events -= len(queue.batch)
        self.bytes -= sum(item.event.size for item in queue.batch)
        queue.batch = []
        return True

    def hurry(self) -> None:
        """Have all queues be due now."""
        self._waiting = sorted((0.0, number, queue) for _, number, queue in self._waiting)

    def all(self) -> list[Item]:
        """All that wait, those included that are being tried."""
        return [item for queue in self._queues.values() for item in (*queue.batch, *queue.items)]

    def clear(self) -> dict[str, int]:
        """Forget everything; of how many events of each stream."""
        left = {name: len(queue.items) + len(queue.batch) for name, queue in self._queues.items()}
        self._queues, self._waiting = {}, []
        self._ready.clear()
        self.events = self.bytes = 0
        return left
