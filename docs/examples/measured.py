"""An app whose metrics Prometheus scrapes, from this machine or from that of the monitoring."""

from flask import Flask, Request, Response, request

from streamy_core import StreamManager

MONITORING = ("127.0.0.1", "10.0.0.7")
NAMED = {"headlines", "weather"}


def group(stream_id: str) -> str:
    """Streams that have no colon in their names are groups of their own, but only those that we know."""
    return stream_id if stream_id in NAMED else stream_id.partition(":")[0]


def may_scrape(request: Request) -> bool:
    """Not what a proxy passes on: it comes from this machine, too."""
    return request.remote_addr in MONITORING and "X-Forwarded-For" not in request.headers


app = Flask(__name__)
app.config["STREAMY_METRICS"] = "prometheus"
app.config["STREAMY_METRICS_ALLOW"] = may_scrape
app.config["STREAMY_STREAM_GROUP"] = group
sse = StreamManager(app)
app.register_blueprint(sse.blueprint)


@app.get("/room/<name>")
def room(name: str) -> Response:
    return sse.get_stream(["headlines", f"room:{name}"])


@app.post("/room/<name>")
def say(name: str) -> str:
    return sse.send_event(f"room:{name}", request.form["text"]) + "\n"
