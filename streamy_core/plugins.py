"""URL in, broker out: finds the installed backends and builds the one that is asked for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, requires
from pkgutil import resolve_name
from typing import Any, Final

import pluggy

from . import hookspecs
from .broker import Broker
from .errors import BackendConflict, BackendUnusable, ConfigError, UnknownBackend
from .hookspecs import PROJECT, BrokerFactory
from .urls import redact, scheme_of

_OF_AN_EXTRA: Final = re.compile(
    r"""(?P<name>[\w.-]+).*;.*\bextra\s*==\s*["'](?P<extra>[\w.-]+)["'].*""", re.ASCII
)
"""A requirement (PEP 508) that comes with an extra."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One scheme of one plug-in. `problem` says why it can't be used, if so; `scheme` is then the
    plug-in's own name when its schemes could not be learnt."""

    scheme: str
    distribution: str
    version: str
    factory: BrokerFactory | None = None
    problem: str | None = None


def find_backends(points: Iterable[EntryPoint] | None = None) -> list[Backend]:
    """Every installed backend, by scheme. One that fails to load is listed with its problem.

    points: the entry points to look at; those of the group `streamy` unless given.
    """
    found: list[Backend] = []
    for point in entry_points(group=PROJECT) if points is None else points:
        found.extend(_load(point))
    return sorted(found, key=lambda backend: (backend.scheme, backend.distribution))


def open_broker(
    url: str, options: Mapping[str, Any] | None = None, *, backends: Iterable[Backend] | None = None
) -> Broker:
    """The broker for `url`, made by the plug-in that claims its scheme.

    Raises UnknownBackend, with the nearest known scheme; BackendConflict, if two plug-ins claim
    it; BackendUnusable, if its plug-in or driver can't be imported; and whatever the backend finds
    wrong with its options.
    """
    scheme = scheme_of(url)
    known = list(find_backends() if backends is None else backends)
    named = [backend for backend in known if backend.scheme == scheme]
    # A broken plug-in is listed by its own name, which may be a working one's scheme.
    claims = [backend for backend in named if backend.factory] or named
    if not claims:
        raise UnknownBackend(_unknown(scheme, known))
    if len(claims) > 1:
        names = " and ".join(f"{claim.distribution} {claim.version}" for claim in claims)
        raise BackendConflict(f"two plug-ins claim {scheme}://: {names}; uninstall one of them")
    claim = claims[0]
    if claim.factory is None:
        raise BackendUnusable(
            f"the backend for {scheme}:// ({claim.distribution}) is broken: {claim.problem}"
        )
    try:
        broker: object = claim.factory(url, dict(options or {}))
    except ImportError as error:
        raise BackendUnusable(
            f"{redact(url)} needs a driver that can't be imported: {error}; "
            f"{_how_to_install(claim.distribution, error.name)}"
        ) from error
    if not isinstance(broker, Broker):
        raise BackendUnusable(
            f"the backend for {scheme}:// ({claim.distribution}) made {broker!r}, and no Broker"
        )
    return broker


def load_named(text: str, group: str) -> Any:
    """What a name in a config stands for: an entry point of `group`, or "package.module:name", or the
    same with a dot.

    A class is called for its object. Raises ConfigError.
    """
    try:
        found = resolve_name(text) if {".", ":"} & set(text) else _entry_point(text, group).load()
        return found() if isinstance(found, type) else found
    except ConfigError:
        raise
    except Exception as error:  # whatever is in there may fail as it likes
        raise ConfigError(f"{text!r} can't be loaded: {type(error).__name__}: {error}") from error


def _entry_point(name: str, group: str) -> EntryPoint:
    points = {point.name: point for point in entry_points(group=group)}
    if name not in points:
        known = ", ".join(sorted(points)) or "none is installed"
        near = get_close_matches(name, points, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {known}"
        raise ConfigError(
            f'{name!r} is no entry point of the group {group!r}, and no "package.module:name"; {hint}'
        )
    return points[name]


def _how_to_install(distribution: str, module: str | None) -> str:
    """What brings the module, by the extras that the distribution declares: the smallest of them."""
    package = (module or "").partition(".")[0].lower()
    extras: defaultdict[str, set[str]] = defaultdict(set)
    with suppress(PackageNotFoundError):
        for requirement in requires(distribution) or ():
            if found := _OF_AN_EXTRA.fullmatch(requirement):
                extras[found["extra"]].add(found["name"].lower().replace("-", "_"))
    having = [extra for extra, packages in extras.items() if package in packages]
    if not having:
        return f"the documentation of {distribution} says which extra brings it"
    return f"pip install '{distribution}[{min(having, key=lambda extra: len(extras[extra]))}]'"


def _unknown(scheme: str, known: Iterable[Backend]) -> str:
    schemes = sorted({backend.scheme for backend in known if backend.factory})
    message = f"no installed backend serves {scheme}://; known: {', '.join(schemes) or 'none'}"
    if near := get_close_matches(scheme, schemes, n=1):
        message += f"; did you mean {near[0]}://?"
    for backend in known:
        if backend.problem:
            message += f"; {backend.scheme} of {backend.distribution} is broken: {backend.problem}"
    return message


def _load(point: EntryPoint) -> list[Backend]:
    """The backends behind one entry point, or the reason why there are none.

    Each plug-in is loaded by itself: pluggy's own loader stops at the first that fails.
    """
    distribution = point.dist.name if point.dist else "unknown"
    version = point.dist.version if point.dist else ""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(point.load(), name=point.name)
        manager.check_pending()
        if not manager.hook.streamy_brokers.get_hookimpls():
            raise TypeError("it has no streamy_brokers() marked with @hookimpl")
        claims = {
            scheme.lower(): factory
            for brokers in manager.hook.streamy_brokers()
            for scheme, factory in brokers.items()
        }
    except Exception as error:  # noqa: BLE001 - whatever a plug-in does, the others go on
        return [Backend(point.name, distribution, version, problem=f"{type(error).__name__}: {error}")]
    return [Backend(scheme, distribution, version, factory) for scheme, factory in claims.items()]
