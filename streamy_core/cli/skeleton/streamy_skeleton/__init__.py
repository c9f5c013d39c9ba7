"""`skeleton://log?history=50`: what Streamy finds this plug-in by, and what may be set."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from streamy_core.broker import Broker, BrokerFactory, hookimpl, options_of
from streamy_core.options import option, parse_options, whole


@hookimpl
def streamy_brokers() -> Mapping[str, BrokerFactory]:
    """The factory for each URL scheme."""
    return {"skeleton": from_url}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What may be set, in the URL's query or in `STREAMY_BROKER_OPTIONS`."""

    history: int = option(1_000, whole(1), doc="The newest entries of a stream that are kept.")


def from_url(url: str, options: Mapping[str, Any]) -> Broker:
    """The broker for this URL. Options win over what the URL's query says."""
    # Here, so that a driver that is missing harms nobody who uses another backend.
    from .broker import SkeletonBroker

    given = {**options_of(url), **options}
    parsed = parse_options(Options, given, "skeleton:// option {!r}".format)
    return SkeletonBroker(urlsplit(url).netloc, parsed.history)
