"""What is sound of a damaged journal is saved, the newest state first; the damaged file is kept as it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from gateway.shell.journal import JournalLocked, JournalOutdated, JournalUnusable
from gateway.shell.journal.reader import Reader
from gateway.shell.journal.repair import repair, target_of
from gateway.shell.journal.sqlite import FILE, SqliteJournal
from gateway.shell.journal.verify import verify

LAST = 3_000
SNAPSHOTS = (1_000, 2_000, 2_900)
PAGE = 4_096
Harm = Callable[[Path], None]


def inputs(first: int, last: int) -> list[tuple[int, int, bytes]]:
    return [(seq, seq * 10**9, f"<{seq}>".encode().ljust(100, b".")) for seq in range(first, last + 1)]


def state(seq: int) -> bytes:
    return f"the state after {seq}".encode().ljust(6_000, b"-")


async def sound(folder: Path) -> Path:
    """A journal as a gateway leaves it after a crash: much of it still in the WAL."""
    journal = SqliteJournal.open(folder / "lived", "demo", base_every=900)
    await journal.commit(inputs(1, LAST))
    await journal.commit([], [(first, first + 99, bytes(16)) for first in range(1, LAST - 100, 100)])
    for seq in SNAPSHOTS:
        await journal.save_snapshot(seq, 0, state(seq))
    left = folder / "journal"
    shutil.copytree(folder / "lived", left)
    await journal.close()
    (left / "lock").unlink()
    return left / FILE


def edited(path: Path, *statements: str) -> None:
    database = apsw.Connection(str(path))
    for statement in statements:
        database.execute(statement)
    database.close()


def closed(path: Path) -> bytearray:
    """The file's content with its WAL in it."""
    edited(path, "PRAGMA wal_checkpoint(truncate)")
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return bytearray(path.read_bytes())


def page_with(content: bytearray, text: bytes) -> int:
    assert content.count(text) == 1, text
    return content.index(text) // PAGE * PAGE


def flipped(text: bytes) -> Harm:
    def harm(path: Path) -> None:
        content = closed(path)
        assert text in content
        # Pages that are free may still hold what moved elsewhere.
        path.write_bytes(content.replace(text, bytes([text[0] ^ 0x01]) + text[1:]))

    return harm


def scrambled(*texts: bytes) -> Harm:
    """The pages in which these stand are full of something else."""

    def harm(path: Path) -> None:
        content = closed(path)
        for page in {page_with(content, text) for text in texts}:
            content[page : page + PAGE] = os.urandom(PAGE)
        path.write_bytes(content)

    return harm


def truncated(text: bytes) -> Harm:
    """The file ends within the page in which this stands."""

    def harm(path: Path) -> None:
        content = closed(path)
        path.write_bytes(content[: page_with(content, text) + 100])

    return harm


def statement(*texts: str) -> Harm:
    return lambda path: edited(path, *texts)


