"""The app of `tests.support.app`, with hooks that do to a stream's response what apps do.

`/read/NAME` has a hook that reads the body, `/change/NAME` one that changes the response. Without a
name in the tables below, nothing is hooked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, Final

from flask import Flask, Response, after_this_request, jsonify, request
from markupsafe import Markup

from ...support.app import create_app as create_plain_app
from ...support.app import manager_of

Hook = Callable[[Response], Any]


def by_name(*hooks: Hook) -> dict[str, Hook]:
    return {hook.__name__: hook for hook in hooks}


class Kind(str, Enum):  # noqa: UP042 - as people write it; StrEnum formats as its value
    CREATED = "created"


def create_app() -> Flask:
    """The app: see the module."""
    app = create_plain_app()
    sse = manager_of(app)
    closed: list[str] = []

    def stream(hook: Hook | None) -> Response:
        if hook is not None:
            after_this_request(hook)
        return sse.get_stream(request.args["ids"])

    @app.get("/read/<name>")
    def read(name: str) -> Response:
        return stream(READERS[name])

    @app.route("/change/<name>", methods=["GET", "POST"])
    def change(name: str) -> Response:
        return stream(CHANGES.get(name))

    @app.get("/with_callback")
    def with_callback() -> Response:
        response = stream(None)
        response.call_on_close(lambda: closed.append(request_id))
        request_id = request.args["ids"]
        return response

    @app.get("/closed")
    def show_closed() -> Response:
        return jsonify(closed)

    return app


def create_app_with_own_class() -> Flask:
    """The same app, whose responses are of a class of its own."""
    app = create_app()
    app.response_class = OwnResponse
    return app


def create_app_with_narrow_class() -> Flask:
    """The same, whose class takes no more than a view's text comes with, and does its own to bodies."""
    app = create_app()
    app.response_class = NarrowResponse
    return app


class NarrowResponse(Response):
    """Masks what it sends."""

    def __init__(self, response: Any = None, status: Any = None, headers: Any = None) -> None:
        super().__init__(response, status, headers)

    def iter_encoded(self) -> Iterator[bytes]:
        return masked(super().iter_encoded())


class OwnResponse(Response):
    """As many apps have one."""

    def __init__(self, response: Any = None, *args: Any, **options: Any) -> None:
        super().__init__(response, *args, **options)
        self.headers["X-Own-Class"] = "yes"

    def get_wsgi_headers(self, environ: Any) -> Any:
        headers = super().get_wsgi_headers(environ)
        headers["X-Own-Headers"] = "yes"
        return headers


def reads_data(response: Response) -> Response:
    response.get_data()
    return response


def reads_text(response: Response) -> Response:
    response.get_data(as_text=True)
    return response


def adds_etag(response: Response) -> Response:
    response.add_etag()
    return response


def makes_sequence(response: Response) -> Response:
    response.make_sequence()
    return response


def freezes(response: Response) -> Response:
    response.freeze()
    return response


def joins(response: Response) -> Response:
    if response.is_streamed and response.mimetype == "text/event-stream":
        b"".join(response.response)  # type: ignore[arg-type]
    return response


def encodes(response: Response) -> Response:
    if response.is_streamed and response.mimetype == "text/event-stream":
        list(response.iter_encoded())
    return response


def reads_though_told_not_to(response: Response) -> Response:
    response.direct_passthrough = False
    response.get_data()
    return response


async def reads_in_a_coroutine(response: Response) -> Response:
    if response.is_streamed and response.mimetype == "text/event-stream":
        b"".join(response.response)  # type: ignore[arg-type]
    return response


READERS: Final = by_name(
    reads_data,
    reads_text,
    adds_etag,
    makes_sequence,
    freezes,
    joins,
    encodes,
    reads_though_told_not_to,
    reads_in_a_coroutine,
)


def reads_what_it_may(response: Response) -> Response:
    if not response.direct_passthrough:
        response.get_data()
    response.content_length = response.calculate_content_length()
    return response.make_conditional(request)


def denies(response: Response) -> Response:
    response.status_code = 403
    response.set_data(b"no entry")
    return response


def denies_by_status(response: Response) -> Response:
    response.status_code = 403
    return response


def masks(response: Response) -> Response:
    response.response = masked(response.response)
    return response


def masks_by_map(response: Response) -> Response:
    response.response = map(mask, response.response)  # type: ignore[arg-type]
    return response


def masks_as_text(response: Response) -> Response:
    response.response = (piece.decode() for piece in masked(response.response))
    return response


def makes_another(response: Response) -> Response:
    headers = {name: value for name, value in response.headers.items() if name != "Connection"}
    return Response(masked(response.response), headers=headers, mimetype="text/event-stream")


def gives_length(response: Response) -> Response:
    response.headers["Content-Length"] = "20"
    return response


def has_not_changed(response: Response) -> Response:
    response.set_etag("same")
    return response.make_conditional(request)


def sends_nothing(response: Response) -> Response:
    response.status_code = 204
    return response


def sets_odd_headers(response: Response) -> Response:
    response.headers["X-Kind"] = Kind.CREATED
    response.headers["X-Markup"] = Markup("bold")
    return response


CHANGES: Final = by_name(
    reads_what_it_may,
    denies,
    denies_by_status,
    masks,
    masks_by_map,
    masks_as_text,
    makes_another,
    gives_length,
    has_not_changed,
    sends_nothing,
    sets_odd_headers,
)


def mask(piece: bytes) -> bytes:
    return piece.replace(b"secret", b"******")


def masked(body: Iterable[Any]) -> Iterator[bytes]:
    return (mask(piece) for piece in body)
