"""The two ends of the chain, and what a start looks at to notice that one of them was cut off.

Cheap on purpose: a few rows at either end and a file of one line. The whole chain is for `stellwerk journal verify`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import structlog

from gateway.shell.journal import chain, witness
from gateway.shell.journal.errors import JournalDamaged, JournalOutdated, JournalUnusable
from gateway.shell.journal.schema import REPAIRED, rows
from gateway.shell.journal.witness import Witness

_log = structlog.get_logger("journal")


@dataclass(frozen=True)
class Ends:
    """`base_seq`: the last input that was compacted away, 0 when none was. `last_seq`: the newest input."""

    base_seq: int
    base_digest: bytes
    last_seq: int
    last_at_ns: int
    last_digest: bytes


def find(connection: apsw.Connection, path: Path, site_id: str) -> Ends:
    """Both ends of layout 2, checked against each other. Raises `JournalDamaged` and apsw's errors."""
    anchors = {name: (seq, digest) for name, seq, digest in rows(connection, "SELECT * FROM anchors")}
    if anchors.keys() != {"base", "head"}:
        raise JournalDamaged(path, 0, "its anchors are missing")
    base_seq, base_digest = anchors["base"]
    if base_seq == 0 and base_digest != chain.genesis(site_id):
        raise JournalDamaged(path, 1, f"its chain does not begin as one of site {site_id!r} does")
    oldest = _first(connection, "SELECT seq FROM inputs ORDER BY seq LIMIT 1")
    if oldest and oldest[0] != base_seq + 1:
        problem = "it is missing" if oldest[0] > base_seq + 1 else f"input {oldest[0]} stands before it"
        raise JournalDamaged(path, base_seq + 1, problem)
    newest = _first(connection, "SELECT seq, at_ns, digest FROM inputs ORDER BY seq DESC LIMIT 1")
    seq, at_ns, digest = newest or (base_seq, 0, base_digest)
    head_seq, head_digest = anchors["head"]
    snapshot = _first(connection, "SELECT seq FROM snapshots ORDER BY seq DESC LIMIT 1") or (0,)
    drawn = _first(connection, "SELECT last_seq FROM drawn ORDER BY first_seq DESC LIMIT 1") or (0,)
    known = max(head_seq, snapshot[0], drawn[0])
    if known > seq:
        raise JournalDamaged(path, seq + 1, f"it is missing, with all up to input {known}: the end was cut off")
    if seq > head_seq:
        raise JournalDamaged(path, head_seq + 1, "somebody else has put it in")
    if digest != head_digest:
        raise JournalDamaged(path, seq, "its digest is not the one that was noted when it was stored")
    return Ends(base_seq, base_digest, seq, at_ns, digest)


def check_existence(path: Path) -> None:
    """Before a journal is created: there must not have been one. Raises `JournalUnusable`, `JournalOutdated`."""
    if path.exists() and path.stat().st_size > 0:
        return
    if path.with_name(path.name + REPAIRED).exists():
        problem = "a repair was interrupted before its result was put in place"
        raise JournalUnusable(path, problem, f"run `stellwerk journal repair {path.parent}` again, it goes on there")
    seen = _witness(path)
    if seen is not None and seen.seq > 0:
        what = "is empty" if path.exists() else "is gone"
        text = f"{what}, and {witness.place(path).name} has seen {seen.seq} inputs of it"
        begin = f"Only to begin with nothing, after a walk through the plant, move {witness.place(path)} away"
        raise JournalOutdated(path, text, begin)


def check_witness(connection: apsw.Connection, path: Path, ends: Ends) -> None:
    """Notice an older copy of the whole file. Raises `JournalOutdated` and apsw's errors."""
    seen = _witness(path)
    if seen is None:
        return
    if seen.seq > ends.last_seq:
        text = f"is an older copy: it ends with input {ends.last_seq}, and {seen.seq} were there already"
        raise JournalOutdated(path, f"{text} (says {witness.place(path).name})")
    if seen.seq < ends.base_seq:
        return
    there: tuple[bytes] | None = (ends.base_digest,)
    if seen.seq > ends.base_seq:
        there = _first(connection, "SELECT digest FROM inputs WHERE seq = ?", (seen.seq,))
    if there is None:
        raise JournalDamaged(path, seen.seq, "it is missing")
    if there[0].hex() != seen.digest:
        text = f"is another copy: its input {seen.seq} is not the one that {witness.place(path).name} has seen"
        raise JournalOutdated(path, text)


def _witness(path: Path) -> Witness | None:
    try:
        return witness.read(path)
    except (OSError, ValueError) as error:
        # Without it less is noticed, but nothing is wrong with the journal; the next snapshot writes it anew.
        _log.warning("journal: its witness can't be read", path=str(witness.place(path)), error=str(error))
        return None


def _first(connection: apsw.Connection, statement: str, values: tuple[int, ...] = ()) -> tuple[Any, ...] | None:
    found = rows(connection, statement, values)
    return found[0] if found else None
