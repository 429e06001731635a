"""The edge server's disk: what of the journal survives when the process dies or the power fails.

A commit is in three phases: handed over, written, synced. A process that dies loses nothing that was written; a
power cut may lose everything that was not synced. Within one group nothing is torn: SQLite sees to that, and
`bench.power` shows it against the real file.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

from gateway.shell.journal import JournalFull, JournalGap
from gateway.shell.journal.chain import Record
from gateway.simulation.timeline import MS

SNAPSHOTS_KEPT = 2
BUSY_SHARE = 0.2
"""How many of the commits take time that others notice; the rest are done before anything else happens."""
COMMIT_MS = (1, 12)
_NOWHERE = Path("(simulated disk)")


class Pause:
    """Awaited by production code, it hands control to whoever drives the coroutine by hand."""

    __slots__ = ("ns", "where")

    def __init__(self, ns: int, where: str) -> None:
        self.ns = ns
        self.where = where

    def __await__(self) -> Generator[Pause, None, None]:
        yield self


class Disk:
    """What is on it. `full` refuses what is new, `slow_ms` makes every commit so much slower."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.full = False
        self.slow_ms = 0
        self.records: list[Record] = []
        self.snapshots: list[tuple[int, bytes]] = []
        self.drawn: list[tuple[int, int, bytes]] = []
        self.history = blake2b(digest_size=16)
        """Over every input and the digests of what was drawn: equal for two runs that went alike."""
        self._written: list[Record] | None = None

    def write(self, batch: Sequence[Record]) -> None:
        self._written = list(batch)

    def sync(self) -> None:
        if self._written is None:
            return
        self.records += self._written
        for seq, at_ns, body in self._written:
            self.history.update(b"%d %d " % (seq, at_ns))
            self.history.update(body)
        self._written = None

    def lose(self, *, power: bool) -> bool:
        """The process dies (`power`: the whole server). Returns whether a written batch was lost by it."""
        if self._written is None:
            return False
        if not power or self.rng.random() < 0.5:
            self.sync()
            return False
        self._written = None
        return True


class SimJournal:
    """`Journal` over a `Disk`, for one process. `crash_at` names a place where the coming commit stops for a moment,
    so that whoever drives it can end the process there."""

    def __init__(self, disk: Disk) -> None:
        self.crash_at = ""
        self._disk = disk

    @property
    def first_seq(self) -> int:
        """See `History.first_seq`: a run is short enough to keep everything."""
        return 1

    @property
    def last_seq(self) -> int:
        """See `Journal.last_seq`."""
        return len(self._disk.records)

    async def commit(self, records: Sequence[Record], drawn: Sequence[tuple[int, int, bytes]] = ()) -> None:
        """See `Journal.commit`."""
        disk = self._disk
        if disk.full:
            raise JournalFull(_NOWHERE, "simulated disk is full")
        if records and records[0][0] != self.last_seq + 1:
            raise JournalGap("input", records[0][0], self.last_seq + 1)
        if self.crash_at == "before write":
            await Pause(0, "before write")
        disk.write(records)
        if disk.slow_ms or self.crash_at == "before sync" or disk.rng.random() < BUSY_SHARE:
            await Pause((disk.rng.randint(*COMMIT_MS) + disk.slow_ms) * MS, "before sync")
        disk.sync()
        disk.drawn += drawn
        for first, last, digest in drawn:
            disk.history.update(b"%d %d " % (first, last))
            disk.history.update(digest)
        if self.crash_at == "after sync":
            await Pause(0, "after sync")

    def read(self, after_seq: int) -> Iterator[Record]:
        """See `Journal.read`."""
        return iter(self._disk.records[after_seq:])

    def read_drawn(self, after_seq: int) -> Iterator[tuple[int, int, bytes]]:
        """See `History.read_drawn`."""
        return (drawn for drawn in self._disk.drawn if drawn[0] > after_seq)

    def latest_snapshot(self, up_to_seq: int | None = None) -> tuple[int, bytes] | None:
        """See `History.latest_snapshot`."""
        found = [s for s in self._disk.snapshots if up_to_seq is None or s[0] <= up_to_seq]
        return found[-1] if found else None

    async def save_snapshot(self, seq: int, at_ns: int, state: bytes) -> None:  # noqa: ARG002 - nobody asks for the time
        """See `Journal.save_snapshot`."""
        if self._disk.full:
            raise JournalFull(_NOWHERE, "simulated disk is full")
        if self.crash_at == "before snapshot":
            await Pause(0, "before snapshot")
        self._disk.snapshots = [*self._disk.snapshots, (seq, state)][-SNAPSHOTS_KEPT:]
        if self.crash_at == "after snapshot":
            await Pause(0, "after snapshot")

    async def close(self) -> None:
        """See `Journal.close`."""
