"""A run, as protocols without Streamy's own events have it: for clients that can't be changed."""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flask import Response

from streamy_core import BEGINNING, GAP, RunEnd, RunOutcome, StreamManager

Ending = Callable[[RunEnd | None, Iterable[str]], Iterable[Any]]


def plain(sse: StreamManager, stream_id: str, ending: Ending, last: str = "") -> Response:
    """All parts of a run, each as a `data:` by itself. It holds a thread for as long as it goes on.

    ending: given how the run ended, and the types of all parts so far, the parts that are left to say.
    last:   data that comes after all parts.
    """

    def frames() -> Iterator[str]:
        seen: set[str] = set()
        with sse.subscribe(stream_id, after=BEGINNING) as entries:
            while (entry := entries.next(timeout=15)) or not entries.closed:
                if entry is None:
                    yield ":\n\n"  # a comment: whoever has left is noticed, and proxies stay patient
                    continue
                if entry.event.name == GAP:  # it is longer than the backend's `history`
                    end = RunEnd(RunOutcome.LOST)
                    break
                for part in json.loads(entry.event.data):
                    seen.add(part["type"])
                    yield f"data: {json.dumps(part)}\n\n"
            else:
                end = entries.ends.get(stream_id)
            for part in ending(end, seen):
                yield f"data: {json.dumps(part)}\n\n"
        if last:
            yield f"data: {last}\n\n"

    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return Response(frames(), mimetype="text/event-stream", headers=headers)
