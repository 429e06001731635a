"""The PLC handshakes as plain objects that are told the time: heartbeats and the event ring's cursor."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.contract import Ns, Scalar

_U32 = 2**32
_U16 = 2**16


class Heartbeat:
    """Only a *changing* counter is alive: the first value seen is no evidence yet."""

    def __init__(self, stale_ms: int) -> None:
        self.stale_ns: Ns = stale_ms * 1_000_000
        self.value: Scalar = None
        self._since_ns: Ns = 0
        self._changed_ns: Ns | None = None

    def restart(self, now_ns: Ns) -> None:
        """A new connection: what was known before is no evidence."""
        self.value, self._since_ns, self._changed_ns = None, now_ns, None

    def see(self, value: Scalar, now_ns: Ns) -> None:
        """Note the counter as read now."""
        if value is None or value == self.value:
            return
        if self.value is not None:
            self._changed_ns = now_ns
        self.value = value

    def fresh(self, now_ns: Ns) -> bool:
        """It has changed less than `stale_ms` ago."""
        return self._changed_ns is not None and now_ns - self._changed_ns < self.stale_ns

    def overdue(self, now_ns: Ns) -> bool:
        """It has not changed for `stale_ms` or more, counted from the connection if it never has."""
        since_ns = self._since_ns if self._changed_ns is None else self._changed_ns
        return now_ns - since_ns >= self.stale_ns


class Beat:
    """The gateway's own counter: 1 to 65535 and round again. 0 is the goodbye of a gateway that stops in order."""

    GOODBYE = 0

    def __init__(self) -> None:
        self._value = 0

    def advance(self) -> int:
        self._value = self._value % (_U16 - 1) + 1
        return self._value


@dataclass(frozen=True, slots=True)
class Pending:
    """Ring entries to read next: `count` numbers from `first` on; `lost` were overwritten before."""

    first: int
    count: int
    lost: int

    def numbers(self) -> list[int]:
        return [(self.first + offset) % _U32 for offset in range(self.count)]


class RingCursor:
    """Which entries of a PLC's event ring come next. Running numbers are u32 and roll over."""

    def __init__(self, entries: int) -> None:
        self.entries = entries
        self.last: int | None = None
        """The number of the last entry that was handed on; None before the first connection."""

    def start(self, evt_rd: int, evt_wr: int) -> None:
        """First connection: go on where the PLC believes that we stopped; from 0 if that lies ahead of it."""
        if self.last is None:
            self.last = evt_rd
        if self.behind(evt_wr):
            self.last = 0

    def behind(self, evt_wr: int) -> bool:
        """The PLC's counter lies before ours: it has begun anew at 0."""
        return self.last is not None and (evt_wr - self.last) % _U32 >= _U32 // 2

    def restart(self) -> None:
        """The PLC has restarted: its ring begins anew."""
        self.last = 0

    def pending(self, evt_wr: int) -> Pending:
        """What to read when the PLC stands at `evt_wr`."""
        assert self.last is not None, "the cursor has not been started"
        waiting = (evt_wr - self.last) % _U32
        lost = max(0, waiting - self.entries)
        return Pending((self.last + lost + 1) % _U32, waiting - lost, lost)

    def slot(self, number: int) -> int:
        """The ring's entry (1 … entries) that holds event `number`."""
        return (number - 1) % self.entries + 1

    def advance(self, number: int) -> None:
        self.last = number

    def covers(self, number: int) -> bool:
        """Event `number` has been handed on since the ring began; a later one can't be consumed."""
        return self.last is not None and (self.last - number) % _U32 < _U32 // 2
