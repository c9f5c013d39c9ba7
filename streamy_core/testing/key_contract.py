"""That nothing is stored twice: the contract's part on idempotency keys."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ..broker import Broker, Duplicate
from ..errors import StreamEnded
from .basis import MakeBroker
from .reading import data_of, events, read_all

STRANGE_KEYS = ["", " ", ":", "*", "\0", "\n", "é", "🎈", "\ud800", "k" * 5_000, "%41", "%", "K"]
LATER = 250
"""Later keys through which one is tried to be remembered, of the 1,000 that are promised."""
SECONDS = 2.5
"""For which one is tried to be remembered, of the minute that is promised."""


class KeyContract:
    """What every broker keeps that is given an idempotency key."""

    def test_a_repeated_key_stores_nothing_and_returns_the_same_ids(self, broker: Broker) -> None:
        first = broker.append("news", events("a", "b"), idempotency_key="k")
        again = broker.append("news", events("a", "b"), idempotency_key="k")
        assert again == first, "a key that was used before returns the ids of that first time"
        assert data_of(read_all(broker, "news")) == ["a", "b"], "a key that was used before stores nothing"

    def test_only_a_repeated_append_is_called_a_duplicate(self, broker: Broker) -> None:
        appended = {
            "a first append under a key": broker.append("news", events("a"), idempotency_key="k"),
            "one under another key": broker.append("news", events("b"), idempotency_key="another"),
            "one on another stream": broker.append("other", events("a"), idempotency_key="k"),
            "one without a key": broker.append("news", events("c")),
        }
        called = [what for what, ids in appended.items() if isinstance(ids, Duplicate)]
        assert not called, f"{called} stored something, and is called a Duplicate"

    def test_a_key_holds_for_one_stream(self, broker: Broker) -> None:
        broker.append("news", events("a"), idempotency_key="k")
        broker.append("other", events("a"), idempotency_key="k")
        assert data_of(read_all(broker, "other")) == ["a"], "a key of another stream was taken for this one's"

    def test_a_key_is_answered_whatever_the_events_are_now(self, broker: Broker) -> None:
        first = broker.append("news", events("a", "b"), idempotency_key="k")
        assert broker.append("news", events("x"), idempotency_key="k") == first, (
            "a key is of its first append"
        )
        assert data_of(read_all(broker, "news")) == ["a", "b"], "a key that was used before stores nothing"

    def test_a_key_outlasts_many_later_ones(self, broker: Broker) -> None:
        first = broker.append("news", events("a"), idempotency_key="k")
        for n in range(LATER):
            broker.append("news", events(str(n)), idempotency_key=f"later {n}")
        assert broker.append("news", events("a"), idempotency_key="k") == first, (
            f"a key is forgotten after {LATER} later appends: it is to be remembered through 1,000"
        )

    def test_a_key_outlasts_many_later_entries(self, broker: Broker) -> None:
        first = broker.append("news", events("a"), idempotency_key="k")
        for _ in range(3):
            broker.append("news", events(*["x"] * 500))
        assert broker.append("news", events("a"), idempotency_key="k") == first, (
            "a key is forgotten after 3 later appends of 500 entries: it is to outlast 1,000 appends"
        )

    def test_a_key_outlasts_its_entries(self, make_broker: MakeBroker) -> None:
        with make_broker("short", history=10) as broker:
            first = broker.append("news", events("a"), idempotency_key="k")
            for n in range(50):
                broker.append("news", events(str(n)))
            assert broker.append("news", events("a"), idempotency_key="k") == first, (
                "a key is forgotten when its entries are trimmed: who tries again after that stores twice"
            )

    def test_a_key_outlasts_seconds(self, broker: Broker) -> None:
        first = broker.append("news", events("a"), idempotency_key="k")
        time.sleep(SECONDS)
        assert broker.append("news", events("a"), idempotency_key="k") == first, (
            f"a key is forgotten within {SECONDS:g} s: it is to be remembered for a minute"
        )

    def test_a_key_is_known_to_every_broker_on_the_log(self, broker: Broker, make_broker: MakeBroker) -> None:
        if not broker.shared:
            pytest.skip(f"{type(broker).__name__} says shared = False: another broker has another log")
        first = broker.append("news", events("a"), idempotency_key="k")
        with make_broker() as other:
            again = other.append("news", events("a"), idempotency_key="k")
        assert again == first, "a key that one broker was given is unknown to another on the same log"

    def test_a_key_of_an_append_that_was_refused_stores_nothing_later(self, broker: Broker) -> None:
        broker.end("news")
        for _ in range(2):
            with pytest.raises(StreamEnded):
                broker.append("news", events("a"), idempotency_key="k")

    def test_a_key_is_answered_after_the_end_too(self, broker: Broker) -> None:
        first = broker.append("news", events("a"), idempotency_key="k")
        assert len(first) == 1, "append returns the ids of the new entries"
        broker.end("news")
        assert broker.append("news", events("a"), idempotency_key="k") == first

    @pytest.mark.parametrize("key", STRANGE_KEYS, ids=lambda key: ascii(key[:12]))
    def test_any_text_is_a_key(self, broker: Broker, key: str) -> None:
        first = broker.append("news", events("a"), idempotency_key=key)
        again = broker.append("news", events("a"), idempotency_key=key)
        assert again == first, f"the key {key[:20]!r} was used before, and returns the ids of that first time"
        other = broker.append("news", events("b"), idempotency_key=f"{key} ")
        assert other != first, f"the key {key[:20]!r} is not the same with a space after it"

    def test_keys_are_exact(self, broker: Broker) -> None:
        keys = [
            "a",
            "A",
            "ä",
            "a\u0308",
            "a ",
            "%61",
            "a%",
            "k" * 200,
            "k" * 200 + "l",
            "k" * 5_000,
            "k" * 4_999,
        ]
        ids = [broker.append("news", events(key), idempotency_key=key) for key in keys]
        assert data_of(read_all(broker, "news")) == keys, "a key was taken for another"
        assert [broker.append("news", events(key), idempotency_key=key) for key in keys] == ids

    def test_appending_nothing_uses_up_no_key(self, broker: Broker) -> None:
        assert broker.append("news", [], idempotency_key="k") == []
        ids = broker.append("news", events("a"), idempotency_key="k")
        assert len(ids) == 1, "an append of no events has used up its key"
        assert data_of(read_all(broker, "news")) == ["a"]

    def test_one_key_from_many_threads_stores_once(self, broker: Broker) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = [
                pool.submit(broker.append, "news", events("a"), idempotency_key="k") for _ in range(16)
            ]
        ids = {tuple(answer.result()) for answer in answers}
        assert len(ids) == 1, "one key, from several threads at once, was stored more than once"
        assert data_of(read_all(broker, "news")) == ["a"]
