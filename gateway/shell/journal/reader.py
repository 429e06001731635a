"""A journal's file, read only: beside a running gateway, by a command, on a copy, in layout 1 or 2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import apsw
import structlog

from gateway.shell.journal import chain, schema, snapshots
from gateway.shell.journal.errors import JournalDamaged, JournalForeign, JournalGap, JournalUnusable
from gateway.shell.journal.snapshots import STATE_FORMAT
from gateway.shell.journal.sqlite_errors import told

READ_ROWS_MAX = 1_024
"""Rows fetched at once: a long reading must not hold one read transaction, or the WAL would only grow."""
_READ = "SELECT seq, at_ns, body, digest FROM inputs WHERE seq >= ? ORDER BY seq LIMIT ?"
_READ_DRAWN = "SELECT first_seq, last_seq, digest FROM drawn WHERE first_seq > ? ORDER BY first_seq LIMIT ?"
_log = structlog.get_logger("journal")


def connect(path: Path, *, tolerant: bool = False) -> apsw.Connection:
    """Open `path` without a right to change it. Raises `JournalUnusable` and apsw's errors."""
    if not path.is_file():
        raise JournalUnusable(path, "there is no such file", "name the data folder, the journal's folder or its file")
    try:
        return _connected(path, "mode=ro", tolerant)
    except (apsw.CantOpenError, apsw.ReadOnlyError):
        # Nobody has it open, and the files that readers share with a writer can't be made here.
        wal = path.with_name(path.name + "-wal")
        if wal.exists() and wal.stat().st_size > 0:
            next_step = f"copy it with {wal.name} to a folder where you may write, or do this as the gateway's user"
            raise JournalUnusable(path, "its folder can't be written to", next_step) from None
        return _connected(path, "mode=ro&immutable=1", tolerant)


