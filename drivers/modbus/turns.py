"""Whose request goes out next on a connection that carries one at a time: writes before reads, within a bound."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

WRITES_IN_A_ROW_MAX = 8
"""After so many writes a waiting read has its turn: the values that decide about writing must not grow old."""
HELD_S_MAX = 0.005
"""So long may writes on other connections hold up a read: far below any poll period that makes sense."""
WAITING_MAX = 256
"""Requests that may wait, of either kind; one more is refused."""


class CrowdedError(Exception):
    """Too many requests wait for the connection; this one has not been sent."""


class RightOfWay:
    """Between the connections of one gateway: while something is written on any, no new read is begun on the others.

    They share one event loop, where a hundred reads under way would each come before the write's answer. A write that
    is not answered holds the reads up for HELD_S_MAX only.
    """

    def __init__(self) -> None:
        self.writes = 0
        """Under way or waiting for their turn."""
        self._none_left: asyncio.Future[None] | None = None

    def write_begins(self) -> None:
        self.writes += 1

    def write_ends(self) -> None:
        self.writes -= 1
        if not self.writes and self._none_left is not None:
            self._none_left.set_result(None)
            self._none_left = None

    async def let_writes_pass(self) -> None:
        """Wait until no write is left, or for HELD_S_MAX."""
        if not self.writes:
            return
        if self._none_left is None:
            self._none_left = asyncio.get_running_loop().create_future()
        await asyncio.wait((self._none_left,), timeout=HELD_S_MAX)


class Turns:
    """One holder at a time; first come, first served among writes and among reads."""

    def __init__(self) -> None:
        self._taken = False
        self._in_a_row = 0
        self._writes: deque[asyncio.Future[None]] = deque()
        self._reads: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def turn(self, *, writing: bool) -> AsyncIterator[None]:
        """Hold the connection. Raises CrowdedError where WAITING_MAX of its kind wait already."""
        if not self.take_free(writing):
            await self.wait(writing)
        try:
            yield
        finally:
            self.give()

    def take_free(self, writing: bool) -> bool:
        """Take the connection if nobody holds it; whoever gets True has to `give` it back, as after `wait`.

        Apart from `turn`, because most requests find the connection free, and then this is all that a turn costs.
        """
        if self._taken:
            return False
        self._taken = True
        self._count(writing)
        return True

    async def wait(self, writing: bool) -> None:
        """Wait for the turn behind those of the same kind. Raises CrowdedError."""
        queue = self._writes if writing else self._reads
        if len(queue) >= WAITING_MAX:
            raise CrowdedError(f"{WAITING_MAX} requests wait for this connection already")
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self.give()  # the turn came together with the cancellation: hand it on
            elif mine in queue:
                queue.remove(mine)
            raise

    def give(self) -> None:
        """Pass the connection on to whoever is next."""
        while self._writes or self._reads:
            writing = bool(self._writes) and not (self._reads and self._in_a_row >= WRITES_IN_A_ROW_MAX)
            following = (self._writes if writing else self._reads).popleft()
            if not following.done():
                self._count(writing)
                following.set_result(None)
                return
        self._taken = False

    def _count(self, writing: bool) -> None:
        self._in_a_row = self._in_a_row + 1 if writing else 0
