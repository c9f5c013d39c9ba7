"""A chat for the AI SDK's `useChat`: answers outlive the request, a reload and the worker's client."""

import json
import secrets
from typing import Any

from flask import Flask, Response, request, url_for
from mapping import Texts, texts_of_response, ui_message, ui_message_end
from model import create_response
from plain import plain
from views import run_views

from streamy_core import Coalesce, StreamManager

app = Flask(__name__)
sse = StreamManager(app)
app.register_blueprint(run_views(sse, "answer"), url_prefix="/answers")


def answer(question: str) -> Texts:
    yield from texts_of_response(create_response(question))  # asked on the run's thread


def begin(given: dict[str, Any]) -> str:
    """Have the last message answered. The answer's name, which nobody guesses."""
    question = "".join(part.get("text", "") for part in given["messages"][-1]["parts"])
    name = secrets.token_urlsafe(16)
    sse.start_run(
        f"answer:{name}",
        ui_message(answer(question), name),
        coalesce=Coalesce(0.05, join=list),  # an event is a list of the parts of 50 ms
        on_error=lambda error: "The model can't answer now.",
    )
    sse.send_event(f"chat:{given['id']}", name)
    return name


def newest(chat: str) -> str | None:
    """The chat's newest answer, unless that is whole: then the page has it."""
    if not (answers := sse.history(f"chat:{chat}", limit=1).entries):
        return None
    name = answers[0].event.data
    events = sse.history(f"answer:{name}", limit=2).entries
    is_whole = bool(events) and json.loads(events[-1].event.data)[-1]["type"] == "finish"
    return None if is_whole else name


# -- for the transport that reads by streamy.js


@app.post("/chats")
def ask() -> dict[str, str]:
    return {"stream": url_for("run.follow", name=begin(request.get_json()))}


@app.get("/chats/<chat>/newest")
def follow_newest(chat: str) -> dict[str, str] | tuple[str, int]:
    name = newest(chat)
    return ("", 204) if name is None else {"stream": url_for("run.follow", name=name)}


# -- for the AI SDK's own transport


@app.post("/api/chat")
def ask_plainly() -> Response:
    return as_ui_message_stream(begin(request.get_json()))


@app.get("/api/chat/<chat>/stream")
def resume_plainly(chat: str) -> Response | tuple[str, int]:
    name = newest(chat)
    return ("", 204) if name is None else as_ui_message_stream(name)


def as_ui_message_stream(name: str) -> Response:
    response = plain(sse, f"answer:{name}", lambda end, seen: ui_message_end(end), last="[DONE]")
    response.headers["x-vercel-ai-ui-message-stream"] = "v1"
    return response
