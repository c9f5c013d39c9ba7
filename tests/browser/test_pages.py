"""What pages get from the server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from flask import Blueprint, Flask, render_template_string

import streamy_core
from streamy_core import ConfigError, StreamManager
from streamy_core.testing import EventClient

SOURCE = Path(streamy_core.__file__).parent / "browser" / "streamy.js"


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)
    sse = StreamManager(app)
    app.register_blueprint(sse.blueprint)
    app.extensions["sse"] = sse
    app.add_url_rule("/events", "events", lambda: sse.get_stream("news"))
    return app


def rendered(app: Flask, template: str) -> str:
    with app.test_request_context():
        return render_template_string(template)


def address(app: Flask) -> str:
    tag = rendered(app, "{{ streamy_script() }}")
    found = re.fullmatch(r'<script type="importmap">(.*)</script>', tag)
    assert found
    url: str = json.loads(found[1])["imports"]["streamy"]
    return url


def test_the_script_is_the_source_under_a_name_that_is_cached_for_good(app: Flask) -> None:
    answer = app.test_client().get(address(app))
    assert (answer.status_code, answer.data) == (200, SOURCE.read_bytes())
    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize("name", ["streamy.js", "streamy.0123456789abcdef.js"])
def test_by_another_name_it_is_asked_for_again(app: Flask, name: str) -> None:
    client = app.test_client()
    answer = client.get(f"/streamy/{name}")
    assert (answer.data, answer.headers["Cache-Control"]) == (SOURCE.read_bytes(), "no-cache")
    again = client.get(f"/streamy/{name}", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_the_tag_has_the_nonce_and_nothing_breaks_out_of_it(app: Flask) -> None:
    assert rendered(app, "{{ streamy_script('r4nd') }}").startswith('<script type="importmap" nonce="r4nd">')
    assert '"><' not in rendered(app, "{{ streamy_script('\"><script>') }}").removesuffix("></script>")


def test_without_the_blueprint_the_error_names_the_line_that_mends_it() -> None:
    app = Flask(__name__)
    StreamManager(app)
    with pytest.raises(ConfigError, match=r"app\.register_blueprint\(sse\.blueprint\)"):
        rendered(app, "{{ streamy_script() }}")


def test_the_url_has_the_cursor_in_it_and_the_views_other_values(app: Flask) -> None:
    sse: StreamManager = app.extensions["sse"]
    url = rendered(app, "{{ streamy_url('events', 'news', room=7) }}")
    sse.send_event("news", "since")
    assert "room=7" in url
    with EventClient(app) as client:
        (event,) = client.events(url.replace("&amp;", "&"), 1)
    assert event.data == "since"


def test_two_managers_have_a_script_each() -> None:
    app = Flask(__name__)
    for sse in (StreamManager(app), StreamManager(app, name="other.one")):
        app.register_blueprint(sse.blueprint, url_prefix=f"/{sse.name}")
    found = rendered(app, "{{ streamy_script() }} {{ streamy_script(manager='other.one') }}")
    assert re.findall(r'"/([a-z.]+)/streamy\.', found) == ["default", "other.one"]


def test_managers_whose_names_look_alike_have_a_blueprint_each() -> None:
    app = Flask(__name__)
    for name in ("a.b", "a_b", "a%2Eb", "ä/b"):
        app.register_blueprint(StreamManager(app, name=name).blueprint)
    assert len(app.blueprints) == 4


@pytest.mark.parametrize("nested", [False, True], ids=["in the app", "in another blueprint"])
def test_the_script_is_found_whatever_the_blueprint_is_called(nested: bool) -> None:
    app = Flask(__name__)
    sse = StreamManager(app)
    outer = Blueprint("outer", __name__, url_prefix="/outer")
    (outer if nested else app).register_blueprint(sse.blueprint, name="own")
    if nested:
        app.register_blueprint(outer)
    assert app.test_client().get(address(app)).data == SOURCE.read_bytes()


def test_a_views_variables_may_have_the_names_of_our_arguments(app: Flask) -> None:
    app.add_url_rule("/<manager>/<ids>/of", "of", lambda manager, ids: "")
    StreamManager(app, name="other")
    url = rendered(app, "{{ streamy_url('of', 'news', manager='m', ids=7, _manager='other') }}")
    assert url.startswith("/m/7/of?last_event_id=")


@pytest.mark.parametrize(
    ("url", "headers", "begins"),
    [
        ("last_event_id={0}", {}, "b"),
        ("last_event_id={0}&lastEventId={1}", {}, "c"),
        ("last_event_id={0}&lastEventId={0}", {"Last-Event-ID": "{1}"}, "c"),
        ("last_event_id={0}&lastEventId=", {"Last-Event-ID": ""}, "b"),
    ],
    ids=["the page's", "a polyfill's", "a browser's", "empty ones"],
)
def test_what_a_client_says_of_itself_beats_what_its_page_was_given(
    app: Flask, url: str, headers: dict[str, str], begins: str
) -> None:
    sse: StreamManager = app.extensions["sse"]
    ids = sse.send_events("news", ["a", "b", "c"])
    given = {name: value.format(*ids) for name, value in headers.items()}
    with EventClient(app) as client:
        assert client.events(f"/events?{url.format(*ids)}", 1, headers=given)[0].data == begins
