"""One run: a site, a plant, people, hosts and faults from one seed, on virtual time, under the eyes of the checkers."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field

from gateway.dispatch import explain
from gateway.simulation import checkers, checkers_plant
from gateway.simulation.callers import Callers, Hosts
from gateway.simulation.faults import Fault, timetable
from gateway.simulation.inject import Injector, variants
from gateway.simulation.people import Operator, Workers
from gateway.simulation.server import Server
from gateway.simulation.timeline import MINUTE, MS, SECOND, Timeline
from gateway.simulation.watch import Violation, Watch
from gateway.site import Site
from plc_simulators.layout import Layout
from plc_simulators.plant import Plant

NO_READ_SHARE = 0.01
TROUBLE_SHARE = 0.75
"""Of a run's hours: orders come and faults strike up to there, then all must come to an end."""
BOUND_NS = 40 * MINUTE
"""So long after the last fault at the most everything has ended."""
LOOK_NS = 250 * MS
SETTLE_NS = 15 * SECOND


@dataclass(frozen=True)
class Options:
    """`kinds` of faults, one in `fault_mean_s` on average; `keep` leaves only those of the timetable with these
    numbers. One order comes in `order_mean_s`."""

    hours: float = 0.5
    kinds: tuple[str, ...] = ()
    fault_mean_s: float = 32.0
    order_mean_s: float = 11.0
    keep: tuple[int, ...] | None = None


@dataclass
class Outcome:
    """What came of one run."""

    seed: int
    violation: Violation | None = None
    simulated_s: float = 0.0
    real_s: float = 0.0
    inputs: int = 0
    crashes: int = 0
    power_cuts: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    sorted: int = 0
    retries: int = 0
    compared: int = 0
    resolved: int = 0
    moved: int = 0
    quiet_after_s: float = 0.0
    digest: str = ""
    timetable: tuple[Fault, ...] = ()


