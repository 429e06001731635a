"""Puts the faults of a timetable into a run and takes them out again."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from gateway.demo.people import SHIFTS
from gateway.simulation.callers import Callers, Hosts
from gateway.simulation.faults import Fault
from gateway.simulation.people import Operator, Workers
from gateway.simulation.server import CRASH_POINTS, Server
from gateway.simulation.timeline import SECOND, Timeline
from gateway.site import Site
from plc_simulators.plant import PutError

HOUR_NS = 3_600 * SECOND
_LINK = {"partition_up": "mute_up", "partition_down": "mute_down", "link_drop": "cut", "frozen": "frozen"}
_LINK |= {"bad_quality": "bad"}
_AIR = {"loss": "loss_percent", "duplication": "double_percent", "delay": "delay_ms", "reordering": "reorder_percent"}
_PLANT = {"lane_full": "lane", "lane_disabled": "lane", "jam": "zone", "sensor_stuck": "zone", "slow_plc": "delay_ms"}
_PLANT |= dict.fromkeys(("no_read", "double_scan", "divert_missed", "e_stop", "agv_failure", "localisation_lost"), "")
_PLANT |= {"plc_restart": "", "low_battery": "percent"}

Undo = Callable[[], None]


def variants(site: Site) -> tuple[Site, ...]:
    """Configurations that may be put in force while running: another sort plan, other policies, other skills."""
    assert site.sort_plan is not None, "the simulated site needs a sort plan"
    names = list(site.sort_plan.destinations)
    turned = dict(zip(names, [site.sort_plan.destinations[n] for n in (*names[1:], names[0])], strict=True))
    plan = site.sort_plan.model_copy(update={"destinations": turned})
    slower = site.policies.model_copy(update={"orders_released_max": 12, "ack_timeout_ms": 1_500, "base_nodes_max": 3})
    skills = tuple(sorted({skill for person in site.people for skill in person.skills}))
    people = tuple(person.model_copy(update={"skills": skills}) for person in site.people)
    return (
        site,
        site.model_copy(update={"sort_plan": plan}),
        site.model_copy(update={"policies": slower}),
        site.model_copy(update={"people": people}),
    )


class Injector:
    """The faults of one run. `count` says how often each kind was really put in."""

    def __init__(
        self,
        server: Server,
        callers: Callers,
        hosts: Hosts,
        workers: Workers,
        timeline: Timeline,
        rng: random.Random,
        sites: tuple[Site, ...],
    ) -> None:
        self.count: Counter[str] = Counter()
        self.operator: Operator | None = None
        self._server = server
        self._plant = server.plant
        self._callers = callers
        self._hosts = hosts
        self._workers = workers
        self._timeline = timeline
        self._rng = rng
        self._sites = sites
        self._jams: dict[tuple[str, int], int] = {}
        self._on: Counter[tuple[str, str, int]] = Counter()

    def schedule(self, faults: tuple[Fault, ...]) -> None:
        for fault in faults:
            self._timeline.at(int(fault.at_s * SECOND), partial(self._begin, fault))

    def free_jam(self, device: str, zone: int) -> bool:
        """A person has freed a zone: whatever jammed it is over."""
        freed = False
        for kind in ("jam", "sensor_stuck"):
            if self._on.pop((kind, device, zone), 0):
                self._plant.fault(kind, device, on=False, zone=zone)
                freed = True
        return freed

    def _begin(self, fault: Fault) -> None:
        undo = self._put_in(fault)
        if undo is None:
            return
        self.count[fault.kind] += 1
        self._server.watch.say(str(fault))
        if fault.lasts_s:
            self._timeline.after(int(fault.lasts_s * SECOND), undo)

    def _put_in(self, fault: Fault) -> Undo | None:
        """Begin the fault; returns how it ends, None where it found nothing to strike."""
        kind = fault.kind
        if kind in _LINK:
            return self._more(_LINK[kind], [fault.device], 1)
        if kind in _AIR:
            return self._more(_AIR[kind], [fault.device], fault.number)
        if kind == "broker_restart":
            return self._more("cut", list(self._plant.vehicles), 1)
        if kind in _PLANT:
            return self._in_plant(fault)
        return self._elsewhere(fault)

    def _more(self, name: str, devices: list[str], by: int) -> Undo:
        def add(amount: int) -> None:
            for device in devices:
                trouble = self._server.trouble[device]
                setattr(trouble, name, getattr(trouble, name) + amount)

        add(by)
        return partial(add, -by)

    def _in_plant(self, fault: Fault) -> Undo:
        needs = _PLANT[fault.kind]
        where: dict[str, Any] = {needs: fault.number} if needs else {}
        key = (fault.kind, fault.device, fault.number if needs in ("lane", "zone") else 0)
        self._plant.fault(fault.kind, fault.device, **where)
        self._on[key] += 1

        def undo() -> None:
            if self._on[key] > 0:
                self._on[key] -= 1
                if not self._on[key]:
                    self._plant.fault(fault.kind, fault.device, on=False, **where)

        return undo

    def _elsewhere(self, fault: Fault) -> Undo | None:
        server, hosts = self._server, self._hosts
        match fault.kind:
            case "load_taken":
                return self._take_load()
            case "load_put_down":
                return self._stranger(fault)
            case "operator_absent":
                person = list(SHIFTS.values())[fault.number]
                self._workers.leave(person)
                return partial(self._workers.come_back, person)
            case "host_retries":
                self._callers.loss_percent += fault.number

                def over() -> None:
                    self._callers.loss_percent -= fault.number

                return over
            case "host_duplicate":
                return _nothing if hosts.ask_twice() else None
            case "host_id_reused":
                return _nothing if hosts.mix_up_one() else None
            case "late_cancel":
                return _nothing if hosts.cancel_one() else None
            case "clock_step":
                server.wall_offset_ns += fault.number * HOUR_NS
            case "config_valid":
                server.reload(self._sites[fault.number])
            case "config_invalid":
                server.reload(None)
            case _:
                return self._in_server(fault)
        return _nothing

    def _in_server(self, fault: Fault) -> Undo:
        server = self._server
        match fault.kind:
            case "crash":
                server.crash_at(CRASH_POINTS[fault.number])
            case "power_cut":
                server.cut_power()
            case "disk_full":
                server.disk.full = True

                def room() -> None:
                    server.disk.full = False

                return room
            case "disk_slow":
                server.disk.slow_ms += fault.number

                def fast() -> None:
                    server.disk.slow_ms -= fault.number

                return fast
            case _:
                raise AssertionError(f"fault {fault.kind} has no effect")
        return _nothing

    # --- hands ---

    def _take_load(self) -> Undo | None:
        """Somebody carries a load away, says nothing, and puts it into a rack or keeps it."""
        loads = sorted(self._plant.loads())
        self._rng.shuffle(loads)
        for load in loads[:10]:
            try:
                where = self._plant.take_away(load)
            except PutError:
                continue
            self._server.watch.say(f"somebody takes {load} away from {where}")
            return partial(self._bring_back, load)
        return None

    def _bring_back(self, load: str) -> None:
        """It is put down somewhere and told, or told to be gone."""
        assert self.operator is not None, "the operator takes what people say"
        racks = [rack for rack in ("RACK-1", "RACK-2", "RACK-3", "RACK-4") if self._plant.places[rack].room() > 2]
        if not racks or self._rng.random() < 0.3:
            self.operator.put_right(load, "")
            return
        rack = self._rng.choice(racks)
        self._plant.put_down(load, rack)
        self._server.watch.say(f"somebody puts {load} into {rack}")
        self.operator.put_right(load, rack)

    def _stranger(self, fault: Fault) -> Undo | None:
        """Somebody puts a load that nobody knows on a conveyor."""
        name = f"X{fault.index:05d}"
        conveyor = self._rng.choice(sorted(self._plant.conveyors))
        zone = self._rng.choice((1, len(self._plant.conveyors[conveyor].zones)))
        try:
            self._plant.put_down(name, conveyor, zone)
        except PutError:
            return None
        self._server.watch.say(f"somebody puts {name} on {conveyor} zone {zone}")
        return _nothing


def _nothing() -> None:
    """The fault is over as soon as it has happened."""
