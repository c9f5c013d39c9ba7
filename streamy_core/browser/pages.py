"""What pages get from the server: streamy.js by a blueprint, and the globals of templates."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from flask import Blueprint, Response, current_app, request, url_for
from flask.blueprints import BlueprintSetupState
from markupsafe import Markup

from ..engine.streams import StreamIds
from ..errors import ConfigError

MODULE: Final = "streamy"
"""The name by which pages import streamy.js."""

_ENDPOINTS: Final = "streamy.scripts"
"""The key in `app.extensions`: where streamy.js is served, by the managers' names."""

_FOR_GOOD: Final = "public, max-age=31536000, immutable"  # RFC 8246
_ASK_AGAIN: Final = "no-cache"


class Script(NamedTuple):
    """streamy.js, and the digest that its name has."""

    content: bytes
    digest: str


@cache
def script() -> Script:
    """The module as it is served. Any thread."""
    content = Path(__file__).with_name("streamy.js").read_bytes()
    return Script(content, sha256(content).hexdigest()[:16])


def make_blueprint(manager: str) -> Blueprint:
    """The blueprint of the manager of this name: streamy.js at `/streamy/streamy.<digest>.js`."""
    blueprint = Blueprint(_blueprint_name(manager), __name__, url_prefix="/streamy")

    @blueprint.record
    def remember(state: BlueprintSetupState) -> None:
        # Under which name, and within which other blueprint, is up to who registers it.
        endpoint = f"{state.name_prefix}.{state.name}.module".lstrip(".")
        state.app.extensions.setdefault(_ENDPOINTS, {})[manager] = endpoint

    @blueprint.get("/streamy.js", defaults={"digest": ""})
    @blueprint.get("/streamy.<digest>.js")
    def module(digest: str) -> Response:
        content, current = script()
        response = Response(content, mimetype="text/javascript")
        # A page of another release, in the middle of a deploy, has to find it, too: but not for good.
        response.headers["Cache-Control"] = _FOR_GOOD if digest == current else _ASK_AGAIN
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.set_etag(current)
        response.make_conditional(request)
        return response

    return blueprint


def template_globals(
    cursor: Callable[[StreamIds, str], str], grant_url: Callable[..., str]
) -> dict[str, Callable[..., Any]]:
    """The globals of templates by their names.

    cursor: that of these streams, by the manager of this name. grant_url: as `StreamManager.grant_url`, with
    the name of the manager first.
    """

    def streamy_url(endpoint: str, ids: StreamIds, /, *, _manager: str = "default", **values: Any) -> str:
        # As in url_for: a view's variables may have any name, and arguments of its own begin with _.
        return url_for(endpoint, last_event_id=cursor(ids, _manager), **values)

    def streamy_grant_url(
        endpoint: str, ids: StreamIds, /, *, _manager: str = "default", **values: Any
    ) -> str:
        return grant_url(_manager, endpoint, ids, **values)

    return {
        "streamy_cursor": cursor,
        "streamy_url": streamy_url,
        "streamy_grant_url": streamy_grant_url,
        "streamy_script": import_map,
    }


def import_map(nonce: str | None = None, *, manager: str = "default") -> Markup:
    """The tag by which the page's modules may say `import { connect } from "streamy"` (WHATWG HTML, 8.1.6.2).

    It goes before the page's first module script.

    nonce: of the page's Content-Security-Policy.

    Raises ConfigError if the manager's blueprint isn't registered.
    """
    endpoint = current_app.extensions.get(_ENDPOINTS, {}).get(manager)
    if endpoint is None:
        raise ConfigError(
            "streamy_script() needs the address of streamy.js: app.register_blueprint(sse.blueprint)"
        )
    url = url_for(endpoint, digest=script().digest)
    imports = Markup(json.dumps({"imports": {MODULE: url}}).replace("<", "\\u003c"))
    attribute = Markup("") if nonce is None else Markup(' nonce="{}"').format(nonce)
    return Markup('<script type="importmap"{}>{}</script>').format(attribute, imports)


def _blueprint_name(manager: str) -> str:
    """One for each manager; names of blueprints have no dots."""
    return "streamy" if manager == "default" else f"streamy_{quote(manager, safe='').replace('.', '%2E')}"
