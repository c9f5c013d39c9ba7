"""A client that was on its way in when a command arrived is one of those that it means."""

from __future__ import annotations

import pytest

from streamy_core.commands import EVERYBODY, DisconnectCommand
from streamy_core.delivery.journal import Journal
from streamy_core.delivery.session import Session
from streamy_core.strategies import Never
from streamy_core.testing import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    clock = ManualClock()
    clock.advance(1_000.0)
    return clock


@pytest.fixture
def journal(clock: ManualClock) -> Journal:
    return Journal(clock)


def session(requested_at: float, key: str | None = "them", stream: str = "news") -> Session:
    return Session((stream,), key, Never(), requested_at=requested_at)


def test_a_command_means_a_client_whose_request_began_before_it(journal: Journal, clock: ManualClock) -> None:
    before = clock()
    clock.advance(1.0)
    journal.add(DisconnectCommand(None, "them"))
    assert journal.concerns(session(before))


def test_a_command_means_nobody_whose_request_began_after_it(journal: Journal, clock: ManualClock) -> None:
    journal.add(DisconnectCommand(None, "them"))
    clock.advance(0.001)
    assert not journal.concerns(session(clock()))


@pytest.mark.parametrize(
    ("command", "meant"),
    [
        (DisconnectCommand(None, "them"), True),
        (DisconnectCommand(None, "others"), False),
        (DisconnectCommand("news", None), True),
        (DisconnectCommand("news", "them"), True),
        (DisconnectCommand("news", "others"), False),
        (DisconnectCommand("other", "them"), False),
        (EVERYBODY, True),
    ],
)
def test_a_command_means_those_to_whom_all_that_it_names_applies(
    journal: Journal, clock: ManualClock, command: DisconnectCommand, meant: bool
) -> None:
    journal.add(command)
    assert journal.concerns(session(clock() - 1.0)) is meant


def test_a_command_that_was_given_earlier_means_those_who_had_begun_by_then(
    journal: Journal, clock: ManualClock
) -> None:
    journal.add(DisconnectCommand(None, "them"), 10.0)
    assert journal.concerns(session(clock() - 11.0))
    assert not journal.concerns(session(clock() - 9.0))


def test_who_began_longer_ago_than_commands_are_kept_has_to_ask_again(
    journal: Journal, clock: ManualClock
) -> None:
    began = clock()
    clock.advance(1.0)
    journal.add(DisconnectCommand(None, "others"))
    clock.advance(61.0)
    journal.add(DisconnectCommand(None, "others"))
    assert journal.concerns(session(began, key="somebody"))
    assert not journal.concerns(session(clock() - 30.0, key="somebody"))
