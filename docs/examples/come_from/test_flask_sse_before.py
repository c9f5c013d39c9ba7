"""Without Redis, a test sees what flask-sse is called with."""

import pytest
from flask_sse import sse
from flask_sse_before import app


def test_a_notice_goes_to_its_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    published = []
    monkeypatch.setattr(sse, "publish", lambda data, **how: published.append((data, how)))
    app.test_client().post("/notices/news", data={"id": "7", "text": "hello"})
    assert published == [({"text": "hello"}, {"type": "notice", "id": "7", "channel": "news"})]
