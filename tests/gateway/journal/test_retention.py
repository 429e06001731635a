"""What is kept, what makes room, and that the file stays within its bound."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from gateway.shell.journal import JournalFull, JournalGap
from gateway.shell.journal.reader import Reader
from gateway.shell.journal.retention import STEP_BYTES, STEP_ROWS, Limits, dropped, goal
from gateway.shell.journal.sqlite import FILE, SqliteJournal
from gateway.shell.journal.store import Store

BODY_BYTES = 200
BOUND = 2 * 2**20
SNAPSHOT_EVERY = 1_000


def inputs(first: int, last: int) -> list[tuple[int, int, bytes]]:
    return [(seq, seq, f"{seq}/".encode().ljust(BODY_BYTES, b"x")) for seq in range(first, last + 1)]


def drew(first: int, last: int) -> tuple[int, int, bytes]:
    return (first, last, first.to_bytes(16, "big"))


def state(seq: int) -> bytes:
    """What an imagined kernel knows after input `seq`: the sum of all numbers so far."""
    return str(seq * (seq + 1) // 2).encode()


def replayed(journal: SqliteJournal | Reader) -> int:
    """The state that a restart comes to."""
    snapshot = journal.latest_snapshot()
    seq, total = (snapshot[0], int(snapshot[1])) if snapshot else (0, 0)
    return total + sum(seq for seq, _, _ in journal.read(seq))


def bytes_of(folder: Path) -> int:
    return (folder / FILE).stat().st_size


async def reached(journal: SqliteJournal, first_seq: int, limit_s: float = 20.0) -> None:
    """The writer thread makes room while nobody wants anything of it."""
    async with asyncio.timeout(limit_s):
        while journal.first_seq != first_seq:  # noqa: ASYNC110 - the writer thread sets no event that could be awaited
            await asyncio.sleep(0.01)


async def lived(journal: SqliteJournal, first: int, last: int, every: int = SNAPSHOT_EVERY) -> None:
    """Inputs in batches of a hundred, with what they drew and a snapshot now and then."""
    for seq in range(first, last + 1, 100):
        await journal.commit(inputs(seq, seq + 99), [drew(seq - 100, seq - 1)] if seq > 100 else [])
        if (seq + 99) % every == 0:
            await journal.save_snapshot(seq + 99, seq, state(seq + 99))


# --- the rules ---


@pytest.mark.parametrize(
    ("snapshots", "base_seq", "gone"),
    [
        ([], 0, []),
        ([10, 20], 0, []),
        ([10, 20, 30], 0, [10]),
        ([100, 110, 120], 0, []),
        ([50, 100, 150, 200, 250, 300], 0, [50, 150]),
        # Where inputs begin after 100, the snapshot there is a place to begin, too.
        ([100, 150, 200, 250, 300], 100, [150]),
        # Half way to the next one, or where none stands: the first one is kept whatever its number.
        ([100, 150, 200, 250, 300], 140, [100, 200]),
        ([170, 260, 280, 300], 160, [260]),
    ],
)
def test_of_older_snapshots_one_a_while_is_kept(snapshots: list[int], base_seq: int, gone: list[int]) -> None:
    assert dropped(snapshots, base_seq, 100) == gone


@pytest.mark.parametrize(
    ("snapshots", "base_seq", "expected"),
    [
        ([], 0, None),
        ([10], 0, None),
        ([10, 20], 0, 10),
        ([10, 20], 10, None),
        ([10, 20, 30], 10, 20),
        ([10, 20, 30], 15, 20),
        ([10, 20, 30], 20, None),
    ],
)
def test_room_is_made_up_to_the_oldest_snapshot_but_never_what_the_newest_two_need(
    snapshots: list[int], base_seq: int, expected: int | None
) -> None:
    assert goal(snapshots, base_seq) == expected


# --- the file ---


async def test_the_file_stays_within_its_bound_and_a_restart_gives_the_same_state(tmp_path: Path) -> None:
    last, size = 0, 0
    for _ in range(3):
        journal = SqliteJournal.open(tmp_path, "demo", bytes_max=BOUND, base_every=3_000)
        assert replayed(journal) == int(state(last))
        await lived(journal, last + 1, last + 15_000)
        last += 15_000
        size = max(size, bytes_of(tmp_path))
        assert journal.first_seq > last - 15_000
        await journal.close()
        size = max(size, bytes_of(tmp_path))
    written = 45_000 * BODY_BYTES
    assert written > 4 * BOUND
    step = STEP_BYTES + STEP_ROWS * (BODY_BYTES + 50)
    assert size <= BOUND + step, f"{size} bytes on the disk, the bound is {BOUND}"
    journal = SqliteJournal.open(tmp_path, "demo", bytes_max=BOUND)
    assert journal.last_seq == last
    assert replayed(journal) == int(state(last))
    await journal.close()


async def test_reading_begins_with_the_oldest_input_that_is_left(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo", bytes_max=BOUND, base_every=3_000)
    await lived(journal, 1, 20_000)
    first = journal.first_seq
    assert first > 1
    assert list(journal.read(first - 1)) == inputs(first, 20_000)
    with pytest.raises(JournalGap, match=f"input {first - 1} is no longer in the journal.* that is left is {first}"):
        next(journal.read(first - 2))
    with pytest.raises(JournalGap, match="input 1 is no longer"):
        next(journal.read(0))
    told = list(journal.read_drawn(0))
    assert told[-1] == drew(19_801, 19_900)
    assert told == [drew(seq, seq + 99) for seq in range(told[0][0], 19_900, 100)]
    assert first <= told[0][0] < first + 100
    # The history that is left can be replayed from its very beginning.
    oldest = journal.latest_snapshot(first - 1)
    assert oldest == (first - 1, state(first - 1))
    assert int(oldest[1]) + sum(seq for seq, _, _ in journal.read(first - 1)) == int(state(20_000))
    await journal.close()
    journal = SqliteJournal.open(tmp_path, "demo", bytes_max=BOUND)
    assert journal.first_seq == first
    assert list(journal.read(19_990)) == inputs(19_991, 20_000)
    await journal.close()


async def test_what_the_newest_two_snapshots_need_is_never_removed(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo", bytes_max=BOUND // 8)
    await lived(journal, 1, 7_000, every=3_000)
    # Far beyond the bound, and yet: the snapshots are of 3,000 and 6,000.
    assert journal.first_seq == 3_001
    assert journal.latest_snapshot(5_999) == (3_000, state(3_000))
    assert list(journal.read(3_000)) == inputs(3_001, 7_000)
    await journal.close()


async def test_without_snapshots_nothing_makes_room_and_the_hard_limit_holds(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo", bytes_max=BOUND // 16, pages_max=100)
    with pytest.raises(JournalFull):
        await lived(journal, 1, 10_000, every=20_000)
    assert journal.first_seq == 1
    assert list(journal.read(0)) == inputs(1, journal.last_seq)
    await journal.close()


async def test_older_snapshots_stay_to_replay_from(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo", base_every=5_000)
    await lived(journal, 1, 20_000)
    await journal.close()
    with Reader(tmp_path / FILE) as reader:
        assert [seq for (seq,) in reader.rows("SELECT seq FROM snapshots")] == [5_000, 10_000, 15_000, 19_000, 20_000]
        assert reader.latest_snapshot(12_345) == (10_000, state(10_000))


async def test_no_room_is_made_up_to_a_damaged_snapshot(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo", base_every=2_000)
    await lived(journal, 1, 12_000)
    await journal.close()
    database = apsw.Connection(str(tmp_path / FILE))
    database.execute("UPDATE snapshots SET state = x'00' WHERE seq = 2000")
    database.close()
    journal = SqliteJournal.open(tmp_path, "demo", bytes_max=BOUND, base_every=2_000)
    await journal.commit(inputs(12_001, 12_001))
    await reached(journal, 4_001)
    assert list(journal.read(4_000)) == inputs(4_001, 12_001)
    await journal.close()


async def test_room_that_can_t_be_made_stops_no_commit(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo", bytes_max=BOUND)
    await lived(journal, 1, 7_000)
    await journal.close()
    database = apsw.Connection(str(tmp_path / FILE))
    database.execute("CREATE TRIGGER no BEFORE DELETE ON inputs BEGIN SELECT raise(ABORT, 'not now'); END")
    database.close()
    journal = SqliteJournal.open(tmp_path, "demo", bytes_max=BOUND)
    await lived(journal, 7_001, 12_000)
    assert (journal.first_seq, journal.last_seq) == (1, 12_000)
    database = apsw.Connection(str(tmp_path / FILE))
    database.execute("DROP TRIGGER no")
    database.close()
    # It is tried again after the next snapshot.
    await lived(journal, 12_001, 14_000)
    await journal.close()
    with Reader(tmp_path / FILE) as reader:
        assert reader.first_seq > 7_000


def filled(folder: Path) -> Store:
    """A store that wants room at once, with a goal at 6,000."""
    folder.mkdir()
    store = Store(folder / FILE, "demo", Limits(bytes_max=BOUND // 2))
    for first in range(1, 7_001, 1_000):
        store.append(inputs(first, first + 999), [drew(first, first + 999)])
    store.put_snapshot(6_000, 0, state(6_000))
    store.put_snapshot(7_000, 0, state(7_000))
    return store


def test_a_crash_between_two_steps_leaves_a_journal_that_goes_on_from_there(tmp_path: Path) -> None:
    store = filled(tmp_path / "a")
    # What came in since the last step sets the size of the next: all at once here, so the steps are small from then on.
    assert store.make_room()
    store.append(inputs(7_001, 7_001))
    store.close()
    base_seq = store.base_seq
    again = Store(tmp_path / "a" / FILE, "demo", Limits(bytes_max=BOUND // 2))
    assert (again.base_seq, again.last_seq) == (base_seq, 7_001)
    while again.make_room():
        pass
    assert again.base_seq == 6_000
    again.close()


def test_steps_are_small_and_each_leaves_a_whole_journal(tmp_path: Path) -> None:
    store = filled(tmp_path / "a")
    store.close()
    store = Store(tmp_path / "a" / FILE, "demo", Limits(bytes_max=BOUND // 2))
    bases = []
    while store.make_room():
        bases.append(store.base_seq)
        with Reader(tmp_path / "a" / FILE) as reader:
            assert reader.first_seq == store.base_seq + 1
            assert [seq for seq, _, _ in reader.read(store.base_seq)] == list(range(store.base_seq + 1, 7_001))
    assert bases == [1_000, 2_000, 3_000, 4_000, 5_000, 6_000]
    store.close()


def test_large_inputs_go_in_smaller_steps(tmp_path: Path) -> None:
    store = Store(tmp_path / FILE, "demo", Limits(bytes_max=BOUND))
    for seq in range(1, 13):
        store.append([(seq, seq, bytes(STEP_BYTES // 2))])
    store.put_snapshot(10, 0, b"")
    store.put_snapshot(12, 0, b"")
    store.close()
    store = Store(tmp_path / FILE, "demo", Limits(bytes_max=BOUND))
    bases = []
    while store.make_room():
        bases.append(store.base_seq)
    assert bases == [2, 4, 6, 8, 10]
    store.close()


async def test_a_reading_that_is_overtaken_by_the_making_of_room_says_so(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo", bytes_max=BOUND)
    await lived(journal, 1, 5_000)
    reading = journal.read(0)
    assert next(reading)[0] == 1
    await lived(journal, 5_001, 20_000)
    with pytest.raises(JournalGap, match="no longer in the journal"):
        list(reading)
    await journal.close()


async def test_commits_go_on_while_room_is_made(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo")
    await lived(journal, 1, 30_000)
    await journal.close()
    journal = SqliteJournal.open(tmp_path, "demo", bytes_max=BOUND)
    commits = [asyncio.create_task(journal.commit(inputs(seq, seq))) for seq in range(30_001, 30_501)]
    await asyncio.gather(*commits)
    assert journal.last_seq == 30_500
    await reached(journal, 29_001)
    assert list(journal.read(29_000)) == inputs(29_001, 30_500)
    await journal.close()
