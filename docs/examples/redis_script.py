"""Sends news to the app's clients from outside of Flask."""

import os

from streamy_core import StreamManager

url = os.environ.get("REDIS_URL", "redis://localhost:6379/0")
with StreamManager(broker=url) as sse:
    print(sse.send_event("news", {"text": "from a script"}))
