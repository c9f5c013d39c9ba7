"""A public stream, of which each address has a few connections and no more."""

from flask import Flask, Response, request
from werkzeug.middleware.proxy_fix import ProxyFix

from streamy_core import StreamManager

app = Flask(__name__)
app.config["STREAMY_MAX_CONNECTIONS_PER_KEY"] = 6
# One proxy of yours is in front. Leave this out where there is none: anybody may send such a header.
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1)
sse = StreamManager(app)


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream("news", key=f"address:{request.remote_addr}")
