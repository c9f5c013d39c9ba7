"""What was granted before `disconnect`, no worker of an app serves any more."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from streamy_core.commands import EVERYBODY, DisconnectCommand
from streamy_core.delivery.revocations import Revocations
from streamy_core.testing.reading import eventually

from ..support.workers import Workers


def is_served(workers: Workers, pid: int, grant: str) -> bool:
    with workers.alone(pid), workers.visit(f"/granted?grant={grant}") as client:
        client.read_head()
        return client.status == 200


def is_refused(workers: Workers, pid: int, grant: str) -> bool:
    return not is_served(workers, pid, grant)


@pytest.mark.slow
@pytest.mark.parametrize("delivery", ["detached", "wsgi"])
def test_two_workers_serve_no_grant_that_was_revoked(tmp_path: Path, delivery: str) -> None:
    settings = {"STREAMY_DELIVERY": delivery}
    with Workers(tmp_path / "log", f"sqlite:///{tmp_path}/streams.db", settings).start() as workers:
        old, bob = (workers.ask(f"/grant?ids=news&key={key}").decode() for key in ("ann", "bob"))
        assert all(is_served(workers, pid, old) for pid in workers.pids)
        workers.ask("/disconnect/ann", method="POST")
        for pid in workers.pids:
            eventually(partial(is_refused, workers, pid, old), "it is refused")
            assert is_served(workers, pid, bob)
        new = workers.ask("/grant?ids=news&key=ann").decode()
        assert all(is_served(workers, pid, new) for pid in workers.pids)


def test_only_what_was_granted_before_is_void() -> None:
    revocations = Revocations()
    revocations.add(DisconnectCommand(None, "ann", 100.0))
    revocations.add(DisconnectCommand("news", "bob", 100.0))
    revocations.add(DisconnectCommand("tea", None, 100.0))
    for granted_at, void in ((99.0, True), (100.0, True), (100.1, False)):
        assert revocations.concern(["other"], "ann", granted_at) is void
        assert revocations.concern(["other", "news"], "bob", granted_at) is void
        assert revocations.concern(["tea"], None, granted_at) is void
        assert not revocations.concern(["other"], "bob", granted_at)
        assert not revocations.concern(["news"], None, granted_at)


def test_an_older_command_does_not_undo_a_newer_one() -> None:
    revocations = Revocations()
    for at in (100.0, 50.0):
        revocations.add(DisconnectCommand(None, "ann", at))
    assert revocations.concern(["news"], "ann", 75.0)


def test_that_everybody_is_to_come_back_takes_no_right_away() -> None:
    revocations = Revocations()
    revocations.add(EVERYBODY)
    assert not revocations.concern(["news"], "ann", 0.0)
    assert not revocations.concern(["news"], None, 0.0)
