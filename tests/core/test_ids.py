"""Ids and cursors: what they look like, and how one id line resumes many streams."""

from __future__ import annotations

import itertools
import re
import string
from collections import defaultdict

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from streamy_core.ids import (
    ID,
    decode_number,
    encode_number,
    join_cursors,
    make_id,
    new_epoch,
    new_nonce,
    sequence_of,
    split_cursor,
    tag_of,
)

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

EPOCH = "0aB9z"

stream_ids = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)
ids = st.from_regex(re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII), fullmatch=True)
like_ids = st.builds(make_id, st.just(EPOCH), st.integers(0, 10**6), st.just("abc"))
long_ids = st.text(string.ascii_letters + string.digits, min_size=60, max_size=128)
cursors = st.dictionaries(stream_ids, ids | like_ids | long_ids | st.just(""), min_size=1, max_size=11)


def names_with_one_tag(count: int) -> list[str]:
    """Names that a joint cursor can't tell apart by their tags, in their order."""
    by_tag: dict[str, list[str]] = defaultdict(list)
    for number in itertools.count():
        name = f"stream {number}"
        same = by_tag[tag_of(name)]
        same.append(name)
        if len(same) == count:
            return sorted(same)
    raise AssertionError("a count never ends")


# -- numbers, epochs, nonces


@unhurried
@given(st.integers(0, 2**80))
def test_a_number_comes_back(number: int) -> None:
    assert decode_number(encode_number(number)) == number


@unhurried
@given(st.integers(0, 2**80))
def test_a_number_is_letters_and_digits(number: int) -> None:
    assert re.fullmatch("[A-Za-z0-9]+", encode_number(number), re.ASCII)


@pytest.mark.parametrize("text", ["", "-", "_", "1-", "a b", "é", "\u0663", "+1", "."])
def test_what_is_no_number_is_none(text: str) -> None:
    assert decode_number(text) is None


def test_an_epoch_is_five_letters_and_digits() -> None:
    assert all(re.fullmatch("[A-Za-z0-9]{5}", new_epoch(), re.ASCII) for _ in range(200))


def test_epochs_differ() -> None:
    assert len({new_epoch() for _ in range(100)}) == 100


def test_a_nonce_is_three_characters_of_the_alphabet_of_ids() -> None:
    nonces = [new_nonce() for _ in range(5_000)]
    assert all(re.fullmatch("[A-Za-z0-9_-]{3}", nonce, re.ASCII) for nonce in nonces)
    for place in range(3):
        assert {nonce[place] for nonce in nonces} == set(string.ascii_letters + string.digits + "-_")


# -- ids


@unhurried
@given(st.integers(0, 62**11 - 1))
def test_an_id_tells_its_sequence_number(sequence: int) -> None:
    assert sequence_of(make_id(new_epoch(), sequence, new_nonce())) == sequence


@unhurried
@given(st.integers(0, 2**63))
def test_an_id_is_safe_to_send(sequence: int) -> None:
    assert ID.fullmatch(make_id(new_epoch(), sequence, new_nonce()))


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "a.b", "a..b", "a.b.c.d", "a.-.b", "a.é.b", "a." + "z" * 12 + ".b", "a.01.b", "a.00.b"],
)
def test_what_is_no_id_has_no_sequence_number(cursor: str) -> None:
    assert sequence_of(cursor) is None


@unhurried
@given(st.text())
def test_looking_for_a_sequence_number_never_fails(cursor: str) -> None:
    sequence_of(cursor)


# -- joint cursors


@unhurried
@given(stream_ids, ids)
def test_the_cursor_of_one_stream_stays_itself(name: str, cursor: str) -> None:
    assert join_cursors({name: cursor}) == cursor
    assert split_cursor(cursor, [name]) == {name: cursor}


@unhurried
@given(cursors, st.randoms())
def test_the_cursors_of_any_streams_come_back_in_any_order(
    given_cursors: dict[str, str], rng: object
) -> None:
    names = list(given_cursors)
    rng.shuffle(names)  # type: ignore[attr-defined]
    assert split_cursor(join_cursors(given_cursors), names) == given_cursors


@unhurried
@given(cursors)
def test_a_token_does_not_depend_on_the_order_of_streams(given_cursors: dict[str, str]) -> None:
    backwards = dict(reversed(given_cursors.items()))
    assert join_cursors(backwards) == join_cursors(given_cursors)


