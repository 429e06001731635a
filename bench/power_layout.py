"""A journal as the first version of the gateway wrote it, to be brought up to date under power cuts."""

from __future__ import annotations

import random
from pathlib import Path

import apsw

from bench.power_ledger import Batch, Ledger, Record
from gateway.shell.journal import chain

APPLICATION_ID = 0x53544C57
LAYOUT = 1
_TABLES = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE inputs(
  seq INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, body BLOB NOT NULL, digest BLOB NOT NULL) STRICT;
CREATE TABLE snapshots(
  seq INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, state BLOB NOT NULL, digest BLOB NOT NULL) STRICT;
"""
BATCHES_MAX = 40


def write(path: Path, site_id: str, ledger: Ledger, rng: random.Random) -> None:
    """Make the file, closed in order; `ledger` gets to know all that is in it as acknowledged."""
    rows, digest = [], chain.genesis(site_id)
    for _ in range(rng.randint(1, BATCHES_MAX)):
        first = ledger.last_seq + 1
        records: tuple[Record, ...] = tuple(
            (first + place, rng.getrandbits(60), rng.randbytes(rng.choice((0, 300, 3_000)))) for place in range(3)
        )
        ledger.batches.append(Batch(records))
        for seq, at_ns, body in records:
            digest = chain.link(digest, seq, at_ns, body)
            rows.append((seq, at_ns, body, digest))
    ledger.acknowledged = len(ledger.batches)
    seq, state = ledger.last_seq, rng.randbytes(5_000)
    ledger.snapshots[seq] = state
    ledger.snapshot_acknowledged = seq
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.execute("BEGIN")
    connection.execute(_TABLES)
    connection.execute("INSERT INTO meta VALUES('site', ?)", (site_id,))
    connection.executemany("INSERT INTO inputs VALUES(?, ?, ?, ?)", rows)
    sealed = chain.link(chain.genesis(site_id), seq, seq, state)
    connection.execute("INSERT INTO snapshots VALUES(?, ?, ?, ?)", (seq, seq, state, sealed))
    connection.pragma("application_id", APPLICATION_ID)
    connection.pragma("user_version", LAYOUT)
    connection.execute("COMMIT")
    connection.close()
