"""What is tried: nearly what it should be, and anything else."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple
from urllib.parse import quote

from hypothesis import strategies as st

from streamy_backends.sql.pages import Row
from streamy_core.broker import DamagedEvent, Entry, Event, Page
from streamy_core.errors import InvalidEvent

from ..support.secrets import PART, PLACES, special

# One choice among others, and not five of them.
anything = st.deferred(
    lambda: st.text(max_size=12) | st.binary(max_size=12) | st.none() | st.integers() | st.booleans()
)

in_a_header = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=40)


@st.composite
def near(draw: st.DrawFn, known: list[str]) -> str:
    """One of these, with a piece put in, left out or written twice; now and then as it is."""
    text = draw(st.sampled_from(known))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, len(text)))
        piece = draw(st.sampled_from(["", "0", ".", "_", "-", text[start:end] * 2, "é", " "]))
        text = text[:start] + piece + text[end:]
    return text


def cursors(known: list[str]) -> st.SearchStrategy[str]:
    return near(known) | in_a_header | st.text("0123456789abc._-", max_size=140)


class Raising:
    """Has nothing that one might ask it for."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("of somebody else's broker")


@st.composite
def events(draw: st.DrawFn) -> Any:
    data = draw(st.text(max_size=30))
    name = draw(
        st.none() | st.sampled_from(["a", "streamy.end", "streamy.gap", "a\nid: 1"]) | st.text(max_size=5)
    )
    try:
        return Event(data, name, draw(st.none() | st.integers(-5, 5)))
    except InvalidEvent:
        return draw(st.sampled_from([DamagedEvent(reason="written by somebody else"), Raising(), None]))


ids = (
    st.sampled_from(["e.1.abc", "e.2.abc", "", "e.1.abc\nid: x", "x" * 300])
    | st.sampled_from(["e.4.abc", "e.5.abc"])
    | st.text(max_size=8)
    | anything
)
entries = (
    st.builds(Entry, ids, st.sampled_from(["news", "other"]) | anything, events())
    | st.builds(Entry, st.just("e.3.abc"), st.just("news"), events())
    | st.builds(Raising)
    | anything
)
pages = (
    st.builds(
        Page,
        st.lists(entries, max_size=4).map(tuple) | anything,
        ids,
        ended=st.booleans(),
        gap=st.booleans(),
        more=st.booleans(),
        damage=st.none() | st.text(max_size=5),
    )
    | st.builds(Raising)
    | anything
)


some_headers = st.sampled_from(["X", "Content-Length", "Transfer-Encoding"])
headers = st.dictionaries(st.text(max_size=8) | some_headers, st.text(max_size=20) | in_a_header, max_size=3)

some_texts = st.sampled_from(
    [b"abc\n\n", b"abc\n5\nname", b"abc\n\nstreamy.end", b"a b\n\n", b"a\n-1\n", b"\n\n\n"]
)
texts_of_redis = st.lists(st.binary(max_size=20) | some_texts, max_size=6)

row = st.builds(
    Row,
    st.just(0),
    st.just("abc") | anything,
    st.none() | st.sampled_from(["name", "streamy.end"]) | anything,
    st.none() | anything,
    st.just("data") | anything,
    st.none() | st.integers(),
)


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    """One after another, or now and then with one missing."""
    found = draw(st.lists(row, max_size=4))
    missing = draw(st.none() | st.integers(0, 4))
    numbers = (number for number in range(1, 6) if number != missing)
    return [one._replace(sequence=number) for one, number in zip(found, numbers, strict=False)]


class Sent(NamedTuple):
    """The bytes of a request, in the pieces in which they are sent."""

    pieces: tuple[bytes, ...]


_FIELDS = """
Content-Length: 0
Content-Length: 1
Content-Length: 5
Content-Length: -1
Content-Length: 1, 1
Transfer-Encoding: chunked
Transfer-Encoding: gzip
Transfer-Encoding: chunked, chunked
Connection: close
Connection: keep-alive
Connection: upgrade
Upgrade: h2c
Expect: 100-continue
Accept-Encoding: gzip
Last-Event-ID: x
Last-Event-ID: _
Last-Event-ID: e.1.abc
Range: bytes=0-1
If-None-Match: *
TE: trailers
Trailer: X
X: y
X : y
 folded
X
: y
Host: b
""".strip("\n").split("\n")
_METHODS = [*["GET"] * 5, "HEAD", "POST", "OPTIONS", "get", "PRI"]
_TARGETS = [*["/stream?ids=news"] * 4, "/stream?ids=news,other", "/hello", "*", "//stream"]
_VERSIONS = [*["HTTP/1.1"] * 5, "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9", ""]
_CHUNKS = [b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"ffffffff\r\n"]
_BODIES = [b"", b"x", b"hello", b"GET / HTTP/1.1\r\n\r\n", *_CHUNKS]


@st.composite
def requests(draw: st.DrawFn) -> Sent:
    method = draw(st.sampled_from(_METHODS))
    target = draw(st.sampled_from(_TARGETS))
    version = draw(st.sampled_from(_VERSIONS))
    fields = draw(st.lists(st.sampled_from(_FIELDS), max_size=4))
    lines = "\r\n".join([f"{method} {target} {version}", "Host: a", *fields, "", ""])
    data = lines.encode() + draw(st.sampled_from(_BODIES) | st.binary(max_size=20))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=2)))
    places = [0, *cuts, len(data)]
    return Sent(tuple(data[start:end] for start, end in pairwise(places)))


in_passwords = special | st.characters(exclude_categories=["Cs"])


@st.composite
def passwords(draw: st.DrawFn, unclear: str = "") -> str:
    """Parts between anything, all of it percent-encoded or just what would be `unclear`."""
    text = PART.join(["", *draw(st.lists(in_passwords, max_size=3)), ""]) or PART
    encode = partial(quote, safe="") if draw(st.booleans()) else str
    return "".join(quote(char, safe="") if char in unclear else encode(char) for char in text)


options_with_passwords = st.fixed_dictionaries(
    {},
    optional={
        "password": passwords() | st.binary() | st.integers(),
        "username": passwords(),
        "sentinel_password": passwords(),
        "pasword": passwords(),
        "api_token": st.dictionaries(st.text(max_size=5), passwords(), max_size=2),
        "connect_args": st.fixed_dictionaries({"password": passwords()}) | anything,
        "history": anything,
        "timeout": st.sampled_from([0.1, -1, "x", None]),
    },
)


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """A broker's URL and options, with a password wherever one may stand."""
    place = draw(st.sampled_from(PLACES))
    url = place.shape.replace("{}", draw(passwords(place.unclear)))
    if draw(st.booleans()):
        return {"STREAMY_BROKER_URL": url}
    return {"STREAMY_BROKER_URL": url, "STREAMY_BROKER_OPTIONS": draw(options_with_passwords)}
