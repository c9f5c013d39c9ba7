"""That nothing is stored twice: the contract's part on idempotency keys."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ..broker import Broker, Duplicate
from .reading import data_of, events, read_all

STRANGE_KEYS = ["", " ", ":", "*", "\0", "\n", "é", "🎈", "\ud800", "k" * 5_000]


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
