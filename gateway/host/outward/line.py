"""What waits for one target, in order per subject: a failing order holds up none but itself, and is not overtaken.

Rows are read from the outbox in pages, by place. Those of one subject form a chain, of which one part at a time is on
its way. A chain that has failed keeps one row in memory; the rest stays on the disk until that one is through.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Sequence

import msgspec

from gateway.host.outward.event import Row
from gateway.host.outward.outbox import Outbox
from gateway.host.outward.target import RETRY_AFTER_MAX_S
from gateway.host.patience import Backoff

ROWS_MAX = 2_000
"""Rows in memory for one target, failed chains aside."""
PAGE = 500
FAILED_MAX = 10_000
"""Chains that wait after a failure; at the limit nothing new is begun until one of them is through."""


class Chain(msgspec.Struct, eq=False):
    """The rows of one subject. `more`: there are others of it on the disk, up to where the line has read."""

    subject: str
    backoff: Backoff
    after: int
    """Up to this place all of it has arrived."""
    rows: deque[Row] = msgspec.field(default_factory=deque)
    more: bool = False
    alone: bool = False
    """It has failed: its next row travels by itself, so that it is clear which one a host refuses."""
    failed: bool = False
    tries: int = 0


class Part(msgspec.Struct, eq=False):
    """The first rows of a chain, on their way."""

    chain: Chain
    rows: list[Row]


class Line:
    """`take` what may go now, then say of each part `passed`, `again` or `skipped`. For one loop."""

    def __init__(self, outbox: Outbox, target: str, backoff_max_s: float) -> None:
        self._outbox = outbox
        self._target = target
        self._backoff_max_s = backoff_max_s
        self._chains: dict[str, Chain] = {}
        self._ready: deque[Chain] = deque()
        self._short: deque[Chain] = deque()
        """Chains whose rows in memory are through and which have more on the disk."""
        self._later: list[tuple[float, int, Chain]] = []
        self._held: set[tuple[int, int]] = set()
        """In memory, on their way, or arrived and not yet taken off the disk: not to be read a second time."""
        self._rows = 0
        self._failed = 0
        self._after = 0
        self._number = 0
        self._changed = asyncio.Event()
        self._unread = asyncio.Event()
        self._unread.set()

    def look(self) -> None:
        """The outbox has something new."""
        self._unread.set()

    def look_again(self, place: int) -> None:
        """The row at `place` has come back, or another one has taken its place: read from there once more."""
        self._after = min(self._after, place - 1)
        for chain in self._chains.values():
            chain.after = min(chain.after, place - 1)
        self._unread.set()

    async def read(self) -> None:
        """Keep enough rows in memory, for ever."""
        while True:
            await self._unread.wait()
            self._unread.clear()
            while self._short:
                await self._read_chain(self._short.popleft())
            while self._rows - self._failed < ROWS_MAX and self._failed < FAILED_MAX:
                after = self._after
                page = await self._outbox.page(self._target, after, PAGE)
                if self._after != after:
                    continue  # told to look again meanwhile
                for row in page:
                    self._after = row.place
                    self._add(row)
                self._changed.set()
                if len(page) < PAGE:
                    break

    async def take(self, limit: int) -> list[Part]:
        """Up to `limit` rows that may go now; waits until there is one."""
        while True:
            self._wake()
            if self._ready:
                return self._parts(limit)
            self._changed.clear()
            wait_s = self._later[0][0] - asyncio.get_running_loop().time() if self._later else None
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def passed(self, part: Part) -> list[tuple[int, int]]:
        """They have arrived. Returns what is to be taken off the disk; say `forget` when it is."""
        chain = part.chain
        chain.backoff.reset()
        self._failed -= chain.failed
        chain.failed, chain.tries, chain.alone = False, 0, False
        for row in part.rows:
            chain.after = max(chain.after, row.place)
            chain.rows.popleft()
        self._rows -= len(part.rows)
        self._go_on(chain)
        return [row.key for row in part.rows]

    def forget(self, keys: Sequence[tuple[int, int]]) -> None:
        self._held.difference_update(keys)

    def again(self, part: Part, wait_s: float | None) -> None:
        """They have not arrived: the chain waits, by its own back-off or at least so long; None is not at all."""
        chain = part.chain
        if wait_s is None:
            self._ready.appendleft(chain)
            self._changed.set()
            return
        chain.alone = True
        self._failed += not chain.failed
        chain.failed = True
        while len(chain.rows) > 1:
            self._held.discard(chain.rows.pop().key)
            self._rows -= 1
            chain.more = True
        self._number += 1
        ready_s = asyncio.get_running_loop().time() + max(chain.backoff.next_s(), min(wait_s, RETRY_AFTER_MAX_S))
        heapq.heappush(self._later, (ready_s, self._number, chain))
        self._changed.set()
        self._unread.set()

    # ---

    def _wake(self) -> None:
        now_s = asyncio.get_running_loop().time()
        while self._later and self._later[0][0] <= now_s:
            self._ready.append(heapq.heappop(self._later)[2])

    def _parts(self, limit: int) -> list[Part]:
        parts: list[Part] = []
        room = limit
        while room and self._ready:
            chain = self._ready[0]
            if chain.alone and parts:
                break
            self._ready.popleft()
            rows = [chain.rows[i] for i in range(1 if chain.alone else min(room, len(chain.rows)))]
            parts.append(Part(chain, rows))
            room = 0 if chain.alone else room - len(rows)
        return parts

    def _add(self, row: Row) -> None:
        if row.key in self._held:
            return
        chain = self._chains.get(row.subject)
        if chain is None:
            chain = self._chains[row.subject] = Chain(row.subject, Backoff(self._backoff_max_s), row.place - 1)
            self._ready.append(chain)
        elif chain.more or chain.failed or row.place < chain.rows[-1].place:
            chain.more = True  # read in its turn, by `_read_chain`
            return
        chain.rows.append(row)
        self._held.add(row.key)
        self._rows += 1

    def _go_on(self, chain: Chain) -> None:
        if chain.rows:
            self._ready.append(chain)
        elif chain.more:
            self._short.append(chain)
            self._unread.set()
        else:
            del self._chains[chain.subject]
        if self._rows - self._failed < ROWS_MAX // 2:
            self._unread.set()
        self._changed.set()

    async def _read_chain(self, chain: Chain) -> None:
        page = await self._outbox.page_of(self._target, chain.subject, chain.after, self._after, PAGE)
        fresh = [row for row in page if row.key not in self._held]
        self._held.update(row.key for row in fresh)
        chain.rows.extend(fresh)
        self._rows += len(fresh)
        chain.more = len(page) == PAGE
        if page:
            chain.after = max(chain.after, (fresh or page)[0].place - 1)
        self._go_on(chain)
