"""The lines of a growing file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamy_core.demo.follow import CHUNK, MAX_LINE, Tail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.touch()
    return path


@pytest.fixture
def tail(log: Path) -> Iterator[Tail]:
    with Tail(log) as tail:
        yield tail


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_lines_come_whole_and_once(log, tail):
    append(log, b"one\ntwo\nthr")
    assert tail.read() == ["one", "two"]
    assert tail.read() == []
    append(log, b"ee\n\nfour\r\n")
    assert tail.read() == ["three", "", "four"]
    assert tail.read() == []


def test_a_character_written_in_two_parts_stays_whole(log, tail):
    append(log, "zwölf".encode()[:3])
    assert tail.read() == []
    append(log, "zwölf".encode()[3:] + b"\n")
    assert tail.read() == ["zwölf"]


def test_what_is_no_text_is_replaced(log, tail):
    append(log, b"a\xffb\na\0b\n")
    assert tail.read() == ["a\ufffdb", "a\ufffdb"]


@pytest.mark.parametrize(
    ("data", "newest", "expected"),
    [
        (b"", 2, []),
        (b"a", 2, []),
        (b"a\n", 2, ["a"]),
        (b"a\nb\nc\n", 2, ["b", "c"]),
        (b"a\nb\nc\nd", 2, ["b", "c"]),
        (b"a\nb\n", 0, []),
        (b"\n\n\n", 2, ["", ""]),
        (b"x" * CHUNK + b"\na\nb\n", 5, ["a", "b"]),
    ],
)
def test_begins_with_the_newest_lines(log, data, newest, expected):
    log.write_bytes(data)
    with Tail(log, newest=newest) as tail:
        assert tail.read() == expected


def test_a_file_cut_short_is_read_from_its_beginning(log, tail):
    append(log, b"before\nhalf")
    assert tail.read() == ["before"]
    log.write_bytes(b"")
    assert tail.read() == ["half"]
    append(log, b"after\n")
    assert tail.read() == ["after"]


def test_a_file_put_in_its_place_is_read_from_its_beginning(log, tail):
    append(log, b"old\n")
    assert tail.read() == ["old"]
    rotated = log.rename(log.with_suffix(".1"))
    append(rotated, b"late\nlast")
    assert tail.read() == ["late"]
    assert tail.read() == []
    log.write_bytes(b"new\n")
    assert tail.read() == ["last"]
    assert tail.read() == ["new"]


def test_a_file_that_comes_later_is_read_from_its_beginning(tmp_path):
    path = tmp_path / "later.log"
    with Tail(path, newest=1) as tail:
        assert tail.read() == []
        path.write_bytes(b"one\ntwo\n")
        assert tail.read() == ["one", "two"]


def test_a_line_without_an_end_takes_bounded_memory(log, tail):
    append(log, b"x" * 3 * MAX_LINE + b"\nnext\n")
    lines = []
    while found := tail.read():
        lines += found
    assert lines[-1] == "next"
    assert "".join(lines[:-1]) == "x" * 3 * MAX_LINE
    assert max(map(len, lines)) <= MAX_LINE + CHUNK
