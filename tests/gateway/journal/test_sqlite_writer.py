"""The writer thread: groups, a full disk, callers that give up, and how it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from gateway.shell.journal import JournalClosed, JournalFull, JournalGap, schema
from gateway.shell.journal.sqlite import FILE, SqliteJournal
from gateway.shell.journal.writer import WAITING_MAX

PAGES_MAX = 60


def one(seq: int, size: int = 20) -> list[tuple[int, int, bytes]]:
    return [(seq, seq, b"x" * size)]


async def reached(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - the writer thread sets no event that could be awaited
            await asyncio.sleep(0.01)


def held(folder: Path) -> apsw.Connection:
    """Another program that keeps the file's write lock until it is closed."""
    database = apsw.Connection(str(folder / FILE))
    database.execute("BEGIN IMMEDIATE")
    return database


async def test_batches_that_wait_go_into_one_transaction(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo")
    other = held(tmp_path)
    commits = [asyncio.create_task(journal.commit(one(seq))) for seq in range(1, 201)]
    await asyncio.sleep(0)
    assert not any(commit.done() for commit in commits)
    other.close()
    await asyncio.gather(*commits)
    # The thread may have taken any number of batches before the file was free, but then all the rest at once.
    assert journal.transactions <= 2
    assert [seq for seq, _, _ in journal.read(0)] == list(range(1, 201))
    await journal.close()


async def test_the_loop_runs_while_the_disk_does_not(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo")
    other = held(tmp_path)
    commit = asyncio.create_task(journal.commit(one(1)))
    turns = 0

    def passed() -> bool:
        nonlocal turns
        turns += 1
        return turns == 20

    await reached(passed)
    assert not commit.done()
    other.close()
    await commit
    await journal.close()


async def test_one_batch_out_of_turn_does_not_sink_its_group(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo")
    other = held(tmp_path)
    commits = [asyncio.create_task(journal.commit(one(seq))) for seq in (1, 2, 9, 3, 2, 4)]
    await asyncio.sleep(0)
    other.close()
    outcomes = await asyncio.gather(*commits, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [
        type(None), type(None), JournalGap, type(None), JournalGap, type(None),
    ]  # fmt: skip
    assert journal.last_seq == 4
    await journal.close()


async def _fill(journal: SqliteJournal, first: int) -> int:
    """Commit from input `first` on until it is full; the number of the first input that found no room."""
    for seq in range(first, PAGES_MAX * 4):
        try:
            await journal.commit(one(seq, 3_000))
        except JournalFull:
            return seq
    raise AssertionError("the page limit was never reached")


async def test_a_full_disk_takes_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo", pages_max=PAGES_MAX)
    await journal.commit(one(1))
    await journal.save_snapshot(1, 0, b"s" * 40_000)
    seq = await _fill(journal, 2)
    for _ in range(3):
        with pytest.raises(JournalFull, match="make room"):
            await journal.commit([*one(seq, 3_000), *one(seq + 1, 3_000)])
    assert journal.last_seq == seq - 1
    assert [n for n, _, _ in journal.read(0)] == list(range(1, seq))
    # Somebody makes room …
    database = apsw.Connection(str(tmp_path / FILE))
    database.execute("DELETE FROM snapshots")
    database.close()
    # … and the same call is taken.
    await journal.commit([*one(seq, 3_000), *one(seq + 1, 3_000)])
    assert [n for n, _, _ in journal.read(0)] == list(range(1, seq + 2))
    await journal.close()


async def test_a_batch_too_large_for_the_rest_of_the_disk_does_not_sink_the_one_before_it(
    tmp_path: Path,
) -> None:
    journal = SqliteJournal.open(tmp_path, "demo", pages_max=PAGES_MAX)
    other = held(tmp_path)
    batches = [one(1), one(2, PAGES_MAX * 5_000), one(3)]
    commits = [asyncio.create_task(journal.commit(batch)) for batch in batches]
    await asyncio.sleep(0)
    other.close()
    outcomes = await asyncio.gather(*commits, return_exceptions=True)
    assert outcomes[0] is None
    # The third one was numbered in good faith: it is told of the full disk, not of a gap of its own making.
    assert isinstance(outcomes[1], JournalFull)
    assert isinstance(outcomes[2], JournalFull)
    assert journal.last_seq == 1
    await journal.commit(one(2))
    await journal.commit(one(3))
    await journal.close()


async def test_a_larger_limit_makes_room_too(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo", pages_max=PAGES_MAX)
    seq = await _fill(journal, 1)
    await journal.close()
    journal = SqliteJournal.open(tmp_path, "demo", pages_max=2 * PAGES_MAX)
    await journal.commit(one(seq, 3_000))
    assert journal.last_seq == seq
    await journal.close()


async def test_a_full_disk_refuses_a_snapshot_and_keeps_the_older_one(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo", pages_max=PAGES_MAX)
    await journal.commit(one(1))
    await journal.save_snapshot(1, 0, b"small")
    await journal.commit(one(2))
    with pytest.raises(JournalFull):
        await journal.save_snapshot(2, 0, b"s" * PAGES_MAX * 5_000)
    assert journal.latest_snapshot() == (1, b"small")
    await journal.commit(one(3))
    await journal.close()


async def test_a_file_that_stays_locked_takes_nothing_until_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "BUSY_MS_MAX", 20)
    journal = SqliteJournal.open(tmp_path, "demo")
    other = held(tmp_path)
    for _ in range(2):
        with pytest.raises(JournalFull, match="end the other program"):
            await journal.commit(one(1))
    other.close()
    await journal.commit(one(1))
    assert journal.last_seq == 1
    await journal.close()


async def test_close_finishes_what_was_handed_over(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo")
    other = held(tmp_path)
    commits = [asyncio.create_task(journal.commit(one(seq))) for seq in range(1, 21)]
    await asyncio.sleep(0)
    closes = [asyncio.create_task(journal.close()) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(JournalClosed):
        await journal.commit(one(21))
    other.close()
    await asyncio.gather(*commits, *closes)
    again = SqliteJournal.open(tmp_path, "demo")
    assert again.last_seq == 20
    await again.close()


async def test_callers_beyond_the_limit_wait_and_a_close_turns_them_away(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo")
    other = held(tmp_path)
    commits = [asyncio.create_task(journal.commit(one(seq))) for seq in range(1, WAITING_MAX + 6)]
    await asyncio.sleep(0)
    close = asyncio.create_task(journal.close())
    await asyncio.sleep(0)
    other.close()
    outcomes = await asyncio.gather(*commits, return_exceptions=True)
    assert outcomes[:WAITING_MAX] == [None] * WAITING_MAX
    assert [type(outcome) for outcome in outcomes[WAITING_MAX:]] == [JournalClosed] * 5
    await close


async def test_callers_beyond_the_limit_get_their_turn_in_order(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo")
    total = WAITING_MAX * 2 + 100
    await asyncio.gather(*(journal.commit(one(seq)) for seq in range(1, total + 1)))
    assert journal.last_seq == total
    await journal.close()


async def test_a_caller_that_gives_up_disturbs_nobody(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo")
    other = held(tmp_path)
    impatient = asyncio.create_task(journal.commit(one(1)))
    patient = asyncio.create_task(journal.commit(one(2)))
    await asyncio.sleep(0)
    impatient.cancel()
    with pytest.raises(asyncio.CancelledError):
        await impatient
    other.close()
    await patient
    assert journal.last_seq == 2
    await journal.close()


def test_a_loop_that_ended_first_loses_nothing(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo")
    other = held(tmp_path)

    async def give_up() -> None:
        task = asyncio.create_task(journal.commit(one(1)))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(give_up())
    other.close()

    async def go_on() -> None:
        await reached(lambda: journal.last_seq == 1)
        await journal.commit(one(2))
        await journal.close()

    asyncio.run(go_on())


async def test_no_thread_is_left(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    journal = SqliteJournal.open(tmp_path, "demo")
    assert len(set(threading.enumerate()) - before) == 1
    await journal.commit(one(1))
    await journal.close()
    assert set(threading.enumerate()) == before


async def test_a_refused_opening_leaves_no_thread(tmp_path: Path) -> None:
    await SqliteJournal.open(tmp_path, "demo").close()
    before = set(threading.enumerate())
    with pytest.raises(Exception, match="hamburg"):
        SqliteJournal.open(tmp_path, "hamburg")
    assert set(threading.enumerate()) == before
