"""However time is let pass, the plant comes to the same: quiet scans done at once change nothing but the speed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from plc_simulators import layout
from plc_simulators.models.controller import SCAN_NS, Controller
from plc_simulators.models.mailbox import Offer
from plc_simulators.models.vda_order import Action, Edge, Node, Order
from plc_simulators.plant import Plant, PutError

DEMO = Path(__file__).resolve().parents[2] / "config" / "demo"
LAYOUT = layout.read(DEMO, {})
SECOND = 1_000_000_000
LONG_S = 60
SEEDS = (1, 2, 3, 4)
HAPPENINGS = 120
AWAY_MM = 1e-6
RACKS = ("RACK-1", "RACK-2", "RACK-3", "RACK-4")
ENTRIES = ("C1-IN", "C2-IN", "RC1-IN", "S1-IN")
FAULTS: dict[str, tuple[tuple[str, ...], str]] = {
    "jam": (("C1", "C2"), "zone"),
    "sensor_stuck": (("C1", "C2"), "zone"),
    "plc_restart": (("C1", "C2", "S1", "RC1"), ""),
    "slow_plc": (("C1", "S1", "RC1"), "delay_ms"),
    "e_stop": (("C1", "S1", "RC1", "AGV1", "AGV2"), ""),
    "no_read": (("S1",), ""),
    "double_scan": (("S1",), ""),
    "divert_missed": (("S1",), ""),
    "lane_full": (("S1",), "lane"),
    "lane_disabled": (("S1",), "lane"),
    "agv_failure": (("AGV1", "AGV2", "AGV3"), ""),
    "localisation_lost": (("AGV1", "AGV2"), ""),
    "low_battery": (("AGV3",), "percent"),
}

Faulted = tuple[str, str, dict[str, int]]
Happening = tuple[int, Callable[[Plant], None]]
Advance = Callable[[Plant, int], None]
Shown = list[tuple[list[Any], list[float]]]


class Script:
    """What happens in a plant from outside, drawn from a seed: the same for every plant that it is played to."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.loads = 0
        self.under_way: list[Faulted] = []
        times = sorted(self.rng.randrange(2 * SECOND, LONG_S * SECOND) for _ in range(HAPPENINGS))
        self.happenings: list[Happening] = [(at_ns, self._draw(number)) for number, at_ns in enumerate(times, 1)]

    def _draw(self, number: int) -> Callable[[Plant], None]:
        kinds = (
            "put",
            "put",
            "induct",
            "induct",
            "discharge",
            "discharge",
            "assign",
            "cell",
            "drive",
            "drive",
            "fault",
        )
        return {
            "put": self._put,
            "induct": lambda: self._conveyor(number, 1, 1),
            "discharge": lambda: self._conveyor(number, 2, 12),
            "assign": lambda: self._assign(number),
            "cell": lambda: self._cell(number),
            "drive": lambda: self._drive(number),
            "fault": self._fault,
        }[self.rng.choice(kinds)]()

    def _put(self) -> Callable[[Plant], None]:
        self.loads += 1
        load, place = f"L{self.loads}", self.rng.choice((*RACKS, *ENTRIES, *ENTRIES))

        def put(plant: Plant) -> None:
            try:
                plant.put(load, (f"code {load}",), place)
            except PutError:
                return  # somebody stands there already, in every plant

        return put

    def _conveyor(self, number: int, code: int, zone: int) -> Callable[[Plant], None]:
        device = self.rng.choice(("C1", "C2"))

        def command(plant: Plant) -> None:
            track_id = plant.conveyors[device].zones[zone - 1].track_id or number
            offer(plant, device, number, code, {"zone": zone, "track_id": track_id})

        return command

    def _assign(self, number: int) -> Callable[[Plant], None]:
        lanes = [self.rng.randint(1, 9), self.rng.randint(0, 9)]

        def assign(plant: Plant) -> None:
            scans = [entry.track_id for entry in plant.sorters["S1"].ring.since(0) if entry.type == 1] or [0]
            deadline_ms = plant.now_ns // 1_000_000 + 1_500
            wanted = {"lane_1": lanes[0], "lane_2": lanes[1], "lane_3": 0, "lane_4": 0}
            offer(plant, "S1", number, 10, {"track_id": scans[-1], "deadline_ms": deadline_ms, **wanted})

        return assign

    def _cell(self, number: int) -> Callable[[Plant], None]:
        code = self.rng.choice((1, 2, 2, 2))
        return lambda plant: offer(plant, "RC1", number, code, {"track_id": number, "recipe": "small"})

    def _drive(self, number: int) -> Callable[[Plant], None]:
        """A way of three nodes from where the vehicle stands to a pick or a drop; or an instant action."""
        vehicle = self.rng.choice(sorted(LAYOUT.vehicles, key=lambda spec: spec.id)).id
        nodes = [self.rng.choice(sorted(LAYOUT.nodes)) for _ in range(2)]
        station, kind = self.rng.choice((*RACKS, "C1-IN", "WS1-BENCH")), self.rng.choice(("pick", "pick", "drop"))
        nodes[-1] = str(LAYOUT.locations[station].node)
        speed_mm_s, instant = self.rng.choice((700.0, 1200.0, 2000.0)), self.rng.random() < 0.25
        released = self.rng.random() < 0.8

        def drive(plant: Plant) -> None:
            agv = plant.vehicles[vehicle]
            if instant:
                kinds = ("cancelOrder", "startPause", "stopPause", "startCharging", "stopPause")
                agv.instant(Action(f"i{number}", kinds[number % len(kinds)]))
                return
            last = Action(f"a{number}", kind, parameters={"stationName": station})
            way = (
                Node(agv.last_node, 0, True),
                Node(nodes[0], 2, True),
                Node(nodes[1], 4, released, actions=(last,)),
            )
            edges = (Edge("e1", 1, True, speed_mm_s), Edge("e2", 3, released, speed_mm_s))
            agv.order(Order(f"O{number}", 0, way, edges))

        return drive

    def _fault(self) -> Callable[[Plant], None]:
        """A fault begins, or the one that began last is over."""
        if self.under_way and self.rng.random() < 0.6:
            kind, device, where = self.under_way.pop()
            return lambda plant: plant.fault(kind, device, on=False, **where) and None  # type: ignore[func-returns-value]
        kind = self.rng.choice(sorted(FAULTS))
        devices, needs = FAULTS[kind]
        device = self.rng.choice(devices)
        amount = {"zone": (2, 12), "lane": (1, 9), "delay_ms": (100, 2_000), "percent": (3, 15)}.get(needs)
        where = {needs: self.rng.randint(*amount)} if amount else {}
        self.under_way.append((kind, device, where))
        return lambda plant: plant.fault(kind, device, on=True, **where) and None  # type: ignore[func-returns-value]


