"""Notes, and pages made in several ways that show them as they come."""

from flask import Flask, Response, render_template, request
from markupsafe import Markup

from streamy_core import StreamManager

app = Flask(__name__)
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)
notes: list[str] = []  # an app has a database


@app.get("/with/<name>")
def page(name: str) -> str:
    return render_template(f"{name}.html", notes=notes)


@app.get("/events")
def events() -> Response:
    return sse.get_stream("notes")


@app.get("/fragments")
def fragments() -> Response:
    return sse.get_stream("notes as html")


@app.get("/turbo")
def turbo() -> Response:
    return sse.get_stream("notes for turbo")


@app.post("/notes")
def add() -> tuple[str, int]:
    text = request.form["text"]
    notes.append(text)
    item = Markup("<li>{}</li>").format(text)
    action = Markup('<turbo-stream action="append" target="notes">{}</turbo-stream>')
    template = Markup("<template>{}</template>").format(item)
    sse.send_event("notes", {"text": text})
    sse.send_event("notes as html", item)
    sse.send_event("notes for turbo", action.format(template))
    return "", 204


@app.get("/list")
def listed() -> Response:
    """All notes, as Datastar takes them."""
    html = render_template("_datastar_list.html", notes=notes)
    lines = "".join(f"data: fragments {line}\n" for line in html.splitlines())
    return Response(f"event: datastar-merge-fragments\n{lines}\n", mimetype="text/event-stream")
