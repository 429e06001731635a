"""A part of a journal as a new file: from a place where a replay can begin up to some input."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import apsw

from gateway.shell.journal import schema, snapshots
from gateway.shell.journal.errors import JournalError
from gateway.shell.journal.reader import Reader
from gateway.shell.journal.store import BASE, DRAWN, HEAD, INPUT, SNAPSHOT

ROWS_MAX = 4_096
_ROWS = "SELECT seq, at_ns, body, digest FROM inputs WHERE seq > ? ORDER BY seq LIMIT ?"
_DIGEST = "SELECT digest FROM inputs WHERE seq = ?"


def rewrite(reader: Reader, target: Path, begin_seq: int, end_seq: int, kept: Collection[int]) -> None:
    """Write into `target`, which must not exist: the inputs after `begin_seq` up to `end_seq`, those of the snapshots
    `kept` that lie there, and what these inputs drew. `begin_seq` is 0 or one of `kept`. Raises apsw's errors."""
    connection = schema.connect(target, reader.site_id, None)
    try:
        begin = _begin(reader, begin_seq)
        with connection:
            connection.executemany(BASE, [(begin_seq, begin)])
            connection.executemany(HEAD, [(begin_seq, begin)])
        seq = begin_seq
        while seq < end_seq:
            # Not one row further than wanted: what follows may be what can't be read.
            rows = schema.rows(reader.connection, _ROWS, (seq, min(end_seq - seq, ROWS_MAX)))
            with connection:
                connection.executemany(INPUT, rows)
                connection.executemany(HEAD, [(rows[-1][0], rows[-1][3])])
            seq = rows[-1][0]
        for number in sorted(kept):
            found = snapshots.at(reader.connection, reader.layout, number)
            if found is not None and begin_seq <= number <= end_seq:
                connection.execute(SNAPSHOT, tuple(found))
        _copy_drawn(reader, connection, begin_seq, end_seq)
    finally:
        connection.close()


def _begin(reader: Reader, begin_seq: int) -> bytes:
    """The digest that the first input hangs on."""
    if begin_seq == 0:
        return reader.genesis
    found = snapshots.at(reader.connection, reader.layout, begin_seq)
    assert found is not None, "a replay begins at the beginning or with a snapshot"
    there = schema.rows(reader.connection, _DIGEST, (begin_seq,)) if found.input_digest is None else []
    # In layout 1 only the input itself knows its digest; where that is gone, so is all that hung on it.
    return found.input_digest or (there[0][0] if there else found.digest)


def _copy_drawn(reader: Reader, connection: apsw.Connection, begin_seq: int, end_seq: int) -> None:
    try:
        rows = [row for row in reader.read_drawn(begin_seq) if row[0] <= row[1] <= end_seq]
    except JournalError:
        # They serve the comparison of versions alone: a journal without them is whole.
        return
    with connection:
        connection.executemany(DRAWN, rows)
