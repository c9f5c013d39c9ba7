"""What deliveries go by, for tests that make one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from streamy_core import StreamManager
from streamy_core.delivery.delivery import Terms
from streamy_core.delivery.journal import Journal
from streamy_core.delivery.limits import Limits
from streamy_core.delivery.rechecks import Rechecks
from streamy_core.delivery.replayer import Replayer
from streamy_core.observers.signals import Signals


def terms_of(sse: StreamManager, limits: Limits | None = None, **settings: Any) -> Terms:
    """Those of this manager's only app, with some settings replaced."""
    binding = sse.binding
    hub, changed = binding.engine.hub, replace(binding.settings, **settings)
    replayer = Replayer(changed.retry, hub.log.failed)
    limits = limits or Limits(most=None, per_key=None)
    rechecks = Rechecks(changed, limits.note_so_many_leaving)
    return Terms(hub, changed, limits, Journal(), replayer, Signals(sse), rechecks)
