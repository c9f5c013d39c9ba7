"""Puts questions to those who know of rights, on threads of its own: each call has a deadline.

Nobody can end a call that hangs. So its thread is given up, up to a bound, and another asks the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable
from itertools import chain, islice
from typing import Final, NamedTuple

from ..strategies.clock import Clock
from .questions import Answer, Failure, Question, Recheck

AT_ONCE: Final = 4
"""The most calls that are waited for at once."""

OF_ONE: Final = AT_ONCE - 1
"""The most of them to one that answers for one client at a time: others have a thread left."""

HANGING: Final = 12
"""The most threads, with those that were given up."""

HANGING_EACH: Final = 4
"""The most that one may hold of those that were given up: others have some left."""

HANGING_OF_ONE: Final = 2
"""So many calls that hang over one question, and it isn't asked again until one of them returns."""

TOGETHER: Final = 10_000
"""The most questions in one call."""

_IDLE: Final = 3.0
"""Seconds without a question after which a thread ends."""


class Answered(NamedTuple):
    """Answers of one call, in the order of its questions.

    asked_at: when it began, by the clock. late: whether that it is overdue was an answer before.
    """

    recheck: Recheck
    questions: Collection[Question]
    answers: list[Answer]
    asked_at: float
    late: bool = False


class Asker:
    """Threads, while there is something to ask. Any thread.

    timeout: seconds that a call may take. What it answers later than that is an answer all the same.
    clock:   what they go by.
    changed: called when there is something to `collect`, or a deadline of which `due_at` hadn't known.
    """

    def __init__(self, timeout: float, clock: Clock, changed: Callable[[], object]) -> None:
        self._timeout = timeout
        self._clock = clock
        self._changed = changed
        self._wanted = threading.Condition()
        self._lines: dict[Recheck, _Line] = {}
        self._calls: dict[_Call, None] = {}
        self._answered: list[Answered] = []
        self._threads = 0
        self._idle = 0
        self._closed = False

    def ask(self, recheck: Recheck, questions: Iterable[Question]) -> None:
        """Put these, once each. One that is waiting already isn't put twice."""
        with self._wanted:
            self._add(recheck, [*questions], urgent=False)

    def ask_soon(self, recheck: Recheck, question: Question) -> None:
        """Put this before others, unless it is being answered already."""
        with self._wanted:
            if not any(call.is_about(recheck, question) and not call.overdue for call in self._calls):
                self._add(recheck, [question], urgent=True)

    def collect(self) -> list[Answered]:
        """The answers since the last time. A call that is overdue has failed; it may still answer."""
        now = self._clock()
        with self._wanted:
            for call in self._calls:
                if not call.overdue and call.began_at + self._timeout <= now:
                    call.overdue = True
                    self._fail(call.recheck, call.questions, f"it took longer than {self._timeout:g} s")
            self._see_to_threads()
            found, self._answered = self._answered, []
            return found

    def waiting(self, recheck: Recheck) -> int:
        """How many questions wait for a thread that puts them."""
        with self._wanted:
            line = self._lines.get(recheck)
            return 0 if line is None else len(line.urgent) + len(line.others)

    def due_at(self) -> float | None:
        """When a call is overdue next; None: no call is waited for."""
        with self._wanted:
            began = [call.began_at for call in self._calls if not call.overdue]
        return min(began) + self._timeout if began else None

    def close(self) -> None:
        """Ask no more. Nobody is waited for. Closing twice does nothing."""
        with self._wanted:
            self._closed = True
            self._lines.clear()
            self._wanted.notify_all()

    def _add(self, recheck: Recheck, questions: list[Question], *, urgent: bool) -> None:
        if self._closed:
            return
        asked: list[Question] = []
        for question in questions:
            if self._hangs(recheck, question):
                self._fail(recheck, [question], "earlier calls about the same client still hang")
            else:
                asked.append(question)
        if asked:
            line = self._lines.setdefault(recheck, _Line())
            (line.urgent if urgent else line.others).update(dict.fromkeys(asked))
            self._see_to_threads()

    def _hangs(self, recheck: Recheck, question: Question) -> bool:
        if recheck.many:
            return False
        hanging = [call for call in self._calls if call.overdue and call.is_about(recheck, question)]
        return len(hanging) >= HANGING_OF_ONE

    def _fail(self, recheck: Recheck, questions: Collection[Question], reason: str) -> None:
        answers: list[Answer] = [Failure(reason)] * len(questions)
        self._answered.append(Answered(recheck, questions, answers, self._clock()))
        self._changed()

    def _fail_all(self, reason: str) -> None:
        lines, self._lines = self._lines, {}
        for recheck, line in lines.items():
            self._fail(recheck, line.take(None), reason)

    def _see_to_threads(self) -> None:
        """See that somebody asks what is waiting; if all hang that there may be, it has failed."""
        if not self._lines:
            return
        given_up = sum(call.overdue for call in self._calls)
        if given_up >= HANGING:
            self._fail_all(f"{HANGING} calls hang, and no thread is left")
            return
        for recheck in list(self._lines):
            if sum(call.overdue and call.recheck == recheck for call in self._calls) >= HANGING_EACH:
                self._fail(recheck, self._lines.pop(recheck).take(None), f"{HANGING_EACH} calls of it hang")
        if not self._idle and self._threads < min(HANGING, given_up + AT_ONCE):
            self._start_thread()
        self._wanted.notify()

    def _start_thread(self) -> None:
        self._threads += 1
        try:
            threading.Thread(target=self._run, name="streamy-asker", daemon=True).start()
        except RuntimeError:  # the system has no more
            self._threads -= 1
            if not self._threads:
                self._fail_all("no thread could be started to ask it")

    def _run(self) -> None:
        while self._do_next():
            pass

    def _do_next(self) -> bool:
        """False when there is nothing more to ask. Holds on to nothing while it waits."""
        if (call := self._wait_for_call()) is None:
            return False
        answers = call.recheck.ask(call.questions)
        with self._wanted:
            del self._calls[call]
            if not call.overdue or not any(isinstance(answer, Failure) for answer in answers):
                answered = Answered(call.recheck, call.questions, answers, call.began_at, call.overdue)
                self._answered.append(answered)
            self._see_to_threads()
        self._changed()
        return True

    def _wait_for_call(self) -> _Call | None:
        with self._wanted:
            while not self._closed:
                if (call := self._next_call()) is not None:
                    if all(other.overdue for other in self._calls):
                        self._changed()  # the deadlines of others would come before its own
                    self._calls[call] = None
                    self._see_to_threads()
                    return call
                self._idle += 1
                woken = self._wanted.wait(_IDLE)
                self._idle -= 1
                if not (woken or self._lines):
                    break
            self._threads -= 1
            return None

    def _next_call(self) -> _Call | None:
        waited_for = [call for call in self._calls if not call.overdue]
        if len(waited_for) >= AT_ONCE:
            return None
        for recheck, line in self._lines.items():
            running = sum(call.recheck == recheck for call in waited_for)
            if running < (1 if recheck.many else OF_ONE):
                questions = line.take(TOGETHER if recheck.many else 1)
                del self._lines[recheck]
                if line:
                    self._lines[recheck] = line  # after all others
                return _Call(recheck, questions, self._clock())
        return None


class _Line:
    """What is waiting to be put to one: what is urgent, and the others, in turns."""

    __slots__ = ("_others_first", "others", "urgent")

    def __init__(self) -> None:
        self.urgent: dict[Question, None] = {}
        self.others: dict[Question, None] = {}
        self._others_first = False

    def __bool__(self) -> bool:
        return bool(self.urgent or self.others)

    def take(self, most: int | None) -> dict[Question, None]:
        """So many of them, or all; they wait no longer."""
        parts = (self.others, self.urgent) if self._others_first else (self.urgent, self.others)
        self._others_first = not self._others_first
        found = dict.fromkeys(islice(chain(*parts), most))
        for question in found:
            self.urgent.pop(question, None)
            self.others.pop(question, None)
        return found


class _Call:
    """One that is under way. overdue: whether its deadline is over."""

    __slots__ = ("began_at", "overdue", "questions", "recheck")

    def __init__(self, recheck: Recheck, questions: dict[Question, None], began_at: float) -> None:
        self.recheck = recheck
        self.questions = questions
        self.began_at = began_at
        self.overdue = False

    def is_about(self, recheck: Recheck, question: Question) -> bool:
        """Whether it puts this question."""
        return question in self.questions and recheck == self.recheck
