"""A disk without room for more: what can't be stored fails whole, and everything else goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from streamy_core.ids import sequence_of

from ...support import ROOT
from ...support.requirements import go_without
from .conftest import SERVERS
from .servers import HOW_TO_GET, Mariadb, Postgresql, programs
from .small_disk import BATCH, FAILURES, REFILLED, Full, fill_and_empty, on_disk

pytestmark = pytest.mark.slow

_AS_NOBODY: Final = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
_SAYS: Final = {
    "sqlite": "database or disk is full",
    "postgresql": "No space left on device",
    "mariadb": "is full",
}


class SmallPostgresql(Postgresql):
    """Its databases may have the tablespace `small`."""

    unprivileged = False

    def _command(self) -> list[str]:
        return on_disk(self.small, *_AS_NOBODY, *super()._command(), size="20m")

    @property
    def small(self) -> Path:
        return self.folder / "small"


class SmallMariadb(Mariadb):
    """Its database lies on a small disk, and everything else on a large one."""

    def _command(self) -> list[str]:
        return on_disk(self.small, *_AS_NOBODY, *super()._command(), size="4m")

    @property
    def small(self) -> Path:
        return self._data / self.home


_SMALL: Final = {"postgresql": SmallPostgresql, "mariadb": SmallMariadb}


@pytest.fixture(scope="module", params=["sqlite", *SERVERS])
def kind(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def full(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Full:
    folder = tmp_path_factory.mktemp("full")
    return _full_file(folder) if kind == "sqlite" else _full_server(kind, folder)


def _full_file(folder: Path) -> Full:
    command = on_disk(folder, sys.executable, "-m", f"{__package__}.small_disk", str(folder), size="2m")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    return Full(**json.loads(done.stdout))


def _full_server(kind: str, folder: Path) -> Full:
    found = programs(kind) or go_without(f"{kind} is missing: {HOW_TO_GET[kind]}")
    server = _SMALL[kind](*found, folder)
    server.small.mkdir()
    server.start()
    try:
        url = server.url
        if kind == "postgresql":
            server.execute(f"CREATE TABLESPACE small LOCATION '{server.small}'")
            server.execute("CREATE DATABASE streams TABLESPACE small")
            url = server.url_of("streams")
        assert server._process is not None
        return fill_and_empty(url, Path(f"/proc/{server._process.pid}/root{server.small}"))
    finally:
        server.stop()


def test_publishing_to_a_full_disk_fails_and_says_why(full: Full, kind: str) -> None:
    assert len(full.failures) == FAILURES
    for raised, cause, text in full.failures:
        assert (raised, cause) == ("PublishFailed", "BrokerUnavailable")
        assert _SAYS[kind] in text


def test_what_was_acknowledged_before_a_disk_was_full_can_be_read_while_it_is(full: Full) -> None:
    assert full.while_full == _ids(full.acknowledged[: full.acknowledged_before])


def test_a_broker_that_comes_while_the_disk_is_full_can_read(full: Full) -> None:
    assert full.seen_by_newcomer == full.while_full != []


def test_publishing_succeeds_once_there_is_room_again(full: Full) -> None:
    assert len(full.acknowledged) == full.acknowledged_before + REFILLED


def test_a_disk_that_was_full_has_lost_nothing_acknowledged_and_kept_no_half_batch(full: Full) -> None:
    assert full.log == _ids(full.acknowledged)
    assert [sequence_of(entry_id) for entry_id in full.log] == list(range(1, len(full.log) + 1))


def test_a_subscriber_goes_on_and_misses_nothing_while_a_disk_is_full(full: Full) -> None:
    assert full.followed == full.log
    assert full.hub_failures == 0


def _ids(batches: list[list[str]]) -> list[str]:
    assert {len(batch) for batch in batches} == {BATCH}
    return [entry_id for batch in batches for entry_id in batch]
