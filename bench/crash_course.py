"""The course of a crash bench: kill after kill at chosen moments, then everything to its end, then the balance."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bench.crash_gateway import DEMO_SITE, Gateway
from bench.crash_host import Host
from bench.crash_ledger import Balance, Ledger, Truth
from gateway.demo.simulators import Simulators

MOMENTS = {"at start": 2, "in traffic": 4, "after an answer": 2, "after a request": 3}
"""When the gateway is killed → how often."""
START_S_MAX = 3.5
TRAFFIC_S = (2.0, 14.0)
BEFORE_S = (0.5, 7.0)
REQUEST_S_MAX = 0.15
ANSWER_S_MAX = 10.0
SETTLE_S_MIN = 60.0
SETTLE_ORDER_S = 25.0
"""Plant time that an order may take at the end, when none come any more."""
QUIET_S = 25.0
SETTLE_ROUNDS_MAX = 3
REST_S_MAX = 30.0
LOOK_S = 0.2
MOVERS = ("AGV", "C1", "C2", "S1", "RC1")
"""How places begin where a load does not stay."""


@dataclass
class Kill:
    """One of them: which moment was meant, how old the process was, and whether it had taken its first input."""

    moment: str
    age_s: float
    ready: bool


@dataclass
class Report:
    """All that a course has shown."""

    kills: list[Kill] = field(default_factory=list)
    balance: Balance = field(default_factory=Balance)
    ready_s: list[float] = field(default_factory=list)
    replayed_max: int = 0
    starts: int = 0
    requests: int = 0
    resent_unanswered: int = 0
    resent_answered: int = 0
    forged: int = 0
    answers_compared: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    bad_stops: list[str] = field(default_factory=list)
    """The gateway was asked to stop and did not end well."""
    complaints: list[str] = field(default_factory=list)
    """What it has logged as an error or said on stderr."""
    wall_s: float = 0.0

    @property
    def good(self) -> bool:
        return not self.balance.wrong() and not self.bad_stops and self.balance.acknowledged > 0


class Course:
    """One plant, one data folder, one host, and a gateway that dies again and again."""

    def __init__(self, data: Path, seed: int, speed: float, open_max: int, say: Callable[[str], None]) -> None:
        self._data = data
        self._seed = seed
        self._speed = speed
        self._open_max = open_max
        self._rng = random.Random(seed + 1_000)
        self._say = say
        self._ledger = Ledger()
        self._report = Report()

    async def run(self, kills: int) -> Report:
        """Raises RuntimeError, TimeoutError or JournalError where it does not come to a balance."""
        begun_s = time.monotonic()
        self._data.mkdir(parents=True, exist_ok=True)
        async with Simulators(DEMO_SITE, self._seed, self._speed, self._data / "simulators.log") as plant:
            gateway = Gateway(self._data, plant.environment)
            host = Host(self._ledger, plant, self._data, self._seed, self._speed)
            orders = partial(host.send_orders, self._open_max, lambda: len(gateway.ends))
            watching = [asyncio.create_task(part()) for part in (orders, host.listen, host.people, gateway.watch)]
            course = asyncio.create_task(self._course(kills, plant, gateway, host))
            try:
                await self._first_to_fail(course, watching)
            finally:
                for task in (course, *watching):
                    task.cancel()
                await asyncio.gather(course, *watching, return_exceptions=True)
                await gateway.end()
        self._report.wall_s = time.monotonic() - begun_s
        return self._report

    @staticmethod
    async def _first_to_fail(course: asyncio.Task[None], watching: list[asyncio.Task[Any]]) -> None:
        """Until the course is over; whatever fails beside it ends it."""
        waiting: set[asyncio.Task[Any]] = {course, *watching}
        while not course.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _course(self, kills: int, plant: Simulators, gateway: Gateway, host: Host) -> None:
        await gateway.start()
        for number in range(1, kills + 1):
            moment = self._rng.choices(list(MOMENTS), list(MOMENTS.values()))[0]
            await self._moment(moment, gateway, host)
            age_s = gateway.age_s
            ready = gateway.is_ready
            await gateway.kill()
            self._report.kills.append(Kill(moment, age_s, ready))
            self._say(f"kill {number} of {kills} {moment}, {age_s:.1f} s old, {self._progress(gateway)}")
            host.ask_again()
            await gateway.start()
        await gateway.ready()
        host.stop_orders()
        truth = await self._settle(plant, gateway)
        host.read_all_again()
        self._sum_up(gateway, host, self._ledger.balance(truth))

    async def _moment(self, moment: str, gateway: Gateway, host: Host) -> None:
        rng = self._rng
        if moment == "at start":
            await asyncio.sleep(rng.uniform(0.0, START_S_MAX))
            return
        await gateway.ready()
        await asyncio.sleep(rng.uniform(*(TRAFFIC_S if moment == "in traffic" else BEFORE_S)))
        if moment == "after an answer":
            host.heard.clear()
            # Nothing said for so long: then this is a kill in silence.
            await within(host.heard.wait(), ANSWER_S_MAX)
        elif moment == "after a request":
            await host.order()
            await asyncio.sleep(rng.uniform(0.0, REQUEST_S_MAX))

    def _progress(self, gateway: Gateway) -> str:
        promised = len(self._ledger.accepted("create_order"))
        return f"orders: {promised} acknowledged, {len(gateway.ends)} ended"

    # --- the end ---

    async def _settle(self, plant: Simulators, gateway: Gateway) -> Truth:
        """Let everything finish within a bound, stop the gateway, and ask journal and plant."""
        truth = None
        for _ in range(SETTLE_ROUNDS_MAX):
            await self._all_ended(gateway)
            await self._at_rest(plant)
            await gateway.stop()
            truth = await self._truth(plant, gateway)
            balance = self._ledger.balance(truth)
            if not balance.unended and not balance.unanswered:
                break
            # The log may have lost an order's end to a kill, the journal has not: look again what is open.
            self._say(f"still open: {balance.unended[:5]} {balance.unanswered[:5]}")
            await gateway.start()
            await gateway.ready()
        assert truth is not None, "at least one round"
        return truth

    async def _all_ended(self, gateway: Gateway) -> None:
        promised = {request["order"] for request in self._ledger.accepted("create_order")}
        limit_s = time.monotonic() + SETTLE_S_MIN + SETTLE_ORDER_S * len(promised - set(gateway.ends)) / self._speed
        changed_s, before = time.monotonic(), 0
        while time.monotonic() < limit_s and time.monotonic() - changed_s < QUIET_S:
            promised = {request["order"] for request in self._ledger.accepted("create_order")}
            if promised <= set(gateway.ends) and not self._ledger.unanswered():
                return
            if len(gateway.ends) != before:
                changed_s, before = time.monotonic(), len(gateway.ends)
            await asyncio.sleep(LOOK_S)

    async def _at_rest(self, plant: Simulators) -> None:
        """Until nothing moves any more: loads of cancelled orders come to rest, too."""
        limit_s = time.monotonic() + REST_S_MAX
        while time.monotonic() < limit_s:
            places = (await plant.ask("loads"))["loads"].values()
            if not any(place.startswith(MOVERS) for place in places):
                break
            await asyncio.sleep(LOOK_S)

    async def _truth(self, plant: Simulators, gateway: Gateway) -> Truth:
        state = await gateway.state()
        loads, stats = await plant.ask("loads"), await plant.ask("stats")
        return Truth(
            orders={order.order: order.state for order in state.orders.values()},
            ends=gateway.ends,
            booked={load.load: load.location for load in state.loads.values()},
            standing=loads["loads"],
            shipped=loads["shipped"],
            devices=stats["stats"],
        )

    def _sum_up(self, gateway: Gateway, host: Host, balance: Balance) -> None:
        report = self._report
        report.balance = balance
        report.starts, report.ready_s = gateway.starts, gateway.ready_s
        report.replayed_max = max(gateway.replayed, default=0)
        report.requests = len(self._ledger.asked)
        report.resent_unanswered, report.resent_answered = host.resent_unanswered, host.resent_answered
        report.forged, report.answers_compared = host.forged, self._ledger.answers_compared
        report.refused = Counter(a.request["type"] for a in self._ledger.asked.values() if a.accepted is False)
        report.bad_stops = gateway.bad_stops
        said = gateway.errors.read_text("utf-8", "replace").splitlines() if gateway.errors.exists() else []
        report.complaints = [*gateway.complaints, *gateway.log.unreadable, *said]


async def within(what: Awaitable[Any], limit_s: float) -> bool:
    """Whether it came in time."""
    try:
        async with asyncio.timeout(limit_s):
            await what
    except TimeoutError:
        return False
    return True
