"""How many inputs a second become durable: one caller, fifty callers, and SQLite alone committing each by itself.

    python -m bench.journal [--commits N] [--folder FOLDER] [--json FILE]

All with the same settings (WAL, synchronous=FULL) on the same disk: `--folder` says where, by default where
temporary files go. What the disk's own flush costs is in all three rows.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import apsw

from gateway.shell.journal.sqlite import SqliteJournal

COMMITS = 2_000
CALLERS = 50
BODY = b"\x5a" * 300
"""As long as a conveyor's report."""
Numbers = dict[str, float]


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=COMMITS, help="by one caller; fifty make five times as many")
    parser.add_argument("--folder", type=Path, help="a folder on the disk to measure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-journal-", dir=options.folder) as scratch:
        folder = Path(scratch)
        floor = _floor(folder / "floor.sqlite", options.commits)
        alone = asyncio.run(_journal(folder / "alone", 1, options.commits))
        together = asyncio.run(_journal(folder / "together", CALLERS, 5 * options.commits))
    numbers = {"bare_apsw": floor, "alone": alone, f"callers_{CALLERS}": together}
    _print(numbers)
    if options.json is not None:
        options.json.write_text(json.dumps(numbers) + "\n", encoding="utf-8")
    return 0


def _floor(path: Path, commits: int) -> Numbers:
    """One INSERT a transaction, in the calling thread."""
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    connection.execute("CREATE TABLE inputs(seq INTEGER PRIMARY KEY, at_ns INTEGER, body BLOB, digest BLOB) STRICT")
    took_s = []
    begun_s = time.perf_counter()
    for seq in range(1, commits + 1):
        call_s = time.perf_counter()
        connection.execute("INSERT INTO inputs VALUES(?, ?, ?, ?)", (seq, time.time_ns(), BODY, BODY[:16]))
        took_s.append(time.perf_counter() - call_s)
    wall_s = time.perf_counter() - begun_s
    connection.close()
    return _result(took_s, wall_s, commits)


async def _journal(folder: Path, callers: int, commits: int) -> Numbers:
    journal = SqliteJournal.open(folder, "bench")
    numbers = itertools.count(1)
    took_s: list[float] = []
    begun_s = time.perf_counter()
    await asyncio.gather(*(_caller(journal, numbers, commits // callers, took_s) for _ in range(callers)))
    wall_s = time.perf_counter() - begun_s
    transactions = journal.transactions
    await journal.close()
    return _result(took_s, wall_s, transactions)


async def _caller(journal: SqliteJournal, numbers: Iterator[int], commits: int, took_s: list[float]) -> None:
    for _ in range(commits):
        call_s = time.perf_counter()
        await journal.commit([(next(numbers), time.time_ns(), BODY)])
        took_s.append(time.perf_counter() - call_s)


def _result(took_s: list[float], wall_s: float, transactions: int) -> Numbers:
    ordered = sorted(took_s)
    return {
        "commits": len(ordered),
        "commits_per_s": round(len(ordered) / wall_s),
        "per_transaction": round(len(ordered) / transactions, 1),
        "p50_ms": round(ordered[len(ordered) // 2] * 1e3, 3),
        "p99_ms": round(ordered[len(ordered) * 99 // 100] * 1e3, 3),
    }


def _print(numbers: dict[str, Numbers]) -> None:
    print(f"{'':<14}{'commits/s':>11}{'a transaction':>15}{'p50 ms':>9}{'p99 ms':>9}{'of the floor':>14}")
    floor = numbers["bare_apsw"]["commits_per_s"]
    for name, row in numbers.items():
        print(
            f"{name:<14}{row['commits_per_s']:>11}{row['per_transaction']:>15}{row['p50_ms']:>9}{row['p99_ms']:>9}"
            f"{row['commits_per_s'] / floor:>13.2f}×"
        )


if __name__ == "__main__":
    sys.exit(main())
