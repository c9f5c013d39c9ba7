"""An export that takes its time: how far it is, a link in the end, buttons that cancel and try again."""

import csv
import secrets
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, abort, render_template, send_from_directory, url_for

from streamy_core import OLDEST, Run, StreamManager

app = Flask(__name__)
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)  # serves streamy.js

FOLDER = Path(tempfile.mkdtemp())  # yours is one that all workers share
ROWS = 150


def rows() -> Iterator[tuple[int, str]]:
    """What your database would give."""
    for number in range(ROWS):
        time.sleep(0.02)
        yield number, f"order {number}"


def export(run: Run, name: str, url: str) -> None:
    part = FOLDER / f"{name}.part"
    with run:
        try:
            with part.open("w", newline="") as file:
                writer = csv.writer(file)
                for done, row in enumerate(rows()):
                    run.progress(done, total=ROWS)  # raises RunStopped, once it is cancelled
                    writer.writerow(row)
            run.progress(ROWS, total=ROWS)
            part.rename(FOLDER / f"{name}.csv")  # whole, or not there
            run.send({"url": url}, "file")
        finally:
            part.unlink(missing_ok=True)


@app.get("/")
def page() -> str:
    return render_template("export.html")


@app.post("/exports")
def begin() -> dict[str, str]:
    name = secrets.token_urlsafe(16)  # nobody guesses it: who has the URL may read
    run = sse.run(f"export:{name}", on_error=lambda error: "The export has failed.")
    threading.Thread(target=export, args=(run, name, url_for("download", name=name)), daemon=True).start()
    return {"stream": url_for("follow", name=name)}


@app.get("/exports/<name>")
def follow(name: str) -> Response:
    if not sse.exists(f"export:{name}"):
        abort(404)
    return sse.get_stream(f"export:{name}", after=OLDEST)


@app.delete("/exports/<name>")
def cancel(name: str) -> tuple[str, int]:
    sse.stop_run(f"export:{name}")
    return "", 202


@app.get("/exports/<name>.csv")
def download(name: str) -> Response:
    return send_from_directory(FOLDER, f"{name}.csv", as_attachment=True)
