"""Journal first, then the kernel, then the way out: the one order in which inputs are taken in.

No event loop and no clock of its own: whoever runs it hands in the time, a way to wait and where effects go. The
running gateway drives `take` on asyncio; the simulation drives the same coroutine by hand and lets it die anywhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from hashlib import blake2b
from typing import Protocol

import msgspec

from gateway import codec
from gateway.contract import Effect, Input
from gateway.kernel import Kernel
from gateway.shell.journal import Journal, JournalError, JournalFull

SNAPSHOT_EVERY = 2_000
SNAPSHOT_EVERY_MAX = 10_000
SNAPSHOT_PAUSE_NS = 10_000_000_000
"""A snapshot is due after SNAPSHOT_EVERY inputs, but not before SNAPSHOT_PAUSE_NS have passed since the one before or
SNAPSHOT_EVERY_MAX inputs have come: that many a start has to replay at the most, about a second. With 20,000 orders
open it has 9 MiB and stops everything for 30 ms, which a host with a thousand orders a second must not meet too often.
"""
FULL_RETRY_S = 1.0
DRAWN_BYTES = 16
HEALTHY, JOURNAL_FULL, HALTED = "healthy", "journal full", "halted"

_effects = msgspec.msgpack.Encoder()


class Outlet(Protocol):
    """Where an engine tells what came out of an input."""

    def release(self, entered: Input, number: int, effect: Effect) -> None:
        """`effect` is what `entered` drew as its `number`th (0, 1 …) and may leave the house: the input is durable."""

    def set_aside(self, body: object, error: Exception) -> None:
        """`body` can't be written down and is not acted on: no journal could explain it later."""

    def journal_full(self, problem: str) -> None:
        """The journal takes nothing; the world waits. "" says that it has room again."""

    def halted(self, entered: Input, error: Exception) -> None:
        """The kernel has failed at `entered`: nothing is sent any more until somebody has looked at it."""

    def no_snapshot(self, error: JournalError) -> None:
        """There was no room for a snapshot. It only shortens the next start; the inputs are all there."""


def digest(effects: Iterable[Effect]) -> bytes:
    """What a batch of inputs drew, as 16 bytes: equal for equal effects in the same order."""
    found = blake2b(digest_size=DRAWN_BYTES)
    for effect in effects:
        found.update(_effects.encode(effect))
    return found.digest()


class Engine:
    """Takes batches of inputs in, one batch at a time. `status` is one of HEALTHY, JOURNAL_FULL, HALTED."""

    def __init__(
        self,
        kernel: Kernel,
        journal: Journal,
        outlet: Outlet,
        now_ns: Callable[[], int],
        pause_s: Callable[[float], Awaitable[None]],
        snapshot_every: int = SNAPSHOT_EVERY,
        replayed: int = 0,
        settle: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """`replayed`: inputs since the newest snapshot, as the start has found them. A process that ends again and
        again would else never come to take one, and each start would last longer.

        `settle` is awaited before each snapshot: whoever has kept effects makes them durable, since no start replays
        what a snapshot holds. It returns False where they are not; then no snapshot is taken.
        """
        self.kernel = kernel
        self.status = HEALTHY
        self.last_seq = journal.last_seq
        self._journal = journal
        self._outlet = outlet
        self._now_ns = now_ns
        self._pause_s = pause_s
        self._snapshot_every = snapshot_every
        self._since_snapshot = replayed
        self._snapshot_ns = 0
        self._settle = settle
        self._drawn: list[tuple[int, int, bytes]] = []
        """What earlier batches drew and the journal has not been told yet."""

    async def take(self, bodies: list[object]) -> None:
        """Make `bodies` durable, let the kernel conclude, release the effects. Returns when all of that is done."""
        now_ns = self._now_ns()
        inputs: list[Input] = []
        records: list[tuple[int, int, bytes]] = []
        for body in bodies:
            try:
                record = codec.encode_body(body)
            except (OverflowError, TypeError, ValueError) as error:
                self._outlet.set_aside(body, error)
                continue
            inputs.append(Input(self.last_seq + len(inputs) + 1, now_ns, body))
            records.append((inputs[-1].seq, now_ns, record))
        if not inputs:
            return
        await self._make_durable(records)
        self.last_seq += len(inputs)
        if self.status == HALTED:
            return
        self._conclude(inputs)
        self._since_snapshot += len(inputs)
        if self.status == HEALTHY and self._is_snapshot_due():
            self._since_snapshot, self._snapshot_ns = 0, self._now_ns()
            await self.keep_snapshot()

    def _is_snapshot_due(self) -> bool:
        if self._since_snapshot < self._snapshot_every:
            return False
        rested = self._now_ns() - self._snapshot_ns >= SNAPSHOT_PAUSE_NS
        return rested or self._since_snapshot >= SNAPSHOT_EVERY_MAX

    async def keep_snapshot(self) -> None:
        """Keep the kernel's state as it is after the last input."""
        try:
            if self._settle is not None and not await self._settle():
                return
            if self._drawn:
                await self._journal.commit([], self._drawn)
                self._drawn = []
            await self._journal.save_snapshot(self.last_seq, self._now_ns(), self.kernel.snapshot())
        except JournalFull as error:
            self._outlet.no_snapshot(error)

    async def _make_durable(self, records: list[tuple[int, int, bytes]]) -> None:
        """Into the journal, whatever it takes: until there is room the world waits, and a person is told once."""
        while True:
            try:
                await self._journal.commit(records, self._drawn)
            except JournalFull as error:
                if self.status == HEALTHY:
                    self.status = JOURNAL_FULL
                    self._outlet.journal_full(str(error))
                await self._pause_s(FULL_RETRY_S)
                continue
            self._drawn = []
            if self.status == JOURNAL_FULL:
                self.status = HEALTHY
                self._outlet.journal_full("")
            return

    def _conclude(self, inputs: list[Input]) -> None:
        drawn = blake2b(digest_size=DRAWN_BYTES)
        for entered in inputs:
            try:
                effects = self.kernel.apply(entered)
            except Exception as error:  # noqa: BLE001 - a bug of ours: stop sending, stay visible, call the operator
                self.status = HALTED
                self._outlet.halted(entered, error)
                return
            for number, effect in enumerate(effects):
                drawn.update(_effects.encode(effect))
                self._outlet.release(entered, number, effect)
        self._drawn.append((inputs[0].seq, inputs[-1].seq, drawn.digest()))
