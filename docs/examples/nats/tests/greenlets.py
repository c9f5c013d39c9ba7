"""Publishes, watches and reads with gevent's threads. Argument: the server's URL."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402

from streamy_nats import from_url  # noqa: E402

from streamy_core.testing.reading import events, read_all, wait_for_bell  # noqa: E402

with from_url(sys.argv[1], {}) as broker, ThreadPoolExecutor(4) as pool:
    watch = broker.watch()
    watch.add("news")
    waiting = pool.submit(wait_for_bell, watch, "news")
    for ids in [pool.submit(broker.append, "news", events(str(n))) for n in range(20)]:
        ids.result()
    waiting.result()
    print("heard, and read", len(read_all(broker, "news")))
