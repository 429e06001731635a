"""What the conformance suite asks of a rig: a peer that speaks the protocol by itself, behind a proxy of ours."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from tcp_proxy import TcpProxy

from gateway.contract import Command

EPOCH = 7
FOREVER_NS = 2**62
STEP_S = 0.01
HURRY = 10
"""A device's life signs and periodic messages come so many times faster than in life."""


Trick = Callable[[bytes], bytes | None]
"""What reaches the driver in place of a piece of the device; None where the trick is not for this piece."""


@dataclass(frozen=True)
class Received:
    """A command as the device got it: its number, and whether all else in it belongs to that number."""

    seq: int
    is_whole: bool


class Hasty(random.Random):
    """Lets a driver wait a fiftieth of its time between two attempts, so that thousands of frames fit in seconds."""

    def uniform(self, a: float, b: float) -> float:
        return 0.02


class Rig(abc.ABC):
    """One device behind `proxy`; the driver under test connects to the proxy.

    `timeout_ms` is the driver's for one answer, 0 where the protocol has no answers. `silent_s`: within that time a
    driver says that nothing comes any more, by its settings; `connect_s`: that nobody answers at connect.
    """

    name = ""
    device = ""
    timeout_ms = 800
    stale_ms = 1_500
    silent_s = 1.5
    connect_s = 0.8
    heads: Sequence[bytes] = ()
    """Beginnings of frames that the driver reads on from."""
    openers: Sequence[bytes] = ()
    """First bytes of a peer's very first answer, where a driver waits long for it if it is spoilt."""
    early_share = 1.0
    """How often, of what is usual, hostile bytes come before or in place of that answer."""
    tricks: Mapping[str, Trick] = {}
    """Replies that are known to make a client library stumble, by what they are."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.on_received: Callable[[], None] = lambda: None
        self.beating = True
        self.proxy = TcpProxy(self.peer_port)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.start_peer()
        await self.step(time.monotonic_ns() * HURRY)  # what the device shows is there before anybody looks
        self._task = asyncio.create_task(self._run())
        await self.proxy.listen()

    async def stop(self) -> None:
        await self.proxy.stop()
        assert self._task is not None, "the rig was not started"
        ended = self._task.done()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self.stop_peer()
        assert not ended, "the device's clock ended by itself"

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(STEP_S)
            await self.step(time.monotonic_ns() * HURRY)

    def away(self) -> None:
        """The device is switched off: connections are reset, new ones refused."""
        self.proxy.refuse()
        self.proxy.cut()

    async def back(self) -> None:
        await self.proxy.listen()

    async def settle(self) -> None:  # noqa: B027 - most devices have nothing to do
        """Nothing that the device said before is still on its way."""

    def took(self, seq: int, *, is_whole: bool) -> None:
        self.received.append(Received(seq, is_whole))
        self.on_received()

    @property
    def numbers(self) -> list[int]:
        return [each.seq for each in self.received]

    def is_valid(self, report: Any) -> bool:
        """The record survives its own validation."""
        return bool(msgspec.convert(msgspec.to_builtins(report), type(report)) == report)

    def command(self, seq: int, deadline_ns: int = FOREVER_NS) -> Command[Any]:
        return Command(f"c{seq}", self.device, seq, EPOCH, deadline_ns, self.action(seq))

    # --- what each protocol does in its own way ---

    @abc.abstractmethod
    def peer_port(self) -> int: ...

    @abc.abstractmethod
    async def start_peer(self) -> None: ...

    @abc.abstractmethod
    async def stop_peer(self) -> None: ...

    @abc.abstractmethod
    async def step(self, hurried_ns: int) -> None:
        """One step of the device. `hurried_ns`: monotonic, `HURRY` times as fast as life."""

    @abc.abstractmethod
    def driver(
        self,
        sink: Any,
        *,
        port: int | None = None,
        stale_ms: int | None = None,
        hasty: bool = False,
        read_only: bool = False,
    ) -> Any:
        """A driver for the device. `read_only`: its profile lacks `access: write` for the command's number."""

    @abc.abstractmethod
    def action(self, seq: int) -> Any:
        """Something to do, with `seq` somewhere in its payload."""

    @abc.abstractmethod
    async def restart(self) -> Callable[[Any], bool]:
        """The device is switched off and on while its link is away; tells a report of the new run from an old one."""

    @abc.abstractmethod
    def show(self, level: int) -> None:
        """Change a level that the driver has to report; 0 to 50."""

    @abc.abstractmethod
    def level(self, report: Any) -> int:
        """The level in a report."""

    def notify(self, number: int) -> None:
        """Something happens at the device, where the protocol has such a thing."""
        raise NotImplementedError

    @abc.abstractmethod
    async def bad(self, *, on: bool) -> None:
        """Show a value that can't be, or a good one again."""

    @abc.abstractmethod
    def frame(self, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
        """One hostile frame towards the driver."""
