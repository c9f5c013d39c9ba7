"""A long job that says how far it has got, and somebody who follows it."""

from collections.abc import Iterable, Iterator

from streamy_core import GAP, OLDEST, StreamManager


def run(sse: StreamManager, job: str, rows: Iterable[str]) -> None:
    """Do the work. Tell of each row, and of the end."""
    for done, row in enumerate(rows, 1):
        sse.send_event(f"job:{job}", {"done": done, "row": row}, "progress")
    sse.end_stream(f"job:{job}")


def follow(sse: StreamManager, job: str) -> Iterator[str]:
    """What there is to tell of a job, from its beginning to its end."""
    with sse.subscribe(f"job:{job}", after=OLDEST) as entries:
        for entry in entries:
            if entry.event.name == GAP:
                yield "something is missing here"
            else:
                yield entry.event.data
