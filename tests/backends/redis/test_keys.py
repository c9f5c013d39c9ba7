"""Under which keys a stream is stored: nobody shares one by accident."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from streamy_backends.redis.keys import Keys
from streamy_core.broker import Broker
from streamy_core.testing.reading import events, eventually, read, wait_for_bell

from ..conftest import NewBroker
from .conftest import KINDS, kept, listed
from .servers import Server

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, shared: Callable[[str], Any]) -> Server:
    found: Server = shared(request.param)
    return found


@pytest.fixture
def neighbours(server: Server, prefix: str, new_broker: NewBroker) -> tuple[Broker, Broker]:
    """Brokers on one server whose prefixes are alike."""
    return new_broker(server.url, prefix=prefix), new_broker(server.url, prefix=f"{prefix}:news")


def test_what_is_published_under_another_prefix_is_not_there(neighbours: tuple[Broker, Broker]) -> None:
    mine, theirs = neighbours
    theirs.append("news", events("theirs"))
    assert kept(mine) == []
    mine.append("news", events("mine"))
    assert (kept(mine), kept(theirs)) == (["mine"], ["theirs"])
    mine.end("news")
    assert not read(theirs, "news").ended


def test_a_key_under_another_prefix_is_another_key(neighbours: tuple[Broker, Broker]) -> None:
    for broker in neighbours:
        broker.append("news", events("a"), idempotency_key="k")
    assert [kept(broker) for broker in neighbours] == [["a"], ["a"]]


def test_a_cursor_under_another_prefix_is_a_gap(neighbours: tuple[Broker, Broker]) -> None:
    mine, theirs = neighbours
    (cursor,) = theirs.append("news", events("theirs"))
    mine.append("news", events("mine"))
    assert read(mine, "news", cursor).gap


def test_a_bell_under_another_prefix_is_not_heard(neighbours: tuple[Broker, Broker]) -> None:
    mine, theirs = neighbours
    watch = mine.watch()
    watch.add("news")
    watch.add("other")
    wait_for_bell(watch, "news", "other")  # named when they are added, too
    theirs.append("news", events("theirs"))
    mine.append("other", events("mine"))
    heard: set[str] = set()
    eventually(lambda: heard.update(watch.wait(0.1)) or heard, "a bell")
    assert heard == {"other"}


@pytest.mark.parametrize("glob", ["a*[b]", "a?", "[^a]", "\\", "*", "a-z", "[a-z]", "^", "ä 🎈"])
def test_streams_of_another_prefix_are_not_listed(
    server: Server, new_broker: NewBroker, prefix: str, glob: str
) -> None:
    prefixes = [f"{prefix}{end}" for end in (glob, "ab", "aXb", "a", "", "c", "\\a*[b]")]
    brokers = [new_broker(server.url, prefix=one) for one in dict.fromkeys(prefixes)]
    for n, broker in enumerate(brokers):
        broker.append(f"news-{n}", events("a"))
    assert [list(listed(broker)) for broker in brokers] == [[f"news-{n}"] for n in range(len(brokers))]


texts = st.text(st.sampled_from("{}%:*ab257BDkeystlog\u00e4🎈 "), min_size=1, max_size=12)
prefixes = texts.filter(lambda text: not set(text) & set("{}"))
keys = st.text(st.sampled_from("{}:keystalogb"), max_size=12)


def all_names(names: Keys, stream_id: str, key: str) -> list[str]:
    """All keys and channels of a stream."""
    found = {*names.for_read(stream_id), *names.for_append(stream_id, key), names.state(stream_id)}
    return [*found, names.channel(stream_id)]


@unhurried
@given(prefixes, texts, texts, keys, keys)
@example("p", "a", "a}", "", "")
@example("p", "{", "%7B", "", "")
@example("p", "a", "a}:key:", "}:state", "")
@example("p", "%7B", "%257B", "", "")
def test_two_streams_share_no_key(prefix: str, stream: str, other: str, key: str, other_key: str) -> None:
    assume(stream != other)
    names = Keys(prefix)
    mine, theirs = all_names(names, stream, key), all_names(names, other, other_key)
    assert not set(mine) & set(theirs)
    assert names.epoch not in {*mine, *theirs}


@unhurried
@given(prefixes, texts, keys)
def test_a_streams_keys_are_four(prefix: str, stream: str, key: str) -> None:
    assert len(set(all_names(Keys(prefix), stream, key))) == 4


@unhurried
@given(prefixes, texts, keys)
@example("p", "}", "")
@example("p", "{}", "")
def test_all_keys_of_a_stream_are_on_one_node(prefix: str, stream: str, key: str) -> None:
    assert len({key_slot(name.encode()) for name in all_names(Keys(prefix), stream, key)}) == 1


@unhurried
@given(prefixes, prefixes, texts, texts, keys, keys)
@example("p", "p:a", "a", "a", "", "")
def test_two_prefixes_share_no_key(
    prefix: str, other_prefix: str, stream: str, other: str, key: str, other_key: str
) -> None:
    assume(prefix != other_prefix)
    mine, theirs = Keys(prefix), Keys(other_prefix)
    assert not {mine.epoch, *all_names(mine, stream, key)} & {
        theirs.epoch, *all_names(theirs, other, other_key)
    }  # fmt: skip


@unhurried
@given(prefixes, texts)
def test_a_stream_is_known_by_its_state(prefix: str, stream: str) -> None:
    names = Keys(prefix)
    assert names.stream_of(names.state(stream)) == stream
