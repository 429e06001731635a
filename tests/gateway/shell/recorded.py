"""A small site in operation, recorded: the production engine on any journal, with a clock that counts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.contract import (
    AnnounceLoad,
    CreateOrder,
    Effect,
    HostRequest,
    Input,
    LinkChanged,
    Report,
    SiteChanged,
    Started,
    StepRequest,
    Tick,
)
from gateway.devices.conveyor import ConveyorReport, Zone
from gateway.devices.echo import Echo
from gateway.kernel import Kernel
from gateway.shell.engine import Engine
from gateway.shell.journal import Journal, JournalError
from gateway.site import Site, encode_site

SECOND = 10**9
BEGIN_NS = 1_750_000_000 * SECOND


class Ear:
    """Hears what leaves an engine."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []

    def release(self, entered: Input, number: int, effect: Effect) -> None:
        self.effects.append(effect)

    def set_aside(self, body: object, error: Exception) -> None:
        raise AssertionError(body) from error

    def journal_full(self, problem: str) -> None:
        raise AssertionError(problem)

    def halted(self, entered: Input, error: Exception) -> None:
        raise AssertionError(entered) from error

    def no_snapshot(self, error: JournalError) -> None:
        raise error


def shown(*zones: Zone, seq: int = 0) -> Report[ConveyorReport]:
    """C1 in Execute with these zones, the rest of its three empty; command `seq` done."""
    echo = Echo(seq, seq, 1) if seq else Echo()
    return Report("C1", ConveyorReport(1, echo, 6, 1, (*zones, *[Zone()] * (3 - len(zones)))))


def day(site: Site, loads: int = 3) -> list[list[object]]:
    """The inputs of a day, batch by batch: a start, a link, loads announced and moved on, ticks."""
    batches: list[list[object]] = [
        [Started(7, "1.0"), SiteChanged(encode_site(site), at_start=True)],
        [LinkChanged("C1", "up", "here"), shown()],
    ]
    for number in range(1, loads + 1):
        step = StepRequest("go", "move", f"L{number}", "OUT")
        batches += [
            [HostRequest("wms", f"a{number}", AnnounceLoad(f"L{number}", "IN"))],
            [HostRequest("wms", f"o{number}", CreateOrder(f"O{number}", (step,))), Tick()],
            [shown(Zone(occupied=True, arrivals=number)), Tick(), Tick()],
        ]
    return batches


async def lived(site: Site, journal: Journal, batches: Sequence[list[object]], kernel: Kernel | None = None) -> Kernel:
    """What a gateway does with these batches, one a second; the kernel afterwards. The journal stays open."""
    kernel = kernel or Kernel(site)
    seconds = kernel.state.now_ns // SECOND or BEGIN_NS // SECOND

    def now_ns() -> int:
        nonlocal seconds
        seconds += 1
        return seconds * SECOND

    engine = Engine(kernel, journal, Ear(), now_ns, asyncio.sleep)
    for batch in batches:
        await engine.take(batch)
    return kernel
