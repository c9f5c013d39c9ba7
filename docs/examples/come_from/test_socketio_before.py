"""A test has a client of Flask-SocketIO's, without a server."""

from socketio_before import app, socketio


def test_a_page_hears_of_the_prices_that_it_follows() -> None:
    page = socketio.test_client(app)
    page.emit("follow", "tea")
    app.test_client().put("/prices/salt", data={"price": "1"})
    app.test_client().put("/prices/tea", data={"price": "3"})
    (heard,) = page.get_received()
    assert (heard["name"], heard["args"]) == ("price", [{"name": "tea", "price": "3"}])
