"""The journal's file as a synchronous object that writes: append a group, keep a snapshot, make room.

All of it belongs to the writer thread; whoever reads has a connection of its own (reader.py) and may do so at the same
time: WAL readers and the writer do not wait for one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import apsw
import structlog

from gateway.shell.journal import chain, ends, retention, schema, snapshots, witness
from gateway.shell.journal.errors import JournalDamaged, JournalGap
from gateway.shell.journal.retention import Limits
from gateway.shell.journal.snapshots import STATE_FORMAT
from gateway.shell.journal.sqlite_errors import explained, told

INPUT = "INSERT INTO inputs VALUES(?, ?, ?, ?)"
# The same batch may be told again: after a failed sync nobody knows whether the first time has lasted.
DRAWN = "INSERT OR REPLACE INTO drawn VALUES(?, ?, ?)"
SNAPSHOT = "INSERT OR REPLACE INTO snapshots VALUES(?, ?, ?, ?, ?, ?)"
HEAD = "UPDATE anchors SET seq = ?, digest = ? WHERE name = 'head'"
BASE = "UPDATE anchors SET seq = ?, digest = ? WHERE name = 'base'"
_log = structlog.get_logger("journal")

Statements = Sequence[tuple[str, Sequence[tuple[int | bytes | None, ...]]]]


class Store:
    """One open journal file. `last_seq` and the digest of that input are the end of the chain."""

    def __init__(self, path: Path, site_id: str, limits: Limits, state_format: int = STATE_FORMAT) -> None:
        """Open or create the file. Raises any `JournalError` but Locked, Gap and Closed."""
        self.path = path
        self._site_id = site_id
        self._genesis = chain.genesis(site_id)
        self._limits = limits
        self.state_format = state_format
        self._appended_bytes = retention.LOOK_BYTES
        self._appended_rows = 0
        self._goal_seq: int | None = None
        self._nothing_to_free = False
        self._witnessed = -1
        with told(path):
            ends.check_existence(path)
            self._connection = schema.connect(path, site_id, limits.pages_max)
            try:
                found = self._find_ends()
                snapshots.check_newest(self._connection, path, state_format)
                ends.check_witness(self._connection, path, found)
            except BaseException:
                # Fate: raised again; only the connection is let go first.
                self._connection.close()
                raise

    def _find_ends(self) -> ends.Ends:
        found = ends.find(self._connection, self.path, self._site_id)
        self.base_seq, self._base_digest = found.base_seq, found.base_digest
        self.last_seq, self._last_digest, self._last_at_ns = found.last_seq, found.last_digest, found.last_at_ns
        self._snapshots = snapshots.numbers(self._connection)
        return found

    def append(self, records: Iterable[chain.Record], drawn: Sequence[chain.Drawn] = ()) -> None:
        """Make `records`, which follow on `last_seq`, durable in one transaction, or raise and store none."""
        rows = []
        digest, seq, at_ns, size = self._last_digest, self.last_seq, self._last_at_ns, 0
        for seq, at_ns, body in records:
            digest = chain.link(digest, seq, at_ns, body)
            rows.append((seq, at_ns, body, digest))
            size += len(body)
        self._transact([(INPUT, rows), (DRAWN, drawn), (HEAD, [(seq, digest)] if rows else [])])
        self.last_seq, self._last_at_ns, self._last_digest = seq, at_ns, digest
        self._appended_rows += len(rows)
        self._appended_bytes += size

    def put_snapshot(self, seq: int, at_ns: int, state: bytes) -> None:
        """Keep `state` after input `seq`, let go of what retention does not keep. Raises as `append` does."""
        newest = self._snapshots[-1] if self._snapshots else 0
        if not max(newest, self.base_seq) <= seq <= self.last_seq:
            raise JournalGap(f"snapshot (the newest is of input {newest}) of input", seq, self.last_seq)
        row = snapshots.sealed(self._genesis, seq, at_ns, state, self.state_format, self._digest_of(seq))
        there = [*(s for s in self._snapshots if s != seq), seq]
        gone = retention.dropped(there, self._goal_seq or self.base_seq, self._limits.base_every)
        forget = ("DELETE FROM snapshots WHERE seq = ?", [(s,) for s in gone])
        self._transact([(SNAPSHOT, [tuple(row)]), forget])
        self._snapshots = [s for s in there if s not in gone]
        self._nothing_to_free = False
        self._appended_bytes = retention.LOOK_BYTES
        self.write_witness()

    def _digest_of(self, seq: int) -> bytes:
        if seq == self.last_seq:
            return self._last_digest
        if seq == self.base_seq:
            return self._base_digest
        with told(self.path):
            found = schema.rows(self._connection, "SELECT digest FROM inputs WHERE seq = ?", (seq,))
        if not found:
            raise JournalDamaged(self.path, seq, "it is missing")
        digest: bytes = found[0][0]
        return digest

    def make_room(self) -> bool:
        """One step towards the bound; True while there is more to do. Raises as `append` does, nothing is lost then."""
        if self._goal_seq is None and not self._seek_goal():
            return False
        assert self._goal_seq is not None
        # Never slower than what comes in, or a busy journal would outgrow its bound.
        rows_max = max(retention.STEP_ROWS, 2 * self._appended_rows)
        with told(self.path):
            seq = retention.step_to(self._connection, self.base_seq, self._goal_seq, rows_max)
        digest = self._digest_of(seq)
        self._transact([(statement, [(seq,)]) for statement in retention.REMOVE] + [(BASE, [(seq, digest)])])
        self._appended_rows = 0
        self.base_seq, self._base_digest = seq, digest
        self._snapshots = [s for s in self._snapshots if s >= seq]
        if seq >= self._goal_seq:
            self._goal_seq = None
            self._appended_bytes = retention.LOOK_BYTES
            _log.info("journal: the oldest inputs made room", path=str(self.path), first_input=seq + 1)
        return True

    def _seek_goal(self) -> bool:
        bytes_max = self._limits.bytes_max
        if self._nothing_to_free or self._appended_bytes < min(retention.LOOK_BYTES, bytes_max // 16):
            return False
        self._appended_bytes = 0
        with told(self.path):
            used = retention.used_bytes(self._connection)
        if used <= bytes_max:
            return False
        self._goal_seq = self._sound_goal()
        if self._goal_seq is None:
            self._nothing_to_free = True
            _log.warning(
                "journal: beyond its limit, and every input is needed until the next snapshots",
                path=str(self.path), bytes=used, bytes_max=bytes_max,
            )  # fmt: skip
        return self._goal_seq is not None

    def _sound_goal(self) -> int | None:
        """The next snapshot to begin with; not a damaged one, for what stands before it will be gone for good."""
        seq = retention.goal(self._snapshots, self.base_seq)
        while seq is not None:
            with told(self.path):
                found = snapshots.at(self._connection, schema.VERSION, seq)
            if found is not None and found.is_sound(self._genesis):
                return seq
            _log.error("journal: snapshot is damaged, no room is made up to it", path=str(self.path), seq=seq)
            seq = retention.goal(self._snapshots, seq)
        return None

    def _transact(self, statements: Statements) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for statement, rows in statements:
                if rows:
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
            self._find_ends()
        except (apsw.Error, JournalDamaged) as error:
            _log.error(
                "journal: rollback failed, the next write will tell",
                path=str(self.path),
                error=str(error),
            )

    def write_witness(self) -> None:
        """Tell the file beside how far the chain has come. A failure is logged: the older witness only sees less."""
        if self._witnessed == self.last_seq:
            return
        seen = witness.Witness(self._site_id, self.last_seq, self._last_at_ns, self._last_digest.hex())
        try:
            witness.write(self.path, seen)
        except OSError as error:
            _log.warning("journal: its witness can't be written", path=str(self.path), error=str(error))
            return
        self._witnessed = self.last_seq

    def give_back(self) -> None:
        """Return the pages that are free to the disk. Writes the whole file anew: for a gateway that stands still."""
        with told(self.path):
            self._connection.execute("VACUUM")

    def close(self) -> None:
        """Move the WAL into the file and let go. Commits are durable already: a failure loses nothing."""
        self.write_witness()
        try:
            self._connection.close()
        except apsw.Error as error:
            _log.error("journal: could not be closed cleanly", path=str(self.path), error=str(error))
