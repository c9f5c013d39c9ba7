"""The screen that is drawn again and again, and standard output for pictures."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.live import Live

_TERMINATED: Final = 128 + signal.SIGTERM
"""The exit code of what was told to end, as shells have it."""


def open_console() -> Console:
    """Standard output. Others' texts are no markup there, and what its encoding can't show is escaped."""
    output: Any = sys.stdout
    if isinstance(output, TextIOWrapper):
        output.reconfigure(errors="backslashreplace")
    return Console(markup=False, emoji=False, highlight=False)


def draw(console: Console, picture: Callable[[int], RenderableType], pause: Callable[[], object]) -> None:
    """Draw what `picture` gives for so many lines, `pause`, and so on, until an exception ends it.

    Whatever does, Ctrl-C and SIGTERM too, leaves the terminal as it was. Nothing is logged meanwhile: lines
    would tear the picture.
    """
    with _undisturbed(), Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(picture(console.height), refresh=True)
            pause()


@contextmanager
def _undisturbed() -> Generator[None]:
    def end(*_: object) -> None:
        raise SystemExit(_TERMINATED)

    before, disabled = signal.signal(signal.SIGTERM, end), logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(disabled)
        signal.signal(signal.SIGTERM, before)
