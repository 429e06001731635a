"""How often somebody may ask: token buckets, and delays that grow with each failure. Pure; memory is bounded.

When more are counted than there is room for, those who have nothing to remember are forgotten; where all have, the
newcomers share one place. So nobody gets rid of his own past by bringing in many others.
"""

from __future__ import annotations

COUNTED_MAX = 10_000
SWEEP_EVERY_S = 1.0
FREE_TRIES = 3
"""Mistyping is human: so many failures cost nothing."""
FORGIVEN_AFTER_S = 900.0
_TOGETHER = ""


class Buckets:
    """One bucket for each key: `burst` tokens at the most, `per_s` more each second."""

    def __init__(self, per_s: float, burst: float, counted_max: int = COUNTED_MAX) -> None:
        self._per_s = per_s
        self._burst = burst
        self._counted_max = counted_max
        self._levels: dict[str, tuple[float, float]] = {}
        self._swept_s = float("-inf")

    def take(self, key: str, now_s: float) -> float | None:
        """Take one token at `now_s` (of a clock that never goes back). None: go on; else come back after so many
        seconds, nothing was taken."""
        wait_s = self.wait_s(key, now_s)
        if wait_s > 0:
            return wait_s
        place = self._place(key, now_s)
        self._levels[place] = (self._level(place, now_s) - 1.0, now_s)
        return None

    def wait_s(self, key: str, now_s: float) -> float:
        """How long until there is a token for `key`; takes none."""
        level = self._level(self._place(key, now_s), now_s)
        return 0.0 if level >= 1.0 else (1.0 - level) / self._per_s

    def __len__(self) -> int:
        return len(self._levels)

    def _level(self, place: str, now_s: float) -> float:
        level, at_s = self._levels.get(place, (self._burst, now_s))
        return min(self._burst, level + (now_s - at_s) * self._per_s)

    def _place(self, key: str, now_s: float) -> str:
        if key in self._levels or len(self._levels) < self._counted_max:
            return key
        if now_s - self._swept_s >= SWEEP_EVERY_S:
            self._swept_s = now_s
            full = [place for place in self._levels if self._level(place, now_s) >= self._burst]
            for place in full:
                del self._levels[place]
        return key if len(self._levels) < self._counted_max else _TOGETHER


class Throttle:
    """Delays between failed tries of one key: none for the first ones, then twice as long each time up to
    `delay_s_max`. A quiet quarter of an hour forgives all."""

    def __init__(self, delay_s_max: float, counted_max: int = COUNTED_MAX) -> None:
        self._delay_s_max = delay_s_max
        self._counted_max = counted_max
        self._failures: dict[str, tuple[int, float]] = {}
        self._swept_s = float("-inf")

    def wait_s(self, key: str, now_s: float) -> float:
        """How long until `key` may try again."""
        failures, at_s = self._failures.get(self._place(key, now_s), (0, now_s))
        if failures < FREE_TRIES or now_s - at_s >= FORGIVEN_AFTER_S:
            return 0.0
        delay_s = min(self._delay_s_max, 2.0 ** min(failures - FREE_TRIES, 30))
        return max(0.0, at_s + delay_s - now_s)

    def failed(self, key: str, now_s: float) -> None:
        """Count a failure. A try is counted before its outcome is known, so that many at once don't slip through."""
        place = self._place(key, now_s)
        failures, at_s = self._failures.get(place, (0, now_s))
        if now_s - at_s >= FORGIVEN_AFTER_S:
            failures = 0
        self._failures[place] = (failures + 1, now_s)

    def took_back(self, key: str) -> None:
        """The try counted last has not failed after all."""
        failures, at_s = self._failures.get(key, (0, 0.0))
        if failures > 1:
            self._failures[key] = (failures - 1, at_s)
        else:
            self._failures.pop(key, None)

    def forgive(self, key: str) -> None:
        self._failures.pop(key, None)

    def __len__(self) -> int:
        return len(self._failures)

    def _place(self, key: str, now_s: float) -> str:
        if key in self._failures or len(self._failures) < self._counted_max:
            return key
        if now_s - self._swept_s >= SWEEP_EVERY_S:
            self._swept_s = now_s
            old = [place for place, (_, at_s) in self._failures.items() if now_s - at_s >= FORGIVEN_AFTER_S]
            for place in old:
                del self._failures[place]
        return key if len(self._failures) < self._counted_max else _TOGETHER
