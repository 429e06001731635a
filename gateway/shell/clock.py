"""The one place that reads a clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now_ns() -> int:
    """Nanoseconds since the Unix epoch."""
    return time.time_ns()


def monotonic_s() -> float:
    """For measuring how long something took; never goes back."""
    return time.monotonic()


def utc_now() -> str:
    """ISO 8601 with milliseconds, as VDA 5050 and the logs write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix_s() -> int:
    return int(time.time())
