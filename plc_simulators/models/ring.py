"""The event ring: the PLC writes entries and advances `wr`; the gateway confirms with `rd`."""

from __future__ import annotations

from dataclasses import dataclass

ENTRIES = 32

SCAN = 1
DIVERTED = 2
FAILED = 3
LOST = 4
LANE_EMPTIED = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """One event. `barcodes` are codes parted by ';'; `plc_ms` is the PLC's clock, modulo 2**32."""

    seq: int = 0
    type: int = 0
    track_id: int = 0
    point: int = 0
    lane: int = 0
    result: int = 0
    plc_ms: int = 0
    barcodes: str = ""


class Ring:
    """32 entries; the oldest are overwritten when the gateway does not keep up, which is counted."""

    def __init__(self) -> None:
        self.wr = 0
        self.rd = 0
        self.overwritten = 0
        self.entries: list[Entry] = [Entry()] * ENTRIES

    def append(self, entry: Entry) -> Entry:
        """Write `entry` (its `seq` is set here) and return it as written."""
        if self.wr - self.rd >= ENTRIES:
            self.overwritten += 1
        written = Entry(
            self.wr + 1,
            entry.type,
            entry.track_id,
            entry.point,
            entry.lane,
            entry.result,
            entry.plc_ms,
            entry.barcodes,
        )
        self.entries[self.wr % ENTRIES] = written
        self.wr += 1
        return written

    def since(self, wr: int) -> list[Entry]:
        """The entries after number `wr` that are still in the ring, oldest first."""
        first = max(wr, self.wr - ENTRIES)
        return [self.entries[number % ENTRIES] for number in range(first, self.wr)]

    def restart(self) -> None:
        """A new boot: empty, and counting from 0 again."""
        self.wr = self.rd = 0
        self.entries = [Entry()] * ENTRIES
