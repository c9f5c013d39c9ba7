"""Without Redis, a test reads what the page gets: `REDIS_URL=memory:// python -m pytest`."""

import pytest
from flask import Flask
from flask_sse_after import app as notices

from streamy_core.testing import EventClient


@pytest.fixture
def app() -> Flask:
    return notices


def test_a_notice_goes_to_its_channel(app: Flask, streamy_client: EventClient) -> None:
    page = streamy_client.open("/stream?channel=news")
    app.test_client().post("/notices/news", data={"id": "7", "text": "hello"})
    assert page.wait_for("notice").data == '{"id": "7", "text": "hello"}'


def test_a_channel_of_the_staffs_is_for_the_staff(streamy_client: EventClient) -> None:
    with pytest.raises(AssertionError, match="403"):
        streamy_client.open("/stream?channel=staff")
    assert streamy_client.another(headers={"X-User": "ann"}).open("/stream?channel=staff").status == 200


def test_who_was_away_gets_what_was_sent_meanwhile(app: Flask, streamy_client: EventClient) -> None:
    page = streamy_client.open("/stream?channel=news")
    page.cut()
    app.test_client().post("/notices/news", data={"id": "8", "text": "meanwhile"})
    page.reconnect()
    assert page.wait_for("notice").data == '{"id": "8", "text": "meanwhile"}'
