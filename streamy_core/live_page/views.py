"""The views of the live page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, cast

from flask import Blueprint, Response, abort, jsonify, request
from flask.typing import ResponseReturnValue

from ..binding import Binding
from ..broker import ReadsBack
from ..errors import (
    BrokerUnavailable,
    Closed,
    ConfigError,
    InvalidKey,
    InvalidStreamId,
    PublishFailed,
    StreamEnded,
)
from ..events import SUMMARIES, Event, check_stream_id
from ..opening import Opening, open_stream
from ..overview.reporting import Reporting
from ..overview.telling import KEPT
from ..starts import Last, Since, Start, check_cursor
from .guard import Guard, seal
from .lookup import Finder, look_at, with_data, without_data
from .settings import shown_settings

_FILES: Final = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "processes.js": "text/javascript",
    "draw.js": "text/javascript",
    "streams.js": "text/javascript",
    "runs.js": "text/javascript",
}

_FOLDER: Final = Path(__file__).with_name("files")

_LAST: Final = 300
"""Summaries that a page begins with, where the backend can't tell how old they are."""

_TEST_EXPIRES: Final = 5.0

logger: Final = logging.getLogger("streamy.live_page")


def add_live_page(blueprint: Blueprint, binding: Callable[[], Binding]) -> None:
    """Have a manager's blueprint serve the live page. binding: that of the current app."""
    guard = Guard()

    def let_in(*, acts: bool = False, is_page: bool = False) -> Binding:
        bound = binding()
        guard.check(bound.settings.overview, acts=acts, is_page=is_page)
        return bound

    @blueprint.get("/")
    def live_page() -> Response:
        let_in(is_page=True)
        return _file("page.html", "text/html")

    @blueprint.get("/overview/<name>")
    def overview_file(name: str) -> Response:
        let_in()
        if name not in _FILES:
            abort(404)
        return _file(name, _FILES[name])

    _add_looks(blueprint, let_in)
    _add_acts(blueprint, let_in)


def _add_looks(blueprint: Blueprint, let_in: Callable[..., Binding]) -> None:
    finder = Finder()

    @blueprint.get("/overview.json")
    def overview() -> Response:
        found = _reporting(let_in()).overview
        try:
            found.refresh()
        except BrokerUnavailable as error:
            return seal(jsonify({**found.as_json(), "error": str(error)}))
        return seal(jsonify(found.as_json()))

    @blueprint.get("/overview/live")
    def overview_live() -> Response:
        bound = let_in()
        start: Start = Since(KEPT) if isinstance(bound.broker, ReadsBack) else Last(_LAST)
        return seal(open_stream(bound, _opening(bound, SUMMARIES, start)))

    @blueprint.get("/overview/about")
    def overview_about() -> Response:
        bound = let_in()
        wrong = [
            {"what": what, "seconds": round(seconds, 1), "detail": detail}
            for what, seconds, detail in bound.checkup.known()
        ]
        shows = {"data": bound.settings.overview_data, "settings": shown_settings(bound.settings)}
        return seal(jsonify({**shows, "me": _reporting(bound).process, "wrong": wrong}))

    @blueprint.get("/overview/find")
    def overview_find() -> ResponseReturnValue:
        bound = let_in()
        return _answer(lambda: finder.find(bound.broker, request.args.get("q", "")))

    @blueprint.get("/overview/stream")
    def overview_stream() -> ResponseReturnValue:
        bound = let_in()
        shows = bound.settings.overview_data
        return _answer(lambda: look_at(bound.engine, _stream_id(request.args), with_data=shows))

    @blueprint.get("/overview/follow")
    def overview_follow() -> ResponseReturnValue:
        bound = let_in()
        try:
            stream_id = _stream_id(request.args)
        except InvalidStreamId as error:
            return _refusal(400, error)
        start = check_cursor(request.args["after"], "after") if request.args.get("after") else None
        describe = with_data if bound.settings.overview_data else without_data
        return seal(open_stream(bound, _opening(bound, stream_id, start, describe)))


def _add_acts(blueprint: Blueprint, let_in: Callable[..., Binding]) -> None:
    @blueprint.post("/overview/disconnect")
    def overview_disconnect() -> ResponseReturnValue:
        bound = let_in(acts=True)
        key = _given().get("key")
        if key in (None, ""):
            return _refusal(400, "whom? give a key")

        def disconnect() -> dict[str, Any]:
            bound.engine.disconnect(key=key)
            logger.warning("clients of the key %.300r are disconnected, for %s", key, request.remote_addr)
            return {"disconnected": str(key)}

        return _answer(disconnect)

    @blueprint.post("/overview/test")
    def overview_test() -> ResponseReturnValue:
        bound = let_in(acts=True)

        def send() -> dict[str, Any]:
            stream_id = _stream_id(_given())
            if not bound.engine.exists(stream_id):
                raise InvalidStreamId("there is no such stream: nothing was ever published to it")
            logger.warning("a test event is sent to the stream %r, for %s", stream_id, request.remote_addr)
            data = {"test": True, "from": "the live page"}
            return {"id": bound.engine.send_event(stream_id, data, "test", expires=_TEST_EXPIRES)}

        return _answer(send)

    @blueprint.post("/overview/stop")
    def overview_stop() -> ResponseReturnValue:
        bound = let_in(acts=True)

        def stop() -> dict[str, Any]:
            stream_id = _stream_id(_given())
            bound.runs.stop(stream_id)
            logger.warning("the run of the stream %r is told to stop, for %s", stream_id, request.remote_addr)
            return {"told": stream_id}

        return _answer(stop)


def _opening(
    binding: Binding, stream_id: str, start: Start | None, describe: Callable[[Event], Event] | None = None
) -> Opening:
    """A stream for the page, and for no other origin's."""
    return Opening(
        streams=[stream_id],
        event_name="message",
        headers=None,
        keep_alive=binding.settings.keep_alive,
        start=start,
        key=None,
        until=(),
        floor=None,
        granted_at=None,
        origins=(),
        recheck=None,
        describe=describe,
    )


def _answer(make: Callable[[], dict[str, Any]]) -> ResponseReturnValue:
    try:
        return seal(jsonify(make()))
    except (InvalidStreamId, InvalidKey) as error:
        return _refusal(400, error)
    except StreamEnded as error:
        return _refusal(409, error)
    except ConfigError as error:
        return _refusal(409, error)
    except (BrokerUnavailable, PublishFailed, Closed) as error:
        return _refusal(503, error)


def _refusal(status: int, error: Exception | str) -> Response:
    response = seal(jsonify({"error": str(error)}))
    response.status_code = status
    return response


def _given() -> dict[str, Any]:
    """What the page has sent; nothing, where that is no object."""
    try:
        given: Any = request.get_json(silent=True)
    except RecursionError:
        return {}
    return cast("dict[str, Any]", given) if isinstance(given, dict) else {}


def _stream_id(given: Mapping[str, Any]) -> str:
    return check_stream_id(given.get("id"))


def _reporting(binding: Binding) -> Reporting:
    assert binding.reporting is not None  # as long as anybody is let in
    return binding.reporting


def _file(name: str, kind: str) -> Response:
    return seal(Response(_FOLDER.joinpath(name).read_bytes(), mimetype=kind))
