"""`journal.head`: how far the journal had come, told by a file beside it.

The database can't notice that an older copy of itself has been put in its place, and such a copy is dangerous: the
gateway would forget what hosts were promised and give commands' numbers a second time. So after each snapshot and at
the end the newest input's number and digest are written down here as well. A missing or stale witness harms nothing, it
only sees less.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from gateway.shell.journal.schema import sync_folder

SUFFIX = ".head"
BYTES_MAX = 4_096


class Witness(msgspec.Struct, frozen=True):
    """The newest input when it was written: its number, its time, its digest as hex, and whose journal it is."""

    site: str
    seq: int
    at_ns: int
    digest: str


def place(journal: Path) -> Path:
    """Where the witness of the database `journal` lies: journal.sqlite → journal.head."""
    return journal.with_suffix(SUFFIX)


def read(journal: Path) -> Witness | None:
    """None where there is none. Raises ValueError for a file that is no witness, and OSError."""
    try:
        with place(journal).open("rb") as file:
            data = file.read(BYTES_MAX)
    except FileNotFoundError:
        return None
    return msgspec.json.decode(data, type=Witness)


def write(journal: Path, witness: Witness) -> None:
    """Durable, and whole at any time: written beside, synced, renamed. Raises OSError; the older one stands then."""
    target = place(journal)
    beside = target.with_name(target.name + ".new")
    try:
        with beside.open("wb") as file:
            file.write(msgspec.json.encode(witness) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
