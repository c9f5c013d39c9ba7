"""URL in, broker out: plug-ins that are good, broken, missing a driver, or after the same scheme."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path

import pytest

from streamy_backends.memory import MemoryBroker
from streamy_core.errors import (
    BackendConflict,
    BackendUnusable,
    ConfigError,
    StreamyError,
    UnknownBackend,
)
from streamy_core.plugins import Backend, find_backends, open_broker

GOOD = """
from streamy_backends.memory import MemoryBroker
from streamy_core.broker import hookimpl

def connect(url, options):
    broker = MemoryBroker()
    broker.made_of = (url, options)
    return broker

@hookimpl
def streamy_brokers():
    return {SCHEMES}
"""

NEEDS_A_DRIVER = """
from streamy_core.broker import hookimpl

def connect(url, options):
    import a_driver_that_nobody_has

@hookimpl
def streamy_brokers():
    return {"needy": connect}
"""

MISSPELT = """
from streamy_core.broker import hookimpl

@hookimpl
def streamy_broker():
    return {"misspelt": None}
"""

UNDECORATED = """
def streamy_brokers():
    return {"undecorated": None}
"""

Install = Callable[..., EntryPoint]


def good(*schemes: str) -> str:
    return GOOD.replace("{SCHEMES}", repr(dict.fromkeys(schemes)).replace("None", "connect"))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a distribution with one plug-in: its entry point, as the packaging tools would leave it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(source: str, distribution: str = "streamy-good", name: str = "good") -> EntryPoint:
        # A module's name is used only once in a process, since Python keeps what it has imported.
        module = f"plugin_{distribution.replace('-', '_')}_{abs(hash(tmp_path))}"
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{distribution.replace('-', '_')}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[streamy]\n{name} = {module}\n")
        (point,) = Distribution.at(info).entry_points
        return point

    return install


def summary(backends: list[Backend]) -> list[tuple[str, str, bool]]:
    return [(backend.scheme, backend.distribution, backend.problem is None) for backend in backends]


# -- found


def test_our_memory_backend_is_found_like_any_other() -> None:
    (memory,) = [backend for backend in find_backends() if backend.scheme == "memory"]
    assert memory.distribution == "streamy-sse"
    assert memory.problem is None


def test_our_memory_backend_is_opened_by_its_url() -> None:
    with open_broker("memory://?history=5") as broker:
        assert isinstance(broker, MemoryBroker)


def test_an_installed_plug_in_is_found_through_the_environment(install: Install) -> None:
    install(good("shiny"))
    assert ("shiny", "streamy-good", True) in summary(find_backends())


def test_a_plug_in_is_listed_with_its_schemes_and_its_distribution(install: Install) -> None:
    backends = find_backends([install(good("two", "one"))])
    assert [(b.scheme, b.distribution, b.version, b.problem) for b in backends] == [
        ("one", "streamy-good", "1.5", None),
        ("two", "streamy-good", "1.5", None),
    ]


def test_an_entry_point_of_no_distribution_serves_all_the_same(install: Install) -> None:
    point = install(good("shiny"))
    loose = EntryPoint(name=point.name, value=point.value, group=point.group)
    assert summary(find_backends([loose])) == [("shiny", "unknown", True)]


# -- opened


@pytest.mark.parametrize("url", ["shiny://host/x?a=1", "SHINY://host"])
def test_a_plug_ins_broker_is_made_of_the_url_and_the_options(install: Install, url: str) -> None:
    broker = open_broker(url, {"b": 2}, backends=find_backends([install(good("Shiny"))]))
    assert broker.made_of == (url, {"b": 2})  # type: ignore[attr-defined]


def test_what_a_backend_finds_wrong_with_its_options_is_told() -> None:
    with pytest.raises(ConfigError, match=r"memory:// option 'hist' is unknown: did you mean 'history'\?"):
        open_broker("memory://?hist=5")


# -- unknown schemes


@pytest.mark.parametrize(
    ("url", "near"), [("memry://", "memory"), ("shinny://host", "shiny"), ("MEMORIES://", "memory")]
)
def test_an_unknown_scheme_lists_the_known_ones_and_suggests_the_nearest(
    install: Install, url: str, near: str
) -> None:
    backends = find_backends([install(good("shiny", "memory"))])
    with pytest.raises(UnknownBackend, match=rf"known: memory, shiny; did you mean {near}://\?"):
        open_broker(url, backends=backends)


def test_an_unknown_scheme_that_is_near_to_none_suggests_none(install: Install) -> None:
    with pytest.raises(UnknownBackend, match=r"no installed backend serves kafka://; known: shiny$"):
        open_broker("kafka://host", backends=find_backends([install(good("shiny"))]))


def test_where_nothing_is_installed_the_error_says_so() -> None:
    with pytest.raises(UnknownBackend, match="known: none"):
        open_broker("redis://host", backends=[])


def test_an_unknown_scheme_does_not_show_the_urls_password() -> None:
    with pytest.raises(UnknownBackend) as refusal:
        open_broker("kafka://user:hunter2@host?token=hunter2", backends=[])
    assert "hunter2" not in str(refusal.value)


# -- conflicts


def test_two_plug_ins_after_one_scheme_are_a_conflict_that_names_both(install: Install) -> None:
    points = [install(good("shiny"), "streamy-a"), install(good("shiny", "other"), "streamy-b")]
    with pytest.raises(
        BackendConflict, match=r"shiny://: streamy-a 1\.5 and streamy-b 1\.5; uninstall one of them"
    ):
        open_broker("shiny://host", backends=find_backends(points))


def test_a_conflict_harms_only_the_scheme_it_is_about(install: Install) -> None:
    points = [install(good("shiny"), "streamy-a"), install(good("shiny", "other"), "streamy-b")]
    with open_broker("other://host", backends=find_backends(points)) as broker:
        assert isinstance(broker, MemoryBroker)


# -- broken plug-ins

BROKEN = {
    "an import that fails": ("import nothing_of_that_name", "ModuleNotFoundError: No module named"),
    "an error": ("raise RuntimeError('no luck today')", "RuntimeError: no luck today"),
    "a syntax error": ("def", "SyntaxError"),
    "a misspelt hook": (MISSPELT, "unknown hook 'streamy_broker'"),
    "a hook without its decorator": (UNDECORATED, "streamy_brokers"),
    "a hook that fails": (good().replace("return {}", "return 1 / 0"), "ZeroDivisionError"),
    "a hook that returns no mapping": (good().replace("return {}", "return ['broken']"), "AttributeError"),
}


@pytest.fixture(params=BROKEN.values(), ids=BROKEN)
def broken(request: pytest.FixtureRequest, install: Install) -> tuple[EntryPoint, str]:
    """A plug-in that doesn't work, and what is the matter with it."""
    source, problem = request.param
    return install(source, "streamy-broken", "broken"), problem


