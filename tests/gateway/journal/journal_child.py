"""A process that commits without end and says after each batch what was acknowledged. Its parent kills it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from gateway.shell.journal.sqlite import SqliteJournal


async def main(folder: Path) -> None:
    journal = SqliteJournal.open(folder, "demo")
    seq = journal.last_seq
    while True:
        batch = [(seq + n, (seq + n) * 1_000, f"input {seq + n}".encode()) for n in range(1, 4)]
        await journal.commit(batch)
        seq += len(batch)
        sys.stdout.write(f"{seq}\n")
        sys.stdout.flush()


asyncio.run(main(Path(sys.argv[1])))
