"""What goes wrong in a run: a timetable drawn from the seed, and the hands that carry it out."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from stack_gateway import Gateway
from stack_hall import DEVICES

from gateway.simulation.watch import Watch

WARM_UP_S = 15.0


@dataclass(frozen=True)
class Kind:
    """How long it lasts (seconds, least and most), the number that goes with it, and how often it is drawn."""

    lasts_s: tuple[float, float] = (0.0, 0.0)
    number: tuple[int, int] = (0, 0)
    weight: int = 2


KINDS: Mapping[str, Kind] = {
    # the net
    "connection_reset": Kind(),
    "server_closed": Kind((0.5, 20.0)),
    "cable_pulled": Kind((0.5, 40.0)),
    "server_hangs": Kind((0.5, 40.0)),
    "slow_net": Kind((5.0, 30.0), (50, 900)),
    # the PLC
    "plc_restart": Kind(),
    "server_restart": Kind((0.5, 15.0)),
    "slow_plc": Kind((5.0, 40.0), (300, 9_000)),
    # the gateway: lasts = how long it stays away, number = steps of its tasks until it dies
    "crash": Kind((0.1, 12.0), (1, 600), 7),
    "crash_at_start": Kind((0.1, 3.0), (1, 120), 2),
    "stopped": Kind((0.1, 8.0), weight=1),
}
WHEN = ("", "before commit", "after commit", "after release")
RELEASE_STEPS_MAX = 12
"""A command is written and answered within so many steps."""
WAIT_FOR_CRASH_S = 6.0
"""A gateway that does not come where it is to die dies where it is."""
OF_THE_GATEWAY = ("crash", "crash_at_start", "stopped")


@dataclass(frozen=True)
class Fault:
    at_s: float
    kind: str
    device: str
    lasts_s: float
    number: int
    when: str = ""

    def __str__(self) -> str:
        return f"fault: {self.kind} {self.device} for {self.lasts_s:.1f} s, number {self.number} {self.when}"


def timetable(seed: object, until_s: float, mean_s: float, kinds: tuple[str, ...] = tuple(KINDS)) -> tuple[Fault, ...]:
    """Faults between the warm-up and `until_s`, one in `mean_s` on average; all are over by `until_s`."""
    rng, found, at_s = random.Random(f"{seed} faults"), [], WARM_UP_S
    weights = [KINDS[kind].weight for kind in kinds]
    while kinds and (at_s := at_s + rng.expovariate(1 / mean_s)) < until_s:
        name = rng.choices(kinds, weights)[0]
        kind = KINDS[name]
        device = "gateway" if name in OF_THE_GATEWAY else rng.choice(DEVICES)
        # Short ones as often as long ones.
        low_s, high_s = kind.lasts_s
        lasts_s = low_s * (high_s / low_s) ** rng.random() if low_s else 0.0
        number, when = rng.randint(*kind.number), rng.choice(WHEN) if name == "crash" else ""
        if when == "after release":
            number %= RELEASE_STEPS_MAX
        found.append(Fault(at_s, name, device, min(lasts_s, until_s - at_s), number, when))
    return tuple(found)


class Hands:
    """Carries out a timetable. `count` says how often each kind was really put in."""

    def __init__(self, gateway: Gateway, watch: Watch) -> None:
        self.count: Counter[str] = Counter()
        self.blind_since: dict[str, float] = {}
        """Devices of which nothing can be heard, and since when."""
        self._gateway = gateway
        self._hall = gateway.hall
        self._watch = watch
        self._struck: set[tuple[str, str]] = set()
        self._doing: set[asyncio.Task[None]] = set()

    async def carry_out(self, faults: tuple[Fault, ...]) -> None:
        """Return when all of them are over."""
        loop = asyncio.get_running_loop()
        try:
            for fault in faults:
                await asyncio.sleep(max(0.0, fault.at_s - loop.time()))
                task = asyncio.create_task(self.strike(fault), name=str(fault))
                self._doing.add(task)
                task.add_done_callback(self._doing.discard)
            await asyncio.gather(*self._doing)
        finally:
            doing = list(self._doing)
            for task in doing:
                task.cancel()
            await asyncio.gather(*doing, return_exceptions=True)

    async def strike(self, fault: Fault) -> None:
        """Put it in, let it last, take it out; nothing where the same thing is broken already."""
        struck = (self._what(fault.kind), fault.device)
        if struck in self._struck:
            return
        self._struck.add(struck)
        self.count[fault.kind] += 1
        self._watch.say(str(fault))
        try:
            await self._do(fault)
        finally:
            self._struck.discard(struck)
        self._watch.say(f"over: {fault.kind} {fault.device}")

    def _what(self, kind: str) -> str:
        """What breaks: one thing can't be broken twice at once."""
        if kind in OF_THE_GATEWAY:
            return "process"
        if kind in ("cable_pulled", "server_hangs"):
            return "line"
        if kind in ("server_closed", "server_restart"):
            return "server"
        return kind

    async def _do(self, fault: Fault) -> None:
        hall, device = self._hall, fault.device
        match fault.kind:
            case "connection_reset":
                hall.line(device).reset()
            case "server_closed":
                server = hall.servers[device]
                await server.close()
                await asyncio.sleep(fault.lasts_s)
                await server.open()
            case "cable_pulled" | "server_hangs":
                await self._blind(fault)
            case "slow_net":
                hall.line(device).slower_s += fault.number / 1000
                await asyncio.sleep(fault.lasts_s)
                hall.line(device).slower_s -= fault.number / 1000
            case "plc_restart":
                hall.plant.fault("plc_restart", device)
            case "server_restart":
                await hall.restart(device, fault.lasts_s)
            case "slow_plc":
                hall.plant.fault("slow_plc", device, delay_ms=fault.number)
                await asyncio.sleep(fault.lasts_s)
                hall.plant.fault("slow_plc", device, on=False, delay_ms=fault.number)
            case _:
                await self._to_the_gateway(fault)

    async def _blind(self, fault: Fault) -> None:
        line = self._hall.line(fault.device)
        self.blind_since[fault.device] = asyncio.get_running_loop().time()
        line.become("held" if fault.kind == "cable_pulled" else "deaf")
        await asyncio.sleep(fault.lasts_s)
        del self.blind_since[fault.device]
        line.become("open")

    async def _to_the_gateway(self, fault: Fault) -> None:
        gateway = self._gateway
        if fault.kind == "stopped":
            await gateway.stop()
        else:
            await self._crash(fault.number, fault.when)
            if fault.kind == "crash_at_start":
                gateway.start()
                await self._crash(fault.number)
        await asyncio.sleep(fault.lasts_s)
        gateway.start()

    async def _crash(self, steps: int, when: str = "") -> None:
        gateway, loop = self._gateway, asyncio.get_running_loop()
        gateway.crash(steps, when)
        until_s = loop.time() + WAIT_FOR_CRASH_S
        while gateway.process is not None:
            await asyncio.sleep(0.02)
            if loop.time() > until_s:
                gateway.crash()