def offer(plant: Plant, device: str, seq: int, code: int, values: dict[str, int | str]) -> None:
    plant.controllers()[device].mailbox.offer(Offer(seq, 1, code, values), plant.now_ns)


# --- ways of letting time pass ---


def in_one_call(plant: Plant, to_ns: int) -> None:
    plant.advance(to_ns)


def in_scans(plant: Plant, to_ns: int) -> None:
    while plant.now_ns + SCAN_NS <= to_ns:
        plant.advance(plant.now_ns + SCAN_NS)


def at_random(plant: Plant, to_ns: int) -> None:
    rng = random.Random(to_ns)
    now_ns = plant.now_ns
    while now_ns < to_ns:
        now_ns = min(to_ns, now_ns + rng.randrange(1, rng.choice((SCAN_NS, 10 * SCAN_NS, 400 * SCAN_NS))))
        plant.advance(now_ns)


def with_a_look_now_and_then(plant: Plant, to_ns: int) -> None:
    """Whoever shows positions in between brings the models to the present; that must not change where they go."""
    rng = random.Random(to_ns)
    while plant.now_ns + 50 * SCAN_NS < to_ns:
        plant.advance(plant.now_ns + rng.randrange(1, 50) * SCAN_NS)
        shown(plant)
    plant.advance(to_ns)


def every_model_in_every_scan(plant: Plant, to_ns: int) -> None:
    """The reference: nothing is skipped."""
    while plant.now_ns + SCAN_NS <= to_ns:
        for model in (*_lines(plant), *plant.vehicles.values()):
            model.pace.rouse()
        plant.advance(plant.now_ns + SCAN_NS)


# --- what comes of it ---


@cache
def once(seed: int) -> Shown:
    return played(Script(seed), in_one_call)


def played(script: Script, advance: Advance) -> Shown:
    """What the plant shows just before each happening, and at the end."""
    chance = random.Random(5)
    plant = Plant(LAYOUT, chance.random)
    plant.sorters["S1"].no_read_share = 0.2
    plant.emptying_ns = 3 * SECOND
    seen = []
    for at_ns, happen in script.happenings:
        advance(plant, at_ns)
        seen.append(shown(plant))
        happen(plant)
    advance(plant, LONG_S * SECOND)
    # Chance has been asked equally often.
    return [*seen, shown(plant), ([chance.random()], [])]


