"""Orders, and a page that watches one of them."""

from flask import Flask, Response, request

from streamy_core import StreamManager

sse = StreamManager()


def create_app(config: dict[str, object] | None = None) -> Flask:
    app = Flask(__name__)
    app.config.from_mapping(STREAMY_BROKER_URL="memory://")
    app.config.update(config or {})
    sse.init_app(app)

    @app.get("/orders/<int:number>/events")
    def events(number: int) -> Response:
        return sse.get_stream(f"order:{number}")

    @app.post("/orders/<int:number>/state")
    def state(number: int) -> dict[str, str]:
        form = request.form
        return {"id": sse.send_event(f"order:{number}", {"state": form["state"]}, "state")}

    @app.post("/orders/<int:number>/close")
    def close(number: int) -> tuple[str, int]:
        sse.end_stream(f"order:{number}")
        return "", 204

    return app
