"""What is done about a subscription that says less than the PLC shows: a gap is read over, a dead one is rebuilt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from drivers.link import LinkLostError
from drivers.opcua.nodes import Nodes
from drivers.opcua.picture import HEARTBEAT, Picture
from drivers.opcua.subscription import Subscription
from drivers.opcua.values import scalar
from drivers.signals import BadValueError, Bound
from gateway.contract import Ns

REREAD_MS = 1_000
"""A gap in the server's messages is filled by reading everything, but not more often than this."""
REBUILDS_MAX = 3
"""Subscriptions in a row that died before a second heartbeat; then the session is begun anew."""


class Mender:
    """Looks after one session's subscription. `heartbeat` is None where the profile has no such signal.

    A subscription counts as dead when it has not spoken of the PLC's heartbeat for `stale_ms` while reading it shows
    another value than the last one heard: the PLC lives and the session too. `told` hears of both repairs.
    """

    def __init__(
        self,
        where: str,
        picture: Picture,
        heartbeat: Bound | None,
        stale_ms: int,
        *,
        now_ns: Callable[[], Ns],
        told: Callable[[str], None],
        reread: Callable[[Nodes], Awaitable[None]],
    ) -> None:
        self._where = where
        self._picture = picture
        self._heartbeat = heartbeat
        self._stale_ns = stale_ms * 1_000_000
        self._now_ns = now_ns
        self._told = told
        self._reread = reread
        self._looked_ns: Ns = 0
        self._read_ns: Ns = 0
        self._beats = 0
        self._rebuilds = 0

    def begin(self) -> None:
        """A new session: what went wrong in the last one does not count."""
        self._looked_ns = self._read_ns = self._beats = self._rebuilds = 0

    async def look(self, nodes: Nodes, subscription: Subscription) -> None:
        """Repair what is due; costs nothing while all is well. Raises LinkLostError, and what asyncua raises."""
        now_ns = self._now_ns()
        if subscription.has_gap and now_ns - self._read_ns >= REREAD_MS * 1_000_000:
            subscription.has_gap, self._read_ns = False, now_ns
            await self._reread(nodes)
            self._told("a message of the subscription is missing: all values were read instead")
        since_ns = max(self._picture.beat_ns, self._looked_ns)
        if self._heartbeat is not None and now_ns - since_ns >= self._stale_ns and not self._picture.is_bad(HEARTBEAT):
            self._looked_ns = now_ns
            if await self._beats_unheard(nodes, self._heartbeat):
                await self._rebuild(subscription)

    async def _beats_unheard(self, nodes: Nodes, heartbeat: Bound) -> bool:
        (answer,) = await nodes.read([heartbeat])
        try:
            return scalar(heartbeat, answer) != self._picture.values.get(HEARTBEAT)
        except BadValueError:
            return False  # nothing can be told from it; the link is doubtful already

    async def _rebuild(self, subscription: Subscription) -> None:
        # The first notification of each item is its present value: only a second one shows that it lives.
        lived = self._rebuilds == 0 or self._picture.beats - self._beats > 1
        self._rebuilds = 1 if lived else self._rebuilds + 1
        if self._rebuilds > REBUILDS_MAX:
            raise LinkLostError(f"{self._where}: {REBUILDS_MAX} subscriptions died one after the other: a new session")
        self._beats = self._picture.beats
        self._told("the subscription was dead while the PLC's heartbeat went on: it was built anew")
        await subscription.rebuild()
