"""An agent for AG-UI's clients, such as CopilotKit's: its runs outlive the request."""

import secrets
from typing import Any

from flask import Flask, Response, request, url_for
from mapping import Texts, ag_ui_end, ag_ui_events, texts_of_chat
from model import create_chat
from plain import plain
from views import run_views

from streamy_core import Coalesce, StreamManager

app = Flask(__name__)
sse = StreamManager(app)
app.register_blueprint(run_views(sse, "run"), url_prefix="/runs")


def answer(question: str) -> Texts:
    yield from texts_of_chat(create_chat(question))  # asked on the run's thread


def begin(given: dict[str, Any]) -> str:
    """Run the agent, as `RunAgentInput` asks for it. The run's name, which nobody guesses."""
    name = secrets.token_urlsafe(16)
    events = ag_ui_events(answer(given["messages"][-1]["content"]), given["threadId"], given["runId"])
    sse.start_run(
        f"run:{name}",
        events,
        coalesce=Coalesce(0.05, join=list),  # an event of ours is a list of the events of 50 ms
        on_error=lambda error: "The model can't answer now.",
    )
    return name


# -- for the agent that reads by streamy.js


@app.post("/runs")
def run() -> dict[str, str]:
    return {"stream": url_for("run.follow", name=begin(request.get_json()))}


# -- for AG-UI's own `HttpAgent`


@app.post("/agent")
def run_plainly() -> Response:
    given = request.get_json()
    ids = given["threadId"], given["runId"]
    return plain(sse, f"run:{begin(given)}", lambda end, seen: ag_ui_end(end, seen, *ids))
