"""One manager's part in the overview, in one process: it counts what happens, and tells it."""

from __future__ import annotations

import os

from ..engine.engine import Engine
from .busiest import Busiest
from .overview import Overview
from .summarizing import Summarizer
from .telling import Teller


class Reporting:
    """See the module. Nothing is told before `start`. Any thread.

    Its attribute `overview` gathers what all processes have told.

    summarizer: of the manager. busiest: one of its observers.
    """

    def __init__(self, engine: Engine, summarizer: Summarizer, busiest: Busiest) -> None:
        self._canary = engine.canary
        self._serving_in = 0
        self._summarizer = summarizer
        self._teller = Teller(
            engine.hub,
            engine.publisher.tell,
            summarize=summarizer.now,
            farewell=summarizer.farewell,
            viewers=lambda: busiest.viewers,
        )
        busiest.on_viewer = self._teller.hurry
        self.overview: Overview = Overview(engine)

    @property
    def process(self) -> str:
        """The name by which this process tells of itself."""
        return self._summarizer.process

    @property
    def serving(self) -> bool:
        """Whether it is known that this process serves requests."""
        return self._serving_in == os.getpid()

    def serves(self, server: str) -> None:
        """This process serves requests, by the server of this name: see that it tells, and listens."""
        self._summarizer.server = server
        self._canary.start()
        if not self._teller.start():  # it waits, in case this is a script
            self._teller.hurry()
        if self._teller.has_begun:  # if not, the next request tries again
            self._serving_in = os.getpid()

    def publishes(self) -> None:
        """This process publishes: see that it tells, if it is there for longer than scripts are."""
        self._teller.start(at_once=False)

    def hurry(self) -> None:
        """Tell soon."""
        self._teller.hurry()

    def close(self) -> None:
        """Tell that it stops, and no more. Closing twice does nothing."""
        self._teller.close()
