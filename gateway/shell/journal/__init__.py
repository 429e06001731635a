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
    JournalUnusable,
)

__all__ = [
    "Journal",
    "JournalClosed",
    "JournalDamaged",
    "JournalError",
    "JournalForeign",
    "JournalFull",
    "JournalGap",
    "JournalLocked",
    "JournalUnusable",
]


class Journal(Protocol):
    """An append-only list of inputs (seq 1, 2, 3 …, time in ns, body) and the newest snapshots."""

    @property
    def last_seq(self) -> int:
        """The number of the newest durable input, 0 when there is none."""

    async def commit(self, records: Sequence[tuple[int, int, bytes]]) -> None:
        """Return when all of `records` (seq, at_ns, body) are durable.

        `JournalFull`: the medium took nothing of them; call again with the same ones when there is room.
        `JournalGap`: the numbers do not follow on what is stored. Also `JournalClosed`, `JournalUnusable`.
        A cancelled call may or may not have stored its batch, never a part of it.
        """

    def read(self, after_seq: int) -> Iterator[tuple[int, int, bytes]]:
        """The durable inputs after `after_seq`, in order, each checked before it is handed out.

        `JournalDamaged` names the first input that can't be trusted. Reads the disk in the caller's thread.
        """

    def latest_snapshot(self) -> tuple[int, bytes] | None:
        """Number of the last input contained and state of the newest sound snapshot, None without one."""

    async def save_snapshot(self, seq: int, at_ns: int, state: bytes) -> None:
        """Keep `state` as it was after input `seq`; the newest two are kept. Errors as for `commit`."""

    async def close(self) -> None:
        """Finish what was handed over before, then let go of everything. May be called again."""
