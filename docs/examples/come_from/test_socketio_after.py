"""A test has a client of Streamy's, without a server."""

import pytest
from flask import Flask
from socketio_after import app as prices

from streamy_core.testing import EventClient


@pytest.fixture
def app() -> Flask:
    return prices


def test_a_page_hears_of_the_prices_that_it_follows(app: Flask, streamy_client: EventClient) -> None:
    page = streamy_client.open("/stream?name=tea")
    app.test_client().put("/prices/salt", data={"price": "1"})
    app.test_client().put("/prices/tea", data={"price": "3"})
    (heard,) = page.events(1)
    assert (heard.type, heard.data) == ("price", '{"name": "tea", "price": "3"}')
