"""Looks at the rights of connected clients again, now and then, and takes away the streams that are lost.

Each process asks for its own clients. Nothing of it runs while there is no client with a check.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from ..config import Settings
from ..errors import Closed
from .asking import Answered, Asker
from .questions import NOTHING, Answer, Failure, Question, Recheck
from .session import Session

logger: Final = logging.getLogger("streamy.delivery")

_SOONER: Final = 0.98
"""The part of the interval after which it is asked again: an answer takes its time, too."""

_QUIET: Final = 300.0
"""Seconds without a failure after which one is news again."""

_AFTER_AN_ERROR: Final = 1.0

_REMEMBERED: Final = 1_000

Lose = Callable[[frozenset[str]], None]
"""Takes these streams from a client. Any thread; must not block."""


class Rechecks:
    """See the module. Any thread.

    settings: say how often, by which clock, with which deadline, and what a failure means.
    leaving:  told how many clients are about to be disconnected together.
    """

    def __init__(self, settings: Settings, leaving: Callable[[int], None]) -> None:
        self._every = settings.recheck_every
        self._closes = settings.recheck_failure == "disconnect"
        self._clock = settings.clock
        self._leaving = leaving
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._asker = Asker(settings.recheck_timeout, settings.clock, self._changed.set)
        self._clients: dict[Recheck, dict[Question, dict[Session, Lose]]] = {}
        self._held: dict[tuple[Recheck, Question], list[Callable[[], None]]] = {}
        self._confirmed: dict[Recheck, dict[Question, float]] = {}  # when those were asked who may read all
        self._said: dict[str, float] = {}  # when each trouble was there last
        self._next_round = 0.0
        self._running = False
        self._closed = False

    def add(self, session: Session, lose: Lose) -> None:
        """A client is there, or reads other streams than before."""
        if session.recheck is None:
            return
        with self._lock:
            questions = self._clients.setdefault(session.recheck, {})
            questions.setdefault(session.question, {})[session] = lose
            started = self._start()
        if not started and self._closes:
            lose(frozenset(session.streams))  # nobody would look at its right

    def discard(self, session: Session) -> None:
        """It is gone, or reads other streams now."""
        if (recheck := session.recheck) is None:
            return
        with self._lock:
            questions = self._clients.get(recheck, {})
            clients = questions.get(session.question, {})
            clients.pop(session, None)
            if not clients:
                questions.pop(session.question, None)
            if not questions:
                self._clients.pop(recheck, None)

    def hold(self, session: Session, release: Callable[[], None]) -> bool:
        """Whether what lies back has to wait, since the right to it wasn't looked at lately.

        If so, `release` is called once, after what is lost has been taken away. As `Lose`. The client
        has been added.
        """
        if (recheck := session.recheck) is None:
            return False
        question = session.question
        with self._lock:
            asked_at = self._confirmed.get(recheck, {}).get(question)
            if self._closed or (asked_at is not None and self._clock() - asked_at < self._every):
                return False
            if not self._start():
                return False  # as `add` has found, too
            self._held.setdefault((recheck, question), []).append(release)
        self._asker.ask_soon(recheck, question)
        return True

    def close(self) -> None:
        """Ask no more. Closing twice does nothing."""
        with self._lock:
            self._closed = True
        self._asker.close()
        self._changed.set()

    def _start(self) -> bool:
        """Whether somebody looks at rights, or needn't any more. The next client tries again."""
        if not (self._running or self._closed):
            self._next_round = self._clock() + self._every * _SOONER
            try:
                threading.Thread(target=self._run, name="streamy-rechecks", daemon=True).start()
            except RuntimeError as error:  # the system has no more
                logger.error("rights can't be looked at again: %s", error)
                return False
            self._running = True
        return True

    def _run(self) -> None:
        going = True
        while going:
            try:
                going = self._turn()
            except Exception:
                # Whatever it is: rights that nobody looks at any more would last for ever.
                logger.exception("re-checks go on after an error")
                time.sleep(_AFTER_AN_ERROR)

    def _turn(self) -> bool:
        """False when nobody is there any more."""
        due = self._asker.due_at()
        self._clock.wait(self._changed, self._next_round if due is None else min(due, self._next_round))
        self._changed.clear()
        if self._clock() >= self._next_round:
            self._begin_round()
        for answered in self._asker.collect():
            self._apply(answered)
        with self._lock:
            self._running = not self._closed and bool(self._clients or self._held)
            return self._running

    def _begin_round(self) -> None:
        now = self._clock()
        self._next_round = now + self._every * _SOONER
        with self._lock:
            asked = [(recheck, list(questions)) for recheck, questions in self._clients.items()]
            for recheck, confirmed in list(self._confirmed.items()):
                recent = {question: at for question, at in confirmed.items() if now - at < self._every}
                self._confirmed[recheck] = recent
                if not recent:
                    del self._confirmed[recheck]
        for recheck, questions in asked:
            if (waiting := self._asker.waiting(recheck)) and self._is_news(f"{recheck.name} is late", now):
                logger.warning(
                    "the re-check %s can't be asked about everybody within %g s (STREAMY_RECHECK_EVERY): %d "
                    "questions still wait. Set STREAMY_RECHECK_MANY, which answers many at once",
                    recheck.name,
                    self._every,
                    waiting,
                )
            self._asker.ask(recheck, questions)

    def _apply(self, answered: Answered) -> None:
        recheck = answered.recheck
        losing: list[Callable[[], None]] = []
        released: list[Callable[[], None]] = []
        failures: list[Failure] = []
        leaving = 0
        with self._lock:
            clients = self._clients.get(recheck, {})
            for question, answer in zip(answered.questions, answered.answers, strict=True):
                if isinstance(answer, Failure):
                    failures.append(answer)
                if (lost := self._lost(question, answer, answered)) is None:
                    continue
                if lost:
                    of_one = [partial(lose, lost) for lose in clients.get(question, {}).values()]
                    losing += of_one
                    leaving += len(of_one) if len(lost) == len(question.stream_ids) else 0
                released += self._held.pop((recheck, question), ())
        if failures:
            self._say_so(recheck, failures)
        if leaving:
            self._leaving(leaving)
        for act in (*losing, *released):
            try:
                act()
            except Exception:
                logger.exception("what a re-check said could not be done for one client")

    def _lost(self, question: Question, answer: Answer, answered: Answered) -> frozenset[str] | None:
        """What is lost by this answer; None for one that comes too late to say anything."""
        confirmed, asked_at = self._confirmed.setdefault(answered.recheck, {}), answered.asked_at
        if asked_at < confirmed.get(question, -math.inf):
            return None
        if isinstance(answer, Failure):
            lost = frozenset(question.stream_ids if self._closes else ())
        elif answer:
            lost = answer
        elif answered.late:
            return None
        else:
            confirmed[question] = asked_at
            return NOTHING
        confirmed.pop(question, None)
        return lost

    def _say_so(self, recheck: Recheck, failures: list[Failure]) -> None:
        """Say that it has failed, unless that was said."""
        first = failures[0]
        if isinstance(first.error, Closed):  # the app is gone, or about to stop
            return
        if self._is_news(recheck.name, self._clock()):
            logger.error(
                "the re-check %s failed: %s. Clients that it was asked about %s (STREAMY_RECHECK_FAILURE). "
                "This is said once, until it has worked for %d minutes",
                recheck.name,
                first.reason,
                "are disconnected" if self._closes else "go on reading",
                _QUIET / 60,
                exc_info=first.error,
            )

    def _is_news(self, what: str, now: float) -> bool:
        """Whether there was no such trouble for long."""
        last = self._said.pop(what, None)
        self._said[what] = now
        if len(self._said) > _REMEMBERED:
            del self._said[next(iter(self._said))]
        return last is None or now - last >= _QUIET
