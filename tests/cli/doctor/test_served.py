"""Mistakes in how an app is served: gunicorn's own files, what a process may open, keep-alives, greenlets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from streamy_core import ConfigError
from streamy_core.cli.doctor import process, workers
from streamy_core.cli.doctor.findings import Finding
from streamy_core.cli.doctor.gunicorn import Gunicorn, read_gunicorn
from streamy_core.config import load_settings
from streamy_core.strategies.keepalive import Never

from .planted import assert_found

pytestmark = pytest.mark.slow

WITHOUT = {"WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"}
ENVIRON = {name: value for name, value in os.environ.items() if name not in WITHOUT}


def read(folder: Path, config: str, *arguments: str, **environ: str) -> Gunicorn:
    """gunicorn's settings by this configuration file, with these arguments and variables."""
    (folder / "gunicorn.conf.py").write_text(config)
    found = read_gunicorn(arguments or None, folder, ENVIRON | environ)
    assert found is not None
    return found


def found_of(gunicorn: Gunicorn, *, shared: bool = True, **settings: object) -> list[Finding]:
    """What is wrong with gunicorn's settings, against the app's."""
    own = load_settings({}, given=settings)
    return [
        *workers.sharing(gunicorn, shared=shared),
        *workers.replacing(gunicorn),
        *workers.threads(gunicorn, own),
        *workers.detaching(gunicorn, own),
        *workers.greenlets(gunicorn),
    ]


GOOD = "workers = 3\nthreads = 8\nmax_requests = 1000\nmax_requests_jitter = 200\npreload_app = True\n"


def test_a_good_gunicorn_is_nothing_to_speak_of(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD)
    assert (found.workers, found.threads, found.worker_class, found.preload) == (3, 8, "gthread", True)
    assert found_of(found) == []
    assert found_of(found, delivery="wsgi") == []


def test_where_nothing_is_said_of_gunicorn_nothing_is_assumed(tmp_path: Path) -> None:
    assert read_gunicorn(None, tmp_path, ENVIRON) is None


def test_workers_in_the_configuration_that_have_streams_of_their_own_each(tmp_path: Path) -> None:
    found = found_of(read(tmp_path, "import os\nworkers = 2 * 2\n"), shared=False)
    assert_found(found, "error", "4 workers serve the app", "STREAMY_BROKER_URL")


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (("--workers", "4", "shop:app"), {}),
        ((), {"WEB_CONCURRENCY": "4"}),
        ((), {"GUNICORN_CMD_ARGS": "--workers=4"}),
    ],
    ids=["arguments", "WEB_CONCURRENCY", "GUNICORN_CMD_ARGS"],
)
def test_workers_that_are_asked_for_elsewhere(
    tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str]
) -> None:
    found = read(tmp_path, "threads = 8\n", *arguments, **variables)
    assert_found(found_of(found, shared=False), "error", "4 workers serve the app", "--workers 1")


def test_streams_in_the_memory_of_a_worker_that_is_replaced(tmp_path: Path) -> None:
    found = found_of(read(tmp_path, "threads = 8\nmax_requests = 500\n"), shared=False)
    assert_found(found, "warning", "max_requests replaces", "max_requests = 0")


def test_workers_that_are_replaced_all_at_once(tmp_path: Path) -> None:
    found = found_of(read(tmp_path, "workers = 2\nthreads = 8\nmax_requests = 500\n"))
    assert_found(found, "warning", "without max_requests_jitter", "max_requests_jitter = 100")


def test_streams_that_may_hold_all_threads(tmp_path: Path) -> None:
    found = found_of(read(tmp_path, "threads = 8\n"), delivery="wsgi", wsgi_slots=8)
    assert_found(found, "error", "may hold 8 threads", "STREAMY_WSGI_SLOTS = 4")


def test_a_stream_that_may_hold_the_only_worker(tmp_path: Path) -> None:
    found = found_of(read(tmp_path, "worker_class = 'sync'\n"), delivery="wsgi", wsgi_slots=1)
    assert_found(found, "error", "takes all of a worker", "gthread --threads 8")


def test_a_worker_in_which_no_stream_may_stay(tmp_path: Path) -> None:
    found = found_of(read(tmp_path, "worker_class = 'sync'\n"), delivery="wsgi")
    assert_found(found, "warning", "clients poll", "gthread --threads 8")


def test_tls_in_the_workers(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    config = "threads = 8\ncertfile = 'cert.pem'\nkeyfile = 'key.pem'\n"
    assert_found(found_of(read(tmp_path, config)), "warning", "speak TLS", "certfile")


def test_a_delivery_that_the_workers_do_not_allow(tmp_path: Path) -> None:
    found = found_of(read(tmp_path, "worker_class = 'gevent'\n"), delivery="detached")
    assert_found(found, "warning", "gevent workers don't allow", "gthread")


def test_an_app_that_is_imported_before_gevent_patches(tmp_path: Path) -> None:
    config = "worker_class = 'gevent'\npreload_app = True\n"
    assert_found(found_of(read(tmp_path, config)), "error", "before gevent patches", "monkey.patch_all()")
    patched = f"from gevent import monkey; monkey.patch_all()\n{config}"
    assert found_of(read(tmp_path, patched)) == []


def test_workers_whose_library_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]
    assert_found(found_of(Gunicorn(worker_class="gevent")), "error", "isn't installed", "pip install gevent")


@pytest.mark.parametrize("config", ["threads = 'many'\n", "nonsense("])
def test_settings_that_gunicorn_refuses(tmp_path: Path, config: str) -> None:
    with pytest.raises(ConfigError, match=r"gunicorn refuses its settings.*--print-config"):
        read(tmp_path, config)


def test_what_a_configuration_does_stays_in_its_own_process(tmp_path: Path) -> None:
    read(
        tmp_path, "import sys, os\nsys.modules['planted'] = sys\nprint('loud')\nos.environ['PLANTED'] = '1'\n"
    )
    assert "planted" not in sys.modules
    assert "PLANTED" not in os.environ


# -- the process


LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
from streamy_core.cli.doctor.gunicorn import Gunicorn
from streamy_core.cli.doctor.process import descriptors
from streamy_core.config import load_settings
for clients in (700, 5_000):
    for finding in descriptors(load_settings({}), clients, None):
        print(clients, finding.what, finding.cure)
"""


def test_too_few_descriptors_for_the_clients_that_are_expected() -> None:
    said = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True).stdout
    assert "5000 a process may open 1,024 descriptors, and 5,128 are needed" in said
    assert "ulimit -n 20000" in said
    assert said.count("\n") == 1, "700 clients have enough"


@pytest.mark.parametrize("seconds", [60.0, 300.0])
def test_keep_alives_that_are_rarer_than_proxies_have_patience(seconds: float) -> None:
    found = process.keep_alives(load_settings({}, given={"keep_alive": seconds}))
    assert_found(found, "warning", "keep-alives go out only every", "STREAMY_KEEP_ALIVE = 30")


def test_no_keep_alives() -> None:
    found = process.keep_alives(load_settings({}, given={"keep_alive": Never()}))
    assert_found(found, "warning", "no keep-alives", "STREAMY_KEEP_ALIVE = 30")


def test_keep_alives_as_they_are_by_default_are_nothing_to_speak_of() -> None:
    assert list(process.keep_alives(load_settings({}))) == []


def test_a_server_of_greenlets_that_nothing_is_patched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(process.greenlets()) == []
    monkeypatch.setitem(sys.modules, "gevent.pywsgi", ModuleType("gevent.pywsgi"))
    assert_found(process.greenlets(), "error", "gevent serves the app", "gevent.monkey.patch_all()")
