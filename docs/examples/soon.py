"""An app that holds no request for its events, and whose log can be followed."""

import logging

from flask import Flask, Response, abort, request

from streamy_core import StreamHandler, StreamManager

app = Flask(__name__)
app.config.from_prefixed_env()
sse = StreamManager(app)

handler = StreamHandler(sse, "log", "line", level=logging.INFO)
handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
shop = logging.getLogger("shop")
shop.setLevel(logging.INFO)
shop.addHandler(handler)


@app.post("/orders")
def order() -> str:
    sse.send_soon("orders", {"item": request.form["item"]}, "created")
    shop.info("ordered: %s", request.form["item"])
    return "taken\n"


@app.get("/orders/stream")
def orders() -> Response:
    return sse.get_stream("orders")


@app.get("/log")
def log() -> Response:
    if request.headers.get("X-User") != "ann":
        abort(403)
    return sse.get_stream("log")


@app.get("/health")
def health() -> dict[str, int]:
    return {"queued": sse.health.queued, "dropped": sse.health.dropped}
