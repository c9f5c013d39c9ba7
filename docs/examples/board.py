"""A page of prices that is up to date when it is shown, and stays so."""

from flask import Flask, Response, render_template, request

from streamy_core import StreamManager

app = Flask(__name__)
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)

prices = {"tea": "3.00", "cake": "4.50"}


@app.get("/")
def page() -> str:
    return render_template("board.html")


@app.get("/prices")
def state() -> dict[str, object]:
    cursor = sse.cursor("prices")  # first the cursor,
    return {"cursor": cursor, "prices": dict(prices)}  # then the data


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream("prices")


@app.put("/prices/<name>")
def change(name: str) -> str:
    prices[name] = request.form["price"]  # first the data,
    return sse.send_event("prices", {"name": name, "price": prices[name]})  # then the event
