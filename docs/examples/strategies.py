"""An app that says what happens to slow clients, and when to try again."""

from flask import Flask

from streamy_core import StreamManager
from streamy_core.strategies import ExponentialBackoff, Jittered, Lag, SkipToLatest, Verdict

app = Flask(__name__)
app.config.from_mapping(
    STREAMY_SLOW_CLIENT_POLICY=SkipToLatest(entries=50, seconds=10.0),
    STREAMY_KEEP_ALIVE=Jittered(20.0, spread=0.3),
    STREAMY_RETRY_POLICY=ExponentialBackoff(retries=5, ceiling=2.0),
    STREAMY_MAX_CONNECTIONS=8_000,
)
sse = StreamManager(app)


class OnlyIfStuck:
    """Disconnect a client once it has taken nothing for a minute, however far it is behind."""

    def decide(self, lag: Lag) -> Verdict:
        return Verdict.DISCONNECT if lag.stalled > 60 else Verdict.WAIT
