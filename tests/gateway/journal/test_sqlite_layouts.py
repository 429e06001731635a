"""Layout 1 is brought up to date, whole or not at all; what a newer gateway has left is refused."""

from __future__ import annotations

import shutil
from hashlib import blake2b
from pathlib import Path
from typing import Any

import apsw
import pytest

from gateway.shell.journal import JournalDamaged, JournalError, JournalForeign
from gateway.shell.journal.reader import Reader
from gateway.shell.journal.schema import VERSION
from gateway.shell.journal.sqlite import FILE, SqliteJournal

LAYOUT_1 = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE inputs(
  seq INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, body BLOB NOT NULL, digest BLOB NOT NULL) STRICT;
CREATE TABLE snapshots(
  seq INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, state BLOB NOT NULL, digest BLOB NOT NULL) STRICT;
INSERT INTO meta VALUES('site', 'demo');
PRAGMA application_id = 1398033495;
PRAGMA user_version = 1;
"""


def inputs(first: int, last: int) -> list[tuple[int, int, bytes]]:
    return [(seq, seq * 1_000, f"body {seq}".encode()) for seq in range(first, last + 1)]


def digest_1(previous: bytes, seq: int, at_ns: int, body: bytes) -> bytes:
    """As layout 1 had it, worked out without the product's code."""
    numbers = seq.to_bytes(8, "big", signed=True) + at_ns.to_bytes(8, "big", signed=True)
    return blake2b(previous + numbers + body, digest_size=16).digest()


def write_layout_1(folder: Path, last: int, snapshots: tuple[int, ...]) -> Path:
    """A journal as version 0.1 has left it."""
    path = folder / FILE
    database = apsw.Connection(str(path))
    database.pragma("journal_mode", "wal")
    database.execute(LAYOUT_1)
    first = digest = blake2b(b"stellwerk journal demo", digest_size=16).digest()
    for seq, at_ns, body in inputs(1, last):
        digest = digest_1(digest, seq, at_ns, body)
        database.execute("INSERT INTO inputs VALUES(?, ?, ?, ?)", (seq, at_ns, body, digest))
    for seq in snapshots:
        state = f"state {seq}".encode()
        row = (seq, seq, state, digest_1(first, seq, seq, state))
        database.execute("INSERT INTO snapshots VALUES(?, ?, ?, ?)", row)
    database.close()
    return path


def layout(path: Path) -> int:
    database = apsw.Connection(str(path))
    version = database.pragma("user_version")
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    database.close()
    assert ("anchors" in tables, "drawn" in tables, "snapshots_1" in tables) == (version == 2, version == 2, False)
    assert isinstance(version, int)
    return version


async def test_a_journal_of_layout_1_goes_on_in_layout_2(tmp_path: Path) -> None:
    path = write_layout_1(tmp_path, 7, (3, 6))
    journal = SqliteJournal.open(tmp_path, "demo")
    assert journal.last_seq == 7
    assert list(journal.read(0)) == inputs(1, 7)
    assert journal.latest_snapshot() == (6, b"state 6")
    assert list(journal.read_drawn(0)) == []
    await journal.commit(inputs(8, 9), [(7, 7, bytes(16))])
    await journal.save_snapshot(9, 9, b"state 9")
    await journal.close()
    assert layout(path) == VERSION == 2
    journal = SqliteJournal.open(tmp_path, "demo")
    assert list(journal.read(0)) == inputs(1, 9)
    assert journal.latest_snapshot() == (9, b"state 9")
    assert journal.latest_snapshot(8) == (6, b"state 6")
    await journal.close()


async def test_an_empty_journal_of_layout_1_goes_on(tmp_path: Path) -> None:
    write_layout_1(tmp_path, 0, ())
    journal = SqliteJournal.open(tmp_path, "demo")
    assert journal.latest_snapshot() is None
    await journal.commit(inputs(1, 1))
    await journal.close()


def test_layout_1_can_be_read_without_changing_it(tmp_path: Path) -> None:
    path = write_layout_1(tmp_path, 7, (3, 6))
    before = path.read_bytes()
    with Reader(path) as reader:
        assert (reader.layout, reader.site_id, reader.first_seq, reader.last_seq) == (1, "demo", 1, 7)
        assert list(reader.read(5)) == inputs(6, 7)
        assert reader.latest_snapshot(5) == (3, b"state 3")
        assert list(reader.read_drawn(0)) == []
    assert path.read_bytes() == before


