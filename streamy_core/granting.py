"""The verbs for grants: giving them, in a URL or a cookie, and asking a request for its own."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import quote

from flask import Response, abort, current_app, has_request_context, request, url_for
from werkzeug.http import dump_cookie
from werkzeug.sansio.response import Response as AnyResponse

from .binding import Binding
from .commands import check_key
from .cross_origin import is_preflight, share
from .delivery.delivery import retry_ms
from .delivery.servers import server_of
from .engine.streams import StreamIds, names_of
from .errors import BrokerUnavailable, ConfigError
from .grants import PARAMETER, Grant, Granter, Refusal, Refused, check_lifetime
from .opening import come_back
from .origins import check_origins
from .starts import Floor, Now, check_floor

_GRANTED: Final = "streamy.granted."
"""With a manager's name, the key in a WSGI environ of the grant that was asked for."""

_REFUSED: Final = "You may not read this, or not any more.\n"

_ANY: Final[Any] = object()

_OWN: Final = ("key", "expires", "floor", PARAMETER)

_MOST_OF_A_COOKIE: Final = 4_096
"""Bytes, of the name, the value and the attributes (RFC 6265 section 6.1)."""

SAME_SITE: Final = ("Strict", "Lax", "None")


class GrantVerbs(ABC):
    """Gives signed rights to read streams, and asks requests for theirs. Any thread."""

    name: str

    @property
    @abstractmethod
    def binding(self) -> Binding:
        """What is held for the current app."""

    def grant(
        self,
        stream_ids: StreamIds,
        *,
        key: str | int | None = None,
        expires: float = 600,
        floor: Floor | None = None,
    ) -> str:
        """A signed right to read these streams: text for a URL, as `grant_url` makes one, or for a page.

        stream_ids: a stream's id, or up to 100 of them.
        key:        whom it is for: `granted(key=…)` takes it from nobody else. Unless given, whoever has the
                    text may read. It is the client's key for `disconnect`, too, which revokes what was
                    granted to it before, as long as the broker keeps that command.
        expires:    after how many seconds it ends, at most 24 days.
        floor:      how far back it reaches, as for `get_stream`. `NOW` is the moment of this call, for which
                    the broker is asked.

        It is signed with the app's `SECRET_KEY`, for managers of this name only.

        Raises InvalidStreamId, InvalidKey, InvalidCursor; ValueError for expires; ConfigError without an app
        or a SECRET_KEY; BrokerUnavailable.
        """
        binding = self.binding
        names = names_of(stream_ids)
        whose = None if key is None else check_key(key)
        lifetime = check_lifetime(expires)
        bound = None if floor is None else check_floor(floor)
        granter = Granter(_config_of(binding), self.name)
        if isinstance(bound, Now):
            bound = binding.engine.cursor(names)
        return granter.sign(Grant.give(names, whose, lifetime, bound))

    def grant_url(
        self,
        endpoint: str,
        stream_ids: StreamIds,
        /,
        *,
        key: str | int | None = None,
        expires: float = 600,
        floor: Floor | None = None,
        **values: Any,
    ) -> str:
        """The URL of a view, by `url_for`, with a grant in it.

        endpoint: the view's, which asks by `granted`. values: its own, and the options of `url_for`.

        Otherwise as `grant`. Raises ValueError for a view with a variable of a name that is one of these
        arguments', or "grant".
        """
        _check_variables(endpoint)
        signed = self.grant(stream_ids, key=key, expires=expires, floor=floor)
        own: dict[str, Any] = {**values, PARAMETER: signed}
        return url_for(endpoint, **own)

    def set_grant_cookie(
        self,
        response: AnyResponse,
        stream_ids: StreamIds,
        *,
        key: str | int | None = None,
        expires: float = 600,
        floor: Floor | None = None,
        same_site: str = "Lax",
        partitioned: bool = False,
    ) -> None:
        """Have the browser keep a grant in a cookie, for pages whose URLs are to be free of it.

        There is one for each manager: another one takes its place. It is `Secure` and `HttpOnly`, and its
        name begins with `__Host-`, so that no other host can set or read it (RFC 6265bis, section 4.1.3.2).
        Browsers take it over HTTPS, and from localhost.

        same_site:   "Strict", "Lax", or "None": then pages of other sites may send it, where browsers still
                     let them.
        partitioned: whether it is kept apart for each site that the page is embedded in, which lets it be
                     sent where others aren't (CHIPS). Goes with "None".

        Otherwise as `grant`. Raises ValueError for another same_site.
        """
        if same_site not in SAME_SITE or (partitioned and same_site != "None"):
            raise ValueError(
                f"same_site is one of {', '.join(SAME_SITE)}, and 'None' for a partitioned cookie, "
                f"not {same_site!r:.100}"
            )
        cookie = dump_cookie(
            _cookie_name(self.name),
            self.grant(stream_ids, key=key, expires=expires, floor=floor),
            max_age=math.ceil(expires),
            secure=True,
            httponly=True,
            samesite=same_site,
            max_size=0,  # which is looked at below, with all of it
        )
        # Werkzeug 3.0 doesn't know the attribute.
        cookie = f"{cookie}; Partitioned" if partitioned else cookie
        if len(cookie) > _MOST_OF_A_COOKIE:
            raise ValueError(
                f"a cookie of {len(cookie):,} bytes is more than browsers keep: put the grant into a URL, or "
                "grant fewer streams"
            )
        response.headers.add("Set-Cookie", cookie)

    def granted(
        self, *, key: str | int | None = _ANY, allow_origins: str | Collection[str] | None = None
    ) -> Grant:
        """What the current request is granted: by the `grant` in its URL, or else by its cookie.

        key: whom it has to be for; None is nobody, who is granted nothing. Unless given, whoever has it.
        allow_origins: whose pages may read that they are refused, as for `get_stream`.

        `get_stream` goes by it, in this request: the connection ends with the grant, reaches no further back,
        and has its key, unless another one is given.

        A request without a valid grant is answered here, before a byte of a stream: with 401 if it has
        expired, and else with 403. The text is always the same; the log says why. While it can't be told
        whether the grant was revoked, the answer is as by `try_later`.

        Raises InvalidKey; ConfigError without a SECRET_KEY, and for the origins.
        """
        binding = self.binding
        allowed = binding.settings.allow_origins if allow_origins is None else check_origins(allow_origins)
        if is_preflight():
            abort(share(Response(status=204), allowed))
        try:
            grant = self._read_grant(binding, key)
        except Refused as refused:
            binding.refused(refused.reason.value)
            abort(share(_refusal(refused.reason), allowed))
        except BrokerUnavailable as error:
            binding.postponed(["?"], error)
            abort(share(come_back(binding, retry_ms(binding.settings)), allowed))
        request.environ[_GRANTED + self.name] = grant
        return grant

    def _read_grant(self, binding: Binding, key: str | int | None) -> Grant:
        signed = request.args.get(PARAMETER) or request.cookies.get(_cookie_name(self.name))
        granter = Granter(_config_of(binding), self.name)
        if key is None:
            raise Refused(Refusal.OTHER_KEY)
        grant = granter.read(signed, None if key is _ANY else check_key(key))
        server = server_of(request.environ)
        if binding.delivery.revoked(server, grant.streams, grant.key, grant.issued.timestamp()):
            raise Refused(Refusal.REVOKED)
        return grant


