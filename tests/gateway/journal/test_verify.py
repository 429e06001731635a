"""A look at everything: what it says of a sound journal, and that it finds what is not."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from gateway.shell.journal import JournalDamaged, JournalForeign, JournalUnusable
from gateway.shell.journal.moments import locate
from gateway.shell.journal.reader import Reader
from gateway.shell.journal.retention import Limits
from gateway.shell.journal.scan import DAMAGES_LISTED_MAX, scan
from gateway.shell.journal.sqlite import FILE, SqliteJournal
from gateway.shell.journal.store import Store
from gateway.shell.journal.verify import verify

SECOND = 10**9


def inputs(first: int, last: int) -> list[tuple[int, int, bytes]]:
    return [(seq, seq * SECOND, b"x" * 100) for seq in range(first, last + 1)]


async def filled(folder: Path, last: int = 300) -> Path:
    journal = SqliteJournal.open(folder, "demo")
    await journal.commit(inputs(1, last))
    await journal.save_snapshot(100, 100 * SECOND, b"state 100")
    await journal.commit([], [(1, 200, bytes(16)), (201, 300, bytes(16))])
    await journal.close()
    return folder / FILE


def edited(path: Path, *statements: str) -> None:
    database = apsw.Connection(str(path))
    for statement in statements:
        database.execute(statement)
    database.close()


async def test_a_sound_journal_and_its_figures(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    verdict = verify(path)
    assert verdict.problems == []
    assert (verdict.site_id, verdict.layout, verdict.base_seq, verdict.known_seq) == ("demo", 2, 0, 300)
    assert (verdict.scan.inputs, verdict.scan.body_bytes) == (300, 30_000)
    assert (verdict.scan.first, verdict.scan.last) == ((1, SECOND), (300, 300 * SECOND))
    assert [(kept.seq, kept.state_bytes, kept.problem) for kept in verdict.snapshots] == [(100, 9, "")]
    assert verdict.drawn == 2
    assert verdict.file_bytes == path.stat().st_size


async def test_an_empty_journal_is_sound(tmp_path: Path) -> None:
    await SqliteJournal.open(tmp_path, "demo").close()
    verdict = verify(tmp_path / FILE)
    assert verdict.problems == []
    assert (verdict.scan.inputs, verdict.scan.first, verdict.end_seq) == (0, None, 0)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE inputs SET body = x'01' WHERE seq = 50", "input 50: its digest does not match"),
        ("DELETE FROM inputs WHERE seq BETWEEN 50 AND 52", "inputs 50 to 52: missing"),
        ("DELETE FROM inputs WHERE seq > 290", "inputs 291 to 300: missing, the end was cut off"),
        ("DELETE FROM inputs WHERE seq < 3", "inputs 1 to 2: missing"),
        ("INSERT INTO inputs VALUES(-5, 0, x'', zeroblob(16))", "1 inputs stand before input 1, with which it begins"),
        ("UPDATE snapshots SET state = x'01'", "snapshot after input 100: is not what was written"),
        ("UPDATE snapshots SET seq = 90", "snapshot after input 90: is not what was written"),
        ("UPDATE snapshots SET at_ns = 90", "snapshot after input 100: is not what was written"),
        (
            "UPDATE anchors SET digest = zeroblob(16) WHERE name = 'head'",
            "input 300: its digest is not the one that was",
        ),
        ("UPDATE anchors SET seq = 299 WHERE name = 'head'", "inputs 300 to 300: somebody else has put them in"),
        ("DELETE FROM anchors", "its anchors are missing"),
        ("UPDATE anchors SET digest = zeroblob(16) WHERE name = 'base'", "input 1: its chain does not begin as one of"),
        ("UPDATE drawn SET last_seq = 250 WHERE first_seq = 1", "drawn by inputs 201 to 300: is not what was written"),
        (
            "UPDATE drawn SET last_seq = 400 WHERE first_seq = 201",
            "drawn by inputs up to 400: there are no such inputs",
        ),
        ("UPDATE drawn SET digest = x'00' WHERE first_seq = 1", "drawn by inputs 1 to 200: is not what was written"),
        ("CREATE INDEX t ON inputs(at_ns)", ""),
        ("DROP TABLE drawn", "its drawn can't be read"),
    ],
)
async def test_what_is_not_as_it_was_written_is_found(tmp_path: Path, statement: str, problem: str) -> None:
    path = await filled(tmp_path)
    edited(path, statement)
    problems = verify(path).problems
    assert any(found.startswith(problem) for found in problems) if problem else problems == []


async def test_a_base_without_a_snapshot_is_found(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    edited(
        path,
        "UPDATE anchors SET seq = 100, digest = (SELECT digest FROM inputs WHERE seq = 100) WHERE name = 'base'",
        "DELETE FROM inputs WHERE seq <= 100",
        "DELETE FROM drawn",
    )
    assert verify(path).problems == []
    edited(path, "DELETE FROM snapshots")
    assert verify(path).problems == ["no snapshot to begin with: the inputs up to 100 are no longer there"]


async def test_a_list_of_damages_has_an_end(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    edited(path, "UPDATE inputs SET body = x'01' WHERE seq % 3 = 0")
    verdict = verify(path)
    assert verdict.scan.damage_count == 100
    assert len(verdict.scan.damages) == DAMAGES_LISTED_MAX
    assert f"and {100 - DAMAGES_LISTED_MAX} places more" in verdict.problems


async def test_an_older_copy_is_named(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    older = path.read_bytes()
    journal = SqliteJournal.open(tmp_path, "demo")
    await journal.commit(inputs(301, 310))
    await journal.close()
    path.write_bytes(older)
    verdict = verify(path)
    assert verdict.problems == ["an older copy: it ends with input 300, journal.head has seen 310"]
    assert verdict.known_seq == 310


async def test_it_works_beside_a_running_gateway(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo")
    for first in range(1, 1_001, 100):
        await journal.commit(inputs(first, first + 99))
        verdict = verify(tmp_path / FILE)
        assert (verdict.problems, verdict.scan.inputs) == ([], first + 99)
    await journal.close()


def test_a_scan_that_is_overtaken_by_the_making_of_room_finds_no_damage(tmp_path: Path) -> None:
    store = Store(tmp_path / FILE, "demo", Limits(bytes_max=200_000))
    for first in range(1, 6_001, 500):
        store.append(inputs(first, first + 499))
    store.put_snapshot(5_000, 0, b"five")
    store.put_snapshot(6_000, 0, b"six")
    with Reader(tmp_path / FILE) as reader:
        begins = {0: reader.genesis, 5_000: reader.digest_of(5_000)}
        while store.make_room():
            pass
        found = scan(reader, begins, 6_000)
    assert store.base_seq == 5_000
    assert found.damages == []
    assert (found.first, found.ends[5_000]) == ((5_001, 5_001 * SECOND), 6_000)
    store.close()


def test_a_file_that_is_no_journal_is_no_damaged_one(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"goods in\n" * 1_000)
    with pytest.raises(JournalForeign, match="no SQLite file"):
        verify(tmp_path / FILE)
    with pytest.raises(JournalUnusable, match="no such file"):
        verify(tmp_path / "other")
    (tmp_path / "empty").touch()
    with pytest.raises(JournalForeign, match="is empty"):
        verify(tmp_path / "empty")


async def test_a_file_that_is_not_even_a_page_long_is_told(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    path.write_bytes(path.read_bytes()[:1_000])
    with pytest.raises(JournalDamaged, match=r"does not say any more whose it is, .*; --site-id tells it"):
        verify(path)
    # Told whose it is, it can be looked at: nothing is left of it.
    assert any("can't be read" in problem for problem in verify(path, "demo").problems)


async def test_the_journal_is_found_from_its_folder_and_from_the_data_folder(tmp_path: Path) -> None:
    path = await filled(tmp_path / "data" / "journal")
    for place in (path, path.parent, path.parent.parent):
        assert locate(place) == path
    with pytest.raises(JournalUnusable, match=r"there is no journal.*name the data folder"):
        locate(tmp_path)
    with pytest.raises(JournalUnusable, match="nothing of that name"):
        locate(tmp_path / "datta")
