"""One run: the hall, the gateway, hosts, people and faults from one seed, on one loop with virtual time."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from stack_asyncua import on_virtual_time, standard_nodes
from stack_callers import Callers, Host
from stack_checkers import JournalEqualsState, LivesOn, NothingBlind, NothingLost
from stack_faults import KINDS, Hands, timetable
from stack_gateway import Gateway
from stack_hall import DEVICES, Hall, site
from stack_loop import PlantLoop
from stack_people import SHIFTS, Operator, Runner, Workers
from stack_process import task_factory

from gateway import codec
from gateway.contract import Tick
from gateway.dispatch import explain
from gateway.shell.engine import HEALTHY
from gateway.simulation import checkers, checkers_plant
from gateway.simulation.watch import Violation, Watch

CAMPAIGN = "tests/simulation/stacks/test_real_stacks.py"
LOOK_S = 0.25
QUIET_S = 5.0
"""So long everything has to stay quiet before it counts as at rest."""
BOUND_S = 300.0
"""So long after the last fault at the most everything has ended."""
LEFTOVER_S = 40.0
"""Longer than a session of the servers outlives its connection."""


@dataclass(frozen=True)
class Options:
    """Orders come and faults strike for `trouble_s`; then all must come to an end. No `kinds`: no faults."""

    trouble_s: float = 420.0
    total_s: float = 600.0
    fault_mean_s: float = 7.0
    order_mean_s: float = 14.0
    kinds: tuple[str, ...] = tuple(KINDS)

    @classmethod
    def minutes(cls, minutes: float) -> Options:
        """A run of so many virtual minutes, more where it takes longer until everything has ended."""
        return cls(trouble_s=42 * minutes, total_s=60 * minutes)


@dataclass
class Outcome:
    """What came of one run."""

    seed: int
    violation: Violation | None = None
    digest: str = ""
    virtual_s: float = 0.0
    quiet_after_s: float = 0.0
    real_s: float = 0.0
    cpu_s: float = 0.0
    inputs: int = 0
    steps: int = 0
    ticks: int = 0
    died_in: Counter[str] = field(default_factory=Counter)
    """Crashes, by what the journal was doing."""
    tasks_max: int = 0
    retries: int = 0
    twice: int = 0
    resolved: int = 0
    carried: int = 0
    found: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    executed: int = 0
    connections: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    acted: dict[str, int] = field(default_factory=dict)
    last_words: list[str] = field(default_factory=list)

    def figures(self) -> str:
        """The run in one line."""
        rate = f"{len(DEVICES) * self.virtual_s / self.cpu_s:.0f} device seconds a core second"
        counts = {"faults": self.faults, "died in": self.died_in, "orders": self.orders, "alarms": Counter(self.acted)}
        counts["found"] = self.found
        words = [
            f"seed {self.seed}: {self.virtual_s:.0f} s in {self.cpu_s:.1f} s of a core, {rate}",
            f"quiet after {self.quiet_after_s:.0f} s",
            f"{self.inputs} inputs, {self.ticks} of them ticks",
            f"{self.executed} commands executed, {self.connections} connections, {self.steps} steps",
            f"{self.retries} requests asked again, {self.twice} twice at once",
            f"{self.resolved} commands resolved by hand, {self.carried} loads carried",
        ]
        return "; ".join(words + [f"{name} {dict(sorted(count.items()))}" for name, count in counts.items()])

    def story(self) -> str:
        """A violation with what led to it and the way to see it again."""
        if self.violation is None:
            return ""
        events = "\n    ".join(self.violation.events)
        return (
            f"seed {self.seed}, {self.violation.at_ns / 1e9:.3f} s: rule {self.violation.checker} is broken: "
            f"{self.violation.text}\n  what happened before:\n    {events}\n  again: "
            f"STELLWERK_STACK_FIRST={self.seed} STELLWERK_STACK_SEEDS=1 pytest {CAMPAIGN}  (and the same minutes)"
        )


class LoopTime:
    """What `Watch` asks for its time."""

    def __init__(self, loop: PlantLoop) -> None:
        self._loop = loop

    @property
    def now_ns(self) -> int:
        return self._loop.now_ns()


class Run:
    """Builds everything from the seed; `go` runs it once."""

    gateway_type: type[Gateway] = Gateway

    def __init__(self, seed: int, options: Options) -> None:
        standard_nodes()
        self.seed = seed
        self.options = options
        self.loop = PlantLoop(seed)
        self.loop.set_task_factory(task_factory)
        self.loop.set_exception_handler(self._told)
        self.watch = Watch(LoopTime(self.loop))  # type: ignore[arg-type]
        self.hall = Hall(self.loop, seed)
        self.gateway = self.gateway_type(self.loop, self.hall, self.watch, seed)
        self.orders = checkers.OrdersEnd(self.watch)
        self.journal = JournalEqualsState(self.watch, self.gateway.disk)
        self.lanes = checkers_plant.RightLane(self.watch, self.hall.plant, site)
        self.hands = Hands(self.gateway, self.watch)
        self.callers = Callers(self.gateway, self.watch, self.orders, random.Random(f"{seed} network"))
        self.hosts = [
            Host(name, self.callers, self.lanes, random.Random(f"{seed} {name}"), options.order_mean_s)
            for name in ("WMS", "SHOP")
        ]
        self.workers = Workers(self.callers, random.Random(f"{seed} workers"))
        self.runner = Runner(self.callers, self.watch)
        self.operator = Operator(self.callers, self.runner, self.watch, random.Random(f"{seed} operator"))
        self.watch.checkers = [
            self.orders,
            self.journal,
            self.lanes,
            checkers.AnswersStand(self.watch),
            checkers.EverythingHasAReason(self.watch),
            checkers_plant.OnceOnly(self.watch, self.hall.plant),
            checkers_plant.BooksMatch(self.watch, self.hall.plant),
            NothingBlind(self.watch, self.hands),
            NothingLost(self.watch, self.hall),
            LivesOn(self.watch),
        ]
        self._quiet_after_s = 0.0

    def go(self) -> Outcome:
        """Run until all is quiet and the time is over, or until a rule is broken."""
        began_s, cpu_s = time.perf_counter(), time.process_time()
        try:
            with on_virtual_time(self.loop.time):
                self.loop.run_until_complete(self._live())
        finally:
            self.loop.close()
            # The runtime froze what it had built, once for each of its lives.
            gc.unfreeze()
        return self._outcome(time.perf_counter() - began_s, time.process_time() - cpu_s)

    async def _live(self) -> None:
        await self.gateway.disk.prepare()
        await self.hall.start()
        self.gateway.start()
        always = [asyncio.create_task(self._look(), name="look")]
        always += [asyncio.create_task(self.workers.run(station), name=station) for station in SHIFTS]
        always += [asyncio.create_task(person.run(), name="person") for person in (self.runner, self.operator)]
        try:
            await self._trouble(always)
        finally:
            for task in always:
                task.cancel()
            await asyncio.gather(*always, return_exceptions=True)
            await self._end()

    async def _trouble(self, always: list[asyncio.Task[None]]) -> None:
        options = self.options
        faults = timetable(self.seed, options.trouble_s, options.fault_mean_s, options.kinds)
        sent = [asyncio.create_task(host.send_until(options.trouble_s), name="host") for host in self.hosts]
        struck = asyncio.create_task(self.hands.carry_out(faults), name="hands")
        settled = asyncio.create_task(self._settle([*sent, struck]), name="settle")
        broken = [asyncio.create_task(_ends(task), name="watched") for task in (*always, *sent, struck)]
        everything = [*sent, struck, settled, *broken]
        try:
            # Whoever of the outside fails with an error ends the run with it.
            await asyncio.wait([settled, *broken], return_when=asyncio.FIRST_COMPLETED)
            for task in (*broken, settled):
                if task.done():
                    task.result()
        finally:
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)

    async def _settle(self, trouble: list[asyncio.Task[None]]) -> None:
        """Wait for the end of the trouble, then for quiet, then for the rest of the time."""
        await self._until(self.options.trouble_s)
        quiet_since_s: float | None = None
        while self.watch.violation is None:
            await asyncio.sleep(LOOK_S)
            quiet = self._is_quiet() and all(task.done() for task in trouble)
            quiet_since_s = (quiet_since_s or self.loop.time()) if quiet else None
            if quiet_since_s is not None and self.loop.time() - quiet_since_s >= QUIET_S:
                self._quiet_after_s = quiet_since_s - self.options.trouble_s
                break
            if self.loop.time() > self.options.trouble_s + BOUND_S:
                self.watch.fail("bounded", f"not at rest {BOUND_S:.0f} s after the last fault: {self._why_not()}")
        await self._until(self.options.total_s)
        if self.watch.violation is None and self.gateway.runtime is not None:
            self.watch.at_rest(self.gateway.runtime.kernel)

    async def _until(self, when_s: float) -> None:
        """Let time pass, or wait for the first rule broken."""
        while self.watch.violation is None and self.loop.time() < when_s:  # noqa: ASYNC110 - a violation sets no event
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self.watch.looked()
            self.gateway.look()
            runtime = self.gateway.runtime
            if runtime is not None:
                self.watch.concluded(runtime.kernel)
                if runtime.status != HEALTHY:
                    self.watch.fail("total", f"the gateway is {runtime.status}")

    def _is_quiet(self) -> bool:
        runtime = self.gateway.runtime
        if runtime is None or self.callers.unanswered or self.runner.doubts or self.orders.open():
            return False
        state = runtime.kernel.state
        moving = [load for load, place in self.hall.plant.standing() if "/" in place]
        alarms = any(alarm.active for alarm in state.alarms.values())
        return not (state.ledger or state.open_orders() or alarms or moving)

    def _why_not(self) -> str:
        runtime = self.gateway.runtime
        if runtime is None:
            return "the gateway is down"
        state = runtime.kernel.state
        said = [f"{self.orders.open()} open, unanswered {self.callers.unanswered}, plant {self.hall.plant.standing()}"]
        said += [line for order in self.orders.open()[:4] for line in explain.order(state, order)]
        said += [f"alarm {a.alarm}: {a.text}" for a in state.alarms.values() if a.active][:6]
        said += [f"command {e.command_id} {e.state} {e.action}" for e in state.ledger.values()][:4]
        said += [f"runner: to book {self.runner.to_book}"]
        return "\n    ".join(said)

    async def _end(self) -> None:
        """Stop everything, and see that nothing is left."""
        await self.gateway.stop()
        await self.hall.stop()
        await asyncio.sleep(LEFTOVER_S)
        left = {task for process in self.gateway.past for task in process.left()}
        if left:
            self.watch.fail("tasks", f"ended processes have left {[task.get_name() for task in left]}")
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if others:
            self.watch.fail("tasks", f"{len(others)} tasks are left at the end: {others[:3]}")

    def _told(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """asyncio has nobody else to tell: an exception that was never looked at, a task that was forgotten."""
        self.watch.fail("loop", f"{context.get('message')}: {context.get('exception')!r} {context}")

    def _outcome(self, real_s: float, cpu_s: float) -> Outcome:
        history, ticks = hashlib.blake2b(), 0
        for seq, at_ns, body in self.gateway.disk.journal.read(0):
            history.update(f"{seq} {at_ns} ".encode() + body)
            ticks += isinstance(codec.decode_body(body), Tick)
        history.update(repr(sorted(self.hall.plant.standing())).encode())
        boxes = [controller.mailbox for controller in self.hall.plant.controllers().values()]
        past = self.gateway.past
        return Outcome(
            seed=self.seed,
            violation=self.watch.violation,
            digest=history.hexdigest(),
            virtual_s=self.loop.time(),
            quiet_after_s=self._quiet_after_s,
            real_s=real_s,
            cpu_s=cpu_s,
            inputs=self.gateway.disk.journal.last_seq,
            steps=sum(process.steps for process in past),
            ticks=ticks,
            died_in=self.gateway.died_in,
            tasks_max=self.gateway.tasks_max,
            retries=self.callers.retries,
            twice=self.callers.twice,
            resolved=self.operator.resolved,
            carried=self.runner.carried,
            found=self.runner.found,
            compared=self.journal.compared,
            executed=sum(box.executed for box in boxes),
            connections=sum(len(process.transports) for process in past),
            faults=self.hands.count,
            orders=Counter(self.orders.state.values()),
            acted=self.operator.acted,
            last_words=[words for process in past for words in process.last_words],
        )


async def _ends(task: asyncio.Task[None]) -> None:
    """Wait for a task that should not fail; raise where it does, wait for ever where it ends well."""
    await task
    await asyncio.get_running_loop().create_future()
