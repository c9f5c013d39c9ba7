"""What the page of an order is told."""

import pytest
from flask import Flask
from orders import create_app

from streamy_core.testing import EventClient, FaultyBroker, ManualClock


@pytest.fixture
def app(streamy_broker: FaultyBroker) -> Flask:
    return create_app({"STREAMY_BROKER_URL": streamy_broker})


def test_the_page_is_told_each_state(app: Flask, streamy_client: EventClient) -> None:
    with streamy_client.open("/orders/7/events") as page:
        app.test_client().post("/orders/7/state", data={"state": "packed"})
        app.test_client().post("/orders/8/state", data={"state": "lost"})
        app.test_client().post("/orders/7/state", data={"state": "sent"})
        assert [event.data for event in page.events(2)] == ['{"state": "packed"}', '{"state": "sent"}']


def test_everybody_who_watches_is_told(app: Flask, streamy_client: EventClient) -> None:
    ann = streamy_client.open("/orders/7/events")
    bob = streamy_client.another(headers={"X-User": "bob"}).open("/orders/7/events")
    app.test_client().post("/orders/7/state", data={"state": "packed"})
    assert ann.wait_for("state").data == bob.wait_for("state").data == '{"state": "packed"}'


def test_a_page_that_lost_its_connection_catches_up(app: Flask, streamy_client: EventClient) -> None:
    page = streamy_client.open("/orders/7/events")
    page.cut()
    app.test_client().post("/orders/7/state", data={"state": "packed"})
    page.reconnect()
    assert [(event.type, event.data) for event in page.events(1)] == [("state", '{"state": "packed"}')]


def test_a_page_of_a_history_that_is_gone_is_told_to_reload(app: Flask, streamy_client: EventClient) -> None:
    page = streamy_client.open("/orders/7/events", last_event_id="of-a-database-before-this-one")
    page.wait_for("gap", timeout=5)


def test_a_closed_order_ends_its_pages(app: Flask, streamy_client: EventClient) -> None:
    page = streamy_client.open("/orders/7/events")
    app.test_client().post("/orders/7/close")
    page.wait_for("end")
    page.reconnect()
    assert page.status == 204


def test_an_idle_page_gets_a_keep_alive_every_half_a_minute(
    streamy_client: EventClient, streamy_clock: ManualClock
) -> None:
    page = streamy_client.open("/orders/7/events")
    streamy_clock.advance(30)
    page.wait_for_keep_alive()


def test_what_is_published_can_be_looked_at(app: Flask, streamy_broker: FaultyBroker) -> None:
    app.test_client().post("/orders/7/state", data={"state": "packed"})
    assert streamy_broker.published("order:7") == ['{"state": "packed"}']


def test_a_lost_answer_publishes_once(
    app: Flask, streamy_broker: FaultyBroker, streamy_clock: ManualClock
) -> None:
    streamy_broker.fail_next_append(stored=True)
    app.test_client().post("/orders/7/state", data={"state": "packed"})
    assert streamy_broker.published("order:7") == ['{"state": "packed"}']
    assert len(streamy_clock.slept) == 1  # the pause before the second attempt, which took no time


def test_pages_hear_of_what_came_while_the_backend_was_away(
    app: Flask, streamy_broker: FaultyBroker, streamy_client: EventClient
) -> None:
    with streamy_client.open("/orders/7/events") as page:
        streamy_broker.go_away()
        streamy_broker.come_back()
        app.test_client().post("/orders/7/state", data={"state": "packed"})
        assert page.events(1)
