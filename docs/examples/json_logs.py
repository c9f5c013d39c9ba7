"""An app whose log is a line of JSON for each thing that happens."""

import json
import logging
from datetime import UTC, datetime
from logging.config import dictConfig

from flask import Flask, Response

from streamy_core import StreamManager


class JsonLines(logging.Formatter):
    """What happened, and its fields."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        fields = {name: value for name, value in vars(record).items() if name.startswith("streamy_")}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line | fields, default=str)


dictConfig(
    {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonLines}},
        "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "json"}},
        "loggers": {"streamy": {"level": "DEBUG", "handlers": ["lines"], "propagate": False}},
    }
)

app = Flask(__name__)
sse = StreamManager(app)


@app.get("/stream")
def stream() -> Response:
    return sse.get_stream("news")