def _lines(plant: Plant) -> list[Any]:
    return [*plant.conveyors.values(), *plant.sorters.values(), *plant.cells.values()]


def shown(plant: Plant) -> tuple[list[Any], list[float]]:
    """All that can be seen of a plant: what must be equal, and what must be nearly so (mm, percent)."""
    for model in (*_lines(plant), *plant.vehicles.values()):
        model.pace.catch_up()
    exact: list[Any] = [plant.now_ns, sorted(plant.standing()), list(plant.shipped.items())]
    near: list[float] = []
    exact += [_controller(line.controller) for line in _lines(plant)]
    for line in plant.conveyors.values():
        for zone in line.zones:
            exact.append((zone.load, zone.track_id, zone.status(), zone.arrivals, zone.departures))
            near.append(zone.position_mm)
    for sorter in plant.sorters.values():
        exact += [sorter.ring.wr, sorter.ring.rd, sorter.ring.overwritten, sorter.ring.since(0), list(sorter.assigned)]
        exact += [(item.load, item.scanned, item.track_id, item.failed, *item.lanes) for item in sorter.belt]
        near += [item.position_mm for item in sorter.belt]
        for lane in sorter.lanes.values():
            exact.append((lane.enabled, lane.full, lane.half_full, lane.count, lane.sorted, list(lane.delivered)))
            exact += [(item.load, item.confirm_at_ns) for item in lane.diverting]
    for cell in plant.cells.values():
        exact += [cell.track_id, cell.processed, cell.defective, cell.blocked, cell.starved, list(cell.loads())]
    for agv in plant.vehicles.values():
        exact += [agv.version, agv.order_id, agv.update_id, agv.last_node, agv.last_seq, agv.driving, agv.paused]
        exact += [agv.charging, agv.failed, agv.stopped, agv.localised, agv.idle, agv.deck.load, agv.actions_done]
        exact += [agv.nodes[:], agv.edges[:], agv.errors, [(a.id, a.status, a.result) for a in agv.actions]]
        near += [agv.x_mm, agv.y_mm, agv.since_node_mm, agv.battery_percent]
    return exact, near


def _controller(controller: Controller) -> tuple[Any, ...]:
    box = controller.mailbox
    numbers = (box.epoch, box.ack_seq, box.done_seq, box.result, box.accepted, box.executed, box.repeated)
    return (*numbers, box.is_offered, box.busy, controller.boot_id, controller.unit.state, controller.unit.locked)


def alike(expected: Shown, found: Shown) -> None:
    for number, (one, other) in enumerate(zip(expected, found, strict=True)):
        assert other[0] == one[0], f"before happening {number}"
        assert other[1] == pytest.approx(one[1], abs=AWAY_MM), f"before happening {number}"


@pytest.mark.parametrize("advance", [in_scans, at_random], ids=lambda way: way.__name__)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_busy_plant_comes_to_the_same_in_one_call_and_in_many(seed: int, advance: Advance) -> None:
    alike(once(seed), played(Script(seed), advance))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_look_at_the_plant_changes_nothing(seed: int) -> None:
    alike(once(seed), played(Script(seed), with_a_look_now_and_then))


@pytest.mark.parametrize("seed", SEEDS)
def test_scans_that_are_skipped_would_have_changed_nothing(seed: int) -> None:
    alike(played(Script(seed), every_model_in_every_scan), once(seed))


def test_the_plants_that_are_compared_are_busy() -> None:
    done: Counter[str] = Counter()
    for seed in SEEDS:
        plant = Plant(LAYOUT, random.Random(5).random)
        for at_ns, happen in Script(seed).happenings:
            plant.advance(at_ns)
            happen(plant)
        done["arrived"] += sum(zone.arrivals for line in plant.conveyors.values() for zone in line.zones)
        done["ring"] += plant.sorters["S1"].ring.wr
        done["actions"] += sum(agv.actions_done for agv in plant.vehicles.values())
        done["orders"] += sum(agv.orders_accepted for agv in plant.vehicles.values())
        done["worked"] += sum(cell.processed for cell in plant.cells.values())
        done["commands"] += sum(controller.mailbox.executed for controller in plant.controllers().values())
    assert done["arrived"] > 100
    assert done["ring"] > 10
    assert done["actions"] > 3
    assert done["orders"] > 10
    assert done["worked"] > 0
    assert done["commands"] > 30
