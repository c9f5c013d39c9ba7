"""What all processes of an app tell of themselves, for its operator: the live page, `flask streamy top`.

Each process with `STREAMY_OVERVIEW` tells a `Summary` of itself every few seconds, on a stream of Streamy's
own. An `Overview` gathers them, in any process; one that tells nothing any more is left out.
"""

from .overview import Overview, Process, Rates
from .summary import GroupSummary, RunSummary, StreamSummary, Summary, Wrong

__all__ = ["GroupSummary", "Overview", "Process", "Rates", "RunSummary", "StreamSummary", "Summary", "Wrong"]