CASES: dict[str, tuple[Harm, int, int]] = {
    # What is done to it, after which input the new one begins, with which it ends.
    "flipped byte": (flipped(b"<1500>"), 2_000, LAST),
    "flipped byte in front of all snapshots": (flipped(b"<7>"), 1_000, LAST),
    "flipped byte behind all snapshots": (flipped(b"<2950>"), 0, 2_949),
    "flipped byte in the input of the newest snapshot": (flipped(b"<2900>"), 2_900, LAST),
    "flipped byte in the newest snapshot": (flipped(b"the state after 2900"), 0, LAST),
    "deleted row": (statement("DELETE FROM inputs WHERE seq = 2500"), 2_900, LAST),
    "deleted row that a snapshot ends with": (statement("DELETE FROM inputs WHERE seq = 2900"), 2_900, LAST),
    "moved row": (statement("UPDATE inputs SET seq = 9000 WHERE seq = 2950"), 0, 2_949),
    "first rows gone": (statement("DELETE FROM inputs WHERE seq < 500"), 1_000, LAST),
    "cut tail": (statement("DELETE FROM inputs WHERE seq > 2990"), 0, 2_990),
    "cut tail and head": (
        statement(
            "DELETE FROM inputs WHERE seq > 2800",
            "UPDATE anchors SET seq = 2800, digest = (SELECT digest FROM inputs WHERE seq = 2800) WHERE name = 'head'",
        ), 2_900, 2_900,
    ),
    "no anchors": (statement("DELETE FROM anchors"), 0, LAST),
    "lost page": (scrambled(b"<1500>"), 2_000, LAST),
    "lost pages": (scrambled(b"<1500>", b"<1505>", b"<2400>", b"<2960>"), 2_900, 2_949),
    "lost page of the newest snapshot": (scrambled(b"the state after 2900"), 0, LAST),
    "short file": (truncated(b"<2700>"), 0, 2_000),
    "drawn by inputs that never were": (statement("INSERT INTO drawn VALUES(8000, 8001, zeroblob(16))"), 0, LAST),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
async def test_what_is_sound_is_saved_and_the_damaged_file_is_kept(tmp_path: Path, case: str) -> None:
    harm, begin_seq, end_seq = CASES[case]
    path = await sound(tmp_path)
    harm(path)
    before = {beside.name: beside.read_bytes() for beside in path.parent.iterdir() if beside.name.endswith("e")}
    verdict = verify(path)
    assert not verdict.is_sound
    outcome = repair(path)
    assert outcome.kept_as == path.with_name(f"{FILE}.damaged-1")
    assert outcome.kept_as.read_bytes() == before[FILE]
    assert verify(path).is_sound
    if case in ("lost pages", "short file"):
        # How much of a page's neighbourhood SQLite can still give is its own affair.
        assert outcome.now is not None
        assert end_seq - 60 <= outcome.now.end_seq <= end_seq + 800
        assert outcome.lost_seqs == range(outcome.now.end_seq + 1, LAST + 1)
        return
    with Reader(path) as reader:
        assert (reader.first_seq, reader.last_seq) == (begin_seq + 1, end_seq)
        assert list(reader.read(begin_seq)) == inputs(begin_seq + 1, end_seq)
        kept = [seq for (seq,) in reader.rows("SELECT seq FROM snapshots")]
        # All three begin in the one page that is lost, and only the newest in the byte that is flipped.
        harmed = {"lost page of the newest snapshot": SNAPSHOTS, "flipped byte in the newest snapshot": (2_900,)}
        assert kept == [s for s in SNAPSHOTS if begin_seq <= s <= end_seq and s not in harmed.get(case, ())]
        if begin_seq:
            assert reader.latest_snapshot(begin_seq) == (begin_seq, state(begin_seq))
        drawn = list(reader.read_drawn(0))
        assert [first for first, _, _ in drawn] == [
            first for first in range(1, LAST - 100, 100) if begin_seq < first and first + 99 <= end_seq
        ]
    assert outcome.lost_seqs == range(end_seq + 1, (outcome.found.known_seq if "head" in case else LAST) + 1)
    # The gateway goes on with it.
    journal = SqliteJournal.open(path.parent, "demo")
    await journal.commit([(end_seq + 1, 0, b"the next one")])
    await journal.close()
    assert verify(path).is_sound


async def test_nothing_to_repair_changes_nothing(tmp_path: Path) -> None:
    path = await sound(tmp_path)
    content = closed(path)
    outcome = repair(path)
    assert (outcome.now, outcome.kept_as) == (None, None)
    assert path.read_bytes() == content
    assert not list(path.parent.glob("*damaged*"))


async def test_a_crashed_gateway_s_journal_is_sound_with_what_stands_in_its_wal(tmp_path: Path) -> None:
    path = await sound(tmp_path)
    wal = path.with_name(f"{FILE}-wal")
    before = (path.read_bytes(), wal.read_bytes())
    assert len(before[1]) > 0
    assert repair(path).found.scan.inputs == LAST
    assert (path.read_bytes(), wal.read_bytes()) == before


async def test_the_wal_goes_with_the_damaged_file(tmp_path: Path) -> None:
    path = await sound(tmp_path)
    wal = path.with_name(f"{FILE}-wal")
    content = wal.read_bytes()
    database = apsw.Connection(str(path))
    database.execute("DELETE FROM inputs WHERE seq = 2950")
    # The connection stays open, as that of a process would that dies now: its change is in the WAL.
    outcome = repair(path)
    database.close()
    assert outcome.kept_as is not None
    kept = outcome.kept_as.with_name(f"{outcome.kept_as.name}-wal")
    assert kept.exists()
    assert content
    assert verify(path).is_sound
    assert not verify(outcome.kept_as).is_sound


async def test_a_gateway_that_runs_is_not_disturbed(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo")
    await journal.commit(inputs(1, 10))
    with pytest.raises(JournalLocked, match=str(os.getpid())):
        repair(tmp_path / FILE)
    await journal.commit(inputs(11, 12))
    assert verify(tmp_path / FILE).is_sound
    await journal.close()


async def test_a_second_repair_keeps_the_first_one_s_file(tmp_path: Path) -> None:
    path = await sound(tmp_path)
    for number in (1, 2):
        flipped(b"<1500>" if number == 1 else b"<2500>")(path)
        assert repair(path).kept_as == path.with_name(f"{FILE}.damaged-{number}")
    assert sorted(p.name for p in path.parent.glob("*damaged*")) == [f"{FILE}.damaged-1", f"{FILE}.damaged-2"]


async def test_owner_and_rights_stay_as_they_were(tmp_path: Path) -> None:
    path = await sound(tmp_path)
    flipped(b"<1500>")(path)
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    before = path.stat()
    repair(path)
    now = path.stat()
    assert (now.st_mode, now.st_uid, now.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


async def test_where_nothing_is_sound_nothing_is_changed(tmp_path: Path) -> None:
    path = await sound(tmp_path)
    edited(path, "UPDATE inputs SET at_ns = 5 WHERE seq = 1", "DELETE FROM snapshots")
    before = closed(path)
    with pytest.raises(JournalUnusable, match=r"nothing of it is sound.*new data folder, after a walk"):
        repair(path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["journal.head", FILE, f"{FILE}-shm", f"{FILE}-wal", "lock"]


async def test_an_older_copy_is_accepted_by_a_repair_and_by_nothing_else(tmp_path: Path) -> None:
    path = await sound(tmp_path)
    older = closed(path)
    journal = SqliteJournal.open(path.parent, "demo")
    await journal.commit(inputs(LAST + 1, LAST + 9))
    await journal.close()
    path.write_bytes(older)
    with pytest.raises(JournalOutdated):
        SqliteJournal.open(path.parent, "demo")
    outcome = repair(path)
    assert (outcome.kept_as, outcome.lost_seqs) == (None, range(LAST + 1, LAST + 10))
    assert path.read_bytes() == older
    assert path.with_name("journal.head.damaged-1").exists()
    journal = SqliteJournal.open(path.parent, "demo")
    assert journal.last_seq == LAST
    await journal.close()


async def test_a_repair_that_was_interrupted_is_gone_on_with(tmp_path: Path) -> None:
    path = await sound(tmp_path)
    flipped(b"<2950>")(path)
    repair(path)
    # What lies there when the process ends between the last two renamings …
    path.rename(path.with_name(f"{FILE}.repaired"))
    damaged = path.with_name(f"{FILE}.damaged-1")
    path.with_name(f"{FILE}-wal").write_bytes(b"of the damaged one")
    with pytest.raises(JournalUnusable, match="repair was interrupted"):
        SqliteJournal.open(path.parent, "demo")
    # … is found by the same command.
    outcome = repair(target_of(path.parent))
    assert outcome.kept_as == damaged
    assert damaged.with_name(f"{damaged.name}-wal").read_bytes() == b"of the damaged one"
    journal = SqliteJournal.open(path.parent, "demo")
    assert journal.last_seq == 2_949
    await journal.close()


async def test_a_repair_that_was_interrupted_earlier_begins_again(tmp_path: Path) -> None:
    path = await sound(tmp_path)
    flipped(b"<2950>")(path)
    for rest in (".repairing", ".repairing-wal", ".repaired"):
        path.with_name(FILE + rest).write_bytes(b"half of it")
    outcome = repair(path)
    assert outcome.now is not None
    assert outcome.now.end_seq == 2_949
    assert not list(path.parent.glob("*repair*"))


async def test_a_file_that_does_not_know_its_site_can_be_told(tmp_path: Path) -> None:
    path = await sound(tmp_path)
    edited(path, "UPDATE meta SET value = 'dem0'")
    closed(path)
    assert any("does not begin as one of site 'dem0'" in problem for problem in verify(path).problems)
    with pytest.raises(JournalUnusable, match="nothing of it is sound"):
        repair(path)
    edited(path, "DELETE FROM inputs WHERE seq = 2950")
    outcome = repair(path, "demo")
    assert outcome.now is not None
    assert (outcome.now.site_id, outcome.now.end_seq) == ("demo", 2_949)


async def test_a_folder_full_of_damaged_files_is_not_searched_for_ever(tmp_path: Path) -> None:
    path = await sound(tmp_path)
    flipped(b"<2950>")(path)
    for number in range(1, 1_000):
        path.with_name(f"{FILE}.damaged-{number}").touch()
    with pytest.raises(JournalUnusable, match="999 damaged ones"):
        repair(path)
