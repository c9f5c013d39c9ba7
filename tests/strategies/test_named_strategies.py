"""Retry policies, keep-alive schedulers and slow-client policies can be named in a config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streamy_core import ConfigError
from streamy_core.config import Settings, load_settings
from streamy_core.observers.logs import Logs
from streamy_core.strategies import Jittered, NoRetry
from streamy_core.strategies.slow_clients import SkipToLatest

POLICIES = """
class Patient:
    def delay(self, attempt):
        return 1.0 if attempt < 100 else None

patient = Patient()
silly = object()
"""


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution with policies."""
    (tmp_path / "acme_policies.py").write_text(POLICIES)
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[streamy.retry]\npatient = acme_policies:Patient\n")
    monkeypatch.syspath_prepend(tmp_path)


def settings(**keys: Any) -> Settings:
    return load_settings({f"STREAMY_{name.upper()}": value for name, value in keys.items()})


def test_by_module_and_name() -> None:
    found = settings(
        retry_policy="streamy_core.strategies:NoRetry",
        keep_alive="streamy_core.strategies.keepalive:Jittered",
        slow_client_policy="streamy_core.strategies.slow_clients:SkipToLatest",
    )
    assert (found.retry_policy, found.keep_alive) == (NoRetry(), Jittered())
    assert isinstance(found.slow_client_policy, SkipToLatest)


def test_an_object_is_taken_as_it_is_and_a_class_is_called(acme: None) -> None:
    for name in ("acme_policies:patient", "acme_policies:Patient", "acme_policies.Patient"):
        policy = settings(retry_policy=name).retry
        assert policy.delay(99) == 1.0


def test_by_entry_point(acme: None) -> None:
    assert settings(retry_policy="patient").retry.delay(99) == 1.0


def test_an_unknown_entry_point_names_the_nearest(acme: None) -> None:
    with pytest.raises(ConfigError, match=r"STREAMY_RETRY_POLICY: 'patent' .* did you mean 'patient'"):
        settings(retry_policy="patent")


def test_what_can_not_be_loaded_says_why() -> None:
    with pytest.raises(ConfigError, match=r"STREAMY_KEEP_ALIVE: 'nowhere:it' .*No module named 'nowhere'"):
        settings(keep_alive="nowhere:it")


def test_what_is_no_strategy_is_refused(acme: None) -> None:
    with pytest.raises(ConfigError, match="STREAMY_SLOW_CLIENT_POLICY has to be a SlowClientPolicy"):
        settings(slow_client_policy="acme_policies:silly")


def test_an_observer_by_module_and_name() -> None:
    (observer,) = settings(observers=["streamy_core.observers.logs:Logs"]).observers
    assert isinstance(observer, Logs)
