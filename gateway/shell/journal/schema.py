"""The journal's file: what is in it, how it is created, and how a file that is not ours is told apart."""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from gateway.shell.journal.errors import JournalForeign, JournalUnusable

APPLICATION_ID = 0x53544C57
"""'STLW' in the SQLite header: file(1) and other gateways know a journal by it."""
VERSION = 1
BUSY_MS_MAX = 5_000
"""How long a write waits for somebody with a database tool; then it fails and may be tried again."""
WAL_BYTES_KEPT = 64 * 2**20

_TABLES = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE inputs(
  seq INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, body BLOB NOT NULL, digest BLOB NOT NULL) STRICT;
CREATE TABLE snapshots(
  seq INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, state BLOB NOT NULL, digest BLOB NOT NULL) STRICT;
"""


def connect(path: Path, site_id: str, pages_max: int | None) -> apsw.Connection:
    """Open the journal of `site_id` for writing, creating it where there is none. A foreign file stays as is.

    Raises `JournalForeign`, `JournalUnusable` and apsw's errors.
    """
    connection = apsw.Connection(str(path))
    try:
        connection.set_busy_timeout(BUSY_MS_MAX)
        fresh = _is_fresh(connection, path)
        if not fresh:
            _check_site(connection, path, site_id)
        mode = connection.pragma("journal_mode", "wal")
        if mode != "wal":
            raise JournalUnusable(path, f"journal mode is {mode}, not wal", "use a local disk, not a network share")
        # FULL: WAL with NORMAL loses acknowledged rows at a power cut.
        connection.pragma("synchronous", "full")
        connection.pragma("journal_size_limit", WAL_BYTES_KEPT)
        if pages_max is not None:
            connection.pragma("max_page_count", pages_max)
        if fresh:
            _create(connection, site_id)
            _sync_folder(path.parent)
    except BaseException:
        # Fate: raised again; only the half-opened connection is let go first.
        connection.close()
        raise
    return connection


def _is_fresh(connection: apsw.Connection, path: Path) -> bool:
    """Whether the file is still empty (also after a crash in the middle of its creation)."""
    try:
        application_id = connection.pragma("application_id")
    except apsw.NotADBError:
        raise JournalForeign(path, "is no SQLite file", "move it away or choose another folder") from None
    version = connection.pragma("user_version")
    if application_id == APPLICATION_ID:
        if isinstance(version, int) and version > VERSION:
            problem = f"was written by a newer gateway (layout {version}, this one knows {VERSION})"
            raise JournalForeign(path, problem, "start the newer gateway, or choose another folder")
        if version == VERSION:
            return False
    elif application_id == 0 and version == 0 and not _has_tables(connection):
        return True
    problem = f"is another program's database (application {application_id}, layout {version})"
    raise JournalForeign(path, problem, "move it away or choose another folder")


def _has_tables(connection: apsw.Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall())


def _check_site(connection: apsw.Connection, path: Path, site_id: str) -> None:
    rows = connection.execute("SELECT value FROM meta WHERE name = 'site'").fetchall()
    owner = rows[0][0] if rows else ""
    if owner != site_id:
        problem = f"is the journal of site {owner!r}, not of {site_id!r}"
        raise JournalForeign(path, problem, "check the site's id in its YAML, or choose another folder")


def _create(connection: apsw.Connection, site_id: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_TABLES)
    connection.execute("INSERT INTO meta VALUES('site', ?)", (site_id,))
    connection.pragma("application_id", APPLICATION_ID)
    connection.pragma("user_version", VERSION)
    connection.execute("COMMIT")


def _sync_folder(folder: Path) -> None:
    """SQLite makes its files' contents durable; the names of new files need their folder synced."""
    for place in (folder, folder.parent):
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