def test_a_crash_at_any_write_leaves_layout_1_or_2_and_nothing_in_between(tmp_path: Path, disk: Any) -> None:
    original = tmp_path / "original"
    original.mkdir()
    write_layout_1(original, 300, (100, 200))
    seen = set()
    for writes in range(200):
        folder, left = tmp_path / f"{writes}", tmp_path / f"{writes}-left"
        shutil.copytree(original, folder)
        disk.writes_left = writes
        try:
            SqliteJournal.open(folder, "demo")
            crashed = False
        except JournalError:
            crashed = True
        disk.writes_left = None
        # What lies there now is what the next process finds; the one that crashed no longer touches it.
        shutil.copytree(folder, left)
        found = layout(left / FILE)
        assert found in ((1, 2) if crashed else (2,))
        seen.add((crashed, found))
        with Reader(left / FILE) as reader:
            assert list(reader.read(0)) == inputs(1, 300)
            assert reader.latest_snapshot() == (200, b"state 200")
        if not crashed:
            break
    assert seen >= {(True, 1), (False, 2)}


def test_a_journal_of_layout_1_whose_end_is_cut_off_is_left_in_layout_1(tmp_path: Path) -> None:
    path = write_layout_1(tmp_path, 7, (3, 6))
    database = apsw.Connection(str(path))
    database.execute("DELETE FROM inputs WHERE seq > 4")
    database.close()
    with pytest.raises(JournalDamaged, match=r"at input 5 .it is missing, and all up to 6 at least") as caught:
        SqliteJournal.open(tmp_path, "demo")
    assert caught.value.seq == 5
    assert layout(path) == 1


async def _with_a_newer_snapshot(folder: Path) -> None:
    journal = SqliteJournal.open(folder, "demo", state_format=7)
    await journal.commit(inputs(1, 4))
    await journal.save_snapshot(2, 2, b"what this version can't know")
    await journal.close()


async def test_a_snapshot_of_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    await _with_a_newer_snapshot(tmp_path)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(JournalForeign, match=r"state format 7; this one knows 3.: start the newer gateway"):
        SqliteJournal.open(tmp_path, "demo", state_format=3)
    assert (tmp_path / FILE).read_bytes() == before
    again = SqliteJournal.open(tmp_path, "demo", state_format=7)
    assert again.latest_snapshot() == (2, b"what this version can't know")
    await again.close()


async def test_a_snapshot_of_a_newer_format_is_not_handed_out_to_a_reader_either(tmp_path: Path) -> None:
    await _with_a_newer_snapshot(tmp_path)
    with Reader(tmp_path / FILE, state_format=6) as reader:
        with pytest.raises(JournalForeign, match="newer gateway"):
            reader.latest_snapshot()
        # The moment before it is nobody's secret.
        assert reader.latest_snapshot(1) is None
        assert len(list(reader.read(0))) == 4


async def test_a_snapshot_of_an_older_format_is_handed_out(tmp_path: Path) -> None:
    await _with_a_newer_snapshot(tmp_path)
    journal = SqliteJournal.open(tmp_path, "demo", state_format=8)
    assert journal.latest_snapshot() == (2, b"what this version can't know")
    await journal.close()


async def test_a_format_that_was_changed_by_hand_breaks_the_seal(tmp_path: Path) -> None:
    await _with_a_newer_snapshot(tmp_path)
    database = apsw.Connection(str(tmp_path / FILE))
    database.execute("UPDATE snapshots SET format = 1")
    database.close()
    journal = SqliteJournal.open(tmp_path, "demo")
    assert journal.latest_snapshot() is None
    await journal.close()


async def test_a_snapshot_of_another_history_is_passed_over(tmp_path: Path) -> None:
    for name, time in (("a", 1), ("b", 2)):
        journal = SqliteJournal.open(tmp_path / name, "demo")
        await journal.commit([(1, time, b"one"), (2, time, b"two")])
        await journal.save_snapshot(2, 2, name.encode())
        await journal.close()
    database = apsw.Connection(str(tmp_path / "a" / FILE))
    database.execute("ATTACH ? AS other", (str(tmp_path / "b" / FILE),))
    database.execute("REPLACE INTO snapshots SELECT * FROM other.snapshots")
    database.close()
    journal = SqliteJournal.open(tmp_path / "a", "demo")
    assert journal.latest_snapshot() is None
    await journal.close()
