"""What metrics cost: `python -m tests.bench.metrics [--rounds 5] [--several]`.

The same deliveries with and without them, in turns; each ratio is of figures from this run.

--several: by the files of prometheus-client's mode for several processes.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict
from contextlib import ExitStack
from tempfile import TemporaryDirectory

from .fanout import many_streams, one_stream, report
from .processes import prepare, streamy

LOADS = {"1 stream x 1,000 clients": one_stream, "100 streams x 10 clients": many_streams}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--several", action="store_true")
    args = parser.parse_args()
    prepare()
    costs: dict[tuple[str, bool], list[float]] = defaultdict(list)
    for number in range(args.rounds):  # one process may lie better in memory than another: new ones each time
        with ExitStack() as stack:
            kept = {"METRICS": "prometheus"}
            if args.several:
                kept["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(TemporaryDirectory())
            servers = {
                False: stack.enter_context(streamy()),
                True: stack.enter_context(streamy(**kept)),
            }
            for turn in range(4):
                for measured in (False, True) if (number + turn) % 2 else (True, False):
                    for name, load in LOADS.items():
                        costs[name, measured].append(load(servers[measured], 60, 40)[0])
    for name in LOADS:
        without, with_them = (statistics.median(costs[name, measured]) for measured in (False, True))
        figure = f"{with_them:.2f} / {without:.2f} us = {with_them / without:.3f}"
        report(name, figure, "<= 1.01")


if __name__ == "__main__":
    main()
