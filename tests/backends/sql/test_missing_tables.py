"""An app that is deployed before its migration: browsers are told to come back, and one line says why."""

from __future__ import annotations

import logging
import re

import pytest
from flask import Flask

from streamy_core import StreamManager
from streamy_core.testing import EventClient

from ..conftest import NewBroker


def test_without_tables_clients_come_back_until_they_are_made(
    url: str, new_broker: NewBroker, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask(__name__)
    app.config["STREAMY_BROKER_URL"] = url
    app.config["STREAMY_BROKER_OPTIONS"] = {"table_prefix": prefix, "create_tables": False}
    with StreamManager(app) as sse, EventClient(app) as client:
        app.add_url_rule("/stream", view_func=lambda: sse.get_stream("news"))
        for _ in range(3):
            response = app.test_client().get("/stream")
            assert response.status_code == 200
            assert re.fullmatch(rb"retry: \d+\n", response.data)
        (told,) = [record for record in caplog.records if "come back later" in record.getMessage()]
        assert told.levelno == logging.ERROR
        assert "flask streamy init-db" in told.getMessage()
        new_broker(url).append("news", [])
        with client.open("/stream") as stream:
            sse.send_event("news", "x")
            assert [event.data for event in stream.events(1)] == ["x"]
