"""What a backend hands over, looked at once: sound entries become frames, what is damaged becomes a gap.

Others may have written into a log, and a broker may be anybody's. So nothing is taken for granted, and
nothing is raised: one bad entry is to spoil itself only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..events import RESERVED_PREFIX, DamagedEvent, Entry, Event, Page
from ..ids import ID, OLDEST, UNPLACEABLE
from ..observers import GapCause
from .expiry import as_published
from .frames import Frame, cause_of, end_frame, frame_of, gap_frame, hidden_frame
from .outcomes import end_of, is_of_a_run

_SHOWN: Final = 200

Report = Callable[[str | None, str, Frame | None], None]
"""Told of what is damaged: the entry's id, or None for all that is kept of a stream; the reason; and the
gap's frame, if readers are told by one."""


def check_page(stream_id: str, cursor: str, page: Any, report: Report) -> tuple[list[Frame], Page]:
    """The frames of a page that was read after `cursor`, and the page; gap and end become frames, too."""
    try:
        if usable_cursor(page.cursor) is None or (page.cursor == OLDEST and (page.gap or page.ended)):
            raise ValueError(f"its cursor is {page.cursor!r}")
        if page.gap:
            return [_gap(stream_id, cursor, page, report)], page
        if page.damage is not None:
            report(None, _cut(page.damage), None)
        frames = _frames(stream_id, cursor, page, report)
    except Exception as error:  # noqa: BLE001 - of somebody else's broker
        report(None, _cut(f"the broker gave no page: {type(error).__name__}: {error}"), None)
        return [], Page((), usable_cursor(cursor) or UNPLACEABLE)
    if page.ended and page.cursor != (frames[-1].entry.id if frames else cursor):
        end = end_of(frames[-1].entry.event) if frames else None
        if end is not None:
            frames.pop()  # of what a run's last entry says, the end tells
        frames.append(end_frame(stream_id, page.cursor, None if end is None else end.told()))
    return frames, page


def usable_cursor(cursor: Any) -> str | None:
    """The cursor, if clients can be given it. `OLDEST` they are not given, and it is harmless."""
    return cursor if type(cursor) is str and (ID.fullmatch(cursor) or cursor == OLDEST) else None


def _gap(stream_id: str, cursor: str, page: Page, report: Report) -> Frame:
    cause = cause_of(cursor, page.cursor) if page.damage is None else GapCause.DAMAGED
    frame = gap_frame(stream_id, cursor, page.cursor, cause, placed=False)
    if page.damage is not None:
        report(None, _cut(page.damage), frame)
    return frame


def _frames(stream_id: str, cursor: str, page: Page, report: Report) -> list[Frame]:
    frames: list[Frame] = []
    passed_over: list[tuple[str, str]] = []  # what has no id to go on after, and why
    for entry in page.entries:
        found = _look_at(stream_id, entry)
        if isinstance(found, Frame) and not passed_over:
            frames.append(found)
            cursor = entry.id
            continue
        # Nobody can go on after what has no id: with it goes the next that has one.
        if isinstance(found, str):
            passed_over.append((_cut(str(getattr(entry, "id", "")) or "?"), found))
        if not (goes_on := usable_cursor(getattr(entry, "id", None))):
            continue
        frame = gap_frame(stream_id, cursor, goes_on, GapCause.DAMAGED)
        for entry_id, why in passed_over:
            report(entry_id, why, frame)
        passed_over.clear()
        frames.append(frame)
        cursor = goes_on
    for entry_id, why in passed_over:
        report(entry_id, why, None)
    return frames


def _look_at(stream_id: str, entry: Entry) -> Frame | str:
    """The entry's frame, or why it can't be passed on."""
    try:
        entry_id, name_of_stream, event = entry
        if type(entry_id) is not str or not ID.fullmatch(entry_id):
            return "its id is none"
        if name_of_stream != stream_id:
            return "it is another stream's"
        if type(event) is not Event:
            return _cut(event.reason) if isinstance(event, DamagedEvent) else "its event is none"
        if event.name is None or not event.name.startswith(RESERVED_PREFIX):
            return frame_of(entry)
        if is_of_a_run(event):
            return hidden_frame(entry)
        published, until = as_published(event)
        if until is None:
            return f"its name is one of Streamy's own, {_cut(event.name)!r}, and somebody else has written it"
        return frame_of(entry._replace(event=published), until)
    except Exception as error:  # noqa: BLE001 - of somebody else's broker
        return _cut(f"it is none: {type(error).__name__}: {error}")


def _cut(text: str) -> str:
    return text[:_SHOWN]
