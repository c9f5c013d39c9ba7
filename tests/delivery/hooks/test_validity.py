"""What Python's own validator of WSGI says of each kind of answer: nothing."""

from __future__ import annotations

from wsgiref.validate import validator

import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from streamy_core import OLDEST, StreamManager


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("kind", ["stream", "ended", "later"])
@pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD")
def test_every_answer_is_valid(kind: str, method: str) -> None:
    app = Flask(__name__)
    with StreamManager(app) as sse:
        answers = {
            "stream": lambda: sse.get_stream("news"),
            "ended": lambda: sse.get_stream("over"),
            "later": lambda: sse.try_later(),
        }
        app.add_url_rule("/", view_func=answers[kind])
        sse.end_stream("over")
        cursor = sse.broker.read({"over": OLDEST}, 1)["over"].cursor
        environ = EnvironBuilder(method=method, headers={"Last-Event-ID": cursor}).get_environ()
        body, status, _ = run_wsgi_app(validator(app), environ)
        assert status.startswith("204" if kind == "ended" else "200")
        body.close()  # type: ignore[attr-defined]
