"""Who may open a journal, and which files are left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from gateway.shell.journal import JournalForeign, JournalLocked, JournalUnusable
from gateway.shell.journal.schema import VERSION
from gateway.shell.journal.sqlite import FILE, SqliteJournal

NOBODY = 65534
OTHER_GATEWAY = """
import sys
from pathlib import Path
from gateway.shell.journal import JournalLocked
from gateway.shell.journal.sqlite import SqliteJournal
try:
    SqliteJournal.open(Path(sys.argv[1]), "demo")
except JournalLocked as error:
    print("locked by", error.pid)
else:
    print("opened")
"""


async def test_creates_its_folder_and_opens_again(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "journal"
    journal = SqliteJournal.open(folder, "demo")
    await journal.commit([(1, 5, b"one")])
    await journal.close()
    again = SqliteJournal.open(folder, "demo")
    assert again.last_seq == 1
    assert list(again.read(0)) == [(1, 5, b"one")]
    await again.close()
    assert sorted(path.name for path in folder.iterdir()) == ["journal.head", FILE, "lock"]


async def test_a_second_gateway_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    first = SqliteJournal.open(tmp_path, "demo")
    with pytest.raises(JournalLocked, match=str(os.getpid())) as caught:
        SqliteJournal.open(tmp_path, "demo")
    assert (caught.value.folder, caught.value.pid) == (tmp_path, os.getpid())
    await first.close()
    await SqliteJournal.open(tmp_path, "demo").close()


def opened_by_another_process(folder: Path) -> str:
    """What another process prints that tries to open the journal in `folder`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", OTHER_GATEWAY, str(folder)],
        capture_output=True, text=True, timeout=30, check=True, env=environment,
    )  # fmt: skip
    return done.stdout.strip()


async def test_another_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo")
    assert opened_by_another_process(tmp_path) == f"locked by {os.getpid()}"
    await journal.close()
    assert opened_by_another_process(tmp_path) == "opened"


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    text = b"goods in, Monday: 14 totes\n" * 100
    (tmp_path / FILE).write_bytes(text)
    with pytest.raises(JournalForeign, match="no SQLite file"):
        SqliteJournal.open(tmp_path, "demo")
    assert (tmp_path / FILE).read_bytes() == text


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    database = apsw.Connection(str(tmp_path / FILE))
    database.execute("CREATE TABLE totes(id TEXT)")
    database.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(JournalForeign, match="another program"):
        SqliteJournal.open(tmp_path, "demo")
    assert (tmp_path / FILE).read_bytes() == before


async def test_a_newer_layout_is_left_alone(tmp_path: Path) -> None:
    await SqliteJournal.open(tmp_path, "demo").close()
    database = apsw.Connection(str(tmp_path / FILE))
    database.pragma("user_version", VERSION + 1)
    database.close()
    with pytest.raises(JournalForeign, match="newer gateway"):
        SqliteJournal.open(tmp_path, "demo")


async def test_another_sites_journal_is_left_alone(tmp_path: Path) -> None:
    await SqliteJournal.open(tmp_path, "demo").close()
    with pytest.raises(JournalForeign, match="'demo', not of 'hamburg'"):
        SqliteJournal.open(tmp_path, "hamburg")
    # A refusal keeps nothing open and locked.
    await SqliteJournal.open(tmp_path, "demo").close()


async def test_a_creation_that_was_cut_short_is_begun_again(tmp_path: Path) -> None:
    database = apsw.Connection(str(tmp_path / FILE))
    database.pragma("journal_mode", "wal")
    database.close()
    journal = SqliteJournal.open(tmp_path, "demo")
    await journal.commit([(1, 0, b"")])
    await journal.close()


def test_no_right_to_write(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir(mode=0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        with pytest.raises(JournalUnusable, match="choose another folder"):
            SqliteJournal.open(folder, "demo")
    finally:
        if root:
            os.seteuid(0)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("in the way")
    with pytest.raises(JournalUnusable, match="exists"):
        SqliteJournal.open(tmp_path / "journal", "demo")


def test_a_database_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(JournalUnusable, match="check the path"):
        SqliteJournal.open(tmp_path, "demo")
