"""What only the journal in memory can do: be full by order, and be opened again."""

from __future__ import annotations

import pytest

from gateway.shell.journal import JournalFull
from gateway.shell.journal.memory import MemoryJournal


async def test_full_by_order_and_again_when_there_is_room() -> None:
    journal = MemoryJournal()
    await journal.commit([(1, 0, b"a")])
    journal.full = True
    with pytest.raises(JournalFull):
        await journal.commit([(2, 0, b"b")])
    with pytest.raises(JournalFull):
        await journal.save_snapshot(1, 0, b"state")
    assert list(journal.read(0)) == [(1, 0, b"a")]
    assert journal.latest_snapshot() is None
    journal.full = False
    await journal.commit([(2, 0, b"b")])
    assert journal.last_seq == 2


async def test_goes_on_after_a_restart() -> None:
    journal = MemoryJournal()
    await journal.commit([(1, 7, b"a")])
    await journal.save_snapshot(1, 7, b"state")
    await journal.close()
    journal.reopen()
    assert list(journal.read(0)) == [(1, 7, b"a")]
    assert journal.latest_snapshot() == (1, b"state")
