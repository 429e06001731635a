"""One plant of all models, on one clock: which equipment hands over to which, and where every load is.

Pure: time comes in through `advance`, chance through a callable. All times are nanoseconds of plant time from 0.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from plc_simulators.faults import CELL, CONVEYOR, SORTER, VEHICLE, Fault, Faults
from plc_simulators.layout import Layout
from plc_simulators.models.agv import Agv
from plc_simulators.models.controller import SCAN_NS, Controller
from plc_simulators.models.conveyor import Conveyor
from plc_simulators.models.deck import World
from plc_simulators.models.pace import Scans
from plc_simulators.models.place import Place, Shelf
from plc_simulators.models.robot_cell import RobotCell
from plc_simulators.models.sorter import Lane, Sorter

LOADS_MAX = 20_000
SHIPPED_MAX = 100_000
"""Loads remembered after they have left; the oldest are forgotten beyond that."""
EMPTYING_NS = 20_000_000_000
EMPTY_SCANS = 100
"""How often people look at the lanes, in scans."""


class PutError(ValueError):
    """A load can't be put there; the text says why."""


class Plant:
    """Equipment of one site with its loads. `chance` gives numbers in [0, 1); `boot_id` numbers the PLCs' boots."""

    def __init__(self, layout: Layout, chance: Callable[[], float], *, boot_id: int = 1) -> None:
        self.layout = layout
        self.now_ns = 0
        self.emptying_ns = EMPTYING_NS
        self.people_empty_lanes = True
        self.shipped: OrderedDict[str, str] = OrderedDict()
        """Loads that people took out of a lane, with the lane's location."""
        self.barcodes: dict[str, tuple[str, ...]] = {}
        self.conveyors = {spec.id: Conveyor(spec, boot_id) for spec in layout.conveyors}
        self.cells = {spec.id: RobotCell(spec, boot_id, chance) for spec in layout.cells}
        self._shelves: dict[str, Shelf] = {}
        self.places: dict[str, Place] = {}
        self._lay_places()
        self.sorters: dict[str, Sorter] = {}
        for spec in layout.sorters:
            outlets = {lane: self.places[location] for lane, location in spec.lanes.items()}
            sorter = Sorter(spec, boot_id, outlets, chance, self._codes)
            self.sorters[spec.id] = sorter
            self.places[spec.infeed] = sorter.infeed
        self._link_exits()
        node_of = {place.id: place.node for place in layout.locations.values() if place.node}
        world = World(layout.nodes, self.places, node_of)
        self.vehicles = {spec.id: Agv(spec, world) for spec in layout.vehicles}
        self.faults = Faults(self._types(), self._numbers())
        self._to_empty: dict[tuple[str, int], int] = {}
        self._scans = Scans()
        self._empty_at = EMPTY_SCANS
        self._lines: list[Conveyor | Sorter | RobotCell] = [
            *self.conveyors.values(),
            *self.sorters.values(),
            *self.cells.values(),
        ]
        self._paces = [model.pace for model in (*self._lines, *self.vehicles.values())]
        self._controllers = {line.layout.id: line.controller for line in self._lines}
        self._line_by_id = {line.layout.id: line for line in self._lines}
        self._boxes = [line.controller.mailbox for line in self._lines]
        for pace in self._paces:
            pace.scans = self._scans

    # --- building ---

    def _lay_places(self) -> None:
        for conveyor in self.conveyors.values():
            for run in conveyor.layout.runs:
                self.places[run.from_location] = conveyor.entry(run)
        for cell in self.cells.values():
            self.places[cell.layout.infeed] = cell.infeed
            self.places[cell.layout.outfeed] = cell.outfeed
        sorter_infeeds = {spec.infeed for spec in self.layout.sorters}
        for location in self.layout.locations.values():
            if location.id not in self.places and location.id not in sorter_infeeds:
                shelf = Shelf(location.capacity)
                self.places[location.id] = self._shelves[location.id] = shelf

    def _link_exits(self) -> None:
        for conveyor in self.conveyors.values():
            for run in conveyor.layout.runs:
                conveyor.follow(run, self.places[run.to_location])

    def _types(self) -> dict[str, str]:
        types = dict.fromkeys(self.conveyors, CONVEYOR) | dict.fromkeys(self.sorters, SORTER)
        return types | dict.fromkeys(self.cells, CELL) | dict.fromkeys(self.vehicles, VEHICLE)

    def _numbers(self) -> dict[str, frozenset[int]]:
        zones = {name: frozenset(range(1, len(line.zones) + 1)) for name, line in self.conveyors.items()}
        return zones | {name: frozenset(sorter.lanes) for name, sorter in self.sorters.items()}

    def _codes(self, load: str) -> Sequence[str]:
        return self.barcodes.get(load, ())

    # --- time ---

    def advance(self, to_ns: int) -> None:
        """Run every device up to plant time `to_ns`, in PLC scans of 10 ms."""
        scans, target = self._scans, to_ns // SCAN_NS
        while scans.now < target:
            number = scans.now + 1
            due = min(pace.due for pace in self._paces)
            if due > number and not any(box.is_offered for box in self._boxes):
                # Up to there nothing happens but steady progress.
                number = min(due, target, self._empty_at)
            scans.now = number - 1
            self.now_ns = number * SCAN_NS
            self._scan(number)
            scans.now = number
        self.now_ns = scans.now * SCAN_NS

    def _scan(self, number: int) -> None:
        for line in self._lines:
            if line.pace.due <= number or line.controller.mailbox.is_offered:
                line.step(self.now_ns)
        for vehicle in self.vehicles.values():
            if vehicle.pace.due <= number:
                vehicle.step()
        if number >= self._empty_at:
            self._empty_at = number + EMPTY_SCANS
            self._empty_lanes()

    def life(self, real_ns: int) -> None:
        """Advance and check the life signs, in real time."""
        for line in self._lines:
            was = line.controller.life.safe
            line.controller.life.tick(real_ns)
            if line.controller.life.safe != was:
                line.pace.rouse()

    def controllers(self) -> Mapping[str, Controller]:
        return self._controllers

    def _empty_lanes(self) -> None:
        """People empty a customer lane some time after it is two thirds full; never the reject lane."""
        if not self.people_empty_lanes:
            return
        for name, sorter in self.sorters.items():
            for number, lane in sorter.lanes.items():
                shelf = self._shelves.get(sorter.layout.lanes[number])
                if shelf is None or number == sorter.layout.reject_lane:
                    continue
                key = (name, number)
                if 3 * lane.count < 2 * lane.place.capacity and not lane.full:
                    self._to_empty.pop(key, None)
                elif self._to_empty.setdefault(key, self.now_ns + self.emptying_ns) <= self.now_ns:
                    del self._to_empty[key]
                    self._ship(sorter, lane, shelf)

    def _ship(self, sorter: Sorter, lane: Lane, shelf: Shelf) -> None:
        gone = shelf.clear()
        if not gone:
            return
        for load in gone:
            self.shipped[load] = sorter.layout.lanes[lane.number]
            self.barcodes.pop(load, None)
        while len(self.shipped) > SHIPPED_MAX:
            self.shipped.popitem(last=False)
        sorter.lane_emptied(lane.number, self.now_ns)

    # --- loads ---

    def put(self, load: str, barcodes: Sequence[str], location: str) -> None:
        """Bring a load into the plant. Raises PutError."""
        place = self.places.get(location)
        if place is None:
            raise PutError(f"location {location} is unknown")
        if not load or load in self.barcodes:
            raise PutError(f"load {load!r} is in the plant already" if load else "a load needs an id")
        if len(self.barcodes) >= LOADS_MAX:
            raise PutError(f"{LOADS_MAX} loads are in the plant, which is the limit")
        if place.room() < 1:
            raise PutError(f"location {location} has no room for {load} (capacity {place.capacity})")
        self.barcodes[load] = tuple(barcodes)
        self.shipped.pop(load, None)
        place.take(load)

    def take_away(self, load: str) -> str:
        """A person carries a load off; returns where it stood. Raises PutError where nobody can get at it."""
        place = self.loads().get(load)
        if place is None:
            raise PutError(f"load {load} stands nowhere in the plant")
        device, _, zone = place.partition("/zone ")
        if zone:
            self.conveyors[device].take_away(int(zone))
        elif place in self.vehicles:
            self.vehicles[place].deck.take_away()
        elif place in self.places:
            self.places[place].give(load)
        else:
            raise PutError(f"load {load} is at {place}, and nobody reaches into a running belt")
        return place

    def put_down(self, load: str, place: str, zone: int = 0) -> None:
        """A person sets a load down at a location, or in a zone of a conveyor. Raises PutError."""
        if load in self.loads():
            raise PutError(f"load {load} stands at {self.loads()[load]} already")
        line = self.conveyors.get(place)
        if line is not None:
            if not 1 <= zone <= len(line.zones):
                raise PutError(f"{place} has no zone {zone} (1 to {len(line.zones)})")
            if not line.put_down(load, zone):
                raise PutError(f"{place} zone {zone} has no room for {load}")
        elif place not in self.places or self.places[place].room() < 1:
            raise PutError(f"{place} is no location with room for {load}")
        else:
            self.places[place].take(load)
        self.barcodes.setdefault(load, ())

    def standing(self) -> list[tuple[str, str]]:
        """Every load with its place, as the equipment holds them: twice where two devices claim the same load."""
        found = [(load, place) for line in self._lines for load, place in line.loads()]
        found += [(load, name) for name, shelf in self._shelves.items() for load in shelf.loads()]
        return found + [(agv.deck.load, name) for name, agv in self.vehicles.items() if agv.deck.load]

    def loads(self) -> dict[str, str]:
        """Every load in the plant with its place: a location, `C1/zone 4`, `S1/belt`, `S1/lane 3` or a vehicle."""
        return dict(self.standing())

    # --- faults ---

    def fault(self, kind: str, device: str, on: bool = True, **where: object) -> Fault:
        """Switch a fault on or off. `link_drop` is only noted here: cutting links is the servers' part.

        Raises FaultError.
        """
        fault = self.faults.check(kind, device, where)
        self.faults.switch(fault, on)
        if device in self.vehicles:
            self.vehicles[device].pace.rouse()
        else:
            self.line(device).pace.rouse()
        if device in self.vehicles:
            self._vehicle_fault(fault, on)
        elif kind in ("lane_full", "lane_disabled", "no_read", "double_scan", "divert_missed"):
            self._sorter_fault(fault, on)
        elif kind == "jam":
            causes = self.conveyors[device].jam_causes
            (causes.add if on else causes.discard)(fault.number)
        elif kind == "sensor_stuck":
            self.conveyors[device].stick_eye(fault.number, on)
        elif kind == "slow_plc":
            self.controllers()[device].mailbox.delay_ns = fault.number * 1_000_000 if on else 0
        elif kind == "e_stop":
            self.line(device).controller.unit.locked = on
            if on:
                self.line(device).emergency_stop(self.now_ns)
        elif kind == "plc_restart" and on:
            self.line(device).restart()
        return fault

    def line(self, device: str) -> Conveyor | Sorter | RobotCell:
        """The model behind one PLC; KeyError where there is none."""
        return self._line_by_id[device]

    def _sorter_fault(self, fault: Fault, on: bool) -> None:
        sorter = self.sorters[fault.device]
        match fault.kind:
            case "lane_full":
                sorter.lanes[fault.number].forced_full = on
            case "lane_disabled":
                sorter.lanes[fault.number].enabled = not on
            case "no_read":
                sorter.no_read_always = on
            case "double_scan":
                sorter.double_scan = on
            case "divert_missed":
                sorter.divert_missed = on

    def _vehicle_fault(self, fault: Fault, on: bool) -> None:
        vehicle = self.vehicles[fault.device]
        match fault.kind:
            case "agv_failure":
                vehicle.fail(on)
            case "e_stop":
                vehicle.emergency_stop(on)
            case "localisation_lost":
                vehicle.lose_position(on)
            case "low_battery":
                if on:
                    vehicle.drain(float(fault.number))
