"""What an app's clients take, of workers, descriptors and connections: `python sizing.py --clients 20000`."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scale import Costs, Plan, given
from scale import Load as Work

ACCEPTED = 1_000  # gunicorn's worker_connections
RESERVE = 128  # descriptors of a worker for everything else
PIECE = 1_000  # limits are rounded up to so many


@dataclass(frozen=True)
class Load:
    """What there is to do. Rates are in events a second."""

    clients: int = 20_000
    shared_rate: float = 1.0  # on one stream that everybody reads
    personal_rate: float = 200.0  # on the clients' own streams, in all
    others: int = 4  # further processes that publish: Celery's, scripts


@dataclass(frozen=True)
class Size:
    """What that takes. Of a worker: while one of the others is away."""

    workers: int
    most_clients: int
    descriptors: int
    client_mib: float
    nginx: int
    connections: int

    @classmethod
    def of(cls, load: Load, costs: Costs) -> Size:
        """Two workers at least: one may be away."""
        plan = Plan.of(Work(load.clients, load.shared_rate, load.personal_rate), costs)
        workers = max(2, plan.workers)
        most = math.ceil(load.clients / (workers - 1))
        return cls(
            workers=workers,
            most_clients=_up(most),
            descriptors=_up(_up(most) + ACCEPTED + RESERVE),
            client_mib=most * costs.client_kib / 1024,
            nginx=_up(2.1 * load.clients),
            connections=9 * (workers + load.others),
        )


def _up(count: float) -> int:
    return math.ceil(count / PIECE) * PIECE


def report(load: Load, costs: Costs) -> str:
    """All of it, as text."""
    size = Size.of(load, costs)
    return "\n".join(
        [
            f"clients                                      {load.clients:>10,}",
            f"workers, a core each                         {size.workers:>10,}",
            "of each worker, while one of the others is away",
            f"  STREAMY_MAX_CONNECTIONS                    {size.most_clients:>10,}",
            f"  ulimit -n                                  {size.descriptors:>10,}",
            f"  memory for clients                         {size.client_mib:>6.0f} MiB",
            f"worker_connections of nginx                  {size.nginx:>10,}",
            f"connections to Redis or a database, at most  {size.connections:>10,}",
        ]
    )


def main() -> None:
    print(report(*given(__doc__, Load), Costs()))


if __name__ == "__main__":
    main()
