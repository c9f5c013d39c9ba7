"""The demo answers its own page, and no other site that comes by its user's browser."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from streamy_core.demo.app import EXTENSION, create_app

HOST = "demo.example"
OWN = {"Host": f"{HOST}:8765"}


@pytest.fixture
def visitor() -> Iterator[FlaskClient]:
    app = create_app(host=HOST)
    yield app.test_client()
    app.extensions[EXTENSION].close()


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1:8765", "[::1]:8765", "[::1]", "192.0.2.7", "LOCALHOST:1", HOST, socket.gethostname()],
)
def test_the_demo_answers_under_its_name_and_by_any_address(visitor: FlaskClient, host: str) -> None:
    assert visitor.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "::1:8765", "[::1", "localhost@evil.example:1x"]
)
@pytest.mark.parametrize("path", ["/", "/events", "/countdown/00000000-0000-0000-0000-000000000000"])
def test_under_a_name_of_somebody_elses_nothing_is_shown(visitor: FlaskClient, host: str, path: str) -> None:
    answer = visitor.get(path, headers={"Host": host})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "sent",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://{HOST}:1"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/countdown", "/chat", "/cut?client=x"])
def test_another_site_changes_nothing(visitor: FlaskClient, sent: dict[str, str], path: str) -> None:
    answer = visitor.post(path, headers={**OWN, **sent}, json={"name": "A", "text": "b"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "sent",
    [{}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin", "Origin": f"http://{HOST}:8765"}],
    ids=str,
)
def test_its_own_page_and_a_script_may(visitor: FlaskClient, sent: dict[str, str]) -> None:
    assert visitor.post("/countdown", headers={**OWN, **sent}).status_code == 200


@pytest.mark.parametrize(
    "body", ["[" * 30_000, '{"name":' * 8_000, '"\\ud800"', "\xff", "{" + '"a":1,' * 100_000]
)
def test_no_message_is_too_odd_to_be_refused(visitor: FlaskClient, body: str) -> None:
    answer = visitor.post("/chat", data=body, headers=OWN, content_type="application/json")
    assert 400 <= answer.status_code < 500
