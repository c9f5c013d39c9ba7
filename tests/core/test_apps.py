"""What a manager holds for an app: as long as the app lives, by the settings that it has at its first use."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from streamy_core import ConfigError, StreamManager
from streamy_core.testing.reading import eventually

from .apps import make_app


@pytest.fixture
def sse() -> Iterator[StreamManager]:
    with StreamManager() as sse:
        yield sse


def read_and_publish(app: Flask, sse: StreamManager) -> None:
    """Start all that there is to start for an app."""
    with app.app_context(), sse.subscribe("news") as entries:
        sse.send_event("news", "x")
        assert next(entries).event.data == "x"


def threads() -> int:
    return sum(thread.name.startswith("streamy") for thread in threading.enumerate())


def held() -> tuple[int, int]:
    """Threads of ours, and descriptors."""
    return threads(), len(list(Path("/proc/self/fd").iterdir()))


def test_with_an_app_goes_what_was_held_for_it(sse: StreamManager, tmp_path: Path) -> None:
    before = held()
    for number in range(5):
        app = make_app(STREAMY_BROKER_URL=f"sqlite:///{tmp_path}/{number}.db")
        sse.init_app(app)
        read_and_publish(app, sse)
    del app
    gc.collect()
    eventually(lambda: all(now <= then for now, then in zip(held(), before, strict=True)), "all given back")


@pytest.mark.slow
def test_apps_of_a_factory_are_found_to_be_gone_by_themselves(sse: StreamManager) -> None:
    gc.disable()
    try:
        for _ in range(50):
            app = make_app()
            sse.init_app(app)
            read_and_publish(app, sse)
        eventually(lambda: threads() < 30, "those of apps that are gone, gone")
    finally:
        gc.enable()


def test_a_manager_of_each_app_goes_with_it(tmp_path: Path) -> None:
    before = held()
    for number in range(5):
        app = make_app(STREAMY_BROKER_URL=f"sqlite:///{tmp_path}/{number}.db")
        read_and_publish(app, StreamManager(app))
    del app
    gc.collect()
    eventually(lambda: all(now <= then for now, then in zip(held(), before, strict=True)), "all given back")


def test_publishing_without_a_context_works_again_when_one_app_is_left(sse: StreamManager) -> None:
    left = make_app()
    sse.init_app(left)
    gone = make_app()
    sse.init_app(gone)
    with pytest.raises(ConfigError, match="several apps"):
        sse.send_event("news", "x")
    del gone
    entry_id = sse.send_event("news", "x")
    with left.app_context():
        assert sse.cursor("news") == entry_id


def test_once_all_apps_are_gone_it_publishes_where_the_last_one_did(
    sse: StreamManager, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/streams.db"
    sse.init_app(make_app(STREAMY_BROKER_URL=url))
    gc.collect()
    entry_id = sse.send_event("news", "x")
    app = make_app(STREAMY_BROKER_URL=url)
    sse.init_app(app)
    with app.app_context():
        assert sse.cursor("news") == entry_id


def test_an_app_lives_as_long_as_somebody_reads_its_streams(sse: StreamManager) -> None:
    before = threads()
    sse.init_app(make_app())
    with sse.subscribe("news") as entries:
        gc.collect()
        sse.send_event("news", "x")
        assert next(entries).event.data == "x"
    del entries
    gc.collect()
    eventually(lambda: threads() <= before, "the app gone with its reader")


def test_a_setting_that_comes_before_the_first_use_takes_effect(sse: StreamManager, tmp_path: Path) -> None:
    app = make_app()
    sse.init_app(app)
    app.config["STREAMY_BROKER_URL"] = f"sqlite:///{tmp_path}/streams.db"
    with app.app_context():
        assert sse.broker.shared


def test_a_setting_that_comes_before_the_first_use_is_checked_as_any(sse: StreamManager) -> None:
    app = make_app()
    sse.init_app(app)
    app.config["STREAMY_DELIVERY"] = "carrier pigeon"
    with app.app_context(), pytest.raises(ConfigError, match="STREAMY_DELIVERY has to be one of"):
        sse.send_event("news", "x")


@pytest.mark.parametrize("key", ["STREAMY_BROKER_URL", "STREAMY_KEEP_ALIVE"])
@pytest.mark.parametrize("given_before", [{}, {"STREAMY_BROKER_URL": "memory://", "STREAMY_KEEP_ALIVE": 3}])
def test_a_setting_that_changes_after_the_first_use_is_an_error(
    sse: StreamManager, key: str, given_before: dict[str, object]
) -> None:
    app = make_app(**given_before)
    sse.init_app(app)
    with app.app_context():
        sse.send_event("news", "x")
        app.config["SOMEBODY_ELSES"] = True
        sse.send_event("news", "x")
        app.config[key] = "memory://?history=5"
        for _ in range(2):
            with pytest.raises(ConfigError, match=f"{key} .* too late"):
                sse.send_event("news", "x")


def test_a_setting_that_is_set_anew_has_not_changed(sse: StreamManager) -> None:
    app = make_app(STREAMY_KEEP_ALIVE=float("15"), STREAMY_MANAGERS={"audit": {"MAX_RETRIES": 1}})
    sse.init_app(app)
    with app.app_context():
        sse.send_event("news", "x")
        app.config.update(STREAMY_KEEP_ALIVE=float("15"), STREAMY_MANAGERS={"audit": {"MAX_RETRIES": 1}})
        sse.send_event("news", "x")


def test_a_setting_that_takes_anothers_place_is_seen_at_the_first_use(
    sse: StreamManager, tmp_path: Path
) -> None:
    app = make_app(OTHER=1)
    sse.init_app(app)
    del app.config["OTHER"]
    app.config["STREAMY_BROKER_URL"] = f"sqlite:///{tmp_path}/streams.db"
    with app.app_context():
        assert sse.broker.shared


def test_a_setting_that_is_changed_in_place_is_seen_at_the_first_use(tmp_path: Path) -> None:
    app = make_app(STREAMY_MANAGERS={"audit": {}})
    with StreamManager(app, name="audit") as sse:
        app.config["STREAMY_MANAGERS"]["audit"]["BROKER_URL"] = f"sqlite:///{tmp_path}/streams.db"
        with app.app_context():
            assert sse.broker.shared


def test_a_late_setting_that_was_wrong_can_be_mended(sse: StreamManager) -> None:
    app = make_app()
    sse.init_app(app)
    with app.app_context():
        app.config["STREAMY_DELIVERY"] = "carrier pigeon"
        for _ in range(2):
            with pytest.raises(ConfigError, match="STREAMY_DELIVERY has to be one of"):
                sse.send_event("news", "x")
        app.config["STREAMY_DELIVERY"] = "wsgi"
        sse.send_event("news", "x")


@pytest.mark.parametrize("bound", [True, False])
def test_threads_that_use_it_first_at_once_share_one_broker(bound: bool) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):
            with StreamManager() as sse, ThreadPoolExecutor(4) as pool:
                app = make_app()
                if bound:
                    sse.init_app(app)
                    app.config["STREAMY_MAX_RETRIES"] = 5
                together = threading.Barrier(4, timeout=10)

                def use(app: Flask = app, sse: StreamManager = sse, together: Any = together) -> int:
                    together.wait()
                    with app.app_context():
                        sse.send_event("news", "x")
                        return id(sse.broker)

                assert len({future.result() for future in [pool.submit(use) for _ in range(4)]}) == 1
    finally:
        sys.setswitchinterval(interval)


def test_a_manager_that_was_only_asked_can_be_bound(sse: StreamManager) -> None:
    sse.cursor("news")
    app = make_app()
    sse.init_app(app)
    with app.app_context():
        sse.send_event("news", "x")


def test_a_variable_of_flasks_own_commands_is_none_of_our_settings(
    sse: StreamManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_STREAMY_MANAGER", "default")
    sse.send_event("news", "x")


def test_a_setting_in_the_environment_that_nobody_reads_is_an_error(
    sse: StreamManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_STREAMY_BROKER_URL", "redis://localhost:1")
    app = make_app()
    sse.init_app(app)
    with app.app_context(), pytest.raises(ConfigError, match=r"app\.config\.from_prefixed_env\(\)"):
        sse.send_event("news", "x")


def test_without_an_app_a_setting_in_the_environment_is_an_error_too(
    sse: StreamManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_STREAMY_BROKER_URL", "redis://localhost:1")
    with pytest.raises(ConfigError, match="FLASK_STREAMY_BROKER_URL is set in the environment"):
        sse.send_event("news", "x")


def test_a_setting_in_the_environment_that_is_read_late_takes_effect(
    sse: StreamManager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FLASK_STREAMY_BROKER_URL", f"sqlite:///{tmp_path}/streams.db")
    monkeypatch.setenv("FLASK_STREAMY_MANAGERS__audit__MAX_RETRIES", "1")
    app = make_app()
    sse.init_app(app)
    app.config.from_prefixed_env()
    with app.app_context():
        assert sse.broker.shared


def test_events_that_an_app_would_never_read_keep_it_from_being_bound(sse: StreamManager) -> None:
    sse.send_event("news", "at import")
    with pytest.raises(ConfigError, match=r"used before init_app\(app\)"):
        sse.init_app(make_app())


def test_events_that_an_app_will_read_may_be_published_before_it_is_bound(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/streams.db"
    with StreamManager(broker=url) as sse:
        entry_id = sse.send_event("news", "at import")
        app = make_app()
        sse.init_app(app)
        with app.app_context():
            assert sse.cursor("news") == entry_id
