"""The journal's file as a synchronous object: append a group, keep a snapshot, read with the chain checked.

`append` and `put_snapshot` belong to the writer thread; reading opens a connection of its own and may happen
in any thread at the same time (WAL readers and the writer do not wait for one another).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw
import structlog

from gateway.shell.journal import chain, schema
from gateway.shell.journal.errors import (
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalGap,
    JournalUnusable,
)

SNAPSHOTS_KEPT = 2
READ_ROWS_MAX = 512
"""Rows fetched at once: a long reading must not hold one read transaction, or the WAL would only grow."""
_READ = "SELECT seq, at_ns, body, digest FROM inputs WHERE seq >= ? ORDER BY seq LIMIT ?"
_FORGET_OLDER = """
DELETE FROM snapshots WHERE seq NOT IN (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT ?)
"""
_log = structlog.get_logger("journal")


def explained(path: Path, error: apsw.Error | OSError, *, reading: bool = False) -> JournalError:
    """SQLite's and the system's errors in the house's words."""
    problem = f"{type(error).__name__}: {error}"
    if reading and isinstance(error, apsw.IOError):
        return JournalUnusable(path, problem, "have the disk checked, then try again")
    if isinstance(error, (apsw.FullError, apsw.IOError)):
        return JournalFull(path, problem)
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
        return JournalDamaged(path, 0, problem)
    if isinstance(error, apsw.BusyError):
        # As with a full disk nothing was taken and waiting helps: no reason for a gateway to end.
        return JournalFull(path, problem, "end the other program that holds the file locked")
    return JournalUnusable(path, problem, "check the path and that the gateway's user may write there")


def _rows(connection: apsw.Connection, statement: str, values: tuple[int, ...] = ()) -> list[tuple[Any, ...]]:
    # STRICT tables hold the columns' types, so nothing is checked again here.
    return connection.execute(statement, values).fetchall()


class Store:
    """One open journal file. `last_seq` and the digest of that input are the end of the chain."""

    def __init__(self, path: Path, site_id: str, pages_max: int | None) -> None:
        """Open or create the file. Raises any `JournalError` but Locked, Gap and Closed."""
        self.path = path
        self._genesis = chain.genesis(site_id)
        try:
            self._connection = schema.connect(path, site_id, pages_max)
        except (apsw.Error, OSError) as error:
            raise explained(path, error) from error
        try:
            self._find_end()
        except apsw.Error as error:
            self._connection.close()
            raise explained(path, error) from error

    def _find_end(self) -> None:
        rows = _rows(self._connection, "SELECT seq, digest FROM inputs ORDER BY seq DESC LIMIT 1")
        self.last_seq: int = rows[0][0] if rows else 0
        self._last_digest: bytes = rows[0][1] if rows else self._genesis
        kept = _rows(self._connection, "SELECT coalesce(max(seq), 0) FROM snapshots")
        self._newest_snapshot: int = kept[0][0]

    def append(self, records: Iterable[chain.Record]) -> None:
        """Make `records`, which follow on `last_seq`, durable in one transaction, or raise and store none."""
        rows = []
        digest, seq = self._last_digest, self.last_seq
        for seq, at_ns, body in records:
            digest = chain.link(digest, seq, at_ns, body)
            rows.append((seq, at_ns, body, digest))
        self._transact([("INSERT INTO inputs VALUES(?, ?, ?, ?)", rows)])
        self.last_seq, self._last_digest = seq, digest

    def put_snapshot(self, seq: int, at_ns: int, state: bytes) -> None:
        """Keep `state` after input `seq`, and only the newest `SNAPSHOTS_KEPT`. Raises as `append` does."""
        if not self._newest_snapshot <= seq <= self.last_seq:
            what = f"snapshot (the newest is of input {self._newest_snapshot}) of input"
            raise JournalGap(what, seq, self.last_seq)
        digest = chain.link(self._genesis, seq, at_ns, state)
        insert = ("INSERT OR REPLACE INTO snapshots VALUES(?, ?, ?, ?)", [(seq, at_ns, state, digest)])
        self._transact([insert, (_FORGET_OLDER, [(SNAPSHOTS_KEPT,)])])
        self._newest_snapshot = seq

    def _transact(self, statements: Sequence[tuple[str, Sequence[tuple[int | bytes, ...]]]]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for statement, rows in statements:
                self._connection.executemany(statement, rows)
            self._connection.execute("COMMIT")
        except apsw.Error as error:
            self._back_out()
            raise explained(self.path, error) from error

    def _back_out(self) -> None:
        try:
            # SQLite has rolled back by itself after some errors, a full disk among them.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            # A failed sync leaves open what is on the disk: the file knows where the chain ends.
            self._find_end()
        except apsw.Error as error:
            _log.error(
                "journal: rollback failed, the next write will tell",
                path=str(self.path),
                error=str(error),
            )

    def read(self, after_seq: int) -> Iterator[chain.Record]:
        """Inputs after `after_seq`, the chain checked from there on. `JournalDamaged`, `JournalGap`."""
        try:
            reader = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        except apsw.Error as error:
            raise explained(self.path, error, reading=True) from error
        try:
            reader.set_busy_timeout(schema.BUSY_MS_MAX)
            yield from self._checked(reader, max(after_seq, 0))
        except apsw.Error as error:
            raise explained(self.path, error, reading=True) from error
        finally:
            reader.close()

    def _checked(self, reader: apsw.Connection, after_seq: int) -> Iterator[chain.Record]:
        # The input at `after_seq` itself is checked, too: its digest is what the rest hangs on.
        expected = max(after_seq, 1)
        digest = self._digest_of(reader, expected - 1)
        while True:
            rows = _rows(reader, _READ, (expected, READ_ROWS_MAX))
            for seq, at_ns, body, stored in rows:
                if seq != expected:
                    raise JournalDamaged(self.path, expected, "it is missing")
                digest = chain.link(digest, seq, at_ns, body)
                if digest != stored:
                    raise JournalDamaged(self.path, seq, "its digest does not match")
                if seq > after_seq:
                    yield seq, at_ns, body
                expected += 1
            if len(rows) < READ_ROWS_MAX:
                break
        if expected <= after_seq:
            raise JournalGap("reading after input", after_seq, expected - 1)

    def _digest_of(self, reader: apsw.Connection, seq: int) -> bytes:
        if seq == 0:
            return self._genesis
        rows = _rows(reader, "SELECT digest FROM inputs WHERE seq = ?", (seq,))
        if rows:
            digest: bytes = rows[0][0]
            return digest
        if seq > self.last_seq:
            raise JournalGap("reading after input", seq, self.last_seq)
        raise JournalDamaged(self.path, seq, "it is missing")

    def latest_snapshot(self) -> tuple[int, bytes] | None:
        """The newest snapshot that is what was written; a damaged one is told and passed over."""
        try:
            reader = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
            try:
                reader.set_busy_timeout(schema.BUSY_MS_MAX)
                rows = _rows(reader, "SELECT seq, at_ns, state, digest FROM snapshots ORDER BY seq DESC")
            finally:
                reader.close()
        except apsw.Error as error:
            raise explained(self.path, error, reading=True) from error
        for seq, at_ns, state, digest in rows:
            if chain.link(self._genesis, seq, at_ns, state) == digest:
                return seq, state
            _log.error("journal: snapshot is damaged, taking an older one", path=str(self.path), seq=seq)
        return None

    def close(self) -> None:
        """Move the WAL into the file and let go. Commits are durable already: a failure loses nothing."""
        try:
            self._connection.close()
        except apsw.Error as error:
            _log.error("journal: could not be closed cleanly", path=str(self.path), error=str(error))
