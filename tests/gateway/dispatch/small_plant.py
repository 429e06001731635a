"""The kernel and a plant of pure models on one virtual clock: a heap of timed events, no asyncio, no wire.

Every input goes through `Hall.enter`, is kept as the journal would keep it, and is followed by the watchers of
`watchers`. Commands reach the equipment a little later, reports come back by polling, as over a real link.
"""

from __future__ import annotations

import hashlib
import heapq
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from watchers import ENDS, Watch

from gateway import codec
from gateway.contract import (
    AlarmEvent,
    AnnounceLoad,
    CancelOrder,
    Command,
    ConfirmWork,
    CreateOrder,
    Effect,
    HostRequest,
    LinkChanged,
    Note,
    OrderEvent,
    Reply,
    Report,
    Request,
    SendFailed,
    SignOn,
    Started,
    StepRequest,
    Tick,
)
from gateway.demo.stream import RACKS, steps_for
from gateway.dispatch import explain
from gateway.kernel import Kernel
from gateway.shell.config import load
from gateway.simulation.wire import Wire
from gateway.site import Site, WorkstationSpec
from plc_simulators import layout as layouts
from plc_simulators.layout import Layout
from plc_simulators.plant import Plant

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "config" / "demo"
MS = 1_000_000
SECOND = 1_000 * MS
BEGIN_NS = 1_750_000_000 * SECOND
LOOK_NS = 100 * MS
DELIVERY_MS = (5, 45)
STATE_PERIOD_NS = 10 * SECOND
"""A vehicle says its state at least so often."""
WORK_MS = (4_000, 9_000)
SHIFTS = {"WS1": "anna", "WS2": "ben", "CLR": "cleo"}
RACK_FILL_MAX = 28


def demo_site() -> Site:
    loaded = load(DEMO, env={})
    assert loaded.site is not None, loaded.problems
    return loaded.site


def demo_layout() -> Layout:
    return layouts.read(DEMO, {})


