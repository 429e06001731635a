"""What follows from the site alone, computed once: where things are, who serves them, how loads can flow.

A *hop* is one device's part of a route: a vehicle from location to location, a conveyor run, a sorter from its
infeed into a lane. A route is a list of hops over the material-flow graph, cheapest in seconds.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import rustworkx as rx

from gateway.contract import DeviceId, LocationId, Struct
from gateway.dispatch.traffic.roadmap import Roadmap
from gateway.site import (
    AgvSpec,
    ConveyorSpec,
    LocationSpec,
    RobotCellSpec,
    RunSpec,
    Site,
    SorterSpec,
    WorkstationSpec,
)

PICK_AND_DROP_S = 10.0


class Hop(Struct, frozen=True):
    """`device` is empty for a vehicle hop: which one drives is the assignment's affair. `part`: run or lane."""

    kind: Literal["agv", "conveyor", "sorter"]
    device: DeviceId
    part: str
    source: LocationId
    dest: LocationId
    seconds: float


class Run(Struct, frozen=True):
    """A conveyor run with its id, which is also the place of the loads that are on it."""

    run: LocationId
    device: DeviceId
    source: LocationId
    dest: LocationId
    zone_first: int
    zone_last: int
    loads_max: int
    seconds: float


class Floor:
    """The site seen by the dispatcher."""

    def __init__(self, site: Site) -> None:
        self.roadmap = Roadmap(site.map)
        self.locations: dict[LocationId, LocationSpec] = {loc.id: loc for loc in site.locations}
        self.conveyors = {d.id: d for d in site.devices if isinstance(d, ConveyorSpec)}
        self.sorters = {d.id: d for d in site.devices if isinstance(d, SorterSpec)}
        self.cells = {d.id: d for d in site.devices if isinstance(d, RobotCellSpec)}
        self.agvs = {d.id: d for d in site.devices if isinstance(d, AgvSpec)}
        self.stations = {d.id: d for d in site.devices if isinstance(d, WorkstationSpec)}
        self.people = {p.id: p for p in site.people}
        self.runs = [_run(c, i, r) for c in self.conveyors.values() for i, r in enumerate(c.runs, 1)]
        self.run_by_id = {r.run: r for r in self.runs}
        self.runs_of: dict[DeviceId, list[Run]] = {c: [r for r in self.runs if r.device == c] for c in self.conveyors}
        self.exits = {r.dest for r in self.runs}
        self.run_by_source = {r.source: r for r in self.runs}
        self.sorter_by_infeed = {s.infeed: s for s in self.sorters.values()}
        self.cell_by_infeed = {c.infeed: c for c in self.cells.values()}
        self.stations_by_location: dict[LocationId, list[DeviceId]] = {}
        for station in self.stations.values():
            self.stations_by_location.setdefault(station.location, []).append(station.id)
        self.lane_location = {(s.id, ln.lane): ln.location for s in self.sorters.values() for ln in s.lanes}
        self.lane_locations = set(self.lane_location.values())
        self.pickable = {loc for loc in self.locations if self.can_pick(loc)}
        self._hops: dict[tuple[LocationId, LocationId], Hop] = {}
        self._index = {loc: i for i, loc in enumerate(self.locations)}
        self._names = list(self.locations)
        self._graph: rx.PyDiGraph[LocationId, float] = rx.PyDiGraph()
        self._graph.add_nodes_from(self._names)
        self._build()
        self._routes: dict[tuple[LocationId, LocationId], tuple[Hop, ...] | None] = {}
        self._places: dict[tuple[LocationId, LocationId], tuple[LocationId, ...]] = {}

    def can_pick(self, location: LocationId) -> bool:
        """A vehicle can take a load from here: it stands still and nobody else moves it."""
        spec = self.locations.get(location)
        if spec is None or spec.node is None or spec.kind == "transfer":
            return False
        return location not in self.cell_by_infeed

    def can_drop(self, location: LocationId) -> bool:
        spec = self.locations.get(location)
        if spec is None or spec.node is None or spec.kind == "lane":
            return False
        return not any(c.outfeed == location for c in self.cells.values())

    def place_of(self, location: LocationId) -> LocationId:
        """Where room is counted: a run's entry counts with the run, everything else by itself."""
        run = self.run_by_source.get(location)
        return run.run if run else location

    def room(self, place: LocationId) -> int:
        """How many loads fit: a location's capacity, a run's hold-back."""
        run = self.run_by_id.get(place)
        if run:
            return run.loads_max
        spec = self.locations.get(place)
        return spec.capacity if spec else 1

    def route(self, source: LocationId, dest: LocationId) -> tuple[Hop, ...] | None:
        """The quickest way for a load, () when it is there already, None where there is none."""
        if source == dest:
            return ()
        key = (source, dest)
        if key not in self._routes:
            self._routes[key] = self._search(source, dest)
        return self._routes[key]

    def places(self, route: tuple[Hop, ...]) -> tuple[LocationId, ...]:
        """The places of a route (one of `route`'s, not empty) where room must be reserved before it is begun.

        A run's exit is not among them: whoever discharges looks whether it is free, and what is on the run always has
        its place there. Nor is a lane: its PLC says how full it is, and the reject lane is the way out.
        """
        key = (route[0].source, route[-1].dest)
        if key not in self._places:
            places = [(hop.dest, self.place_of(hop.dest)) for hop in route]
            kept = (p for dest, p in places if dest not in self.exits and p not in self.lane_locations)
            self._places[key] = tuple(dict.fromkeys(kept))
        return self._places[key]

    def _search(self, source: LocationId, dest: LocationId) -> tuple[Hop, ...] | None:
        if source not in self._index or dest not in self._index:
            return None
        a, b = self._index[source], self._index[dest]
        found = rx.dijkstra_shortest_paths(self._graph, a, b, weight_fn=float)
        if b not in found:
            return None
        stops = [self._names[i] for i in found[b]]
        return tuple(self._hops[pair] for pair in pairwise(stops))

    def _build(self) -> None:
        for run in self.runs:
            self._add(Hop("conveyor", run.device, run.run, run.source, run.dest, run.seconds))
        for sorter in self.sorters.values():
            for place, lane in enumerate(sorter.lanes):
                distance_mm = sorter.scan_to_first_divert_mm + place * sorter.lane_pitch_mm
                # The reject lane is where things end, never a way to somewhere.
                if lane.lane != sorter.reject_lane:
                    seconds = distance_mm / sorter.speed_mm_s
                    self._add(Hop("sorter", sorter.id, str(lane.lane), sorter.infeed, lane.location, seconds))
        if not self.agvs:
            return
        picks = [loc for loc in self.locations if loc in self.pickable]
        drops = [loc for loc in self.locations if self.can_drop(loc)]
        for a in picks:
            for b in drops:
                way = self.roadmap.way(self.locations[a].node or "", self.locations[b].node or "")
                if a != b and way is not None:
                    self._add(Hop("agv", "", "", a, b, self.roadmap.seconds(way) + PICK_AND_DROP_S))

    def _add(self, hop: Hop) -> None:
        known = self._hops.get((hop.source, hop.dest))
        if known is not None and known.seconds <= hop.seconds:
            return
        self._hops[hop.source, hop.dest] = hop
        if known is None:
            self._graph.add_edge(self._index[hop.source], self._index[hop.dest], hop.seconds)
        else:
            self._graph.update_edge(self._index[hop.source], self._index[hop.dest], hop.seconds)


def _run(conveyor: ConveyorSpec, number: int, spec: RunSpec) -> Run:
    zones = spec.zone_last - spec.zone_first + 1
    return Run(
        run=f"{conveyor.id}.{number}",
        device=conveyor.id,
        source=spec.from_location,
        dest=spec.to_location,
        zone_first=spec.zone_first,
        zone_last=spec.zone_last,
        loads_max=spec.loads_max,
        seconds=zones * conveyor.zone_length_mm / conveyor.speed_mm_s,
    )
