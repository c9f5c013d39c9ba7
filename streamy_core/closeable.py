"""What is closed when a `with` block ends."""

from __future__ import annotations

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
