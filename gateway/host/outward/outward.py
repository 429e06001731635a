"""All of it together: what is heard from the kernel, made durable, and told by every target."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from structlog.typing import FilteringBoundLogger as Log

from gateway.contract import AlarmEvent, Effect, Ns, OrderEvent, StepEvent
from gateway.host.gate import Gate
from gateway.host.outward.event import Event, bounds_of, event_of
from gateway.host.outward.outbox import SCHEMA, DeadLetter, Outbox, Waiting
from gateway.host.outward.sparkplug import EdgeNode
from gateway.host.outward.target import Kind, Presence, TargetFigures
from gateway.host.outward.unified import Unified
from gateway.host.outward.webhook import Webhook
from gateway.host.patience import honour_cancellation
from gateway.host.store import Store
from gateway.site import OutwardSpec, Site

OUTBOX: Final = "outbox"
KEPT_AT_ONCE_MAX = 2_000
RETRY_S = 1.0
HOUSEKEEPING_S = 60.0
RESTART_MAX_S = 30.0
FULL = (
    "{max} events wait for the disk and no more are kept: restart the gateway, which finds the others in its journal; "
    "until then it takes no snapshot"
)


class NotKept(Exception):
    """Not all that was heard is durable: a snapshot now would take away what a restart has to find it in."""


class Outward:
    """Open with `open`; then hand in what is heard, and `run` it."""

    SCHEMA = SCHEMA

    def __init__(self, outbox: Outbox, spec: OutwardSpec, site: Site, gate: Gate, log: Log) -> None:
        self._outbox = outbox
        self._site = site.site.id
        self._gate = gate
        self._log = log
        self._memory_max = spec.memory_max
        self._heard: list[Event] = []
        self._news = asyncio.Event()
        self._full = False
        self._lock = asyncio.Lock()
        bounds = bounds_of(spec)
        self._keeps = bool(bounds)
        by_target = {b.target: b for b in bounds}
        self._hooks = {
            hook.id: Webhook(hook, by_target[hook.id], self._site, outbox, gate.now_ns, log) for hook in spec.webhooks
        }
        self._unified = Unified(spec.mqtt, self._site, outbox, gate, log) if spec.mqtt else None
        self._node = EdgeNode(spec.sparkplug, self._site, outbox, gate, log) if spec.sparkplug else None

    @classmethod
    async def open(cls, store: Store, spec: OutwardSpec, site: Site, gate: Gate, log: Log) -> Outward:
        """`gate`'s kernel must be the restored one, with the journal replayed; its last input is where targets that are
        new begin. `store` must have been opened with `SCHEMA`."""
        bounds = bounds_of(spec)
        outbox = await Outbox.open(store, bounds, gate.kernel.state.seq, gate.now_ns())
        for gone in await outbox.waiting():
            if gone.waiting and gone.target not in {b.target for b in bounds}:
                log.warning(
                    "events wait for a target that the YAML does not have", target=gone.target, waiting=gone.waiting
                )
        return cls(outbox, spec, site, gate, log)

    # --- what comes in ---

    def heard(self, seq: int, number: int, at_ns: Ns, effect: Effect) -> None:
        """Take an effect in, in memory; what is known already is passed over. Returns at once and never raises.

        At the bound nothing more is taken: whatever came after would overtake what is missing.
        """
        if not self._keeps or self._full or not isinstance(effect, OrderEvent | StepEvent | AlarmEvent):
            return
        if self._outbox.is_known(seq, number):
            return
        if self._heard and (seq, number) <= (self._heard[-1].seq, self._heard[-1].number):
            return
        if len(self._heard) >= self._memory_max:
            self._full = True
            self._log.critical("outbox is full", text=FULL.format(max=self._memory_max))
            return
        event = event_of(self._site, self._outbox.mark.era, seq, number, at_ns, effect)
        if event is not None:
            self._heard.append(event)
            self._news.set()

    async def flush(self) -> None:
        """Return when all that was heard is durable. Raises NotKept where it is not."""
        try:
            await self._keep()
        except Exception as error:  # fate: raised, so that no snapshot is taken
            raise NotKept(f"events for others can't be written down ({error}): look at the disk") from error
        if self._full:
            raise NotKept(FULL.format(max=self._memory_max))

    async def _keep(self) -> None:
        async with self._lock:
            wanted = len(self._heard)
            while wanted > 0:
                events = self._heard[: min(wanted, KEPT_AT_ONCE_MAX)]
                dropped = await self._outbox.keep(events)
                del self._heard[: len(events)]
                wanted -= len(events)
                self._tell_dropped(dropped, "too many wait")
                self._look(dropped)

    # --- what goes out ---

    async def run(self) -> None:
        """Keep and deliver, for ever; ends by cancellation alone."""
        parts: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            (OUTBOX, self._keep_what_is_heard),
            ("outbox retention", self._drop_what_is_old),
            *((name, hook.run) for name, hook in self._hooks.items()),
        ]
        if self._unified is not None:
            parts.append((self._unified.presence.target, self._unified.run))
        if self._node is not None:
            parts.append((self._node.presence.target, self._node.run))
        async with asyncio.TaskGroup() as group:
            for name, part in parts:
                group.create_task(self._again_and_again(name, part))

    async def dead_letters(self, before: int | None, limit: int) -> list[DeadLetter]:
        """The newest `limit` (1,000 at most) whose number is smaller than `before`."""
        return await self._outbox.dead_letters(before, limit)

    async def replay(self, numbers: Sequence[int]) -> int:
        """Send these dead letters again; returns how many there were. They come after what was told since."""
        revived = await self._outbox.revive(numbers)
        for target, place in revived:
            if target in self._hooks:
                self._hooks[target].line.look_again(place)
        return len(revived)

    async def figures(self) -> list[TargetFigures]:
        """One a target, the outbox itself first."""
        state, reason = ("full", FULL.format(max=self._memory_max)) if self._full else ("kept", "")
        oldest_ns = self._heard[0].at_ns if self._heard else 0
        found = [TargetFigures(OUTBOX, OUTBOX, state, reason, len(self._heard), oldest_ns, 0, 0, 0, 0)]
        rows = {row.target: row for row in await self._outbox.waiting()}
        for presence in self._presences():
            told = self._node.told if self._node is not None and presence.kind == "sparkplug" else 0
            row = rows.pop(presence.target, Waiting(presence.target, 0, 0, told, 0, 0))
            found.append(_figures(row, presence.kind, presence.state, presence.reason, presence.failed))
        for row in rows.values():
            if row.waiting or row.dead_letters:
                found.append(_figures(row, "webhook", "removed", "the YAML has no such target", 0))
        return found

    # ---

    def _presences(self) -> list[Presence]:
        others = [target.presence for target in (self._unified, self._node) if target is not None]
        return [*(hook.presence for hook in self._hooks.values()), *others]

    async def _keep_what_is_heard(self) -> None:
        failed = False
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._keep()
            except Exception as error:  # noqa: BLE001 - fate: told once, tried again; what was heard stays
                if not failed:
                    self._log.error("events for others can't be written down", reason=str(error))
                failed = True
                self._news.set()
                await asyncio.sleep(RETRY_S)
            else:
                if failed:
                    self._log.info("events for others can be written down again")
                failed = False

    async def _drop_what_is_old(self) -> None:
        while True:
            dropped = await self._outbox.drop_older(self._gate.now_ns())
            self._tell_dropped(dropped, "waited too long")
            if dropped:
                self._look(dropped)
            await asyncio.sleep(HOUSEKEEPING_S)

    def _tell_dropped(self, dropped: dict[str, int], why: str) -> None:
        for target, count in dropped.items():
            self._log.warning("events dropped", target=target, count=count, reason=why)

    def _look(self, dropped: dict[str, int]) -> None:
        for name, hook in self._hooks.items():
            hook.line.look()
            if name in dropped:
                hook.line.look_again(0)
        if self._unified is not None:
            self._unified.look()

    async def _again_and_again(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        """Run `part` for ever: a bad target takes nothing down with it."""
        wait_s = RETRY_S
        while True:
            began_s = asyncio.get_running_loop().time()
            try:
                await part()
            except Exception as error:  # noqa: BLE001 - fate: logged with its trace, and the part is started again
                self._log.error("part failed and is started again", part=f"outward {name}", exc_info=error)
            honour_cancellation()
            ran_s = asyncio.get_running_loop().time() - began_s
            wait_s = RETRY_S if ran_s > RESTART_MAX_S else min(wait_s * 2, RESTART_MAX_S)
            await asyncio.sleep(wait_s)


def _figures(row: Waiting, kind: Kind, state: str, reason: str, failed: int) -> TargetFigures:
    return TargetFigures(
        row.target,
        kind,
        state,
        reason,
        row.waiting,
        row.oldest_ns,
        row.delivered,
        failed,
        row.dropped,
        row.dead_letters,
    )
