"""An app whose requests are traced, with what they publish, and what of that reaches its clients."""

from flask import Flask, Response, request
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.propagate import inject
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

from streamy_core import StreamManager

provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))

app = Flask(__name__)
app.config["STREAMY_TRACES"] = provider
sse = StreamManager(app)
FlaskInstrumentor().instrument_app(app, tracer_provider=provider, excluded_urls="orders/.*/events")


@app.get("/orders/<number>/events")
def events(number: str) -> Response:
    return sse.get_stream(f"order:{number}")


@app.post("/orders/<number>/paid")
def paid(number: str) -> str:
    return sse.send_event(f"order:{number}", {"state": "paid"}, meta={"by": request.form["by"]})


@app.post("/orders/<number>/shipped")
def shipped(number: str) -> str:
    data = {"state": "shipped"}
    inject(data)  # adds `traceparent`, for the page's own traces: everybody who reads the stream gets it
    return sse.send_event(f"order:{number}", data)
