"""Serves an app by a server that has no command of its own, or not one that fits.

`python -m tests.support.serve werkzeug|waitress|"flask run" MODULE:CREATE_APP() THREADS`. The address is
printed once the port is bound, in gunicorn's words.
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module

from flask import Flask


def load(app: str) -> Flask:
    module, _, name = app.partition(":")
    found = getattr(import_module(module), name.removesuffix("()"))
    loaded = found() if name.endswith("()") else found
    assert isinstance(loaded, Flask)
    return loaded


def werkzeug(app: str) -> None:
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, load(app), threaded=True)
    print(f"Listening at: http://127.0.0.1:{server.port}", flush=True)
    server.serve_forever()


def waitress(app: str, threads: int) -> None:
    from waitress import create_server  # type: ignore[import-untyped]

    server = create_server(load(app), host="127.0.0.1", port=0, threads=threads)
    print(f"Listening at: http://127.0.0.1:{server.effective_port}", flush=True)
    server.run()


def flask_run(app: str) -> None:
    from flask.cli import main

    # A shell's background job, as this may be, is started with Ctrl-C ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["flask", "--app", app.removesuffix("()"), "run", "--port", "0"]
    main()


if __name__ == "__main__":
    _, kind, app, threads = sys.argv
    if kind == "werkzeug":
        werkzeug(app)
    elif kind == "waitress":
        waitress(app, int(threads))
    else:
        flask_run(app)
