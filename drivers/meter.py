"""What one device's link has done, counted: requests, errors, answers by time, data age, connects."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from gateway.contract import LATENCY_BOUNDS_MS, DeviceId, LinkFigures, Ns


class Meter:
    """Counters of one device. `now_ns` is the loop's monotonic clock, in nanoseconds."""

    def __init__(self, device: DeviceId, protocol: str, now_ns: Callable[[], Ns]) -> None:
        self.device = device
        self.protocol = protocol
        self.requests = 0
        """Reads, writes, calls and publications begun."""
        self.errors = 0
        """Of these: refused, unanswered, or answered with something else."""
        self.bad_values = 0
        self.messages_in = 0
        """Notifications and messages that came unasked."""
        self.connects = 0
        """Connections made; one more than the reconnects."""
        self._now_ns = now_ns
        self._buckets = [0] * (len(LATENCY_BOUNDS_MS) + 1)
        self._sum_ms = 0.0
        self._fresh_ns: Ns | None = None

    def answered(self, latency_ns: Ns) -> None:
        """A request was answered in so much time, well or with a refusal; the device lives."""
        latency_ms = latency_ns / 1e6
        self._buckets[bisect_left(LATENCY_BOUNDS_MS, latency_ms)] += 1
        self._sum_ms += latency_ms
        self._fresh_ns = self._now_ns()

    def heard(self) -> None:
        """The device said something unasked."""
        self.messages_in += 1
        self._fresh_ns = self._now_ns()

    def figures(self) -> LinkFigures:
        age_ms = None if self._fresh_ns is None else (self._now_ns() - self._fresh_ns) / 1e6
        return LinkFigures(
            device=self.device,
            protocol=self.protocol,
            requests=self.requests,
            errors=self.errors,
            bad_values=self.bad_values,
            messages_in=self.messages_in,
            connects=self.connects,
            latency_buckets=tuple(self._buckets),
            latency_sum_ms=self._sum_ms,
            data_age_ms=age_ms,
        )
