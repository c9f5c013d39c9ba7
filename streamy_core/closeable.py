"""What is closed when a `with` block ends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self


class Closeable:
    """A context manager that closes itself."""

    __slots__ = ()

    def close(self) -> None:
        """Free everything. Closing twice does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def close_soon(close: Callable[[], object]) -> None:
    """Have a thread of its own call it: for what the garbage collector comes upon.

    The collector calls in any thread, and with whatever locks that one has. When the interpreter exits
    nothing is called: a thread would never begin to run, and starting it would wait for that.
    """
    if not sys.is_finalizing():
        with suppress(RuntimeError):  # no thread is to be had: what it holds stays until the process ends
            threading.Thread(target=close, name="streamy-closing", daemon=True).start()
