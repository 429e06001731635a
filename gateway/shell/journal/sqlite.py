"""The journal on SQLite: WAL, `synchronous=FULL`, one writer thread, group commit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.shell.journal import chain
from gateway.shell.journal.errors import JournalClosed, JournalUnusable
from gateway.shell.journal.lock import FolderLock
from gateway.shell.journal.store import Store
from gateway.shell.journal.writer import WAITING_MAX, Answers, Append, Keep, Stop, Writer

FILE = "journal.sqlite"


class SqliteJournal:
    """A site's journal in a folder of its own. Its async methods are for one event loop."""

    def __init__(self, store: Store, lock: FolderLock) -> None:
        """Use `open`."""
        self._store = store
        self._writer = Writer(store, self._deliver, lock.release)
        self._slots = asyncio.Semaphore(WAITING_MAX)
        self._closing = False
        self._ended = asyncio.Event()

    @classmethod
    def open(cls, folder: Path, site_id: str, *, pages_max: int | None = None) -> SqliteJournal:
        """Open the journal of `site_id` in `folder`, creating both where they are missing.

        `pages_max` limits the file (4 KiB a page); beyond it `commit` raises `JournalFull`. Blocks on the
        disk, so call it before the loop has devices to serve. Raises `JournalLocked`, `JournalForeign`,
        `JournalUnusable`, `JournalDamaged`, `JournalFull`; nothing stays open then.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FolderLock(folder)
        except OSError as error:
            next_step = "give the gateway's user the right to write there, or choose another folder"
            raise JournalUnusable(folder, str(error), next_step) from error
        try:
            return cls(Store(folder / FILE, site_id, pages_max), lock)
        except BaseException:
            # Fate: raised again; the lock must not outlive a failed opening.
            lock.release()
            raise

    @property
    def last_seq(self) -> int:
        """The number of the newest durable input, 0 when there is none."""
        return self._store.last_seq

    @property
    def transactions(self) -> int:
        """How many transactions have stored inputs since the opening."""
        return self._writer.transactions

    async def commit(self, records: Sequence[chain.Record]) -> None:
        """See `Journal.commit`. Beyond WAITING_MAX calls under way, others wait for their turn."""
        batch = chain.checked(records)
        if not batch:
            return
        answer = await self._turn()
        self._writer.hand_over(Append(batch, answer))
        await answer

    async def save_snapshot(self, seq: int, at_ns: int, state: bytes) -> None:
        """See `Journal.save_snapshot`. Commits behind a large snapshot wait for it."""
        answer = await self._turn()
        self._writer.hand_over(Keep(seq, at_ns, state, answer))
        await answer

    async def _turn(self) -> asyncio.Future[None]:
        await self._slots.acquire()
        if self._closing:
            self._slots.release()
            raise JournalClosed(f"journal {self._store.path} has been closed: nothing was stored")
        return asyncio.get_running_loop().create_future()

    def _deliver(self, answers: Answers) -> None:
        # The slot is given back here and not by the caller: a cancelled caller's batch still is in the queue.
        for answer, error in answers:
            self._slots.release()
            if answer.done():
                continue
            if error is None:
                answer.set_result(None)
            else:
                answer.set_exception(error)

    def read(self, after_seq: int) -> Iterator[chain.Record]:
        """See `Journal.read`."""
        self._must_be_open()
        return self._store.read(after_seq)

    def latest_snapshot(self) -> tuple[int, bytes] | None:
        """See `Journal.latest_snapshot`."""
        self._must_be_open()
        return self._store.latest_snapshot()

    def _must_be_open(self) -> None:
        if self._closing:
            raise JournalClosed(f"journal {self._store.path} has been closed: open it again to read it")

    async def close(self) -> None:
        """See `Journal.close`. Calls that still wait for their turn get `JournalClosed`."""
        if not self._closing:
            self._closing = True
            self._writer.hand_over(Stop(asyncio.get_running_loop(), self._ended.set))
        await self._ended.wait()
        self._writer.join()