def _connected(path: Path, how: str, tolerant: bool) -> apsw.Connection:
    place = f"file:{quote(str(path.absolute()))}?{how}"
    connection = apsw.Connection(place, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    try:
        connection.set_busy_timeout(schema.BUSY_MS_MAX)
        # A reader leaves everything as it lies, a WAL that a crash has left, too.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        if tolerant:
            # Only with this SQLite opens a file that is shorter than its header says.
            connection.pragma("writable_schema", True)
        connection.pragma("user_version")
    except apsw.NotADBError:
        connection.close()
        raise JournalForeign(path, "is no SQLite file", "name another file, or put a copy in its place") from None
    except BaseException:
        # Fate: raised again; only the connection is let go first.
        connection.close()
        raise
    return connection


class Reader:
    """One open look. Every method may raise `JournalDamaged`, `JournalUnusable` and `JournalForeign`."""

    def __init__(
        self, path: Path, state_format: int = STATE_FORMAT, *, tolerant: bool = False, site_id: str = ""
    ) -> None:
        """For whoever looks for damage: `tolerant` gives what a shortened file still has, `site_id` says whose it is
        where the file can't."""
        self.path = path
        self._state_format = state_format
        with told(path, reading=True):
            self.connection = connect(path, tolerant=tolerant)
            try:
                self.layout = schema.layout_of(self.connection, path)
                if self.layout == 0:
                    raise JournalForeign(path, "is empty", "name another file, or start the gateway on it once")
                self.site_id = site_id or self._said_site(tolerant=tolerant)
            except BaseException:
                # Fate: raised again; only the connection is let go first.
                self.connection.close()
                raise
        self.genesis = chain.genesis(self.site_id)

    def _said_site(self, *, tolerant: bool) -> str:
        try:
            said, why = schema.site_of(self.connection), "its table is empty"
        except apsw.Error as error:
            said, why = "", str(error)
        if not said and tolerant:
            raise JournalDamaged(self.path, 0, f"it does not say any more whose it is, {why}; --site-id tells it")
        return said

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self.connection.close()

    def rows(self, statement: str, values: tuple[int, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with told(self.path, reading=True):
            return schema.rows(self.connection, statement, values)

    def anchor(self, name: str) -> tuple[int, bytes] | None:
        """Number and digest of the 'base' or of the 'head'; None where the layout did not note them."""
        if self.layout == 1:
            return (0, self.genesis) if name == "base" else None
        with told(self.path, reading=True):
            found = schema.rows(self.connection, "SELECT seq, digest FROM anchors WHERE name = ?", (name,))
        return (found[0][0], found[0][1]) if found else None

    @property
    def base(self) -> tuple[int, bytes]:
        """Number and digest of the last input that was compacted away; 0 and the site's genesis where none was."""
        found = self.anchor("base")
        if found is None:
            raise JournalDamaged(self.path, 0, "its anchors are missing")
        return found

    @property
    def first_seq(self) -> int:
        """See `Journal.first_seq`."""
        return self.base[0] + 1

    @property
    def last_seq(self) -> int:
        """See `Journal.last_seq`."""
        newest = self.rows("SELECT seq FROM inputs ORDER BY seq DESC LIMIT 1")
        last: int = newest[0][0] if newest else self.base[0]
        return last

    def read(self, after_seq: int) -> Iterator[chain.Record]:
        """See `Journal.read`."""
        after_seq = max(after_seq, 0)
        ends_with = self._ends_with()
        # The input at `after_seq` itself is checked, too: its digest is what the rest hangs on.
        base_seq = self.base[0]
        if after_seq < base_seq:
            raise JournalGap.compacted(after_seq, base_seq + 1)
        if after_seq > ends_with:
            raise JournalGap.beyond(after_seq, ends_with)
        expected = max(after_seq, base_seq + 1)
        digest = self.digest_of(expected - 1)
        while True:
            rows = self.rows(_READ, (expected, READ_ROWS_MAX))
            count = chain.follow(digest, expected, rows)
            for row in rows[:count]:
                if row[0] > after_seq:
                    yield row[0], row[1], row[2]
            expected += count
            if count < len(rows):
                if rows[count][0] != expected:
                    raise self._missing(after_seq, expected)
                raise JournalDamaged(self.path, expected, "its digest does not match")
            if count < READ_ROWS_MAX:
                break
            digest = rows[-1][3]
        if expected <= ends_with:
            raise self._missing(after_seq, expected)

    def _ends_with(self) -> int:
        """The newest input by what was noted of it."""
        head = self.anchor("head")
        return self.last_seq if head is None else head[0]

    def _missing(self, after_seq: int, expected: int) -> JournalDamaged | JournalGap:
        first_seq = self.first_seq
        if first_seq > expected:
            # A running gateway has made room meanwhile.
            return JournalGap.compacted(after_seq, first_seq)
        return JournalDamaged(self.path, expected, "it is missing")

    def digest_of(self, seq: int) -> bytes:
        """The digest of an input, or of the base. Raises as `read` does where it is not there."""
        base_seq, base_digest = self.base
        if seq == base_seq:
            return base_digest
        rows = self.rows("SELECT digest FROM inputs WHERE seq = ?", (seq,))
        if not rows:
            raise self._missing(seq, seq)
        digest: bytes = rows[0][0]
        return digest

    def latest_snapshot(self, up_to_seq: int | None = None) -> tuple[int, bytes] | None:
        """See `Journal.latest_snapshot`; a damaged one is told and passed over."""
        before = up_to_seq if up_to_seq is not None else 2**62
        base_seq = self.base[0]
        while True:
            with told(self.path, reading=True):
                seq = snapshots.newest_number(self.connection, before)
            if seq is None or seq < base_seq:
                return None
            found = self._readable_snapshot(seq)
            if found is not None and found.is_sound(self.genesis) and self._is_of_this_chain(found):
                snapshots.check_format(self.path, seq, found.state_format, self._state_format)
                return seq, found.state
            _log.error("journal: snapshot is damaged, taking an older one", path=str(self.path), seq=seq)
            before = seq - 1

    def _readable_snapshot(self, seq: int) -> snapshots.Snapshot | None:
        try:
            return snapshots.at(self.connection, self.layout, seq)
        except (apsw.CorruptError, apsw.IOError):
            # As good as damaged: an older one and more inputs give the same state.
            return None

    def _is_of_this_chain(self, found: snapshots.Snapshot) -> bool:
        return found.input_digest is None or found.input_digest == self.digest_of(found.seq)

    def read_drawn(self, after_seq: int) -> Iterator[chain.Drawn]:
        """See `Journal.read_drawn`."""
        if self.layout == 1:
            return
        while rows := self.rows(_READ_DRAWN, (after_seq, READ_ROWS_MAX)):
            yield from rows
            after_seq = rows[-1][0]

    def seq_at(self, at_ns: int) -> int:
        """The number of the last input that was stamped not later than `at_ns`; the base's where there is none."""
        low, high = self.base[0], self.last_seq
        while low < high:
            middle = (low + high + 1) // 2
            rows = self.rows("SELECT at_ns FROM inputs WHERE seq = ?", (middle,))
            if not rows:
                raise self._missing(middle, middle)
            low, high = (middle, high) if rows[0][0] <= at_ns else (low, middle - 1)
        return low
