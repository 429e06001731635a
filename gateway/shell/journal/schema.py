"""The journal's file: what is in it, how it is created and brought up to date, and how a foreign one is told apart."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import apsw

from gateway.shell.journal import chain
from gateway.shell.journal.errors import JournalDamaged, JournalForeign, JournalUnusable

APPLICATION_ID = 0x53544C57
"""'STLW' in the SQLite header: file(1) and other gateways know a journal by it."""
VERSION = 2
"""The layout. 1 had no anchors, no digests of what was drawn, and snapshots without the format of their state."""
BUSY_MS_MAX = 5_000
"""How long a write waits for somebody with a database tool; then it fails and may be tried again."""
WAL_BYTES_KEPT = 64 * 2**20
FILE = "journal.sqlite"
REPAIRED = ".repaired"
"""Added to the file's name: what a repair has written and has not yet put in its place."""

# anchors: 'base' is the last input that has been compacted away (0: none was), 'head' the newest input. Whoever cuts
# the inputs' end off, or changes a digest together with its input, leaves a head that does not fit.
# Columns that are looked at often stand before the large ones: SQLite walks through all that comes before.
_SNAPSHOTS = """
CREATE TABLE snapshots(
  seq INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, format INTEGER NOT NULL, input_digest BLOB, digest BLOB NOT NULL,
  state BLOB NOT NULL) STRICT;
"""
_ANCHORS = """
CREATE TABLE anchors(name TEXT PRIMARY KEY, seq INTEGER NOT NULL, digest BLOB NOT NULL) STRICT, WITHOUT ROWID;
"""
_DRAWN = """
CREATE TABLE drawn(first_seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, digest BLOB NOT NULL) STRICT;
"""
_TABLES = f"""
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE inputs(
  seq INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, body BLOB NOT NULL, digest BLOB NOT NULL) STRICT;
{_ANCHORS}{_SNAPSHOTS}{_DRAWN}
"""
_FROM_1 = f"""
ALTER TABLE snapshots RENAME TO snapshots_1;
{_ANCHORS}{_SNAPSHOTS}{_DRAWN}
INSERT INTO snapshots SELECT seq, at_ns, 0, NULL, digest, state FROM snapshots_1;
DROP TABLE snapshots_1;
"""
_ANCHOR = "INSERT INTO anchors VALUES(?, ?, ?)"


def connect(path: Path, site_id: str, pages_max: int | None) -> apsw.Connection:
    """Open the journal of `site_id` for writing, creating it where there is none and bringing an older layout up to
    date. A foreign file stays as is.

    Raises `JournalForeign`, `JournalUnusable`, `JournalDamaged` and apsw's errors.
    """
    connection = apsw.Connection(str(path))
    try:
        connection.set_busy_timeout(BUSY_MS_MAX)
        if connection.readonly("main"):
            # SQLite opens it all the same, and the gateway would stop at its first input.
            raise JournalUnusable(path, "it is read-only", "give the gateway's user the right to write it")
        layout = layout_of(connection, path)
        if layout and site_of(connection) != site_id:
            problem = f"is the journal of site {site_of(connection)!r}, not of {site_id!r}"
            raise JournalForeign(path, problem, "check the site's id in its YAML, or choose another folder")
        mode = connection.pragma("journal_mode", "wal")
        if mode != "wal":
            raise JournalUnusable(path, f"journal mode is {mode}, not wal", "use a local disk, not a network share")
        # FULL: WAL with NORMAL loses acknowledged rows at a power cut.
        connection.pragma("synchronous", "full")
        connection.pragma("journal_size_limit", WAL_BYTES_KEPT)
        if pages_max is not None:
            connection.pragma("max_page_count", pages_max)
        if layout == 0:
            _create(connection, site_id)
            sync_folder(path.parent)
            sync_folder(path.parent.parent)
        elif layout == 1:
            _migrate(connection, path, site_id)
    except BaseException:
        # Fate: raised again; only the half-opened connection is let go first, and with it what it has begun.
        connection.close()
        raise
    return connection


def layout_of(connection: apsw.Connection, path: Path) -> int:
    """The layout's number; 0 for a file that is still empty (also after a crash in the middle of its creation)."""
    try:
        application_id = connection.pragma("application_id")
    except apsw.NotADBError:
        raise JournalForeign(path, "is no SQLite file", "move it away or choose another folder") from None
    version = connection.pragma("user_version")
    if application_id == APPLICATION_ID and isinstance(version, int):
        if version > VERSION:
            problem = f"was written by a newer gateway (layout {version}, this one knows {VERSION})"
            raise JournalForeign(path, problem, "start the newer gateway, or choose another folder")
        if version > 0:
            return version
    elif application_id == 0 and version == 0 and not _has_tables(connection):
        return 0
    problem = f"is another program's database (application {application_id}, layout {version})"
    raise JournalForeign(path, problem, "move it away or choose another folder")


def site_of(connection: apsw.Connection) -> str:
    """The id of the site whose journal it is, "" where the file does not say it."""
    found = rows(connection, "SELECT value FROM meta WHERE name = 'site'")
    return str(found[0][0]) if found else ""


def rows(connection: apsw.Connection, statement: str, values: tuple[int | str, ...] = ()) -> list[tuple[Any, ...]]:
    """All rows of a query. STRICT tables hold the columns' types, so nobody checks them again."""
    return connection.execute(statement, values).fetchall()


def _has_tables(connection: apsw.Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall())


def _create(connection: apsw.Connection, site_id: str) -> None:
    first = chain.genesis(site_id)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_TABLES)
    connection.execute("INSERT INTO meta VALUES('site', ?)", (site_id,))
    connection.executemany(_ANCHOR, [("base", 0, first), ("head", 0, first)])
    connection.pragma("application_id", APPLICATION_ID)
    connection.pragma("user_version", VERSION)
    connection.execute("COMMIT")


def _migrate(connection: apsw.Connection, path: Path, site_id: str) -> None:
    """From layout 1, in place and in one transaction: whatever ends it early leaves layout 1."""
    first = chain.genesis(site_id)
    connection.execute("BEGIN IMMEDIATE")
    newest = rows(connection, "SELECT seq, digest FROM inputs ORDER BY seq DESC LIMIT 1")
    seq, digest = newest[0] if newest else (0, first)
    snapshot = rows(connection, "SELECT coalesce(max(seq), 0) FROM snapshots")[0][0]
    if snapshot > seq:
        # The last look at an end that layout 1 did not write down: from now on it would count as sound.
        raise JournalDamaged(path, seq + 1, f"it is missing, and all up to {snapshot} at least, which a snapshot holds")
    connection.execute(_FROM_1)
    connection.executemany(_ANCHOR, [("base", 0, first), ("head", seq, digest)])
    connection.pragma("user_version", VERSION)
    connection.execute("COMMIT")


def sync_folder(folder: Path) -> None:
    """SQLite makes its files' contents durable; the names of new files need their folder synced."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
