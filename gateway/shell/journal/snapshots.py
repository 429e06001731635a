"""Snapshots in the file: their seal, and the format of the state in them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import apsw

from gateway.shell.journal import chain
from gateway.shell.journal.errors import JournalForeign
from gateway.shell.journal.schema import rows

STATE_FORMAT = 1
"""The format of the kernel's state in snapshots. Raise it by one with every change of `State` after which an older
gateway would lose something by reading it (it leaves out what it does not know), or this one can't read older ones.
0 stands for all that was written before formats were numbered."""
_COLUMNS = {1: "seq, at_ns, 0, NULL, digest, state", 2: "seq, at_ns, format, input_digest, digest, state"}


class Snapshot(NamedTuple):
    """A row of the table. `input_digest` is that of the last input contained; None in rows that layout 1 has left."""

    seq: int
    at_ns: int
    state_format: int
    input_digest: bytes | None
    digest: bytes
    state: bytes

    def is_sound(self, first: bytes) -> bool:
        """Whether it is what was written for the site with the genesis `first`."""
        return self.digest == chain.seal(first, self.seq, self.at_ns, self.state, self.state_format, self.input_digest)


def check_format(path: Path, seq: int, found: int, known: int) -> None:
    """Refuse what a newer gateway has left: read by this one, state would be lost without a word."""
    if found > known:
        raise JournalForeign(
            path,
            f"holds a snapshot of a newer gateway (after input {seq}, state format {found}; this one knows {known})",
            "start the newer gateway, or this one with a new data folder after a walk through the plant",
        )


def check_newest(connection: apsw.Connection, path: Path, known: int) -> None:
    """The same for the newest one in the file, without reading its state."""
    for seq, found in rows(connection, "SELECT seq, format FROM snapshots ORDER BY seq DESC LIMIT 1"):
        check_format(path, seq, found, known)


def sealed(first: bytes, seq: int, at_ns: int, state: bytes, state_format: int, input_digest: bytes) -> Snapshot:
    """A new one, ready to be stored."""
    digest = chain.seal(first, seq, at_ns, state, state_format, input_digest)
    return Snapshot(seq, at_ns, state_format, input_digest, digest, state)


def at(connection: apsw.Connection, layout: int, seq: int) -> Snapshot | None:
    """The one after input `seq`, sound or not."""
    found = rows(connection, f"SELECT {_COLUMNS[layout]} FROM snapshots WHERE seq = ?", (seq,))
    return Snapshot(*found[0]) if found else None


def newest_number(connection: apsw.Connection, up_to_seq: int) -> int | None:
    """After which input the newest one is that contains no later input than `up_to_seq`."""
    found: int | None = rows(connection, "SELECT max(seq) FROM snapshots WHERE seq <= ?", (up_to_seq,))[0][0]
    return found


def numbers(connection: apsw.Connection) -> list[int]:
    """After which inputs there are snapshots, in order."""
    return [seq for (seq,) in rows(connection, "SELECT seq FROM snapshots ORDER BY seq")]
