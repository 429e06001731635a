"""The journal on SQLite: WAL, `synchronous=FULL`, one writer thread, group commit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.shell.journal import chain
from gateway.shell.journal.errors import JournalClosed, JournalUnusable
from gateway.shell.journal.lock import FolderLock
from gateway.shell.journal.reader import Reader
from gateway.shell.journal.retention import BASE_EVERY, BYTES_MAX, Limits
from gateway.shell.journal.schema import FILE
from gateway.shell.journal.snapshots import STATE_FORMAT
from gateway.shell.journal.store import Store
from gateway.shell.journal.writer import WAITING_MAX, Answers, Append, Keep, Stop, Writer

__all__ = ["FILE", "SqliteJournal"]


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
    def open(
        cls,
        folder: Path,
        site_id: str,
        *,
        pages_max: int | None = None,
        bytes_max: int = BYTES_MAX,
        base_every: int = BASE_EVERY,
        state_format: int = STATE_FORMAT,
    ) -> SqliteJournal:
        """Open the journal of `site_id` in `folder`, creating both where they are missing.

        Beyond `bytes_max` the oldest inputs make room, but none that the newest two snapshots need; of older snapshots
        about one every `base_every` inputs is kept. `pages_max` is the hard limit (4 KiB a page); beyond it `commit`
        raises `JournalFull`. `state_format`: what snapshots are marked with; one with a higher number is refused.

        Blocks on the disk, so call it before the loop has devices to serve. Raises `JournalLocked`, `JournalForeign`,
        `JournalUnusable`, `JournalDamaged`, `JournalOutdated`, `JournalFull`; nothing stays open then.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            next_step = "give the gateway's user the right to write there, or choose another folder"
            raise JournalUnusable(folder, str(error), next_step) from error
        lock = FolderLock.taken(folder)
        try:
            limits = Limits(pages_max, bytes_max, base_every)
            return cls(Store(folder / FILE, site_id, limits, state_format), lock)
        except BaseException:
            # Fate: raised again; the lock must not outlive a failed opening.
            lock.release()
            raise

    @property
    def last_seq(self) -> int:
        """The number of the newest durable input, 0 when there is none."""
        return self._store.last_seq

    @property
    def first_seq(self) -> int:
        """See `Journal.first_seq`."""
        return self._store.base_seq + 1

    @property
    def transactions(self) -> int:
        """How many transactions have stored inputs since the opening."""
        return self._writer.transactions

    async def commit(self, records: Sequence[chain.Record], drawn: Sequence[chain.Drawn] = ()) -> None:
        """See `Journal.commit`. Beyond WAITING_MAX calls under way, others wait for their turn."""
        batch, told = chain.checked(records), chain.checked_drawn(drawn)
        if not batch and not told:
            return
        answer = await self._turn()
        self._writer.hand_over(Append(batch, told, answer))
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
        return self._read(after_seq)

    def _read(self, after_seq: int) -> Iterator[chain.Record]:
        with self._reader() as reader:
            yield from reader.read(after_seq)

    def read_drawn(self, after_seq: int) -> Iterator[chain.Drawn]:
        """See `Journal.read_drawn`."""
        self._must_be_open()
        return self._read_drawn(after_seq)

    def _read_drawn(self, after_seq: int) -> Iterator[chain.Drawn]:
        with self._reader() as reader:
            yield from reader.read_drawn(after_seq)

    def latest_snapshot(self, up_to_seq: int | None = None) -> tuple[int, bytes] | None:
        """See `Journal.latest_snapshot`."""
        self._must_be_open()
        with self._reader() as reader:
            return reader.latest_snapshot(up_to_seq)

    def _reader(self) -> Reader:
        return Reader(self._store.path, self._store.state_format)

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
