"""The apps of one manager, and what it holds for each: as long as the app lives, and no longer."""

from __future__ import annotations

import gc
import json
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final

from flask import Flask, current_app, has_app_context
from flask.json.provider import DefaultJSONProvider

from .binding import Binding
from .broker import Broker
from .closeable import close_soon
from .config import PREFIX, Settings, known_keys, load_settings
from .errors import ConfigError
from .overview.reporting import Reporting

_ENVIRONMENT: Final = "FLASK_"
"""What Flask's own prefix is, for what `app.config.from_prefixed_env` reads."""

_BOUND: Final = "streamy.bound"
"""The key in `app.extensions`: what each of its managers holds for it, by their names."""

_FEW: Final = 8
"""So many apps are held before those that are gone are looked for."""

_MISSING: Final = object()

Values = dict[str, Any]


class Bound:
    """What a manager holds for one app, and the settings that it was made by."""

    def __init__(self, apps: Apps, binding: Binding, config: Mapping[str, Any]) -> None:
        self.apps = apps
        self.binding = binding
        self.used: bool = False
        self.finalizer: weakref.finalize[..., Flask] | None = None
        self._values: Values = {key: _copy(value) for key, value in _own(config).items()}
        self._size = len(config)

    def changed(self, config: Mapping[str, Any]) -> str | None:
        """A setting that has another value now than it had, or None. Called with each use."""
        for key, value in self._values.items():
            found = config.get(key, _MISSING)
            if found is not value and found != value:
                return key
        if self.used and len(config) == self._size:
            return None
        if further := _own(config).keys() - self._values.keys():
            return min(further)
        self._size = len(config)
        return None


