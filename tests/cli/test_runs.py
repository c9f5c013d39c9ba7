"""`flask streamy runs`."""

from __future__ import annotations

from streamy_core import RunOutcome, StreamManager
from streamy_core.testing.reading import eventually

from .conftest import Invoke


def test_runs_that_go_on_are_listed(sse: StreamManager, invoke: Invoke) -> None:
    sse.send_event("news", "no run")
    sse.start_run("over", ["a"]).wait(5)
    with sse.run("job:7", key="user:1"):
        lines = [line.split() for line in invoke("runs").stdout.splitlines()]
    assert lines == [["STREAM", "KEY", "LEASE", "TOLD"], ["job:7", "user:1", "10", "yes"]]


def test_a_run_is_stopped(sse: StreamManager, invoke: Invoke) -> None:
    with sse.run("job:7") as run:
        assert invoke("runs", "--stop", "job:7").exit_code == 0
        eventually(lambda: run.stopped, "stopping")


def test_what_nobody_holds_is_swept_and_what_somebody_holds_is_not(
    sse: StreamManager, invoke: Invoke
) -> None:
    lost = sse.run("lost", lease=1)
    sse.binding.runs._keeper.release(lost._own)  # type: ignore[arg-type]
    with sse.run("held", lease=1) as held:
        result = invoke("runs", "--sweep")
    assert result.stdout == "lost\n"
    assert result.stderr.endswith("Ended as lost: 1 run.\n")
    assert held.outcome is RunOutcome.DONE


def test_stopping_and_sweeping_are_two_things(sse: StreamManager, invoke: Invoke) -> None:
    assert invoke("runs", "--stop", "a", "--sweep").exit_code == 2
