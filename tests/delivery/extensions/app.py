"""The app of `tests.support.app` with one extension, which the environment names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from flask import Flask, Response

from ...support.app import create_app as create_plain_app
from ...support.app import manager_of

VARIABLE: Final = "EXTENSION"
AUTOMATIC: Final = "`opentelemetry-instrument`"


class Extension(NamedTuple):
    """add: puts it around an app. shown: as the page names it. needs: what streams need of it.

    environment: what the server is started with.
    """

    shown: str
    distribution: str
    add: Callable[[Flask], object]
    needs: str = ""
    environment: Mapping[str, str] = {}


def create_app() -> Any:
    """The app, or the middleware around it."""
    app = create_plain_app()
    sse = manager_of(app)
    app.config["SECRET_KEY"] = "for sessions"

    @app.get("/session")
    def with_session() -> Response:
        from flask import session

        session["seen"] = True
        return sse.get_stream("news")

    EXTENSIONS[os.environ[VARIABLE]].add(app)
    return app


def compress(app: Flask) -> None:
    from flask_compress import Compress  # type: ignore[import-untyped]

    Compress(app)


def cors(app: Flask) -> None:
    from flask_cors import CORS

    CORS(app, supports_credentials=True, origins=["https://example.org"])


def login(app: Flask) -> None:
    from flask_login import LoginManager, UserMixin, current_user  # type: ignore[import-untyped]

    manager = LoginManager(app)

    @manager.request_loader
    def load(_: object) -> Any:
        user = UserMixin()
        user.id = "ann"
        return user

    @app.before_request
    def look() -> None:
        assert current_user.is_authenticated


def session(app: Flask) -> None:
    from cachelib import SimpleCache
    from flask_session import Session  # type: ignore[import-untyped]

    app.config.update(SESSION_TYPE="cachelib", SESSION_CACHELIB=SimpleCache())
    Session(app)


def talisman(app: Flask) -> None:
    from flask_talisman import Talisman  # type: ignore[import-untyped]

    Talisman(app, force_https=False)


def limiter(app: Flask) -> None:
    from flask_limiter import Limiter
    from flask_limiter.util import get_remote_address

    Limiter(
        get_remote_address,
        app=app,
        default_limits=["1000/minute"],
        headers_enabled=True,
        storage_uri="memory://",
    )


def caching(app: Flask) -> None:
    from flask_caching import Cache

    Cache(app, config={"CACHE_TYPE": "SimpleCache"})


def sqlalchemy(app: Flask) -> None:
    from flask_sqlalchemy import SQLAlchemy
    from sqlalchemy import text

    app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite://"
    database = SQLAlchemy(app)

    @app.before_request
    def ask() -> None:
        database.session.execute(text("SELECT 1"))


def debug_toolbar(app: Flask) -> None:
    from flask_debugtoolbar import DebugToolbarExtension  # type: ignore[import-untyped]

    app.debug = True
    app.config["DEBUG_TB_INTERCEPT_REDIRECTS"] = False
    DebugToolbarExtension(app)


def sentry(app: Flask) -> None:
    import sentry_sdk

    # Nobody listens there: what it has to tell is thrown away.
    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", traces_sample_rate=1.0, shutdown_timeout=0)


def opentelemetry(app: Flask) -> None:
    from opentelemetry import trace
    from opentelemetry.instrumentation.flask import FlaskInstrumentor
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())
    FlaskInstrumentor().instrument_app(app)


def by_the_environment(_: Flask) -> None:
    """There is nothing that the app has to do."""


def _traced() -> dict[str, str]:
    """What `opentelemetry-instrument` sets before it becomes the server."""
    from opentelemetry.instrumentation import auto_instrumentation

    (folder,) = auto_instrumentation.__path__
    return {
        "PYTHONPATH": folder,
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }


def prometheus(app: Flask) -> None:
    from prometheus_flask_exporter import PrometheusMetrics  # type: ignore[import-untyped]

    PrometheusMetrics(app)


def new_relic(app: Flask) -> None:
    import newrelic.agent

    application = newrelic.agent.application()
    wsgi = newrelic.agent.WSGIApplicationWrapper(app.wsgi_app, application)
    app.wsgi_app = wsgi  # type: ignore[method-assign]


def proxy_fix(app: Flask) -> None:
    from werkzeug.middleware.proxy_fix import ProxyFix

    app.wsgi_app = ProxyFix(app.wsgi_app)  # type: ignore[method-assign]


def dispatcher(app: Flask) -> None:
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/other": Flask("other")})  # type: ignore[method-assign]


def whitenoise(app: Flask) -> None:
    from whitenoise import WhiteNoise

    app.wsgi_app = WhiteNoise(app.wsgi_app, root=os.path.dirname(__file__), prefix="static/")  # type: ignore[method-assign]  # noqa: PTH120


EXTENSIONS: Final[dict[str, Extension]] = {
    extension.shown: extension
    for extension in (
        Extension(
            "Flask-Compress", "flask-compress", compress, "no `text/event-stream` in `COMPRESS_MIMETYPES`"
        ),
        Extension("Flask-CORS", "flask-cors", cors, "streams' origins in `STREAMY_ALLOW_ORIGINS`, too"),
        Extension("Flask-Login", "flask-login", login),
        Extension("Flask-Session", "flask-session", session),
        Extension("Flask-Talisman", "flask-talisman", talisman),
        Extension("Flask-Limiter", "flask-limiter", limiter, "a limit that reconnects don't reach"),
        Extension("Flask-Caching", "flask-caching", caching, "no `cached` on a stream's view"),
        Extension("Flask-SQLAlchemy", "flask-sqlalchemy", sqlalchemy),
        Extension("Flask-DebugToolbar", "flask-debugtoolbar", debug_toolbar),
        Extension("Sentry", "sentry-sdk", sentry),
        Extension("OpenTelemetry", "opentelemetry-instrumentation-flask", opentelemetry),
        Extension(AUTOMATIC, "opentelemetry-distro", by_the_environment, environment=_traced()),
        Extension("prometheus-flask-exporter", "prometheus-flask-exporter", prometheus),
        Extension("New Relic", "newrelic", new_relic),
        Extension("Werkzeug's `ProxyFix`", "werkzeug", proxy_fix),
        Extension("Werkzeug's `DispatcherMiddleware`", "werkzeug", dispatcher),
        Extension("WhiteNoise", "whitenoise", whitenoise),
    )
}
