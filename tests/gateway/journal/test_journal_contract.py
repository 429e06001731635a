"""What every journal promises, on disk or in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.shell.journal import Journal, JournalClosed, JournalGap
from gateway.shell.journal.chain import BODY_BYTES_MAX
from gateway.shell.journal.memory import MemoryJournal
from gateway.shell.journal.sqlite import SqliteJournal


def inputs(first: int, last: int) -> list[tuple[int, int, bytes]]:
    return [(seq, seq * 1_000_000, f"body {seq}".encode()) for seq in range(first, last + 1)]


@pytest.fixture(params=["sqlite", "memory"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    opened: Journal = SqliteJournal.open(tmp_path, "demo") if request.param == "sqlite" else MemoryJournal()
    yield opened
    await opened.close()


async def test_reads_back_what_was_committed(journal: Journal) -> None:
    assert journal.last_seq == 0
    assert list(journal.read(0)) == []
    await journal.commit(inputs(1, 3))
    await journal.commit([])
    await journal.commit(inputs(4, 4))
    assert journal.last_seq == 4
    assert list(journal.read(0)) == inputs(1, 4)
    assert list(journal.read(2)) == inputs(3, 4)
    assert list(journal.read(4)) == []


async def test_reads_more_than_one_fetch(journal: Journal) -> None:
    await journal.commit(inputs(1, 1_500))
    assert list(journal.read(0)) == inputs(1, 1_500)
    assert list(journal.read(512)) == inputs(513, 1_500)


@pytest.mark.parametrize(
    ("batch", "got", "expected"),
    [
        (inputs(5, 6), 5, 4),
        (inputs(3, 4), 3, 4),
        (inputs(1, 1), 1, 4),
        ([*inputs(4, 4), *inputs(6, 6)], 6, 5),
    ],
    ids=["hole", "overlap", "again", "hole inside"],
)
async def test_numbers_out_of_turn_are_refused(
    journal: Journal, batch: list[tuple[int, int, bytes]], got: int, expected: int
) -> None:
    await journal.commit(inputs(1, 3))
    with pytest.raises(JournalGap) as caught:
        await journal.commit(batch)
    assert (caught.value.got, caught.value.expected) == (got, expected)
    assert list(journal.read(0)) == inputs(1, 3)
    await journal.commit(inputs(4, 5))
    assert list(journal.read(3)) == inputs(4, 5)


async def test_a_first_input_must_be_number_one(journal: Journal) -> None:
    with pytest.raises(JournalGap):
        await journal.commit(inputs(2, 2))
    with pytest.raises(ValueError, match="64 bits"):
        await journal.commit([(0, 0, b"")])


async def test_values_that_cannot_be_stored_are_refused(journal: Journal) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        await journal.commit([(1, 2**63, b"late")])
    with pytest.raises(ValueError, match="split it"):
        await journal.commit([(1, 0, b"x" * (BODY_BYTES_MAX + 1))])
    assert journal.last_seq == 0


async def test_reading_after_an_input_that_does_not_exist_is_refused(journal: Journal) -> None:
    await journal.commit(inputs(1, 3))
    with pytest.raises(JournalGap):
        list(journal.read(4))
    with pytest.raises(JournalGap):
        list(journal.read(9))


async def test_snapshots_newest_wins(journal: Journal) -> None:
    assert journal.latest_snapshot() is None
    await journal.save_snapshot(0, 0, b"empty")
    assert journal.latest_snapshot() == (0, b"empty")
    await journal.commit(inputs(1, 9))
    for seq in (2, 5, 9):
        await journal.save_snapshot(seq, seq, f"state {seq}".encode())
    assert journal.latest_snapshot() == (9, b"state 9")
    await journal.save_snapshot(9, 10, b"state 9 again")
    assert journal.latest_snapshot() == (9, b"state 9 again")


@pytest.mark.parametrize("seq", [4, 10])
async def test_snapshots_out_of_turn_are_refused(journal: Journal, seq: int) -> None:
    await journal.commit(inputs(1, 9))
    await journal.save_snapshot(5, 0, b"five")
    with pytest.raises(JournalGap):
        await journal.save_snapshot(seq, 0, b"other")
    assert journal.latest_snapshot() == (5, b"five")


async def test_a_snapshot_of_an_earlier_moment_can_be_had(journal: Journal) -> None:
    await journal.commit(inputs(1, 9))
    for seq in (2, 5):
        await journal.save_snapshot(seq, seq, f"state {seq}".encode())
    assert journal.latest_snapshot(9) == (5, b"state 5")
    assert journal.latest_snapshot(5) == (5, b"state 5")
    assert journal.latest_snapshot(4) == (2, b"state 2")
    assert journal.latest_snapshot(1) is None
    assert journal.first_seq == 1


def drew(first: int, last: int) -> tuple[int, int, bytes]:
    return (first, last, bytes([last]) * 16)


async def test_what_earlier_inputs_drew_is_kept_with_a_batch_or_alone(journal: Journal) -> None:
    assert list(journal.read_drawn(0)) == []
    await journal.commit(inputs(1, 3))
    await journal.commit(inputs(4, 5), [drew(1, 3)])
    assert list(journal.read_drawn(0)) == [drew(1, 3)]
    await journal.commit([], [drew(4, 4), drew(5, 5)])
    assert journal.last_seq == 5
    assert list(journal.read_drawn(0)) == [drew(1, 3), drew(4, 4), drew(5, 5)]
    assert list(journal.read_drawn(1)) == [drew(4, 4), drew(5, 5)]
    assert list(journal.read_drawn(5)) == []


async def test_nothing_is_drawn_by_inputs_that_are_not_stored_yet(journal: Journal) -> None:
    await journal.commit(inputs(1, 3))
    with pytest.raises(JournalGap, match="no input 4 yet, the journal ends with 3"):
        await journal.commit(inputs(4, 5), [drew(2, 4)])
    with pytest.raises(JournalGap):
        await journal.commit([], [drew(4, 4)])
    for wrong in ((0, 1, bytes(16)), (3, 2, bytes(16)), (1, 2, bytes(15))):
        with pytest.raises(ValueError, match="can't be stored"):
            await journal.commit([], [wrong])
    assert journal.last_seq == 3
    assert list(journal.read_drawn(0)) == []


async def test_closed_means_closed(journal: Journal) -> None:
    await journal.commit(inputs(1, 1))
    await journal.close()
    await journal.close()
    with pytest.raises(JournalClosed):
        await journal.commit(inputs(2, 2))
    with pytest.raises(JournalClosed):
        await journal.save_snapshot(1, 0, b"")
    with pytest.raises(JournalClosed):
        journal.read(0)
    with pytest.raises(JournalClosed):
        journal.latest_snapshot()
