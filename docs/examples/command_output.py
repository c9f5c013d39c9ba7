"""The output of a command, line by line, for every page that looks, and a button that ends the command."""

import os
import secrets
import signal
import subprocess
import sys
import threading

from flask import Flask, Response, abort, url_for

from streamy_core import OLDEST, Run, StreamManager

app = Flask(__name__)
sse = StreamManager(app)

COMMANDS = {"build": [sys.executable, "-m", "compileall", "-f", "."]}
"""What may be run, by the name that a request says."""


def publish_output(run: Run, command: list[str]) -> None:
    """Run a command in a process group of its own. Raises CalledProcessError if it fails."""
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    with run, subprocess.Popen(command, start_new_session=True, **how) as process:
        has_ended = threading.Event()
        threading.Thread(target=kill_when_stopped, args=(run, process, has_ended), daemon=True).start()
        try:
            for line in process.stdout:
                run.send(line.replace("\0", "\ufffd"))
            run.raise_if_stopped()  # killed, rather than done
        except BaseException:
            kill(process)
            raise
        finally:
            has_ended.set()
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, command)


def kill_when_stopped(run: Run, process: subprocess.Popen[str], has_ended: threading.Event) -> None:
    """Look a few times a second: a command may write nothing for long."""
    while not has_ended.wait(0.2):
        if run.stopped:
            kill(process)
            return


def kill(process: subprocess.Popen[str]) -> None:
    """End it and what it has started."""
    os.killpg(process.pid, signal.SIGKILL)


@app.post("/commands/<command>")
def begin(command: str) -> dict[str, str]:
    if command not in COMMANDS:
        abort(404)
    name = secrets.token_urlsafe(16)
    run = sse.run(f"output:{name}", event_name="output", coalesce=0.05)
    threading.Thread(target=publish_output, args=(run, COMMANDS[command]), daemon=True).start()
    return {"stream": url_for("follow", name=name)}


@app.get("/outputs/<name>")
def follow(name: str) -> Response:
    return sse.get_stream(f"output:{name}", after=OLDEST)


@app.delete("/outputs/<name>")
def stop(name: str) -> tuple[str, int]:
    sse.stop_run(f"output:{name}")
    return "", 202
