"""A SQLite file that is removed, or replaced by another, while processes have it open."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from streamy_backends.sql import from_url
from streamy_core import PublishFailed, StreamManager
from streamy_core.strategies import NoRetry
from streamy_core.testing.reading import data_of, events, eventually, read_all

from ..conftest import NewManager
from ..promises.moving import heard
from .conftest import NewEngine
from .shop import next_of

pytestmark = pytest.mark.slow

Replace = Callable[[], None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "streams.db"


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite:///{file}"


def remove(file: Path) -> None:
    for name in (file, *file.parent.glob(f"{file.name}-*")):
        name.unlink(missing_ok=True)


def replace_by_nothing(file: Path, prefix: str) -> None:
    remove(file)


def replace_by_an_empty_file(file: Path, prefix: str) -> None:
    new = file.with_suffix(".new")
    new.touch()
    remove(file)
    new.rename(file)


def replace_by_another_history(file: Path, prefix: str) -> None:
    new = file.with_suffix(".new")
    with from_url(f"sqlite:///{new}", {"table_prefix": prefix}) as broker:
        broker.append("news", events("other"))
    remove(file)
    new.rename(file)


def replace_by_a_copy(file: Path, prefix: str) -> None:
    new = file.with_suffix(".new")
    with from_url(f"sqlite:///{file}", {"table_prefix": prefix}):
        shutil.copy(file, new)
        if (log := file.with_name(f"{file.name}-wal")).exists():
            shutil.copy(log, new.with_name(f"{new.name}-wal"))
    remove(file)
    for old in new.parent.glob(f"{new.name}*"):
        old.rename(file.with_name(old.name.replace(new.name, file.name)))


WAYS: Final = (replace_by_nothing, replace_by_an_empty_file, replace_by_another_history, replace_by_a_copy)


@pytest.fixture(params=WAYS, ids=[way.__name__.removeprefix("replace_by_") for way in WAYS])
def replace(request: pytest.FixtureRequest, file: Path, prefix: str) -> Replace:
    return lambda: request.param(file, prefix)


@pytest.fixture
def sse(new_manager: NewManager, url: str) -> StreamManager:
    sse = new_manager(url, retry=NoRetry())
    sse.send_event("news", "before")
    return sse


def kept(new_manager: NewManager, url: str) -> list[str]:
    return data_of(read_all(new_manager(url).broker, "news"))


def test_what_is_published_is_in_the_file_that_is_there(
    sse: StreamManager, new_manager: NewManager, url: str, replace: Replace
) -> None:
    replace()
    eventually(lambda: bool(_published(sse, "a")), "publishing that works")
    sse.send_event("news", "b")
    assert kept(new_manager, url)[-2:] == ["a", "b"]


def _published(sse: StreamManager, data: str) -> str | None:
    try:
        return sse.send_event("news", data)
    except PublishFailed:
        return None


def test_it_costs_a_publisher_that_tries_again_nothing_and_is_logged_once(
    new_manager: NewManager, url: str, replace: Replace, caplog: pytest.LogCaptureFixture
) -> None:
    sse = new_manager(url)
    sse.send_event("news", "before")
    replace()
    sse.send_event("news", "a")
    sse.end_stream("other")
    assert kept(new_manager, url)[-1] == "a"
    assert caplog.text.count("its file was removed, or replaced by another") == 1
    assert [record.levelno for record in caplog.records if "replaced" in record.getMessage()] == [
        logging.ERROR
    ]


def test_a_process_that_only_reads_hears_of_what_is_published_there(
    sse: StreamManager, new_manager: NewManager, url: str, replace: Replace
) -> None:
    with sse.subscribe("news") as subscription:
        eventually(lambda: sse.health.streams == 1, "a stream that is watched")
        replace()
        other = new_manager(url)
        other.send_event("news", "a")
        eventually(lambda: next_of(subscription) == "a", "the event, behind a gap")
        other.send_event("news", "b")
        heard(subscription, "b")
        eventually(lambda: not sse.health.failing, "health")


def test_a_session_does_not_write_into_the_file_that_is_gone(
    sse: StreamManager, new_manager: NewManager, new_engine: NewEngine, url: str, replace: Replace
) -> None:
    engine = new_engine(url)
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
        sse.send_event("news", "in a session", session=session)
        session.commit()
    replace()
    with Session(engine) as session, pytest.raises(PublishFailed, match="replaced by another"):
        sse.send_event("news", "refused", session=session)
    with Session(engine) as session:
        sse.send_event("news", "a", session=session)
        session.commit()
    assert kept(new_manager, url)[-1] == "a"
    assert "refused" not in kept(new_manager, url)
