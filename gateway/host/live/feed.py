"""Diffs ten times a second and snapshots on demand, as long as somebody follows."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

from gateway.contract import Ns
from gateway.host.gate import Gate
from gateway.host.live.equipment import Figures
from gateway.host.live.picture import Picture
from gateway.host.live.ring import CHARACTERS_MAX, DIFFS_MAX, Ring
from gateway.host.live.snapshot import Snapshot
from gateway.host.live.topics import Topic

SNAPSHOT_GOOD_NS = 1_000_000_000
SNAPSHOT_GOOD_DIFFS = 10
"""Who comes within this time, and before so many diffs, begins with the same snapshot, and the diffs since."""
SNAPSHOTS_MAX = 4
"""Snapshots in the hands of clients that take long; beyond that the newest one has to do, whatever its age."""


class Feed:
    """One numbered sequence of diffs for all clients.

    Numbers begin at kernel time in microseconds: they grow by ten a second and kernel time by a million, also over a
    restart, so a number that another process has given is lower than all of this one's and is never covered.
    """

    def __init__(
        self,
        gate: Gate,
        now_ns: Callable[[], Ns],
        figures: Figures | None = None,
        version: str = "",
        diffs_max: int = DIFFS_MAX,
        characters_max: int = CHARACTERS_MAX,
    ) -> None:
        self._gate = gate
        self._now_ns = now_ns
        self._picture = Picture(gate, figures, version)
        self._followed: Counter[Topic] = Counter()
        self._unlisten: Callable[[], None] | None = None
        self._newest: Snapshot | None = None
        self._in_hand: list[Snapshot] = []
        self._turned = asyncio.Event()
        self._wanted = asyncio.Event()
        self.ring = Ring(now_ns() // 1000, diffs_max, characters_max)

    # --- who follows what ---

    def follow(self, topics: Iterable[Topic]) -> None:
        """One more client wants these."""
        self._followed.update(topics)
        if self._unlisten is None and self._followed:
            # Nothing was heard while nobody followed.
            self._picture.orders.forget()
            self._unlisten = self._gate.listen(self._picture.orders.heard)
        if self._followed:
            self._wanted.set()

    def leave(self, topics: Iterable[Topic]) -> None:
        """One client less wants these."""
        self._followed -= Counter(topics)
        if not self._followed:
            self._wanted.clear()
            if self._unlisten is not None:
                self._unlisten()
                self._unlisten = None

    async def wanted(self) -> None:
        """Until somebody follows."""
        await self._wanted.wait()

    # --- diffs ---

    def turn(self) -> None:
        """Look at what is followed and put what has changed into the ring, as one diff."""
        now_ns = self._now_ns()
        self._picture.look(self._followed, now_ns)
        members = self._picture.taken()
        if not members:
            return
        self.ring.add(now_ns // 1_000_000, members)
        turned, self._turned = self._turned, asyncio.Event()
        turned.set()

    async def turned(self) -> None:
        """Until there is another diff."""
        await self._turned.wait()

    # --- snapshots ---

    def snapshot(self, topics: frozenset[Topic]) -> Snapshot:
        """One with these topics, which somebody follows already, and from which the ring leads on. Give it back."""
        newest = self._newest
        if newest is not None and newest.has(topics) and self.ring.covers(newest.seq):
            age_ms, diffs = self._now_ns() // 1_000_000 - newest.at_ms, self.ring.seq - newest.seq
            is_young = age_ms < SNAPSHOT_GOOD_NS // 1_000_000 and diffs <= SNAPSHOT_GOOD_DIFFS
            if is_young or len(self._in_hand) >= SNAPSHOTS_MAX:
                return self._take(newest)
        self.turn()
        if newest is None or newest.seq != self.ring.seq:
            newest = self._newest = Snapshot(self.ring.seq, self._now_ns() // 1_000_000, self._gate.kernel.state.epoch)
        # All that anybody follows: whoever comes next has no need of another one.
        newest.add(self._followed, self._picture.whole)
        return self._take(newest)

    def give_back(self, snapshot: Snapshot) -> None:
        snapshot.in_hand -= 1
        if not snapshot.in_hand:
            self._in_hand.remove(snapshot)

    def _take(self, snapshot: Snapshot) -> Snapshot:
        if not snapshot.in_hand:
            self._in_hand.append(snapshot)
        snapshot.in_hand += 1
        return snapshot