def grant_of_request(manager: str) -> Grant | None:
    """The grant that the current request's view has asked this manager for."""
    return request.environ.get(_GRANTED + manager) if has_request_context() else None


def _refusal(reason: Refusal) -> Response:
    response = Response(_REFUSED, 403, mimetype="text/plain")
    if reason is Refusal.EXPIRED:
        response.status_code = 401
        response.headers["WWW-Authenticate"] = 'Grant realm="streamy"'  # RFC 9110 section 15.5.2
    response.headers["Cache-Control"] = "no-store"
    return response


def _check_variables(endpoint: str) -> None:
    known = endpoint in current_app.view_functions
    rules: list[Any] = list(current_app.url_map.iter_rules(endpoint)) if known else []
    taken = [name for name in _OWN if any(name in rule.arguments for rule in rules)]
    if taken:
        raise ValueError(
            f"the view {endpoint!r} has a variable named {taken[0]!r}, as grant_url has: call it something "
            f"else, or append ?{PARAMETER}= and what sse.grant gives to url_for({endpoint!r}, …)"
        )


def _config_of(binding: Binding) -> Mapping[str, Any]:
    if binding.app is None:
        raise ConfigError(
            "grants are signed with an app's SECRET_KEY: give the manager an app by init_app(app)"
        )
    config: Any = binding.app.config
    found: Mapping[str, Any] = config
    return found


def _cookie_name(manager: str) -> str:
    own = "" if manager == "default" else "-" + quote(manager, safe="")
    return f"__Host-streamy{own}"
