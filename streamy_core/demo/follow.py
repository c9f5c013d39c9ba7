"""The lines of a growing file."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path
from typing import Final

from ..closeable import Closeable
from ..errors import StreamyError

CHUNK: Final = 64 * 1024
"""The most bytes that are read at once."""

MAX_LINE: Final = 64 * 1024


class Tail(Closeable):
    """Follows a file by its name, as `tail -F` does. For one thread at a time.

    path:   the file. It may be missing, and is then read from its beginning once it appears.
    newest: how many of the lines that are there already to begin with, at most.

    Whole lines only: what follows the last line break is kept back until the rest is written, or
    until the file has been replaced or cut short and nothing more can come. A line of more than
    64 KiB comes in pieces. Bytes that aren't UTF-8, and NUL, become U+FFFD.

    A file that was cut short and has grown past the old place between two calls of `read` can't be
    told from one that has only grown.

    Raises StreamyError if there is something at `path` that can't be followed.
    """

    def __init__(self, path: Path, *, newest: int = 50) -> None:
        self.path = path
        self._file: FileIO | None = None
        self._rest = b""
        _check(path)
        if self._open():
            self._skip_to_newest(newest)

    def read(self) -> list[str]:
        """The next lines, about 64 KiB of them at most; none at the end of the file. Never waits."""
        if self._file is None and not self._open():
            return []
        assert self._file is not None
        while data := self._file.read(CHUNK):
            if lines := self._take(data):
                return lines
        return self._look_for_change(self._file)

    def close(self) -> None:
        """Close the file. Closing twice does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> bool:
        try:
            # Opening a FIFO that has taken the file's place would block.
            if not self.path.is_file():
                return False
            self._file = FileIO(self.path)
        except OSError:
            return False
        return True

    def _skip_to_newest(self, newest: int) -> None:
        assert self._file is not None
        size = os.fstat(self._file.fileno()).st_size
        start = self._file.seek(max(0, size - CHUNK))
        block = self._file.read(CHUNK)
        place = block.rfind(b"\n") + 1
        for _ in range(newest):
            if place == 0:
                break
            place = block.rfind(b"\n", 0, place - 1) + 1
        if place == 0 and start > 0:
            place = block.find(b"\n") + 1
        self._file.seek(start + place)

    def _look_for_change(self, file: FileIO) -> list[str]:
        """At the end of `file`: see whether it is still the one of this name, and no shorter."""
        try:
            named = self.path.stat()
        except OSError:
            return []
        opened = os.fstat(file.fileno())
        if os.path.samestat(named, opened):
            if opened.st_size >= file.tell():
                return []
            file.seek(0)
            return self._take_rest()
        if data := file.read(CHUNK):
            return self._take(data)
        self.close()
        self._open()
        return self._take_rest()

    def _take(self, data: bytes) -> list[str]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE:
            lines.append(self._rest)
            self._rest = b""
        return [_text(line) for line in lines]

    def _take_rest(self) -> list[str]:
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []


def _check(path: Path) -> None:
    try:
        if path.exists() and not path.is_file():
            raise StreamyError(f"can't follow {path}: it is not a file")
        if path.exists() and not os.access(path, os.R_OK):
            raise StreamyError(f"can't follow {path}: no permission to read it")
    except OSError as error:
        raise StreamyError(f"can't follow {path}: {error.strerror}") from None


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace").replace("\0", "\ufffd")
