"""What was acknowledged is there, whole and as it was written; what is not says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

from gateway.shell.journal import JournalDamaged, JournalFull
from gateway.shell.journal.chain import genesis
from gateway.shell.journal.sqlite import FILE, SqliteJournal

CHILD = Path(__file__).with_name("journal_child.py")
ACKNOWLEDGED_MIN = 40


def inputs(first: int, last: int) -> list[tuple[int, int, bytes]]:
    return [(seq, seq, f"the body of input number {seq}".encode()) for seq in range(first, last + 1)]


def acknowledged_before_the_kill(folder: Path) -> int:
    """Let a process commit into `folder`, kill it in the midst, and say what it had acknowledged by then."""
    command = [sys.executable, str(CHILD), str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(ACKNOWLEDGED_MIN)]
        child.kill()
        lines += child.stdout.readlines()
    return int([line for line in lines if line.endswith("\n")][-1])


async def test_all_that_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    stored = 0
    for _ in range(3):
        acknowledged = acknowledged_before_the_kill(tmp_path)
        assert acknowledged >= stored + 3 * ACKNOWLEDGED_MIN
        journal = SqliteJournal.open(tmp_path, "demo")
        # A batch that was stored but whose acknowledgement was cut off may be there too, whole.
        stored = journal.last_seq
        assert stored in (acknowledged, acknowledged + 3)
        assert list(journal.read(0)) == [(n, n * 1_000, f"input {n}".encode()) for n in range(1, stored + 1)]
        await journal.close()


async def test_all_that_was_acknowledged_survives_a_power_cut(tmp_path: Path, disk: Any) -> None:
    journal = SqliteJournal.open(tmp_path / "a", "demo")
    for last in range(1, 30):
        await journal.commit(inputs(last, last))
        if last % 10 == 0:
            await journal.save_snapshot(last, last, f"state {last}".encode())
        folder = tmp_path / f"after-{last}"
        folder.mkdir()
        disk.power_cut(folder)
        survivor = SqliteJournal.open(folder, "demo")
        assert list(survivor.read(0)) == inputs(1, last)
        kept = last // 10 * 10
        assert survivor.latest_snapshot() == ((kept, f"state {kept}".encode()) if kept else None)
        await survivor.close()
    await journal.close()


@pytest.mark.parametrize("failing", ["sync_fails", "write_fails"])
async def test_an_io_error_stores_nothing_and_the_call_may_be_made_again(
    tmp_path: Path, disk: Any, failing: str
) -> None:
    journal = SqliteJournal.open(tmp_path, "demo")
    await journal.commit(inputs(1, 2))
    setattr(disk, failing, True)
    for _ in range(2):
        with pytest.raises(JournalFull, match="make room"):
            await journal.commit(inputs(3, 5))
        with pytest.raises(JournalFull):
            await journal.save_snapshot(2, 0, b"state")
    assert journal.last_seq == 2
    assert list(journal.read(0)) == inputs(1, 2)
    setattr(disk, failing, False)
    await journal.commit(inputs(3, 5))
    await journal.close()
    again = SqliteJournal.open(tmp_path, "demo")
    assert list(again.read(0)) == inputs(1, 5)
    assert again.latest_snapshot() is None
    await again.close()


async def test_every_commit_is_synced_before_it_is_acknowledged(tmp_path: Path, disk: Any) -> None:
    journal = SqliteJournal.open(tmp_path, "demo")
    for seq in range(1, 6):
        before = disk.syncs_of_wal
        await journal.commit(inputs(seq, seq))
        assert disk.syncs_of_wal > before
    await journal.close()


async def _filled(folder: Path, last: int) -> None:
    journal = SqliteJournal.open(folder, "demo")
    await journal.commit(inputs(1, last))
    await journal.save_snapshot(3, 3, b"the state after three")
    await journal.save_snapshot(5, 5, b"the state after five")
    await journal.close()


def _flip(path: Path, where: bytes) -> None:
    content = bytearray(path.read_bytes())
    assert content.count(where) == 1
    content[content.index(where)] ^= 0x01
    path.write_bytes(content)


async def test_a_flipped_bit_is_found_at_its_input(tmp_path: Path) -> None:
    await _filled(tmp_path, 9)
    _flip(tmp_path / FILE, b"the body of input number 7")
    journal = SqliteJournal.open(tmp_path, "demo")
    reading = journal.read(0)
    assert [next(reading) for _ in range(6)] == inputs(1, 6)
    with pytest.raises(JournalDamaged, match="at input 7") as caught:
        next(reading)
    assert caught.value.seq == 7
    # The input that a reading hangs on is looked at, too; behind the damage the chain is whole again.
    with pytest.raises(JournalDamaged, match="at input 7"):
        list(journal.read(7))
    assert list(journal.read(8)) == inputs(9, 9)
    await journal.close()


@pytest.mark.parametrize(
    ("change", "seq"),
    [
        ("UPDATE inputs SET at_ns = at_ns + 1 WHERE seq = 4", 4),
        ("UPDATE inputs SET digest = zeroblob(16) WHERE seq = 4", 4),
        ("DELETE FROM inputs WHERE seq = 4", 4),
        ("UPDATE inputs SET body = (SELECT body FROM inputs AS other WHERE other.seq = 5) WHERE seq = 4", 4),
    ],
)
async def test_a_changed_or_missing_record_is_found(tmp_path: Path, change: str, seq: int) -> None:
    await _filled(tmp_path, 9)
    database = apsw.Connection(str(tmp_path / FILE))
    database.execute(change)
    database.close()
    journal = SqliteJournal.open(tmp_path, "demo")
    with pytest.raises(JournalDamaged) as caught:
        list(journal.read(0))
    assert caught.value.seq == seq
    await journal.close()


async def test_records_of_another_site_do_not_pass_as_ours(tmp_path: Path) -> None:
    await _filled(tmp_path, 9)
    database = apsw.Connection(str(tmp_path / FILE))
    database.execute("UPDATE meta SET value = 'hamburg'")
    database.close()
    with pytest.raises(JournalDamaged, match=r"at input 1 .its chain does not begin as one of site 'hamburg'"):
        SqliteJournal.open(tmp_path, "hamburg")
    database = apsw.Connection(str(tmp_path / FILE))
    database.execute("UPDATE anchors SET digest = ? WHERE name = 'base'", (genesis("hamburg"),))
    database.close()
    journal = SqliteJournal.open(tmp_path, "hamburg")
    with pytest.raises(JournalDamaged, match=r"at input 1 .its digest"):
        list(journal.read(0))
    await journal.close()


async def test_a_damaged_snapshot_is_passed_over(tmp_path: Path) -> None:
    await _filled(tmp_path, 9)
    _flip(tmp_path / FILE, b"the state after five")
    journal = SqliteJournal.open(tmp_path, "demo")
    assert journal.latest_snapshot() == (3, b"the state after three")
    await journal.close()
    _flip(tmp_path / FILE, b"the state after three")
    journal = SqliteJournal.open(tmp_path, "demo")
    assert journal.latest_snapshot() is None
    await journal.close()


async def test_only_the_newest_two_snapshots_are_kept(tmp_path: Path) -> None:
    await _filled(tmp_path, 9)
    journal = SqliteJournal.open(tmp_path, "demo")
    await journal.save_snapshot(9, 9, b"nine")
    await journal.close()
    database = apsw.Connection(str(tmp_path / FILE))
    assert database.execute("SELECT seq FROM snapshots ORDER BY seq").fetchall() == [(5,), (9,)]
    database.close()


async def test_a_scrambled_file_is_told(tmp_path: Path) -> None:
    await _filled(tmp_path, 2_000)
    content = bytearray((tmp_path / FILE).read_bytes())
    for page in range(1, len(content) // 4096):
        content[page * 4096 : page * 4096 + 100] = b"\xff" * 100
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(JournalDamaged, match="in its structure"):
        SqliteJournal.open(tmp_path, "demo")
