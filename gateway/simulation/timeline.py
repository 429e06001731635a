"""Virtual time: a heap of timed events. The only clock that a simulated run has."""

from __future__ import annotations

import heapq
from collections.abc import Callable

EVENTS_MAX = 1_000_000

MS = 1_000_000
SECOND = 1_000 * MS
MINUTE = 60 * SECOND


class Timeline:
    """Events in the order of their time, those of the same time in the order in which they were put in."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0

    def at(self, at_ns: int, event: Callable[[], None]) -> None:
        """Let `event` happen at `at_ns`, or now where that has passed."""
        assert len(self._events) < EVENTS_MAX, f"{EVENTS_MAX} events wait: something puts in more than it takes out"
        self._number += 1
        heapq.heappush(self._events, (max(at_ns, self.now_ns), self._number, event))

    def after(self, delay_ns: int, event: Callable[[], None]) -> None:
        self.at(self.now_ns + delay_ns, event)

    def every(self, period_ns: int, event: Callable[[], None]) -> None:
        """Let `event` happen every `period_ns` from now on, for ever."""

        def again() -> None:
            event()
            self.after(period_ns, again)

        self.after(period_ns, again)

    def run(self, until_ns: int, advance: Callable[[int], None], stop: Callable[[], bool]) -> None:
        """Let time pass up to `until_ns` or until `stop`; `advance` moves the world that lies between two events."""
        while self._events and self._events[0][0] <= until_ns:
            at_ns, _, event = heapq.heappop(self._events)
            if at_ns > self.now_ns:
                self.now_ns = at_ns
                advance(at_ns)
                if stop():
                    return
            event()
        self.now_ns = until_ns
        advance(until_ns)
