"""The one place that reads a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

SLEW_SHARE = 0.005
"""How fast kernel time follows the system clock when that was set: 5 ms a second, an hour in eight days."""
APART_NS_MAX = 5_000_000_000
"""Beyond this difference a person is told."""


def now_ns() -> int:
    """Nanoseconds since the Unix epoch, as the system clock has it."""
    return time.time_ns()


def monotonic_s() -> float:
    """For measuring how long something took; never goes back."""
    return time.monotonic()


def utc_now() -> str:
    """ISO 8601 with milliseconds, as VDA 5050 and the logs write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class SteadyClock:
    """Kernel time: begins with the system clock, runs with the monotonic one and never goes back.

    A system clock that is set (by hand, by NTP after a long outage, at a changed battery) must neither let all
    time limits run out at once nor stop them for an hour, so kernel time only slews towards it. `not_before_ns` is
    the time of the journal's last input: time goes on from there even where the clock has been set back since.
    """

    def __init__(
        self,
        not_before_ns: int = 0,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._read_ns = monotonic_ns()
        self._time_ns = max(wall_ns(), not_before_ns)

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch by this clock."""
        read_ns = self._monotonic_ns()
        passed_ns = max(read_ns - self._read_ns, 0)
        self._read_ns = read_ns
        self._time_ns += passed_ns
        slew_ns = int(passed_ns * SLEW_SHARE)
        self._time_ns += max(-slew_ns, min(slew_ns, self._wall_ns() - self._time_ns))
        return self._time_ns

    def apart_ns(self) -> int:
        """By how much the system clock is ahead of this one (negative: behind)."""
        return self._wall_ns() - self.now_ns()

    def problem(self) -> str:
        """What a person has to know about the two clocks, "" while they agree within 5 s."""
        apart_ns = self.apart_ns()
        if abs(apart_ns) <= APART_NS_MAX:
            return ""
        by = f"{abs(apart_ns) / 1e9:.0f} s {'ahead of' if apart_ns > 0 else 'behind'}"
        return (
            f"the system clock is {by} the gateway's time, so it was set while the gateway "
            "ran or was off. Time limits are not affected; check the time service (NTP) and the clock's battery"
        )
