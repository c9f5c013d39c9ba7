"""The example of the guide to runs does what the guide says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from streamy_core import OLDEST, RunOutcome
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
        assert entries.ends[f"chat:{name}"] == (RunOutcome.STOPPED, None)
        example.sse.close()


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