class Hall:
    """One site in operation. Times that go in and come out are seconds or nanoseconds since its beginning."""

    def __init__(self, site: Site, layout: Layout, seed: int = 1, *, no_read_share: float = 0.0) -> None:
        self.site = site
        self.rng = random.Random(seed)
        self.kernel = Kernel(site)
        self.plant = Plant(layout, random.Random(seed + 1).random)
        for sorter in self.plant.sorters.values():
            sorter.no_read_share = no_read_share
        self.wire = Wire(self.plant)
        self.watch = Watch(self.kernel, self.plant)
        self.journal: list[tuple[int, int, bytes]] = []
        self.effects: list[Effect] = []
        self.digests: list[bytes] = []
        """A running digest of all effects, one entry an input."""
        self.now_ns = 0
        self.muted: set[str] = set()
        """Devices whose reports do not come through though their link is up."""
        self.lose: Callable[[Command[Any]], bool] = lambda command: False
        """Commands that are written and never arrive."""
        self.work_forever = False
        """People take work and never confirm it."""
        self._hash = hashlib.blake2b()
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0
        self._asked = 0
        self._shown: dict[str, Any] = {}
        self._said_ns: dict[str, int] = {}
        self._rung: dict[str, int] = dict.fromkeys(self.plant.sorters, 0)
        self._ring_boot: dict[str, int] = {}
        self._cut: set[str] = set()
        self._in_hand: set[str] = set()
        self.orders: list[str] = []
        self._loads = 0
        self.devices = [d.id for d in site.devices if not isinstance(d, WorkstationSpec)]
        self.enter(Started(1, "test"))
        self.plant.advance(2 * SECOND)
        self.now_ns = 2 * SECOND
        for device in self.devices:
            self.enter(LinkChanged(device, "up", "connected"))
        self._look()

    # --- inputs and effects ---

    def enter(self, body: object, at_ns: int | None = None) -> list[Effect]:
        """One input, kept as the journal would keep it; its commands go on their way."""
        data = codec.encode_body(body)
        seq = len(self.journal) + 1
        self.journal.append((seq, BEGIN_NS + (self.now_ns if at_ns is None else at_ns), data))
        entered = codec.stamp(*self.journal[-1])
        if isinstance(body, Report):
            self.watch.reported(body.device, body.data)
        effects = self.kernel.apply(entered)
        self.effects += effects
        for effect in effects:
            self._hash.update(msgspec.msgpack.encode(effect))
            if isinstance(effect, Command):
                self.watch.commanded(effect)
                delay_ns = self.rng.randint(*DELIVERY_MS) * MS
                self._at(self.now_ns + delay_ns, lambda command=effect: self._deliver(command))
            elif isinstance(effect, OrderEvent):
                self.watch.order_event(effect)
        self.digests.append(self._hash.digest())
        return effects

    def restart(self) -> None:
        """The gateway's process dies and starts again: snapshot, links down, links up."""
        self.kernel = Kernel.restore(self.site, self.kernel.snapshot())
        self.watch.kernel = self.kernel
        self.enter(Started(self.kernel.state.epoch + 1, "test"))
        for device in self.devices:
            if device not in self._cut:
                self.connect(device)

    def ask(self, request: Request, client: str = "wms", request_id: str = "") -> Reply:
        self._asked += 1
        effects = self.enter(HostRequest(client, request_id or f"r{self._asked}", request))
        return next(e for e in effects if isinstance(e, Reply))

    def must(self, request: Request) -> None:
        reply = self.ask(request)
        assert reply.accepted, reply.reason

    # --- what stands in for the world ---

    def cut(self, device: str, reason: str = "cable pulled") -> None:
        self._cut.add(device)
        self.enter(LinkChanged(device, "down", reason))

    def connect(self, device: str) -> None:
        self._cut.discard(device)
        self.enter(LinkChanged(device, "up", "connected"))
        self._show(device, again=True)

    def staff(self) -> None:
        for station, person in SHIFTS.items():
            self.must(SignOn(person, station))

    def put(self, location: str = "RACK-1", codes: tuple[str, ...] = (), announce: bool = True) -> str:
        """A new load, in the plant and (if announced) in the books; returns its id."""
        self._loads += 1
        name = f"T{self._loads:04d}"
        codes = codes or (f"00340{self._loads:06d}",)
        self.plant.put(name, codes, location)
        if announce:
            self.must(AnnounceLoad(name, location, codes))
        return name

    def order(self, name: str, *steps: StepRequest, priority: int = 3) -> str:
        self.must(CreateOrder(name, steps, priority))
        self.orders.append(name)
        return name

    def ship(self, load: str, city: str = "BERLIN", name: str = "", priority: int = 3) -> str:
        return self.order(name or f"O-{load}", StepRequest("ship", "sort", load, city), priority=priority)

    def cancel(self, order: str) -> Reply:
        return self.ask(CancelOrder(order))

    def stream(self, count: int, mean_s: float = 1.2) -> None:
        """The demo's mix of orders, arriving at random from now on."""
        at_ns = self.now_ns
        for number in range(1, count + 1):
            at_ns += int(self.rng.expovariate(1 / mean_s) * SECOND)
            self._at(at_ns, lambda number=number: self._order_arrives(number))

    def _order_arrives(self, number: int) -> None:
        host = "shop" if self.rng.random() < 0.35 else "wms"
        first = self.rng.randrange(len(RACKS))
        racks = [RACKS[(first + i) % len(RACKS)] for i in range(len(RACKS))]
        rack = next((r for r in racks if len(self.kernel.state.standing.get(r, ())) < RACK_FILL_MAX), None)
        if rack is None:
            self._at(self.now_ns + SECOND, lambda: self._order_arrives(number))
            return
        load = self.put(rack)
        steps = msgspec.convert(steps_for(self.rng, load, host), tuple[StepRequest, ...])
        self.order(f"{host}-{number:04d}", *steps, priority=1 if host == "shop" else 3)

    # --- looking at it ---

    def state_of(self, order: str) -> str:
        return self.kernel.state.orders[order].state

    def alarms(self) -> dict[str, str]:
        """Active alarms: key → text."""
        return {key: alarm.text for key, alarm in self.kernel.state.alarms.items() if alarm.active}

    def raised(self, key: str) -> list[AlarmEvent]:
        return [e for e in self.effects if isinstance(e, AlarmEvent) and e.alarm == key]

    def notes(self, event: str) -> list[Note]:
        return [e for e in self.effects if isinstance(e, Note) and e.event == event]

    def commands(self, device: str) -> list[Command[Any]]:
        return [e for e in self.effects if isinstance(e, Command) and e.device == device]

    def where(self, load: str) -> str:
        """Where the books have a load."""
        return self.kernel.state.loads[load].location

    def really(self, load: str) -> str:
        """Where the plant has it: a location, `C1/zone 4`, `S1/belt`, a vehicle, or "" when it has left."""
        return self.plant.loads().get(load, "")

    def open_orders(self) -> list[str]:
        return [o for o, state in self.watch.orders.items() if state not in ENDS]

    # --- time ---

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self._run(self.now_ns + int(seconds * SECOND), lambda: False)

    def until(self, condition: Callable[[], bool], limit_s: float = 600) -> float:
        """Let time pass until `condition` holds; fails with what was going on when it has not after `limit_s`."""
        began_ns = self.now_ns
        self._run(self.now_ns + int(limit_s * SECOND), condition)
        assert condition(), f"not within {limit_s} s:\n{self._story()}"
        return (self.now_ns - began_ns) / SECOND

    def until_ended(self, *orders: str, limit_s: float = 600) -> None:
        names = list(orders)
        self.until(lambda: not (set(names) & set(self.open_orders())) if names else not self.open_orders(), limit_s)

    def until_quiet(self, limit_s: float = 600) -> None:
        """Every order has ended, every vehicle is at home and free, no command is open."""
        state = self.kernel.state

        def quiet() -> bool:
            return not (self.open_orders() or state.trips or state.ledger)

        self.until(quiet, limit_s)
        self.watch.at_rest()

    def _run(self, end_ns: int, stop: Callable[[], bool]) -> None:
        look_ns = self.now_ns + LOOK_NS
        while self.now_ns < end_ns and not stop():
            due_ns = self._events[0][0] if self._events else look_ns
            self.now_ns = max(self.now_ns, min(due_ns, look_ns))
            self.plant.advance(self.now_ns)
            if self._events and due_ns <= look_ns:
                heapq.heappop(self._events)[2]()
                continue
            look_ns += LOOK_NS
            self._look()

    def _story(self) -> str:
        lines = [line for o in self.open_orders()[:12] for line in explain.order(self.kernel.state, o)]
        lines += [f"ALARM {k}: {t}" for k, t in self.alarms().items()]
        lines += [f"{t.vehicle}: {t.passed}<{t.released} of {t.nodes}" for t in self.kernel.state.trips.values()]
        return "\n".join(lines)

    def _at(self, at_ns: int, event: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (at_ns, self._number, event))

    def _look(self) -> None:
        """Poll everything in random order, then let people and the clock have their say."""
        for device in self.rng.sample(self.devices, len(self.devices)):
            self._show(device)
        if not self.work_forever:
            self._people()
        if BEGIN_NS + self.now_ns >= self.kernel.next_deadline_ns():
            self.enter(Tick())
            self.watch.looked()

    def _show(self, device: str, again: bool = False) -> None:
        if device in self._cut or device in self.muted:
            return
        if device in self.plant.sorters:
            self._ring(device)
        due = device in self.plant.vehicles and self.now_ns - self._said_ns.get(device, 0) >= STATE_PERIOD_NS
        mark = self.wire.mark(device)
        if again or due or mark != self._shown.get(device):
            self._shown[device], self._said_ns[device] = mark, self.now_ns
            self.enter(Report(device, self.wire.report(device)))

    def _ring(self, device: str) -> None:
        sorter = self.plant.sorters[device]
        if self._ring_boot.setdefault(device, sorter.controller.boot_id) != sorter.controller.boot_id:
            # A driver shows the new boot before the events of it.
            self._ring_boot[device], self._rung[device] = sorter.controller.boot_id, 0
            self.enter(Report(device, self.wire.report(device)))
        for notice in self.wire.notices(device, self._rung[device]):
            self._rung[device] = notice.ring_index or 0
            self.enter(notice)
        sorter.ring.rd = self._rung[device]

    def _people(self) -> None:
        for station in self.kernel.state.stations.values():
            if station.task and station.task not in self._in_hand:
                self._in_hand.add(station.task)
                confirm = ConfirmWork(station.task, station.person)
                self._at(self.now_ns + self.rng.randint(*WORK_MS) * MS, lambda confirm=confirm: self._confirm(confirm))

    def _confirm(self, confirm: ConfirmWork) -> None:
        self._in_hand.discard(confirm.task)
        task = self.kernel.state.tasks.get(confirm.task)
        if task is not None and task.person == confirm.person:
            self.must(confirm)

    def _deliver(self, command: Command[Any]) -> None:
        if command.device in self._cut:
            self.enter(SendFailed(command.command_id, command.device, True, "link is down"))
        elif not self.lose(command):
            self.wire.deliver(command)


MakeHall = Callable[..., Hall]


def replayed(site: Site, journal: list[tuple[int, int, bytes]], restore_after: int = 0) -> tuple[bytes, bytes]:
    """A fresh kernel over a journal, restored from its own snapshot in between: digest of effects, last snapshot."""
    kernel, effects = Kernel(site), hashlib.blake2b()
    for seq, at_ns, data in journal:
        for effect in kernel.apply(codec.stamp(seq, at_ns, data)):
            effects.update(msgspec.msgpack.encode(effect))
        if seq == restore_after:
            kernel = Kernel.restore(site, kernel.snapshot())
    return effects.digest(), kernel.snapshot()


__all__ = ["BEGIN_NS", "DEMO", "MS", "SECOND", "Hall", "MakeHall", "demo_layout", "demo_site", "replayed"]
