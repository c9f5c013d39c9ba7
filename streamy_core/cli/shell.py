"""How every command behaves in a shell: exit codes, errors, and lines that stay lines."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click

from ..errors import StreamyError

INTERRUPTED: Final = 130
"""The exit code after Ctrl-C: 128 + SIGINT, as shells have it."""

SIGNALS_WAIT: Final = 0.5
"""Seconds for which a command may block in one call: a signal that comes just before waits for its end."""


class StreamyGroup(click.Group):
    """Commands that end in `Error: …` and 1 for a StreamyError, in silence and 130 for Ctrl-C."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _own_words():
                return super().invoke(ctx)
        except StreamyError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            click.echo(err=True)  # the terminal has shown ^C, and the prompt wants a new line
            ctx.exit(INTERRUPTED)


@contextmanager
def _own_words() -> Generator[None]:
    """Where the app has set up no logging, an error is told once, by the command itself.

    What holds up a command that goes on, such as `tail`, is written to standard error.
    """
    logger, hub = logging.getLogger("streamy"), logging.getLogger("streamy.hub")
    silent, told = logging.NullHandler(), logging.StreamHandler()
    alone = not logger.hasHandlers()
    if alone:
        logger.addHandler(silent)
        hub.addHandler(told)
    try:
        yield
    finally:
        logger.removeHandler(silent)
        hub.removeHandler(told)


@contextmanager
def written() -> Generator[None]:
    """What standard output doesn't take is an error in one line, but for a pipe that nobody reads."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        raise click.ClickException(f"standard output can't be written to: {error.strerror}") from error


def say(line: str) -> None:
    """Write one line to standard output, at once, whatever its encoding can't show escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    with written():
        click.echo(line.encode(encoding, "backslashreplace").decode(encoding))


def say_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write rows below their header, in columns."""
    shown = [list(header), *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def one_line(text: str) -> str:
    r"""The text with whatever isn't printable escaped: line breaks, tabs, a terminal's commands."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
