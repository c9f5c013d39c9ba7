"""What the demo's run tells, a word at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

PAUSE: Final = 0.12
"""Seconds between two words."""

TEXT: Final = (
    "This text is made on the server, a word at a time, by a generator that knows nothing of this page. "
    "Close the tab, and it goes on: its words are put into a stream, whether anybody reads them or not. "
    "Open the page again, in as many windows as you like, and each of them has all of it, from the first "
    "word on, and goes on with the others. Cut the connection, and no word is missing afterwards, and none "
    "comes twice. Any of the windows may stop it. Then the generator is closed, as with an answer of a "
    "model that nobody wants to pay for any more, and all of them are told the same. If nobody stops it, "
    "they are told that it is done. And if the server is killed in the middle of a sentence, others tell "
    "them that it is lost: there is no waiting for an answer that can't come any more. In an app of yours, "
    "this may be such an answer, an export, a build, or a job in a worker that says how far it is."
)


def story() -> Iterator[str]:
    """The words of the text, each with the space after it."""
    for word in TEXT.split():
        yield f"{word} "
        time.sleep(PAUSE)
