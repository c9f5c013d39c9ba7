"""Takes what an iterable yields, until it is over or is to stop, and closes it in either case."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Iterable
from contextlib import suppress
from typing import Any

from ..errors import InvalidEvent

Put = Callable[[Any], object]
"""Takes an item. What it raises ends the producing."""

Stopping = Callable[[], bool]
"""Whether to stop: asked before each item is asked for, and after."""


class BadItem(InvalidEvent):
    """An item that can't be published."""


def check_iterable(stream_id: str, given: object) -> None:
    """Raises TypeError for what can't be iterated, and for one text."""
    if isinstance(given, str | bytes | bytearray):
        kind = type(given).__name__
        raise TypeError(
            f"stream {stream_id!r}: a run's iterable yields one item after the other, and is no {kind}: give "
            "it as [text], or as a generator"
        )
    if not isinstance(given, Iterable | AsyncIterable):
        asked = " (call it: a generator function is none yet)" if callable(given) else ""
        raise TypeError(
            f"stream {stream_id!r}: a run takes an iterable or an async iterable, and not "
            f"{type(given).__name__}{asked}"
        )


def produce(items: Any, put: Put, stopping: Stopping) -> bool:
    """Put each item; whether that was all of them. Closes what can be closed.

    Raises what the iterable raises, and what `put` does; BadItem, which says which item could not be put.

    An async iterable has an event loop of its own, on the calling thread.
    """
    if _is_async(items):
        try:
            return asyncio.run(_produce_async(items, put, stopping))
        except asyncio.CancelledError as error:  # nobody else knows of the task
            raise RuntimeError("what the run's async iterable waited for was cancelled") from error
    return _produce(items, put, stopping)


def close(items: Any) -> None:
    """Close what was never begun. What that raises is for nobody."""
    if not _is_async(items):
        with suppress(Exception):
            getattr(items, "close", _nothing)()


def _produce(items: Iterable[Any], put: Put, stopping: Stopping) -> bool:
    number = 0
    iterator = iter(items)
    try:
        while not stopping():
            try:
                item = next(iterator)
            except StopIteration:
                return True
            number += 1
            _put(put, item, number)
        return False
    finally:
        getattr(iterator, "close", _nothing)()


async def _produce_async(items: AsyncIterable[Any], put: Put, stopping: Stopping) -> bool:
    number = 0
    iterator = aiter(items)
    try:
        while not stopping():
            try:
                item = await anext(iterator)
            except StopAsyncIteration:
                return True
            number += 1
            _put(put, item, number)
        return False
    finally:
        closing = getattr(iterator, "aclose", None)
        if closing is not None:
            await closing()


def _put(put: Put, item: Any, number: int) -> None:
    try:
        put(item)
    except InvalidEvent as error:
        raise BadItem(f"item {number} of the run: {error}") from error


def _is_async(items: Any) -> bool:
    return isinstance(items, AsyncIterable)


def _nothing() -> None:
    """Of what can't be closed."""
