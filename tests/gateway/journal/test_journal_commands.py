"""`stellwerk journal`: what a person types, reads and gets back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import msgspec
import pytest
from typer.testing import CliRunner, Result

from gateway import codec
from gateway.commands.journal import app
from gateway.contract import AnnounceLoad, HostRequest, Started, Tick
from gateway.shell.journal.sqlite import FILE, SqliteJournal

SECOND = 10**9
BEGIN_NS = 1_750_000_000 * SECOND
NOBODY = 65534
AS_NOBODY = """
import os, sys
from gateway.commands.journal import app
# Once with all rights: then everything is imported, and the interpreter's own files need not be readable any more.
app(["verify", sys.argv[2]], standalone_mode=False)
if os.geteuid() == 0:
    os.setgid({nobody}); os.setuid({nobody})
app(["verify", sys.argv[1]])
"""


def called(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


async def filled(data: Path, last: int = 20) -> Path:
    """A data folder's journal: a start, an announcement, ticks, one a second."""
    bodies = [Started(7, "1.0"), HostRequest("wms", "a1", AnnounceLoad("L1", "IN", ("b1",))), *[Tick()] * (last - 2)]
    journal = SqliteJournal.open(data / "journal", "demo")
    await journal.commit(
        [(seq, BEGIN_NS + seq * SECOND, codec.encode_body(body)) for seq, body in enumerate(bodies, 1)]
    )
    await journal.save_snapshot(10, BEGIN_NS + 10 * SECOND, b"no state that anybody reads here")
    await journal.close()
    return data / "journal" / FILE


def edited(path: Path, statement: str) -> None:
    database = apsw.Connection(str(path))
    database.execute(statement)
    database.close()


