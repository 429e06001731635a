"""A start on a journal that can't be used: what is wrong and what to do is said, and nothing in the folder changes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.shell.journal import JournalError
from gateway.shell.journal.sqlite import FILE, SqliteJournal

NOBODY = 65534
AS_NOBODY = """
import os, sys
from pathlib import Path
from gateway.shell.journal import JournalError
from gateway.shell.journal.sqlite import SqliteJournal
if os.geteuid() == 0:
    os.setgid({nobody}); os.setuid({nobody})
try:
    SqliteJournal.open(Path(sys.argv[1]), "demo")
except JournalError as error:
    sys.exit(f"{{type(error).__name__}}: {{error}}")
"""


def contents(folder: Path) -> dict[str, bytes]:
    """All that somebody could miss: the lock and what SQLite makes anew are not among it."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if path.name != "lock" and not path.name.endswith(("-shm", "-wal"))
    }


WRITTEN = [(seq, seq, f"input {seq}".encode().ljust(300, b".")) for seq in range(1, 501)]
STATE = (300, b"state" * 2_000)


async def filled(folder: Path) -> Path:
    journal = SqliteJournal.open(folder, "demo")
    await journal.commit(WRITTEN)
    await journal.save_snapshot(*STATE[:1], 0, STATE[1])
    await journal.close()
    return folder / FILE


async def given(folder: Path) -> tuple[str, list[tuple[int, int, bytes]], tuple[int, bytes] | None]:
    """What a start makes of it: what it says, and what it has read until then."""
    found: list[tuple[int, int, bytes]] = []
    state: tuple[int, bytes] | None = None
    said = ""
    try:
        journal = SqliteJournal.open(folder, "demo")
    except JournalError as error:
        return str(error), found, state
    try:
        state = journal.latest_snapshot()
        found += journal.read(0)
    except JournalError as error:
        said = str(error)
    await journal.close()
    return said, found, state


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9])
async def test_a_truncated_journal_is_refused(tmp_path: Path, share: float) -> None:
    path = await filled(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    before = contents(tmp_path)
    said, found, state = await given(tmp_path)
    assert (found, state) == ([], None)
    assert any(
        way_on in said for way_on in ("put the newer file back", "stellwerk journal repair", "is no SQLite file")
    )
    assert contents(tmp_path) == before


def spoilt(content: bytearray, page: int) -> None:
    begin = page * 4_096
    content[begin : begin + 4_096] = bytes((byte * 7 + page) % 256 for byte in range(4_096))


def cut_within(content: bytearray, page: int) -> None:
    del content[page * 4_096 + 1_000 :]


@pytest.mark.parametrize(("harm", "page"), [*((spoilt, page) for page in range(1, 60, 5)), (cut_within, -1)])
async def test_from_a_damaged_page_nothing_is_read_that_was_not_written(
    tmp_path: Path, harm: Callable[[bytearray, int], None], page: int
) -> None:
    path = await filled(tmp_path)
    content = bytearray(path.read_bytes())
    harm(content, page % (len(content) // 4_096))
    path.write_bytes(content)
    said, found, state = await given(tmp_path)
    assert found == WRITTEN[: len(found)]
    assert state in (None, STATE)
    # Either it is said, or it is the snapshot alone, without which a start takes longer.
    assert "stellwerk journal repair" in said or (found, state) == (WRITTEN, None)


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that everybody may read, which pytest's own ones are not."""
    with tempfile.TemporaryDirectory(prefix="test-journal-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def opened_by_nobody(folder: Path) -> str:
    """What another user hears who starts a gateway on the journal in `folder`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", AS_NOBODY.format(nobody=NOBODY), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.returncode == 1, done.stderr
    return done.stderr.strip()


async def test_a_folder_without_the_right_to_write(readable: Path) -> None:
    path = await filled(readable / "journal")
    before = contents(path.parent)
    path.parent.chmod(0o555)
    for name in ("lock", FILE):
        (path.parent / name).chmod(0o444)
    said = opened_by_nobody(path.parent)
    path.parent.chmod(0o755)
    assert said.startswith(f"JournalUnusable: journal {path.parent} can't be used ([Errno 13] Permission denied")
    assert "give the gateway's user the right to write there, or choose another folder" in said
    assert contents(path.parent) == before


async def test_a_file_without_the_right_to_write(readable: Path) -> None:
    """As after somebody has tried it as root."""
    path = await filled(readable / "journal")
    before = contents(path.parent)
    path.parent.chmod(0o777)
    (path.parent / "lock").chmod(0o666)
    path.chmod(0o444)
    said = opened_by_nobody(path.parent)
    assert said.startswith(f"JournalUnusable: journal {path} can't be used (it is read-only)")
    assert "give the gateway's user the right to write it" in said
    assert contents(path.parent) == before


def test_a_folder_that_can_t_be_made(readable: Path) -> None:
    said = opened_by_nobody(readable / "data" / "journal")
    assert "Permission denied" in said
    assert "give the gateway's user the right to write there" in said
    assert not (readable / "data").exists()
