"""A copy that another worker goes on with, when its own is told to stop."""

from collections.abc import Callable

from streamy_core import StreamManager

sse = StreamManager()


def copy(name: str, rows: list[str], later: Callable[..., object], first: int = 0) -> None:
    """In a worker. `later` has a worker call this again, as a queue's `enqueue` does."""
    done = first

    def rest(stream_id: str) -> str:
        later(copy, name, rows, later, done)
        return f"copy:{name}:from-{done}"

    with sse.run(f"copy:{name}:from-{first}", resume=rest) as run:
        for row in rows[first:]:
            save(row)
            done += 1
            run.progress(done, total=len(rows))
            run.raise_if_stopped()


def save(row: str) -> None:
    """Do the work."""
