"""A journal without a disk, for tests and simulation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.shell.journal import chain
from gateway.shell.journal.errors import JournalClosed, JournalFull, JournalGap

_NOWHERE = Path("(memory)")
_SNAPSHOTS_KEPT = 2


class MemoryJournal:
    """Behaves as the journal on disk does. Set `full` to make it refuse what it is given, and unset it again.

    To play a restart, go on with the same object: what was committed is what a disk would have kept.
    """

    def __init__(self) -> None:
        self.full = False
        self._records: list[chain.Record] = []
        self._snapshots: list[tuple[int, bytes]] = []
        self._drawn: list[chain.Drawn] = []
        self._closed = False

    @property
    def first_seq(self) -> int:
        """Always 1: nothing has to make room."""
        return 1

    @property
    def last_seq(self) -> int:
        """The number of the newest input, 0 when there is none."""
        return len(self._records)

    async def commit(self, records: Sequence[chain.Record], drawn: Sequence[chain.Drawn] = ()) -> None:
        """See `Journal.commit`."""
        batch, told = chain.checked(records), chain.checked_drawn(drawn)
        if not batch and not told:
            return
        self._must_take()
        if batch and batch[0][0] != self.last_seq + 1:
            raise JournalGap("input", batch[0][0], self.last_seq + 1)
        if told and told[-1][1] > self.last_seq:
            raise JournalGap.beyond(told[-1][1], self.last_seq)
        self._records.extend(batch)
        self._drawn.extend(told)

    def read(self, after_seq: int) -> Iterator[chain.Record]:
        """See `Journal.read`."""
        self._must_be_open()
        if after_seq > self.last_seq:
            raise JournalGap.beyond(after_seq, self.last_seq)
        return iter(self._records[max(after_seq, 0) :])

    def read_drawn(self, after_seq: int) -> Iterator[chain.Drawn]:
        """See `Journal.read_drawn`."""
        self._must_be_open()
        return iter([row for row in self._drawn if row[0] > after_seq])

    def latest_snapshot(self, up_to_seq: int | None = None) -> tuple[int, bytes] | None:
        """See `Journal.latest_snapshot`."""
        self._must_be_open()
        there = [found for found in self._snapshots if up_to_seq is None or found[0] <= up_to_seq]
        return there[-1] if there else None

    async def save_snapshot(self, seq: int, at_ns: int, state: bytes) -> None:  # noqa: ARG002 - the disk keeps the time
        """See `Journal.save_snapshot`."""
        self._must_take()
        newest = self._snapshots[-1][0] if self._snapshots else 0
        if not newest <= seq <= self.last_seq:
            raise JournalGap(f"snapshot (newest one {newest}) at input", seq, self.last_seq)
        kept = [snapshot for snapshot in self._snapshots if snapshot[0] != seq]
        self._snapshots = [*kept, (seq, state)][-_SNAPSHOTS_KEPT:]

    def reopen(self) -> None:
        """Use it again after `close`, as the next process would."""
        self._closed = False

    async def close(self) -> None:
        """See `Journal.close`."""
        self._closed = True

    def _must_take(self) -> None:
        self._must_be_open()
        if self.full:
            raise JournalFull(_NOWHERE, "told to be full")

    def _must_be_open(self) -> None:
        if self._closed:
            raise JournalClosed("the journal in memory has been closed: reopen it")