async def test_verify_says_what_is_there(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    done = called("verify", tmp_path)
    assert done.exit_code == 0
    assert f"{path}, site 'demo', layout 2" in done.stdout
    assert "20, 1 to 20" in done.stdout
    assert "from 2025-06-15T15:06:41.000Z to 2025-06-15T15:07:00.000Z" in done.stdout
    assert "after 10, 2025-06-15T15:06:50.000Z, format 1" in done.stdout
    assert "nothing is missing" in done.stdout


async def test_verify_names_the_damage_and_the_next_step(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    edited(path, "DELETE FROM inputs WHERE seq = 7")
    before = path.read_bytes()
    done = called("verify", path.parent)
    assert done.exit_code == 1
    assert "DAMAGED   input 7: missing" in done.stdout
    assert f"`stellwerk journal repair {path.parent}`" in done.stdout
    assert path.read_bytes() == before


def test_verify_of_nothing(tmp_path: Path) -> None:
    done = called("verify", tmp_path)
    assert done.exit_code == 2
    assert "there is no journal" in done.stderr


def verified_by_nobody(data: Path, other: Path) -> subprocess.CompletedProcess[str]:
    """Another user, who may read and not write, looks at the journal in `data`; `other` is any other journal."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", AS_NOBODY.format(nobody=NOBODY), str(data), str(other)]
    (data / "journal").chmod(0o555)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    (data / "journal").chmod(0o755)
    return done


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that everybody may read, which pytest's own ones are not."""
    with tempfile.TemporaryDirectory(prefix="test-journal-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_verify_without_a_right_to_write(readable: Path) -> None:
    data = readable / "data"
    path, _ = await filled(data), await filled(readable / "other")
    done = verified_by_nobody(data, readable / "other")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{path}, site 'demo'" in done.stdout
    assert done.stdout.count("nothing is missing") == 2
    assert sorted(p.name for p in path.parent.iterdir()) == ["journal.head", FILE, "lock"]


async def test_verify_of_a_crashed_one_s_copy_without_a_right_to_write(readable: Path) -> None:
    journal = SqliteJournal.open(readable / "lived", "demo")
    await journal.commit([(1, 0, codec.encode_body(Tick()))])
    (readable / "data" / "journal").mkdir(parents=True)
    for name in (FILE, f"{FILE}-wal"):
        (readable / "data" / "journal" / name).write_bytes((readable / "lived" / name).read_bytes())
    await journal.close()
    done = verified_by_nobody(readable / "data", readable / "lived")
    assert done.returncode == 2
    assert "its folder can't be written to): copy it with journal.sqlite-wal to a folder where you may" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder that this test can't read")
async def test_verify_without_a_right_to_read(tmp_path: Path) -> None:
    await filled(tmp_path / "data")
    await filled(tmp_path / "other")
    done = verified_by_nobody(tmp_path / "data", tmp_path / "other")
    assert done.returncode == 2
    assert "Permission denied" in done.stderr
    assert "give your user the right to read it" in done.stderr


async def test_repair_says_what_is_lost_and_what_to_do(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    edited(path, "DELETE FROM inputs WHERE seq = 18")
    done = called("repair", tmp_path)
    assert done.exit_code == 0
    assert "found     input 18: missing" in done.stdout
    assert "has the inputs 1 to 17; its last moment is 2025-06-15T15:06:57.000Z" in done.stdout
    assert f"kept      the damaged file, as {path}.damaged-1" in done.stdout
    lost = "the inputs 18 to 20: all that happened from 2025-06-15T15:06:57.000Z to 2025-06-15T15:07:00.000Z"
    assert f"LOST      {lost}" in done.stdout
    assert "announce_load" in done.stdout
    assert "with the same request ids" in done.stdout
    assert called("verify", tmp_path).exit_code == 0


async def test_repair_that_loses_history_only_says_so(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    edited(path, "DELETE FROM inputs WHERE seq = 8")
    done = called("repair", tmp_path)
    assert done.exit_code == 0
    assert "has the inputs 11 to 20, and the state after input 10 to begin with" in done.stdout
    assert "history   the inputs up to 10 can't be replayed any more" in done.stdout
    assert "lost      nothing of the state" in done.stdout


async def test_repair_of_a_sound_journal_changes_nothing(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    before = path.read_bytes()
    done = called("repair", tmp_path)
    assert done.exit_code == 0
    assert "is sound: there is nothing to repair, nothing was changed" in done.stdout
    assert path.read_bytes() == before


async def test_repair_accepts_an_older_copy(tmp_path: Path) -> None:
    path = await filled(tmp_path)
    older = path.read_bytes()
    journal = SqliteJournal.open(path.parent, "demo")
    await journal.commit([(21, BEGIN_NS + 21 * SECOND, codec.encode_body(Tick()))])
    await journal.close()
    path.write_bytes(older)
    done = called("repair", tmp_path)
    assert done.exit_code == 0
    assert "accepted" in done.stdout
    assert "LOST      the inputs 21 to 21: all that happened from 2025-06-15T15:07:00.000Z to the end of" in done.stdout


async def test_repair_is_refused_while_a_gateway_runs(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path / "journal", "demo")
    done = called("repair", tmp_path)
    assert done.exit_code == 2
    assert f"in use by process {os.getpid()}: stop that gateway first" in done.stderr
    await journal.close()


async def test_export_writes_one_line_an_input(tmp_path: Path) -> None:
    await filled(tmp_path)
    done = called("export", tmp_path)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, 21))
    assert lines[0] == {
        "seq": 1, "time": "2025-06-15T15:06:41.000Z", "type": "started", "content": {"epoch": 7, "version": "1.0"},
    }  # fmt: skip
    assert lines[1]["type"] == "host"
    asked = {"type": "announce_load", "load": "L1", "location": "IN", "barcodes": ["b1"]}
    assert lines[1]["content"] == {"client": "wms", "request_id": "a1", "request": asked}


@pytest.mark.parametrize(
    ("options", "seqs"),
    [
        (["--after", "5", "--until", "7"], [6, 7]),
        (["--after", "2025-06-15T15:06:58Z"], [19, 20]),
        (["--until", "2025-06-15 15:06:42"], [1, 2]),
        (["--until", "2025-06-15T17:06:42.500+02:00"], [1, 2]),
        (["--after", "20"], []),
        (["--until", "0"], []),
    ],
)
async def test_export_of_a_part(tmp_path: Path, options: list[str], seqs: list[int]) -> None:
    await filled(tmp_path)
    done = called("export", tmp_path, *options)
    assert done.exit_code == 0
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == seqs


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--until", "21"], "input 21 is not in the journal, which has 1 to 20"),
        (["--after", "yesterday"], "neither an input's number nor an ISO time such as"),
    ],
)
async def test_export_of_what_is_not_there(tmp_path: Path, options: list[str], text: str) -> None:
    await filled(tmp_path)
    done = called("export", tmp_path, *options)
    assert done.exit_code == 2
    assert text in " ".join(done.stderr.replace("│", "").split())


async def test_export_into_a_file_never_overwrites(tmp_path: Path) -> None:
    await filled(tmp_path)
    target = tmp_path / "inputs.jsonl"
    assert called("export", tmp_path, "--output", target).exit_code == 0
    before = target.read_bytes()
    assert len(before.splitlines()) == 20
    done = called("export", tmp_path, "--until", 3, "--output", target)
    assert done.exit_code == 2
    assert "exists already" in " ".join(done.stderr.replace("│", "").split())
    assert target.read_bytes() == before


async def test_export_gives_what_no_version_can_read_as_it_is(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path, "demo")
    await journal.commit([(1, 0, b"\xc1"), (2, 0, msgspec.msgpack.encode({"type": "tomorrow", "x": b"\x00"}))])
    await journal.commit([(3, 0, msgspec.msgpack.encode([1, 2]))])
    await journal.close()
    lines = [json.loads(line) for line in called("export", tmp_path).stdout.splitlines()]
    assert [(line["type"], line["content"]) for line in lines] == [
        ("?", "wQ=="),
        ("tomorrow", {"x": "AA=="}),
        ("?", [1, 2]),
    ]


async def test_compact_makes_the_file_smaller_and_keeps_what_a_restart_needs(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path / "journal", "demo")
    for first in range(1, 40_001, 1_000):
        await journal.commit([(seq, seq, b"x" * 100) for seq in range(first, first + 1_000)])
        await journal.save_snapshot(first + 999, 0, b"state")
    path = tmp_path / "journal" / FILE
    refused = called("compact", tmp_path, "--mib-max", 1)
    assert refused.exit_code == 2
    assert "in use by process" in refused.stderr
    await journal.close()
    size = path.stat().st_size
    done = called("compact", tmp_path, "--mib-max", 1)
    assert done.exit_code == 0
    assert (
        "38999 inputs have gone" in done.stdout or "39000 inputs have gone, it begins with input 39001" in done.stdout
    )
    assert path.stat().st_size < 300_000 < size
    again = called("compact", tmp_path, "--mib-max", 1)
    assert "every input is still there" in again.stdout
    journal = SqliteJournal.open(tmp_path / "journal", "demo")
    assert journal.latest_snapshot() == (40_000, b"state")
    assert len(list(journal.read(39_000))) == 1_000
    await journal.close()
