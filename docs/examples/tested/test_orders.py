"""What the page of an order is told."""

import pytest
from flask import Flask
from orders import create_app

from streamy_core.testing import EventClient, FaultyBroker


@pytest.fixture
def app(streamy_broker: FaultyBroker) -> Flask:
    return create_app({"STREAMY_BROKER_URL": streamy_broker})


def test_the_page_is_told_each_state(app: Flask, streamy_client: EventClient) -> None:
    with streamy_client.open("/orders/7/events") as page:
        app.test_client().post("/orders/7/state", data={"state": "packed"})
        app.test_client().post("/orders/8/state", data={"state": "lost"})
        app.test_client().post("/orders/7/state", data={"state": "sent"})
        assert [event.data for event in page.events(2)] == ['{"state": "packed"}', '{"state": "sent"}']


def test_a_page_that_was_away_catches_up(app: Flask, streamy_client: EventClient) -> None:
    page = streamy_client.open("/orders/7/events")
    page.close()
    app.test_client().post("/orders/7/state", data={"state": "packed"})
    again = streamy_client.open("/orders/7/events", last_event_id=page.last_event_id)
    assert [(event.type, event.data) for event in again.events(1)] == [("state", '{"state": "packed"}')]


def test_a_closed_order_ends_its_pages(app: Flask, streamy_client: EventClient) -> None:
    with streamy_client.open("/orders/7/events") as page:
        app.test_client().post("/orders/7/close")
        assert [event.type for event in page.read_to_end()] == ["streamy.end"]


def test_what_is_published_can_be_looked_at(app: Flask, streamy_broker: FaultyBroker) -> None:
    app.test_client().post("/orders/7/state", data={"state": "packed"})
    assert streamy_broker.published("order:7") == ['{"state": "packed"}']


def test_a_lost_answer_publishes_once(app: Flask, streamy_broker: FaultyBroker) -> None:
    streamy_broker.fail_next_append(stored=True)
    app.test_client().post("/orders/7/state", data={"state": "packed"})
    assert streamy_broker.published("order:7") == ['{"state": "packed"}']


def test_pages_hear_of_what_came_while_the_backend_was_away(
    app: Flask, streamy_broker: FaultyBroker, streamy_client: EventClient
) -> None:
    with streamy_client.open("/orders/7/events") as page:
        streamy_broker.go_away()
        streamy_broker.come_back()
        app.test_client().post("/orders/7/state", data={"state": "packed"})
        assert page.events(1)