@unhurried
@given(cursors)
def test_a_joint_cursor_is_never_taken_for_an_id(given_cursors: dict[str, str]) -> None:
    assume(len(given_cursors) > 1)
    token = join_cursors(given_cursors)
    assert not ID.fullmatch(token)
    assert re.fullmatch("[A-Za-z0-9._-]+", token, re.ASCII)


@pytest.mark.parametrize(
    "sequences",
    [range(999_991, 1_000_001), [*range(9), 1_000_000], [0, 1_000_000] * 5, [62**3, 62**4 - 1] * 5],
    ids=["all long", "one long", "mixed", "far apart"],
)
def test_ten_streams_of_one_epoch_stay_within_128_bytes(sequences: list[int]) -> None:
    nonces = itertools.cycle(["aZ0", "-_9", "Q-x"])
    token = join_cursors(
        {f"user:{n}": make_id(EPOCH, sequence, next(nonces)) for n, sequence in enumerate(sequences)}
    )
    assert len(token) <= 128


@unhurried
@given(cursors, stream_ids)
def test_a_stream_that_the_token_does_not_speak_of_is_left_out(
    given_cursors: dict[str, str], new: str
) -> None:
    assume(len(given_cursors) > 1)
    assume(tag_of(new) not in {tag_of(name) for name in given_cursors})
    assert split_cursor(join_cursors(given_cursors), [*given_cursors, new]) == given_cursors


@unhurried
@given(cursors)
def test_a_stream_that_is_no_longer_asked_for_takes_no_others_with_it(given_cursors: dict[str, str]) -> None:
    assume(len({tag_of(name) for name in given_cursors}) == len(given_cursors) > 1)
    gone, *left = given_cursors
    assert split_cursor(join_cursors(given_cursors), left) == {name: given_cursors[name] for name in left}
    assert split_cursor(join_cursors(given_cursors), [gone]) == {gone: given_cursors[gone]}


@unhurried
@given(st.text() | st.from_regex("_[0-9A-Za-z_.-]*"), st.lists(stream_ids, max_size=5, unique=True))
def test_no_token_at_all_makes_splitting_fail(token: str, names: list[str]) -> None:
    assert set(split_cursor(token, names)) <= set(names)


@pytest.mark.parametrize(
    "token", ["", "x", "a.1.b", "🎈", "_", "_a", "_ab", "_ab0", "_ab09x", "_ab50", "_ab0é", "_\n"]
)
def test_a_token_that_is_not_ours_becomes_every_streams_cursor(token: str) -> None:
    assert split_cursor(token, ["a", "b"]) == {"a": token, "b": token}


def test_a_token_cut_short_anywhere_gives_no_stream_a_cursor_that_is_not_its_own() -> None:
    given_cursors = {name: make_id(EPOCH, 10**6 + n, "abc") for n, name in enumerate("abcde")}
    token = join_cursors(given_cursors)
    for cut in range(1, len(token)):
        for name, cursor in split_cursor(token[:cut], given_cursors).items():
            assert cursor in (given_cursors[name], token[:cut])


# -- names that share a tag


def test_names_that_share_a_tag_are_told_apart() -> None:
    first, second = names_with_one_tag(2)
    given_cursors = {first: "e.1.aaa", "other": "e.2.bbb", second: "e.3.ccc"}
    assert split_cursor(join_cursors(given_cursors), [second, "other", first]) == given_cursors


# Of three names that share a tag, those that the token was made for, and those then asked for.
SUBSETS = [set(names) for size in (1, 2, 3) for names in itertools.combinations(range(3), size)]


@pytest.mark.parametrize("asked", SUBSETS, ids=lambda names: "asked" + "".join(map(str, sorted(names))))
@pytest.mark.parametrize("given", SUBSETS, ids=lambda names: "given" + "".join(map(str, sorted(names))))
def test_a_stream_never_gets_the_cursor_of_another_that_shares_its_tag(
    given: set[int], asked: set[int]
) -> None:
    names = names_with_one_tag(3)
    given_cursors = {names[n]: f"e.{n}.aaa" for n in given} | {"other": "e.9.bbb"}
    token = join_cursors(given_cursors)
    for name, cursor in split_cursor(token, [names[n] for n in asked]).items():
        # One that is new to the token can't be told by its tag alone; there the broker refuses the id.
        if name in given_cursors:
            assert cursor in (given_cursors[name], token)
