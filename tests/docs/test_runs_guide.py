"""The example of the guide to runs does what the guide says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from streamy_core import OLDEST, RunEnd, RunOutcome, StreamManager
from streamy_core.testing import EventClient
from streamy_core.testing.reading import eventually

if TYPE_CHECKING:
    from .conftest import Load


def test_an_answer_is_read_from_its_beginning_and_told_how_it_ended(load: Load, tmp_path: Path) -> None:
    example = load("runs")
    app = example.create_app({"STREAMY_BROKER_URL": f"sqlite:///{tmp_path}/streams.db?create_tables=true"})
    visitor = app.test_client()
    name = visitor.post("/chat", data={"q": "why?"}).json["chat"]
    with EventClient(app) as client:
        for _ in range(2):  # live, and after its end
            page = client.open(f"/chat/{name}")
            end = page.wait_for("streamy.end")
            assert end.data == f'{{"stream": "chat:{name}", "outcome": "done"}}'
    with app.app_context():
        text = "".join(entry.event.data for entry in example.sse.history(f"chat:{name}").entries)
        assert text == "You asked: why? "
        assert visitor.get("/chat/nobodys").status_code == 404
        example.sse.close()


def test_what_was_forgotten_is_not_there(load: Load, tmp_path: Path) -> None:
    example = load("runs")
    app = example.create_app({"STREAMY_BROKER_URL": f"sqlite:///{tmp_path}/streams.db?create_tables=true"})
    with app.app_context():
        example.sse.start_run("chat:1", ["a"]).wait(5)
        forget = example.sse.broker.forget
        eventually(lambda: forget(0.01, ended=True), "forgetting it")
    assert app.test_client().get("/chat/1").status_code == 404
    with app.app_context():
        example.sse.close()


def test_an_answer_is_stopped_from_any_process(load: Load) -> None:
    example = load("runs")
    app = example.create_app()
    visitor = app.test_client()
    name = visitor.post("/chat", data={"q": "long " * 1_000}).json["chat"]
    assert visitor.post(f"/chat/{name}/stop").status_code == 202
    with app.app_context(), example.sse.subscribe(f"chat:{name}", after=OLDEST) as entries:
        list(entries)
        assert entries.ends[f"chat:{name}"] == RunEnd(RunOutcome.STOPPED)
        example.sse.close()


def test_a_copy_goes_on_in_another_worker_when_its_own_is_told_to_stop(load: Load, tmp_path: Path) -> None:
    example, url = load("resumed"), f"sqlite:///{tmp_path}/streams.db?create_tables=true"
    queue: list[tuple[Callable[..., object], ...]] = []
    saved: list[str] = []

    def worker(call: Callable[..., object], *args: object, stops_after: int) -> None:
        with StreamManager(broker=url) as example.sse:

            def save(row: str) -> None:
                saved.append(row)
                if len(saved) == stops_after:
                    threading.Thread(target=example.sse.close).start()
                    runs = example.sse.binding.runs
                    eventually(lambda: all(held.stopping for held in runs.going()), "it is told to stop")

            example.save = save
            call(*args)

    worker(example.copy, "7", ["a", "b", "c"], lambda *job: queue.append(job), stops_after=2)
    ((call, *args),) = queue
    worker(call, *args, stops_after=9)
    assert saved == ["a", "b", "c"]
    with StreamManager(broker=url) as sse, sse.subscribe("copy:7:from-0", after=OLDEST) as entries:
        list(entries)
        assert entries.ends["copy:7:from-0"] == RunEnd(RunOutcome.LOST, resumed_on="copy:7:from-2")
        rest = sse.history("copy:7:from-2").entries
        assert rest[-1].event.data == '{"done": 3, "note": null, "total": 3}'


def test_a_job_says_how_far_it_is(load: Load) -> None:
    example = load("runs")
    app = example.create_app()
    with app.app_context():
        example.import_rows("7", ["a", "b", "c"])
        last = example.sse.history("job:7").entries[-1].event
        assert (last.name, last.data) == ("progress", '{"done": 3, "note": null, "total": 3}')
        example.ask_elsewhere("8", ["a", "b"])
        assert [entry.event.data for entry in example.sse.history("job:8").entries] == ["a", "b"]
        example.sse.close()