class Run:
    """Builds everything from the seed; `go` runs it once."""

    def __init__(self, site: Site, layout: Layout, seed: int, options: Options) -> None:
        self.seed = seed
        self.options = options
        self.timeline = Timeline()
        self.plant = Plant(layout, random.Random(f"{seed} plant").random)
        for sorter in self.plant.sorters.values():
            sorter.no_read_share = NO_READ_SHARE if options.kinds else 0.0
        self.watch = Watch(self.timeline)
        self.server = Server(site, self.timeline, self.plant, self.watch, random.Random(f"{seed} server"))
        self.orders = checkers.OrdersEnd(self.watch)
        self.lanes = checkers_plant.RightLane(self.watch, self.plant, lambda: self.server.site)
        self.journal = checkers.JournalEqualsState(self.watch, self.server.disk, site)
        self.watch.checkers = [
            self.orders,
            self.lanes,
            self.journal,
            checkers.AnswersStand(self.watch),
            checkers.NothingStale(self.watch, self.server.trouble, set(self.plant.vehicles)),
            checkers.EverythingHasAReason(self.watch),
            checkers_plant.OnceOnly(self.watch, self.plant),
            checkers_plant.OnePlaceEach(self.watch, self.plant, site),
            checkers_plant.BooksMatch(self.watch, self.plant),
        ]
        self.callers = Callers(self.server, self.timeline, random.Random(f"{seed} network"), self.orders)
        mean_ns = int(options.order_mean_s * SECOND)
        self.hosts = Hosts(self.callers, self.plant, self.timeline, random.Random(f"{seed} hosts"), self.lanes, mean_ns)
        self.workers = Workers(self.server, self.callers, self.timeline, random.Random(f"{seed} workers"))
        self.injector = Injector(
            self.server, self.callers, self.hosts, self.workers, self.timeline,
            random.Random(f"{seed} hands"), variants(site),
        )  # fmt: skip
        self.operator = Operator(
            self.server, self.callers, self.timeline, random.Random(f"{seed} operator"), self.injector.free_jam
        )
        self.injector.operator = self.operator
        until_s = options.hours * 3600 * TROUBLE_SHARE
        drawn = timetable(site, seed, options.kinds, until_s, options.fault_mean_s)
        self.faults = drawn if options.keep is None else tuple(f for f in drawn if f.index in options.keep)

    def go(self) -> Outcome:
        """Run until all is quiet and the hours are over, or until a rule is broken."""
        began_s = time.perf_counter()
        until_ns = int(self.options.hours * 3600 * SECOND)
        trouble_ns = int(until_ns * TROUBLE_SHARE)
        self.timeline.every(LOOK_NS, self.watch.looked)
        self.injector.schedule(self.faults)
        self.hosts.send_until(trouble_ns)
        self.server.start()
        self._let_pass(trouble_ns)
        self.server.wall_offset_ns = 0
        self.server.reload(self.server.site)
        quiet_ns = self._until_quiet(trouble_ns)
        self._let_pass(until_ns)
        # The last lane that people have emptied must be known before plant and books are compared.
        self.plant.people_empty_lanes = False
        self._let_pass(self.timeline.now_ns + SETTLE_NS)
        self._at_rest()
        return self._outcome(time.perf_counter() - began_s, (quiet_ns - trouble_ns) / SECOND)

    def _let_pass(self, until_ns: int) -> None:
        if until_ns > self.timeline.now_ns and self.watch.violation is None:
            self.timeline.run(until_ns, self.plant.advance, lambda: self.watch.violation is not None)

    def _until_quiet(self, trouble_ns: int) -> int:
        while self.watch.violation is None and not self._is_quiet():
            if self.timeline.now_ns > trouble_ns + BOUND_NS:
                minutes = BOUND_NS // MINUTE
                self.watch.fail("bounded", f"not at rest {minutes} min after the last fault: {self._why_not_quiet()}")
                break
            self._let_pass(self.timeline.now_ns + 5 * SECOND)
        return self.timeline.now_ns

    def _is_quiet(self) -> bool:
        engine = self.server.engine
        if engine is None or self.callers.unanswered or self.operator.busy or self.orders.open():
            return False
        state = engine.kernel.state
        # That the two clocks differ stays so for days after the system clock was set, and harms nothing.
        alarms = any(a.active and a.alarm != "clock/differs" for a in state.alarms.values())
        return not (state.trips or state.ledger or state.open_orders() or alarms)

    def _why_not_quiet(self) -> str:
        engine = self.server.engine
        if engine is None:
            return "the gateway is down"
        state = engine.kernel.state
        said = [f"{len(self.orders.open())} orders open, {len(self.callers.unanswered)} requests unanswered"]
        said += [line for order in self.orders.open()[:4] for line in explain.order(state, order)]
        said += [f"alarm {a.alarm}: {a.text}" for a in state.alarms.values() if a.active][:6]
        said += [f"trip {t.vehicle}: {t.passed}<{t.released} of {t.nodes} {t.waits_for}" for t in state.trips.values()]
        said += [f"command {e.command_id} {e.state} {e.action}" for e in state.ledger.values()][:4]
        said += [f"operator is busy: {self.operator._to_book}"] if self.operator.busy else []
        return "\n    ".join(said)

    def _at_rest(self) -> None:
        engine = self.server.engine
        if self.watch.violation is None and engine is not None:
            self.watch.at_rest(engine.kernel)

    def _outcome(self, real_s: float, quiet_after_s: float) -> Outcome:
        history = self.server.disk.history.copy()
        history.update(repr(sorted(self.plant.standing())).encode())
        return Outcome(
            seed=self.seed,
            violation=self.watch.violation,
            simulated_s=self.timeline.now_ns / SECOND,
            real_s=real_s,
            inputs=self.server.inputs,
            crashes=self.server.crashes,
            power_cuts=self.server.power_cuts,
            faults=self.injector.count,
            orders=Counter(self.orders.state.values()),
            sorted=self.lanes.sorted,
            retries=self.callers.retries,
            compared=self.journal.compared,
            resolved=self.operator.resolved,
            moved=self.operator.moved,
            quiet_after_s=quiet_after_s,
            digest=history.hexdigest(),
            timetable=self.faults,
        )


__all__ = ["Options", "Outcome", "Run"]
