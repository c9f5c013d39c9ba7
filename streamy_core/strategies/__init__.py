"""Policies that an app may choose or write: small, frozen objects that decide, and do nothing themselves."""

from .clock import Clock, SystemClock
from .keepalive import FixedInterval, Jittered, KeepAliveScheduler, Never
from .retry import ExponentialBackoff, FixedDelay, NoRetry, RetryPolicy
from .slow_clients import Disconnect, Lag, SkipToLatest, SlowClientPolicy, Verdict

__all__ = [
    "Clock",
    "Disconnect",
    "ExponentialBackoff",
    "FixedDelay",
    "FixedInterval",
    "Jittered",
    "KeepAliveScheduler",
    "Lag",
    "Never",
    "NoRetry",
    "RetryPolicy",
    "SkipToLatest",
    "SlowClientPolicy",
    "SystemClock",
    "Verdict",
]
