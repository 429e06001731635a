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
from plc_simulators.models.place import Place, Shelf
from plc_simulators.models.robot_cell import RobotCell
from plc_simulators.models.sorter import Lane, Sorter

LOADS_MAX = 20_000
SHIPPED_MAX = 100_000
"""Loads remembered after they have left; the oldest are forgotten beyond that."""
EMPTYING_NS = 20_000_000_000
LIFE_NS = 100_000_000
"""How often life signs are looked at."""


class PutError(ValueError):
    """A load can't be put there; the text says why."""


class Plant:
    """Equipment of one site with its loads. `chance` gives numbers in [0, 1); `boot_id` numbers the PLCs' boots."""

    def __init__(self, layout: Layout, chance: Callable[[], float], *, boot_id: int = 1) -> None:
        self.layout = layout
        self.now_ns = 0
        self.emptying_ns = EMPTYING_NS
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
        self._lines: list[Conveyor | Sorter | RobotCell] = [
            *self.conveyors.values(),
            *self.sorters.values(),
            *self.cells.values(),
        ]

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
        while self.now_ns + SCAN_NS <= to_ns:
            self.now_ns += SCAN_NS
            for line in self._lines:
                line.step(self.now_ns)
            for vehicle in self.vehicles.values():
                vehicle.step()
            if self.now_ns % LIFE_NS == 0:
                self._empty_lanes()

    def life(self, real_ns: int) -> None:
        """Advance and check the life signs, in real time."""
        for line in self._lines:
            line.controller.life.tick(real_ns)

    def controllers(self) -> Mapping[str, Controller]:
        return {line.layout.id: line.controller for line in self._lines}

    def _empty_lanes(self) -> None:
        """People empty a customer lane some time after it is two thirds full; never the reject lane."""
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
        if kind == "jam":
            causes = self.conveyors[device].jam_causes
            (causes.add if on else causes.discard)(fault.number)
        elif kind == "lane_full":
            self.sorters[device].lanes[fault.number].forced_full = on
        elif kind == "lane_disabled":
            self.sorters[device].lanes[fault.number].enabled = not on
        elif kind == "no_read":
            self.sorters[device].no_read_always = on
        elif kind == "agv_failure":
            self.vehicles[device].fail(on)
        elif kind == "slow_plc":
            self.controllers()[device].mailbox.delay_ns = fault.number * 1_000_000 if on else 0
        elif kind == "plc_restart" and on:
            next(line for line in self._lines if line.layout.id == device).restart()
        return fault
