"""Asks an app for its readiness while its disk fills, and prints what it said.

`python -m tests.backends.sql.full_health FOLDER`, in a folder of `small_disk.on_disk`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from flask import Flask

from streamy_core import StreamManager

from .small_disk import fill_up


def main(folder: Path) -> dict[str, object]:
    """What was said: before, how many seconds after the disk was full, by `/live` then, and in the end."""
    app = Flask(__name__)
    with StreamManager(app, broker=f"sqlite:///{folder}/streams.db", canary_interval=0.5) as sse:
        app.register_blueprint(sse.blueprint)
        client = app.test_client()

        def wrong() -> list[str]:
            return [trouble["what"] for trouble in client.get("/streamy/ready").get_json()["wrong"]]

        def until(found: list[str]) -> float:
            began = time.monotonic()
            while wrong() != found and time.monotonic() - began < 10:
                time.sleep(0.02)
            return time.monotonic() - began

        until([])
        before = wrong()
        filler = fill_up(folder)
        took = until(["broker"])
        full, live = wrong(), client.get("/streamy/live").status_code
        filler.unlink()
        until([])
        return {"before": before, "took": took, "full": full, "live": live, "after": wrong()}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