class Apps:
    """See the module. Any thread. An app isn't kept alive; what is held for it is closed once it is gone.

    sender: the manager, whom signals come from.
    name:   the manager's.
    broker: one to use in all apps; it stays the giver's to close.
    given:  settings that win over each app's.
    """

    def __init__(self, sender: object, name: str, broker: Broker | None, given: Mapping[str, Any]) -> None:
        self._sender = weakref.ref(sender)
        self._name = name
        self._broker = broker
        self._given = given
        self._lock = threading.RLock()
        self._apps: weakref.WeakSet[Flask] = weakref.WeakSet()
        self._alone: Binding | None = None
        self._last: Settings | None = None
        self._few = _FEW

    def __contains__(self, app: Flask) -> bool:
        return app in self._apps

    def bind(self, app: Flask) -> None:
        """Bind to an app, unless that was done. Raises ConfigError."""
        with self._lock:
            if app in self._apps:
                return
            self._forget_those_that_are_gone()
            binding = self._make(app)
            if self._alone is not None and self._alone.has_published and not self._is_same(binding):
                binding.close()
                raise ConfigError(
                    "this StreamManager was used before init_app(app), with a broker of its own: what was "
                    "published then isn't where this app reads. Call init_app(app) first, or publish "
                    "within `with app.app_context():`"
                )
            if self._alone is not None and not self._is_same(binding):
                self._alone.close()
                self._alone = None
            self._hold(app, binding)

    def current(self) -> Binding:
        """That for the current app; for the only app where none is current; without any app, one alone.

        The one alone goes by the settings of the last app, if there was one that is gone.

        Raises ConfigError where there are several apps and none of them is current, and for settings
        that have changed since they were first used.
        """
        if has_app_context():
            proxy: Any = current_app
            app: Flask = proxy._get_current_object()
            bound: Bound | None = app.extensions.get(_BOUND, {}).get(self._name)
            if bound is None or bound.apps is not self:
                return self._adopt(app)
            return self._settled(app, bound)
        if self._last is None and self._alone is not None:  # there never was an app
            return self._alone
        apps = self._open_apps()
        if len(apps) > 1:
            apps.clear()
            gc.collect()  # of several, all but one may be gone
            apps = self._open_apps()
        if len(apps) > 1:
            raise ConfigError(
                "this StreamManager serves several apps: use it within `with app.app_context():`"
            )
        return self._settled(apps[0], self._bound_to(apps[0])) if apps else self._without_app()

    def reporting(self) -> Reporting | None:
        """What tells how this process is doing, for the current app; None: nothing does."""
        bound: Bound | None = current_app.extensions.get(_BOUND, {}).get(self._name)
        return None if bound is None or bound.apps is not self else bound.binding.reporting

    def close(self) -> None:
        """Close all. Closing twice does nothing."""
        with self._lock:
            apps = list(self._apps)
        for app in apps:
            self._bound_to(app).binding.close()
        if self._alone is not None:
            self._alone.close()

    def _bound_to(self, app: Flask) -> Bound:
        found: Bound = app.extensions[_BOUND][self._name]
        return found

    def _open_apps(self) -> list[Flask]:
        """Those that are bound; those that were closed, if there are no others."""
        with self._lock:
            apps = list(self._apps)
        return [app for app in apps if not self._bound_to(app).binding.closed] or apps

    def _settled(self, app: Flask, bound: Bound) -> Binding:
        """The app's binding, by the settings that the app has when it is first used."""
        if not bound.used:
            bound = self._first_used(app)
        elif (changed := bound.changed(app.config)) is not None:
            raise ConfigError(
                f"{changed} of the app has changed since this StreamManager was first used, which is too "
                "late: set it before"
            )
        return bound.binding

    def _first_used(self, app: Flask) -> Bound:
        with self._lock:
            bound = self._bound_to(app)
            if bound.used:  # another thread was first
                return bound
            if bound.changed(app.config) is not None:
                binding = self._make(app)
                if bound.finalizer is not None:
                    bound.finalizer.detach()
                bound.binding.close()
                bound = self._hold(app, binding)
            _check_environment(self._name, {**app.config, **_as_keys(self._given)})
            bound.used = True
            return bound

    def _adopt(self, app: Flask) -> Binding:
        """That for an app that was never given to `init_app`."""
        if self._alone is None or not self._alone.has_published:
            manager: Any = self._sender()
            manager.init_app(app)
            return self._settled(app, self._bound_to(app))
        if _own(app.config):
            raise ConfigError(
                "this StreamManager was used before it knew the app, whose STREAMY_ settings came too late: "
                "call init_app(app) first"
            )
        return self._alone

    def _without_app(self) -> Binding:
        with self._lock:
            if self._alone is None:
                if self._last is None:
                    _check_environment(self._name, _as_keys(self._given))
                settings = self._last or self._settings({})
                self._alone = Binding(self._sender(), settings, self._broker, _dumps, name=self._name)
            return self._alone

    def _make(self, app: Flask) -> Binding:
        dumps = _dumps_of(weakref.ref(app))
        return Binding(
            self._sender(), self._settings(app.config), self._broker, dumps, app=app, name=self._name
        )

    def _hold(self, app: Flask, binding: Binding) -> Bound:
        bound = Bound(self, binding, app.config)
        # The app holds it, and it holds the app: who uses the one has the other for so long.
        app.extensions.setdefault(_BOUND, {})[self._name] = bound
        self._apps.add(app)
        self._last = binding.settings
        bound.finalizer = weakref.finalize(app, close_soon, binding.closing())
        bound.finalizer.atexit = False
        return bound

    def _settings(self, config: Mapping[str, Any]) -> Settings:
        return load_settings(config, self._name, self._given)

    def _is_same(self, binding: Binding) -> bool:
        """Whether what was published without an app, this one reads."""
        alone = self._alone
        if alone is None or alone.broker is binding.broker:
            return True
        return alone.broker.shared and alone.settings.broker_url == binding.settings.broker_url

    def _forget_those_that_are_gone(self) -> None:
        """Apps are full of cycles: those of a factory's tests may hold on for long, with all connections."""
        if len(self._apps) >= self._few:
            gc.collect()
            self._few = max(_FEW, 2 * len(self._apps))


def _own(config: Mapping[str, Any]) -> Values:
    return {key: value for key, value in config.items() if key.startswith(PREFIX)}


def _as_keys(given: Mapping[str, Any]) -> Values:
    return {PREFIX + name.upper(): value for name, value in given.items()}


def _copy(value: Any) -> Any:
    """The value as it is now, where it may be changed in place."""
    given: Any = value
    return {key: _copy(item) for key, item in given.items()} if isinstance(value, dict) else value


def _check_environment(name: str, config: Mapping[str, Any]) -> None:
    """Raise ConfigError for a setting in the environment that nobody reads."""
    known = {key.name for key in known_keys()}
    for variable in os.environ:
        key = variable.removeprefix(_ENVIRONMENT).partition("__")[0]
        if variable.startswith(_ENVIRONMENT) and key in known and key not in config:
            raise ConfigError(
                f"{variable} is set in the environment, but the StreamManager {name!r} doesn't see it: call "
                "app.config.from_prefixed_env() before init_app(app)"
            )


def _dumps_of(app: weakref.ref[Flask]) -> Callable[[Any], str]:
    """JSON by the provider that the app has when it is asked."""

    def dumps(data: Any) -> str:
        alive = app()
        return _dumps(data) if alive is None else alive.json.dumps(data)

    return dumps


def _dumps(data: Any) -> str:
    """JSON as an app has it that sets nothing."""
    provider = DefaultJSONProvider
    return json.dumps(
        data, default=provider.default, ensure_ascii=provider.ensure_ascii, sort_keys=provider.sort_keys
    )
