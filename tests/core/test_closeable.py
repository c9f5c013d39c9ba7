"""What is left open when a process ends holds nothing up."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

from streamy_core.testing.reading import DEADLINE

pytestmark = pytest.mark.slow

APP: Final = """
from flask import Flask
from streamy_core import StreamManager

app = Flask(__name__)
sse = StreamManager(app)
app.add_url_rule("/", view_func=lambda: sse.get_stream("news"))
client = app.test_client()
"""

FORGOTTEN: Final = {
    "a body that was begun": "body = client.get('/').iter_encoded(); next(body)",
    "a body in a generator": "body = (part for part in client.get('/').iter_encoded()); next(body)",
    "one in a cycle": "body = client.get('/').iter_encoded(); next(body); all = [body]; all.append(all)",
    "a body that wasn't begun": "response = client.get('/')",
    "a subscription": "entries = sse.subscribe('news'); entries.next(0.01)",
    "what was sent soon": "sse.send_soon('news', 'hello')",
    "a manager": "sse.send_event('news', 'hello')",
}


@pytest.mark.parametrize("forgotten", FORGOTTEN.values(), ids=FORGOTTEN.keys())
def test_a_script_ends_with_its_last_line_whatever_it_has_left_open(forgotten: str) -> None:
    script = f"{APP}{forgotten}\nprint('the last line')"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=DEADLINE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "the last line\n", "")
