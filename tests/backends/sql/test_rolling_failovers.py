"""PostgreSQL primaries that are killed one after the other, under load, with a standby promoted each time."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from streamy_core.testing.reading import eventually

from ..promises.failovers import FailoverPromises
from .conftest import OwnServer
from .servers import Server, without_roots_rights

pytestmark = pytest.mark.slow

_SECONDS: Final = 60


class StandbyGroup:
    """A primary, and a hot standby that has all that the primary has acknowledged, as soon as it is there.

    Without that, what nobody has read yet goes with a primary unheard, as its number is given again. While
    there is no standby the primary goes on alone, as cluster managers have it.
    """

    def __init__(self, primary: Server, standby: Server, backup: Path) -> None:
        self._primary, self._standby = primary, standby
        self._backup = backup
        primary.start()
        self._follow()

    @property
    def url(self) -> str:
        hosts = "&".join(f"host=127.0.0.1:{server.port}" for server in (self._primary, self._standby))
        options = "target_session_attrs=read-write&connect_timeout=2&history=100000"
        return f"postgresql://streamy:secret@/{self._primary.home}?{hosts}&{options}"

    def fail_over(self) -> None:
        self._primary.kill()
        self._standby.execute("SELECT pg_promote(wait => true)")
        self._primary, self._standby = self._standby, self._primary
        self._wait_for("")
        self._follow()

    def _follow(self) -> None:
        """Start the standby from a copy of the primary."""
        data: Any = self._standby.folder / "data"
        shutil.rmtree(data)
        source = f"host=127.0.0.1 port={self._primary.port} user=streamy password=secret"
        command = [
            *without_roots_rights(),
            str(self._backup),
            "-D",
            str(data),
            "-d",
            source,
            "-R",
            "-c",
            "fast",
        ]
        subprocess.run([*command, "--no-sync"], check=True, timeout=_SECONDS)
        self._standby.start()
        self._wait_for("*")
        eventually(self._is_in_step, "a standby in step", within=30)

    def _wait_for(self, standbys: str) -> None:
        """Have the primary acknowledge nothing that these don't have."""
        self._primary.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{standbys}'")
        self._primary.execute("SELECT pg_reload_conf()")

    def _is_in_step(self) -> bool:
        return self._primary.execute("SELECT state, sync_state FROM pg_stat_replication") == [
            ("streaming", "sync")
        ]


@pytest.fixture
def group(own_server: OwnServer) -> StandbyGroup:
    # A standby that comes a moment too early tries again soon, and not after five seconds.
    settings = ("-c", "wal_retrieve_retry_interval=100ms")
    primary, standby = (own_server("postgresql", *settings) for _ in range(2))
    return StandbyGroup(primary, standby, primary.program("pg_basebackup"))


class TestRollingFailovers(FailoverPromises):
    pass
