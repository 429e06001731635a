"""The journal: every input of the kernel, durable before its effects leave the house.

`SqliteJournal` (sqlite.py) is the real one, `MemoryJournal` (memory.py) serves tests and simulation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from gateway.shell.journal.errors import (
    JournalClosed,
    JournalDamaged,
    JournalError,
    JournalForeign,
    JournalFull,
    JournalGap,
    JournalLocked,
    JournalOutdated,
    JournalUnusable,
)

__all__ = [
    "History",
    "Journal",
    "JournalClosed",
    "JournalDamaged",
    "JournalError",
    "JournalForeign",
    "JournalFull",
    "JournalGap",
    "JournalLocked",
    "JournalOutdated",
    "JournalUnusable",
]


class History(Protocol):
    """The reading half: a list of inputs (seq, time in ns, body), some snapshots, and what batches of inputs drew."""

    @property
    def first_seq(self) -> int:
        """The number of the oldest input that is still there: 1, or the one after those that have made room."""

    @property
    def last_seq(self) -> int:
        """The number of the newest durable input, 0 when there is none."""

    def read(self, after_seq: int) -> Iterator[tuple[int, int, bytes]]:
        """The durable inputs after `after_seq`, in order, each checked before it is handed out.

        `JournalGap`: they are no longer there (see `first_seq`), or `after_seq` does not exist yet. `JournalDamaged`
        names the first input that can't be trusted. Reads the disk in the caller's thread.
        """

    def read_drawn(self, after_seq: int) -> Iterator[tuple[int, int, bytes]]:
        """First and last number of batches that begin after `after_seq`, in order, and the digest of the effects that
        each drew. The newest batch before a crash is not among them."""

    def latest_snapshot(self, up_to_seq: int | None = None) -> tuple[int, bytes] | None:
        """Number of the last input contained and state of the newest sound snapshot, None without one; with `up_to_seq`
        of the newest one that contains no later input. `JournalForeign`: its state is of a newer gateway."""


class Journal(History, Protocol):
    """An append-only list of inputs (seq 1, 2, 3 …, time in ns, body) and snapshots of the state in between."""

    async def commit(
        self, records: Sequence[tuple[int, int, bytes]], drawn: Sequence[tuple[int, int, bytes]] = ()
    ) -> None:
        """Return when all of `records` (seq, at_ns, body) are durable, and with them what earlier inputs drew: `drawn`
        (first seq, last seq, digest of 16 bytes). Either may be empty.

        `JournalFull`: the medium took nothing of them; call again with the same ones when there is room.
        `JournalGap`: the numbers do not follow on what is stored. Also `JournalClosed`, `JournalUnusable`.
        A cancelled call may or may not have stored its batch, never a part of it.
        """

    async def save_snapshot(self, seq: int, at_ns: int, state: bytes) -> None:
        """Keep `state` as it was after input `seq`; the newest two are kept, and some older ones. Errors as for
        `commit`."""

    async def close(self) -> None:
        """Finish what was handed over before, then let go of everything. May be called again."""
