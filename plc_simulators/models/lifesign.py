"""Life signs both ways. They run in real time even where plant time is sped up: the caller hands real time in."""

from __future__ import annotations

BEAT_NS = 1_000_000_000
SAFE_AFTER_NS = 5_000_000_000
GOODBYE = 0


class LifeSign:
    """The PLC's own counter, and its watch over the gateway's.

    A gateway that has never shown a beat since the PLC's start is not missed: `safe` becomes True only when beats
    that were seen stop for 5 s, or when the gateway says goodbye.
    """

    def __init__(self) -> None:
        self.hb_plc = 0
        self.safe = False
        self._beat_at_ns: int | None = None
        self._heard: int | None = None
        self._heard_at_ns: int | None = None

    def hear(self, value: int, now_ns: int) -> None:
        """The gateway wrote `hb_gw`; only a changed value is life."""
        if value == GOODBYE and self._heard_at_ns is not None:
            self.safe = True
        elif self._heard is not None and value != self._heard:
            self._heard_at_ns = now_ns
            self.safe = False
        self._heard = value

    def tick(self, now_ns: int) -> None:
        """Advance the own counter and judge the gateway's. `now_ns` is real, monotonic."""
        if self._beat_at_ns is None:
            self._beat_at_ns = now_ns
        elif now_ns - self._beat_at_ns >= BEAT_NS:
            self.hb_plc = (self.hb_plc + 1) % 2**16
            # Keep the rhythm after a hiccup instead of beating several times at once.
            self._beat_at_ns = max(self._beat_at_ns + BEAT_NS, now_ns - BEAT_NS)
        if self._heard_at_ns is not None and now_ns - self._heard_at_ns >= SAFE_AFTER_NS:
            self.safe = True
