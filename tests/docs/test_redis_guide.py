"""The guide to Redis says what is so, and its examples work on a real server."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streamy_backends.redis.options import ConnectionOptions, Options
from streamy_core import OLDEST, ConfigError, StreamManager
from streamy_core.broker import ListsStreams
from streamy_core.options import option_names
from streamy_core.plugins import open_broker
from streamy_core.strategies import NoRetry
from streamy_core.testing.reading import DEADLINE, eventually
from tests.backends.redis.servers import HOW_TO_GET, Server, binary

from ..support.requirements import go_without
from .conftest import Serve
from .reader import messages_in

pytestmark = pytest.mark.slow


@pytest.fixture
def program() -> str:
    return binary("redis") or binary("valkey") or go_without(f"no server: {HOW_TO_GET}")


@pytest.fixture
def server(program: str, tmp_path: Path) -> Iterator[Server]:
    server = Server(program, tmp_path / "redis").start()
    yield server
    server.stop()


def test_every_client_of_every_worker_gets_what_any_process_sends(
    gunicorn: Serve, server: Server, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", server.url)
    address = gunicorn("redis_app:app", workers=2)
    with ExitStack() as stack:
        clients = [stack.enter_context(urllib.request.urlopen(f"{address}/stream")) for _ in range(8)]
        for number in range(4):
            form = urllib.parse.urlencode({"text": f"news {number}"}).encode()
            urllib.request.urlopen(f"{address}/send", form).close()
        script = [sys.executable, str(docs / "examples" / "redis_script.py")]
        last = subprocess.run(script, capture_output=True, text=True, check=True).stdout.strip()
        for client in clients:
            seen = b""
            while f"id: {last}\n".encode() not in seen or not seen.endswith(b"}\n\n"):
                seen += client.readline()
            told = [message["text"] for message in messages_in(seen)]
            assert told == ["news 0", "news 1", "news 2", "news 3", "from a script"]


def pings(server: Server) -> int:
    return int(server.client.info("commandstats")["cmdstat_ping"]["calls"])


def test_the_user_of_the_guide_may_do_all_that_is_needed_and_nothing_else(
    program: str, docs: Path, tmp_path: Path
) -> None:
    acl = tmp_path / "users.acl"
    acl.write_bytes((docs / "examples" / "redis_acl.txt").read_bytes())
    server = Server(program, tmp_path / "redis", f"aclfile {acl}").start()
    try:
        url = server.url.replace("://", "://streamy:secret@")
        with StreamManager(broker=f"{url}?history=8&timeout=1", retry=NoRetry()) as sse:
            with sse.subscribe("news") as entries:
                for number in range(40):
                    sse.send_event("news", str(number), idempotency_key=str(number // 2))
                answered = pings(server)
                eventually(lambda: pings(server) > answered, "the bell asks whether the server is there")
                assert entries.next(timeout=DEADLINE)
            sse.end_stream("news")
            with sse.subscribe("news", after=OLDEST) as entries:
                assert len(list(entries)) >= 8
            assert isinstance(sse.broker, ListsStreams)
            assert [info.stream_id for info in sse.broker.streams()] == ["news"]
            assert sse.health.failures == 0
        refused = {entry["object"].partition("|")[0] for entry in server.client.acl_log()}
        assert refused <= {"client"}  # redis-py's name and version
        with pytest.raises(ConfigError, match="needs more rights"):
            open_broker(f"{url}?prefix=other")
    finally:
        server.stop()


def options_of_the_guide(docs: Path) -> dict[str, str]:
    """Names of options, and what stands in the second column."""
    page = (docs / "how-to" / "use-redis.md").read_text("utf-8")
    tables = page.partition("\n## Options\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", tables, re.MULTILINE)
    return {name: second for names, second in rows for name in re.findall(r"`(\w+)`", names)}


def test_the_table_of_options_is_complete_and_right(docs: Path) -> None:
    told = options_of_the_guide(docs)
    handed_on = {*option_names(ConnectionOptions), "sentinel_username", "sentinel_password"}
    own = {name: f"`{getattr(Options(), name)!r}`" for name in option_names(Options) if name not in handed_on}
    assert {name: told[name] for name in own} == own
    assert told.keys() - own.keys() == handed_on