def test_a_broken_plug_in_is_listed_with_its_problem(broken: tuple[EntryPoint, str]) -> None:
    point, problem = broken
    (backend,) = find_backends([point])
    assert (backend.scheme, backend.distribution, backend.version) == ("broken", "streamy-broken", "1.5")
    assert problem in (backend.problem or "")


def test_a_broken_plug_in_does_not_hurt_the_others(broken: tuple[EntryPoint, str], install: Install) -> None:
    backends = find_backends([broken[0], install(good("shiny"))])
    assert ("shiny", "streamy-good", True) in summary(backends)
    with open_broker("shiny://host", backends=backends) as broker:
        assert isinstance(broker, MemoryBroker)


def test_a_broken_plug_in_says_what_is_wrong_when_it_is_the_one_asked_for(
    broken: tuple[EntryPoint, str],
) -> None:
    point, problem = broken
    with pytest.raises(BackendUnusable, match=re.escape(problem)) as refusal:
        open_broker("broken://host", backends=find_backends([point]))
    assert "streamy-broken" in str(refusal.value)


def test_a_broken_plug_in_is_no_rival_of_one_that_works(install: Install) -> None:
    points = [install("raise RuntimeError", "streamy-broken", "shiny"), install(good("shiny"))]
    with open_broker("shiny://host", backends=find_backends(points)) as broker:
        assert isinstance(broker, MemoryBroker)


def test_an_unknown_scheme_names_the_plug_ins_whose_schemes_could_not_be_learnt(install: Install) -> None:
    backends = find_backends(
        [install("raise RuntimeError('no luck today')", "streamy-kafka", "streamy_kafka")]
    )
    with pytest.raises(StreamyError, match=r"streamy-kafka.*no luck today"):
        open_broker("kafka://host", backends=backends)


# -- missing drivers


def test_a_missing_driver_harms_nobody_until_its_broker_is_built(install: Install) -> None:
    assert summary(find_backends([install(NEEDS_A_DRIVER)])) == [("needy", "streamy-good", True)]


def test_a_missing_driver_is_named_with_whose_documentation_helps(install: Install) -> None:
    backends = find_backends([install(NEEDS_A_DRIVER, "streamy-needy")])
    with pytest.raises(
        BackendUnusable, match=r"needy://user:\*\*\*@host needs .*'a_driver_that_nobody_has'.*streamy-needy"
    ) as refusal:
        open_broker("needy://user:hunter2@host", backends=backends)
    assert isinstance(refusal.value.__cause__, ImportError)
