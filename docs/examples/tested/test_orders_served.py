"""The same app under a real gunicorn."""

from urllib.request import urlopen

import pytest
from flask import Flask
from orders import create_app

from streamy_core.testing import FaultyBroker, GunicornServer


@pytest.fixture
def app(streamy_broker: FaultyBroker) -> Flask:
    return create_app({"STREAMY_BROKER_URL": streamy_broker})


def test_a_page_holds_no_thread_of_the_server(streamy_server: GunicornServer) -> None:
    pages = [streamy_server.open("/orders/7/events") for _ in range(20)]  # it has four
    urlopen(f"{streamy_server.url}/orders/7/state", data=b"state=packed").close()
    for page in pages:
        assert page.wait_for("state").data == '{"state": "packed"}'
