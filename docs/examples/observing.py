"""An observer: it remembers the slowest call that published."""

from flask import Flask

from streamy_core import StreamManager, StreamyError
from streamy_core.observers import Observer, PublishOutcome


class Slowest(Observer):
    seconds = 0.0

    def published(
        self,
        stream_id: str,
        outcome: PublishOutcome,
        count: int,
        seconds: float,
        error: StreamyError | None,
    ) -> None:
        if outcome is PublishOutcome.STORED:
            self.seconds = max(self.seconds, seconds)


app = Flask(__name__)
slowest = Slowest()
app.config["STREAMY_OBSERVERS"] = [slowest]
sse = StreamManager(app)


@app.post("/publish")
def publish() -> dict[str, str]:
    return {"id": sse.send_event("news", "something")}


@app.get("/slowest")
def show() -> dict[str, float]:
    return {"seconds": slowest.seconds}
