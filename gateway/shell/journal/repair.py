"""Save what is sound of a damaged journal into a new file. The damaged one is kept, under another name.

What counts is the newest state: of all places where a replay can begin (the very beginning, each sound snapshot) the
one is taken whose unbroken chain of inputs comes furthest, and among those the one with the longest history.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from gateway.shell.journal import schema, witness
from gateway.shell.journal.errors import JournalUnusable
from gateway.shell.journal.lock import FolderLock
from gateway.shell.journal.moments import locate
from gateway.shell.journal.reader import Reader
from gateway.shell.journal.rewrite import rewrite
from gateway.shell.journal.schema import REPAIRED
from gateway.shell.journal.sqlite_errors import told
from gateway.shell.journal.verify import Verdict, verify
from gateway.shell.journal.witness import Witness

REPAIRING = ".repairing"
"""Added to the file's name while it is being written: nothing to rely on."""
DAMAGED = ".damaged-"
NUMBER_MAX = 1_000
BESIDE = ("-wal", "-shm")
"""What SQLite keeps beside a database. The WAL belongs to what is in it, the other one is worth nothing by itself."""


@dataclass(frozen=True)
class Repaired:
    """What a repair came to: what was found, the damaged file's new name, what the new one is. Both None where there
    was nothing to repair; `kept_as` alone None where only the witness was put straight."""

    found: Verdict
    kept_as: Path | None = None
    now: Verdict | None = None

    @property
    def lost_seqs(self) -> range:
        """The inputs of which nothing is known any more, not even by their effect on the state."""
        end_seq = self.now.end_seq if self.now else self.found.end_seq
        return range(end_seq + 1, self.found.known_seq + 1)


def target_of(place: Path) -> Path:
    """The journal's file, as `locate` finds it; also where an interrupted repair has left only its result."""
    for path in (place, place / schema.FILE, place / "journal" / schema.FILE):
        if (path.parent / (path.name + REPAIRED)).exists():
            return path
    return locate(place)


def repair(path: Path, site_id: str = "") -> Repaired:
    """Put a sound journal in the place of a damaged one. `site_id` says whose it is, where the file can't.

    Raises `JournalLocked` while a gateway works on it, `JournalUnusable` where nothing can be saved, and other
    JournalErrors. The damaged file itself is never written to.
    """
    lock = FolderLock.taken(path.parent)
    try:
        with told(path):
            return _repair(path, site_id)
    finally:
        lock.release()


def _repair(path: Path, site_id: str) -> Repaired:
    finished = path.with_name(path.name + REPAIRED)
    if not path.exists() and finished.exists():
        # An earlier repair had done everything but the last renaming.
        kept_as = _name(path, _numbered(path) - 1)
        found = verify(kept_as if kept_as.exists() else finished, site_id)
        return Repaired(found, kept_as, _put_in_place(path, finished, kept_as))
    found = verify(path, site_id)
    if found.is_sound:
        return Repaired(found)
    if found.problems == [found.witness_problem]:
        _renew_witness(path, found, _numbered(path))
        return Repaired(found, None, verify(path, site_id))
    _write(path, finished, found, site_id)
    kept_as = _name(path, _numbered(path))
    return Repaired(found, kept_as, _put_in_place(path, finished, kept_as))


def _write(path: Path, finished: Path, found: Verdict, site_id: str) -> None:
    """Everything sound into `finished`, which is whole when it has that name."""
    ends = found.replays()
    begin_seq = max(ends, key=lambda seq: (ends[seq], -seq), default=0)
    if ends.get(begin_seq, 0) == 0:
        next_step = "keep it, and put a copy back or begin with a new data folder, after a walk through the plant"
        raise JournalUnusable(path, "nothing of it is sound", next_step)
    target = path.with_name(path.name + REPAIRING)
    _remove(target)
    _remove(finished)
    try:
        with Reader(path, tolerant=True, site_id=site_id) as reader:
            sound = [kept.seq for kept in found.snapshots if not kept.problem]
            rewrite(reader, target, begin_seq, ends[begin_seq], sound)
        written = verify(target)
        if written.problems:
            raise JournalUnusable(target, written.problems[0], "nothing was changed: report this as a defect")
        _remove_beside(target)
        status = path.stat()
        shutil.copymode(path, target)
        os.chown(target, status.st_uid, status.st_gid)
        target.replace(finished)
        schema.sync_folder(path.parent)
    except BaseException:
        # Fate: raised again; what is half written is of no use to anybody.
        _remove(target)
        raise


def _put_in_place(path: Path, finished: Path, kept_as: Path) -> Verdict:
    """The damaged file out of the way, the new one to its place. A crash in between is noticed at the next start, by
    the finished file without the one that it is for, and made good by repairing again."""
    if path.exists():
        path.rename(kept_as)
    wal = path.with_name(path.name + "-wal")
    if wal.exists() and wal.stat().st_size > 0:
        wal.rename(kept_as.with_name(kept_as.name + "-wal"))
    _remove_beside(path)
    schema.sync_folder(path.parent)
    finished.rename(path)
    schema.sync_folder(path.parent)
    now = verify(path)
    if now.witness_problem or not witness.place(path).exists():
        _renew_witness(path, now, int(kept_as.name.rpartition("-")[2]))
    return verify(path)


def _renew_witness(path: Path, found: Verdict, number: int) -> None:
    """Let it see what is there now; the old one is kept beside."""
    place = witness.place(path)
    if place.exists():
        place.rename(place.with_name(f"{place.name}{DAMAGED}{number}"))
    with Reader(path) as reader:
        digest = reader.digest_of(found.end_seq)
    witness.write(path, Witness(found.site_id, found.end_seq, found.end_at_ns, digest.hex()))


def _name(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}{DAMAGED}{number}")


def _numbered(path: Path) -> int:
    """The first number that no damaged file or witness has yet."""
    head = witness.place(path)
    for number in range(1, NUMBER_MAX):
        if not _name(path, number).exists() and not head.with_name(f"{head.name}{DAMAGED}{number}").exists():
            return number
    problem = f"there are {NUMBER_MAX - 1} damaged ones beside it"
    raise JournalUnusable(path, problem, "move them to another folder")


def _remove(ours: Path) -> None:
    ours.unlink(missing_ok=True)
    _remove_beside(ours)


def _remove_beside(file: Path) -> None:
    for suffix in BESIDE:
        file.with_name(file.name + suffix).unlink(missing_ok=True)
