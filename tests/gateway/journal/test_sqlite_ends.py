"""A journal that was cut at either end, or exchanged for an older copy, is noticed at the start and left alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw
import pytest

from gateway.shell.journal import JournalDamaged, JournalOutdated, JournalUnusable
from gateway.shell.journal.sqlite import FILE, SqliteJournal

HEAD = "journal.head"


def inputs(first: int, last: int) -> list[tuple[int, int, bytes]]:
    return [(seq, seq, f"input {seq}".encode()) for seq in range(first, last + 1)]


async def filled(folder: Path, last: int = 9) -> None:
    journal = SqliteJournal.open(folder, "demo")
    await journal.commit(inputs(1, last))
    await journal.save_snapshot(5, 5, b"five")
    await journal.commit([], [(1, 6, bytes(16))])
    await journal.close()


def changed(folder: Path, *statements: str) -> None:
    """Somebody has worked on the file with a database tool."""
    database = apsw.Connection(str(folder / FILE))
    for statement in statements:
        database.execute(statement)
    database.close()


FORGED_HEAD = (
    "UPDATE anchors SET seq = (SELECT max(seq) FROM inputs), "
    "digest = (SELECT digest FROM inputs ORDER BY seq DESC LIMIT 1) WHERE name = 'head'"
)


@pytest.mark.parametrize(
    ("statements", "seq", "text"),
    [
        (["DELETE FROM inputs WHERE seq > 7"], 8, "missing, with all up to input 9: the end was cut off"),
        (["DELETE FROM inputs WHERE seq > 5", FORGED_HEAD], 6, "all up to input 6: the end was cut off"),
        (["DELETE FROM inputs WHERE seq > 3", "DELETE FROM drawn", FORGED_HEAD], 4, "all up to input 5"),
        (["DELETE FROM inputs"], 1, "all up to input 9"),
        (["DELETE FROM inputs WHERE seq < 3"], 1, "it is missing"),
        (["UPDATE inputs SET seq = 0 WHERE seq = 1"], 1, "input 0 stands before it"),
        (["INSERT INTO inputs VALUES(10, 10, x'00', zeroblob(16))"], 10, "somebody else has put it in"),
        (["UPDATE inputs SET digest = zeroblob(16) WHERE seq = 9"], 9, "not the one that was noted"),
        (["DELETE FROM anchors"], 0, "anchors are missing"),
    ],
)
async def test_a_cut_end_is_noticed_at_the_start(tmp_path: Path, statements: list[str], seq: int, text: str) -> None:
    await filled(tmp_path)
    (tmp_path / HEAD).unlink()
    changed(tmp_path, *statements)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(JournalDamaged, match=text) as caught:
        SqliteJournal.open(tmp_path, "demo")
    assert caught.value.seq == seq
    assert "stellwerk journal repair" in str(caught.value)
    assert (tmp_path / FILE).read_bytes() == before


async def test_an_older_copy_of_the_whole_file_is_noticed(tmp_path: Path) -> None:
    await filled(tmp_path)
    older = (tmp_path / FILE).read_bytes()
    journal = SqliteJournal.open(tmp_path, "demo")
    await journal.commit(inputs(10, 12))
    await journal.close()
    (tmp_path / FILE).write_bytes(older)
    with pytest.raises(JournalOutdated, match=r"ends with input 9, and 12 were there already .*put the newer"):
        SqliteJournal.open(tmp_path, "demo")
    assert (tmp_path / FILE).read_bytes() == older


async def test_an_older_copy_is_noticed_after_a_crash_too_back_to_the_last_snapshot(tmp_path: Path) -> None:
    await filled(tmp_path / "now")
    shutil.copytree(tmp_path / "now", tmp_path / "older")
    journal = SqliteJournal.open(tmp_path / "now", "demo")
    await journal.commit(inputs(10, 12))
    await journal.save_snapshot(11, 11, b"eleven")
    # No close: the process ends here, and somebody brings the copy back.
    shutil.copytree(tmp_path / "older", tmp_path / "next")
    shutil.copy(tmp_path / "now" / HEAD, tmp_path / "next" / HEAD)
    with pytest.raises(JournalOutdated, match="12 were there already"):
        SqliteJournal.open(tmp_path / "next", "demo")
    await journal.close()


async def test_an_older_copy_that_went_on_by_itself_is_noticed(tmp_path: Path) -> None:
    await filled(tmp_path / "a", 7)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for name, last in (("a", 9), ("b", 12)):
        journal = SqliteJournal.open(tmp_path / name, "demo")
        await journal.commit([(seq, seq, f"{name}'s own {seq}".encode()) for seq in range(8, last + 1)])
        await journal.close()
    shutil.copy(tmp_path / "b" / FILE, tmp_path / "a" / FILE)
    with pytest.raises(JournalOutdated, match=r"its input 9 is not the one that journal.head has seen"):
        SqliteJournal.open(tmp_path / "a", "demo")


@pytest.mark.parametrize("empty", [False, True])
async def test_a_journal_that_is_gone_is_not_begun_anew_in_silence(tmp_path: Path, empty: bool) -> None:
    await filled(tmp_path)
    (tmp_path / FILE).unlink()
    if empty:
        (tmp_path / FILE).touch()
    with pytest.raises(JournalOutdated, match=f"is {'empty' if empty else 'gone'}, and journal.head has seen 9 inputs"):
        SqliteJournal.open(tmp_path, "demo")
    assert (tmp_path / FILE).exists() == empty
    # The message's way on, for a person who knows what it means.
    (tmp_path / HEAD).rename(tmp_path / "away")
    journal = SqliteJournal.open(tmp_path, "demo")
    assert journal.last_seq == 0
    await journal.close()


async def test_an_unfinished_repair_is_not_taken_for_a_new_site(tmp_path: Path) -> None:
    await filled(tmp_path)
    (tmp_path / HEAD).unlink()
    (tmp_path / FILE).rename(tmp_path / f"{FILE}.repaired")
    with pytest.raises(JournalUnusable, match=r"repair was interrupted .*run `stellwerk journal repair"):
        SqliteJournal.open(tmp_path, "demo")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff" * 10_000, b'{"seq": "x"}'])
async def test_a_witness_that_can_t_be_read_stops_nobody_and_is_written_anew(tmp_path: Path, content: bytes) -> None:
    await filled(tmp_path)
    (tmp_path / HEAD).write_bytes(content)
    journal = SqliteJournal.open(tmp_path, "demo")
    await journal.commit(inputs(10, 10))
    await journal.save_snapshot(10, 10, b"ten")
    assert b'"seq":10' in (tmp_path / HEAD).read_bytes()
    await journal.close()


async def test_a_missing_or_an_older_witness_is_no_reason_to_refuse(tmp_path: Path) -> None:
    await filled(tmp_path)
    older = (tmp_path / HEAD).read_bytes()
    (tmp_path / HEAD).unlink()
    journal = SqliteJournal.open(tmp_path, "demo")
    await journal.commit(inputs(10, 10))
    await journal.close()
    (tmp_path / HEAD).write_bytes(older)
    journal = SqliteJournal.open(tmp_path, "demo")
    assert journal.last_seq == 10
    await journal.close()


async def test_a_witness_that_can_t_be_written_harms_nothing(tmp_path: Path) -> None:
    (tmp_path / f"{HEAD}.new").mkdir()
    journal = SqliteJournal.open(tmp_path, "demo")
    await journal.commit(inputs(1, 3))
    await journal.save_snapshot(3, 3, b"three")
    await journal.close()
    assert not (tmp_path / HEAD).exists()
    journal = SqliteJournal.open(tmp_path, "demo")
    assert journal.latest_snapshot() == (3, b"three")
    await journal.close()


async def test_a_commit_that_was_refused_leaves_the_ends_as_they_were(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo", pages_max=30)
    await journal.commit(inputs(1, 3))
    with pytest.raises(Exception, match="took nothing"):
        await journal.commit([(4, 4, b"x" * 500_000)], [(1, 3, bytes(16))])
    assert list(journal.read_drawn(0)) == []
    await journal.close()
    journal = SqliteJournal.open(tmp_path, "demo")
    assert list(journal.read(0)) == inputs(1, 3)
    await journal.close()
