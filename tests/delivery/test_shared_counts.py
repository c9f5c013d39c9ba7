"""What processes know of each other's clients, whatever is lost, late or told twice."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest

from streamy_core.delivery.shared_counts import BEAT, MOST_TOLD, SILENT, SharedCounts

KEYS = ("ann", "bob", "eve")


class Process:
    """One of a cluster: what it has, and how much of the log it has read."""

    def __init__(self, cluster: Cluster, total: int = 3) -> None:
        self.cluster = cluster
        self.counts = SharedCounts(total)
        self.own: Counter[str] = Counter()
        self.read = len(cluster.log)

    def has(self, key: str, clients: int) -> None:
        self.own[key] = clients
        self.counts.note(key, clients)

    def tell(self, *, meanwhile: Any = None, stored: bool = True, answered: bool = True) -> bool:
        """Tell what is to be told. meanwhile: called while that is on its way."""
        message = self.counts.message(self.cluster.now)
        if message is None:
            return False
        if stored:
            self.cluster.log.append(message.text)
        if meanwhile is not None:
            meanwhile()
        if answered:
            self.counts.told(message, self.cluster.now)
        return True

    def hear(self) -> None:
        for text in self.cluster.log[self.read :]:
            self.counts.hear(text, self.cluster.now)
        self.read = len(self.cluster.log)
        self.counts.forget_silent(self.cluster.now)


class Cluster:
    """Processes with one log, and one time."""

    def __init__(self, processes: int = 2) -> None:
        self.now = 0.0
        self.log: list[str] = []
        self.processes: list[Process] = []
        for _ in range(processes):
            self.add()

    def add(self) -> Process:
        self.processes.append(Process(self))
        return self.processes[-1]

    def settle(self, seconds: float = 12.0) -> None:
        """Let some time go by, in which all goes well."""
        until = self.now + seconds
        while self.now < until:
            for process in self.processes:
                process.tell()
            for process in self.processes:
                process.hear()
            self.now += 1.0

    def is_known(self) -> bool:
        return all(
            process.counts.elsewhere(key)
            == sum(other.own[key] for other in self.processes if other is not process)
            for process in self.processes
            for key in {*KEYS, *process.own}
        )


def test_what_one_has_counts_for_the_others() -> None:
    cluster = Cluster(3)
    a, b, c = cluster.processes
    cluster.settle(2.0)
    a.has("ann", 2)
    b.has("ann", 1)
    assert not c.counts.is_full("ann", 0)
    cluster.settle(2.0)
    assert c.counts.is_full("ann", 0)
    assert a.counts.is_full("ann", 2)
    assert not c.counts.is_full("bob", 2)
    b.has("ann", 0)
    cluster.settle(2.0)
    assert not c.counts.is_full("ann", 0)
    assert cluster.is_known()


def test_only_changes_are_told_and_now_and_then_that_one_is_there() -> None:
    cluster = Cluster(2)
    cluster.settle()
    cluster.log.clear()
    for process in cluster.processes:
        process.read = 0
    a, _ = cluster.processes
    a.has("ann", 1)
    a.has("bob", 1)
    a.has("bob", 0)
    assert a.tell()
    assert not a.tell()
    ((digest, clients),) = json.loads(cluster.log[-1])["n"].items()
    assert clients == 1
    assert "ann" not in digest
    cluster.now += BEAT
    assert a.tell()
    assert json.loads(cluster.log[-1])["n"] == {}


def test_who_has_nobody_says_nothing() -> None:
    cluster = Cluster(2)
    cluster.settle()
    cluster.now += 10 * BEAT
    assert [process.tell() for process in cluster.processes] == [False, False]


def test_one_that_is_silent_is_forgotten_with_its_clients() -> None:
    cluster = Cluster(2)
    a, b = cluster.processes
    a.has("ann", 3)
    cluster.settle()
    assert b.counts.is_full("ann", 0)
    cluster.now += SILENT + 0.1
    b.hear()
    assert not b.counts.is_full("ann", 0)
    assert b.counts.elsewhere("ann") == 0
    cluster.settle()
    assert b.counts.is_full("ann", 0)


def test_one_that_stops_says_so() -> None:
    cluster = Cluster(2)
    a, b = cluster.processes
    a.has("ann", 3)
    cluster.settle()
    cluster.log.append(a.counts.farewell())
    b.hear()
    assert b.counts.elsewhere("ann") == 0


def test_a_newcomer_is_told_all_within_seconds() -> None:
    cluster = Cluster(3)
    for number, process in enumerate(cluster.processes):
        process.has(f"of {number}", 1)
        process.has("ann", 1)
    cluster.settle()
    for _ in range(3):
        newcomer = cluster.add()
        cluster.settle(7.0)
        assert newcomer.counts.elsewhere("ann") == 3
        assert cluster.is_known()


def test_what_was_lost_is_told_anew() -> None:
    cluster = Cluster(3)
    a, b, _ = cluster.processes
    a.has("ann", 2)
    cluster.settle()
    a.has("ann", 0)
    a.has("bob", 2)
    a.tell()
    b.read = len(cluster.log)  # trimmed before it could read it
    b.counts.missed()
    cluster.settle()
    assert cluster.is_known()


def test_a_message_is_of_bounded_size_and_all_is_told_in_the_end() -> None:
    cluster = Cluster(2)
    a, b = cluster.processes
    keys = [f"key {number}" for number in range(2 * MOST_TOLD + 1)]
    for key in keys:
        a.has(key, 1)
    a.tell()
    assert len(cluster.log[-1]) < 60_000
    cluster.settle()
    assert cluster.is_known()
    assert sum(b.counts.elsewhere(key) for key in keys) == len(keys)


def test_keys_that_come_and_go_leave_nothing() -> None:
    cluster = Cluster(2)
    a, b = cluster.processes
    cluster.settle()
    for number in range(100_000):
        a.has(f"key {number}", 1)
        if number % 50_000 == 0:
            a.tell()
            b.hear()
        a.has(f"key {number}", 0)
    a.own.clear()
    assert len(a.counts) < 10
    cluster.settle()
    assert len(a.counts) == len(b.counts) == 0


@pytest.mark.parametrize(
    "message",
    [
        "",
        "[]",
        "null",
        '"x"',
        "{}",
        '{"from": 1, "n": 5}',
        '{"from": "x", "n": {"a": "many"}}',
        '{"n": {"a": 1}}',
        "{",
    ],
)
def test_what_is_no_message_is_nothing(message: str) -> None:
    counts = SharedCounts(1)
    counts.hear(message, 0.0)
    assert len(counts) == 0


@pytest.mark.parametrize("seed", range(60))
def test_in_the_end_all_know_what_all_have(seed: int) -> None:
    chance = random.Random(seed)
    cluster = Cluster(chance.randint(2, 4))

    def change() -> None:
        chance.choice(cluster.processes).has(chance.choice(KEYS), chance.randint(0, 3))

    for _ in range(200):
        process = chance.choice(cluster.processes)
        match chance.randrange(6):
            case 0 | 1:
                change()
            case 2:
                stored = chance.random() < 0.8
                process.tell(meanwhile=change, stored=stored, answered=stored and chance.random() < 0.8)
            case 3:
                process.hear()
            case 4 if chance.random() < 0.2:
                process.read = len(cluster.log)
                process.counts.missed()
            case _:
                cluster.now += chance.random() * 8
    cluster.settle(3 * SILENT)
    assert cluster.is_known()
