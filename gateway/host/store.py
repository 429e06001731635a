"""A small database of this floor: accounts, audit, sort plans, what is to be told to others.

One file, one connection in one thread of its own. Writes that come together are committed together (WAL, FULL), so a
hundred requests wait for one flush of the disk, and what a caller was told is there after a power cut.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import apsw

T = TypeVar("T")
Work = Callable[[apsw.Connection], Any]
Outcome = tuple[Any, Exception | None]
WAITING_MAX = 10_000
BATCH_MAX = 512
BUSY_MS = 10_000
BUSY_LOOK_S = 0.002


def _wait_for_the_other(tries: int) -> bool:
    """Another process is writing: look again soon. SQLite's own handler waits longer each time, so one that writes all
    the time would keep everybody else out."""
    time.sleep(random.uniform(0.0005, 2 * BUSY_LOOK_S))
    return tries < BUSY_MS / 1000 / BUSY_LOOK_S


class StoreFull(Exception):
    """More writes wait than the disk takes; nothing of this one was done."""

    def __init__(self) -> None:
        super().__init__(f"{WAITING_MAX} writes wait for the disk: ask again later")


class Store:
    """Open with `open`, end with `close`. Functions that are handed in run in the store's thread, one at a time."""

    def __init__(self, connection: apsw.Connection, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread
        self._waiting: list[tuple[Work, asyncio.Future[Any]]] = []
        self._busy = False

    @classmethod
    async def open(cls, path: Path, *schemas: str) -> Store:
        """Open or make the file and what `schemas` (SQL, `create … if not exists`) ask for.

        Raises OSError or apsw.Error where the file can't be used.
        """
        thread = ThreadPoolExecutor(1, f"store-{path.stem}")

        def connect() -> apsw.Connection:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            connection = apsw.Connection(str(path))
            connection.set_busy_handler(_wait_for_the_other)
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", "full")
            # A transaction that reads first and then writes would fail where another process has committed in between.
            connection.transaction_mode = "IMMEDIATE"
            connection.pragma("foreign_keys", True)
            for schema in schemas:
                connection.execute(schema)
            path.chmod(0o600)
            return connection

        try:
            connection = await asyncio.get_running_loop().run_in_executor(thread, connect)
        except BaseException:  # fate: raised again, with no thread left
            thread.shutdown(wait=False)
            raise
        return cls(connection, thread)

    async def write(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` within a transaction; returns its result when that is durable.

        What it raises is raised here, and nothing of it is kept; others in the same transaction do not notice. Raises
        StoreFull.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise StoreFull
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        self._next()
        return await future

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work`, which changes nothing; returns its result."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._connection)

    async def close(self) -> None:
        """Write what waits, then close."""
        while self._waiting or self._busy:
            await asyncio.gather(*(future for _, future in self._waiting), return_exceptions=True)
            await self.read(lambda _: None)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()

    def _next(self) -> None:
        if self._busy or not self._waiting:
            return
        self._busy = True
        batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
        done = asyncio.get_running_loop().run_in_executor(self._thread, self._commit, [work for work, _ in batch])
        done.add_done_callback(lambda ended: self._told([future for _, future in batch], ended))

    def _commit(self, works: list[Work]) -> list[Outcome]:
        results: list[Outcome] = []
        with self._connection:
            for work in works:
                try:
                    with self._connection:  # a savepoint: what fails leaves the others alone
                        results.append((work(self._connection), None))
                except Exception as error:  # noqa: BLE001 - fate: raised to whoever asked for this write
                    results.append((None, error))
        return results

    def _told(self, futures: list[asyncio.Future[Any]], ended: asyncio.Future[list[Outcome]]) -> None:
        self._busy = False
        failed = ended.exception()
        results = [(None, failed)] * len(futures) if failed is not None else ended.result()
        for future, (result, error) in zip(futures, results, strict=True):
            if future.done():
                continue
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
        self._next()
