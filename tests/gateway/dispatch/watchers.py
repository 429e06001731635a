"""What must hold at every moment, computed from the wire and from the plant, not from the kernel's books.

Each watcher raises AssertionError with the values at hand. Geometry is done anew here: the smallest distance
between the ways that vehicles may be on, in millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from gateway.contract import Command, OrderEvent
from gateway.devices.agv import AgvReport, Drive, DriveNode
from gateway.devices.echo import Echo
from gateway.dispatch import explain
from gateway.kernel import Kernel
from gateway.simulation.checkers_plant import distance_mm
from plc_simulators.plant import Plant

Point = tuple[int, int]
ENDS = ("finished", "failed", "cancelled")
NEXT = {"": {"created"}, "created": {"released", *ENDS}, "released": {"started", *ENDS}, "started": set(ENDS)}


@dataclass
class Vehicle:
    """What a vehicle has been told and has said."""

    at: str = ""
    drive: Drive | None = None
    base: list[DriveNode] = field(default_factory=list)
    passed_seq: int = 0
    taken: bool = False
    """The vehicle has said that it carries out this drive."""

    def way(self) -> list[str]:
        """The nodes that it may be on or between, in order."""
        ahead = [n.node for n in self.base if n.sequence_id >= self.passed_seq]
        return ahead or [self.at]


class Watch:
    def __init__(self, kernel: Kernel, plant: Plant) -> None:
        self.kernel = kernel
        self.plant = plant
        self.vehicles = {name: Vehicle(at=agv.last_node) for name, agv in plant.vehicles.items()}
        self.orders: dict[str, str] = {}
        self.versions: dict[str, int] = {}
        self.resolved: set[tuple[str, int]] = set()
        """Commands that a person has decided on: the next one may follow without the PLC's echo."""
        self._map = kernel.site.map
        self._points = {n.id: (n.x_mm, n.y_mm) for n in self._map.nodes}
        self._edges = {(e.from_node, e.to_node) for e in self._map.edges}
        self._edges |= {(e.to_node, e.from_node) for e in self._map.edges if e.both_ways}
        self._last: dict[str, Command[Any]] = {}
        self._echo: dict[str, Echo] = {}

    # --- what goes over the wire ---

    def reported(self, device: str, report: Any) -> None:
        if not isinstance(report, AgvReport):
            self._echo[device] = report.echo
            return
        vehicle = self.vehicles[device]
        vehicle.at = report.last_node
        drive = vehicle.drive
        if drive is None:
            return
        if report.drive_id != drive.drive_id:
            refused = any(e.drive_id == drive.drive_id for e in report.errors)
            if (vehicle.taken or refused) and not report.path:
                # It stands, and does not know the drive (any more): nothing of it will be driven.
                vehicle.base = []
            return
        vehicle.taken = True
        vehicle.passed_seq = max(vehicle.passed_seq, report.last_sequence_id)
        if not report.path and not report.edges_left and report.update_id == drive.update_id:
            # At rest with all that it was told: it is where it says, and nowhere else.
            vehicle.base = [n for n in vehicle.base if n.sequence_id == report.last_sequence_id]

    def commanded(self, command: Command[Any]) -> None:
        last = self._last.get(command.device)
        if last is not None and command.seq <= last.seq and command.device not in self.vehicles:
            assert command.seq == last.seq, f"{command.command_id} after {last.command_id}"
        if last is not None and command.seq == last.seq:
            assert command.action == last.action, f"{command.command_id} again with other content"
            return
        self._last[command.device] = command
        if isinstance(command.action, Drive):
            self._drive(command.device, command.action)
        elif command.device not in self.vehicles:
            self._one_at_a_time(command, last)

    def _one_at_a_time(self, command: Command[Any], last: Command[Any] | None) -> None:
        if last is None or (command.device, last.seq) in self.resolved:
            return
        done = self._echo[command.device].done_seq
        assert done >= last.seq, f"{command.command_id} sent while {last.command_id} is open (done {done})"

    def not_done(self, device: str, seq: int) -> None:
        """A person has looked: this command was not carried out and will not be."""
        self.resolved.add((device, seq))
        if device in self.vehicles:
            self.vehicles[device].base = []

    # --- vehicles ---

    def _drive(self, name: str, drive: Drive) -> None:
        vehicle, known = self.vehicles[name], self.vehicles[name].drive
        if known is not None and drive.drive_id == known.drive_id and drive.update_id == known.update_id:
            assert drive == known, f"{name}: update {drive.update_id} again with other content"
            return
        self._well_formed(name, drive)
        if known is not None and drive.drive_id == known.drive_id:
            last, first = vehicle.base[-1], drive.nodes[0]
            assert drive.update_id == known.update_id + 1, f"{name}: {known.update_id} → {drive.update_id}"
            assert (first.node, first.sequence_id, first.actions) == (last.node, last.sequence_id, last.actions), name
            vehicle.base = [*vehicle.base, *(n for n in drive.nodes[1:] if n.released)]
        else:
            assert drive.update_id == 0, f"{name}: a new drive with update {drive.update_id}"
            assert drive.nodes[0].sequence_id == 0
            assert drive.nodes[0].node == vehicle.at, f"{name} at {vehicle.at} told to start at {drive.nodes[0].node}"
            assert len(vehicle.way()) == 1, f"{name} has a new drive while it may be on {vehicle.way()}"
            vehicle.base, vehicle.passed_seq = [n for n in drive.nodes if n.released], 0
            vehicle.taken = False
        vehicle.drive = drive
        for other in self.vehicles:
            if other != name:
                self._apart(name, other)

    def _well_formed(self, name: str, drive: Drive) -> None:
        assert len(drive.edges) == len(drive.nodes) - 1
        for node, after, edge in zip(drive.nodes, drive.nodes[1:], drive.edges, strict=False):
            ends = (edge.from_node, edge.to_node)
            assert ends == (node.node, after.node), f"{name}: edge {edge} between {node} and {after}"
            assert ends in self._edges, f"{name}: {ends} is no edge of the map"
            assert (edge.sequence_id, after.sequence_id) == (node.sequence_id + 1, node.sequence_id + 2)
            assert edge.released == after.released
            assert node.released or not after.released, f"{name}: base behind horizon in {drive}"
        assert drive.nodes[0].released

    def _apart(self, one: str, two: str) -> None:
        ways = self.vehicles[one].way(), self.vehicles[two].way()
        gap_mm = min(
            distance_mm(self._points[a], self._points[b], self._points[c], self._points[d])
            for a, b in legs(ways[0])
            for c, d in legs(ways[1])
        )
        assert gap_mm >= self._map.clearance_mm, f"{one} on {ways[0]} and {two} on {ways[1]} come within {gap_mm} mm"

    # --- orders, loads, room ---

    def order_event(self, event: OrderEvent) -> None:
        was = self.orders.get(event.order, "")
        assert event.version == self.versions.get(event.order, 0) + 1, f"{event} after {self.versions}"
        self.versions[event.order] = event.version
        if was not in ("", *ENDS) and event.state in (was, "interrupted"):
            return  # held, resumed or changed: it is where it was
        assert event.state in NEXT.get(was, ()), f"order {event.order} went from {was} to {event.state}"
        self.orders[event.order] = event.state

    def looked(self) -> None:
        """Once a second or so: what takes longer to look at."""
        state = self.kernel.state
        for name in [o for _, _, _, o in state.queue] + state.released:
            lines = explain.order(state, name)
            assert lines, f"{name} is open and nothing says why"
            assert all(line.rstrip(": ") == line.rstrip() for line in lines), lines
        standing = [load for load, _ in self.plant.standing()]
        assert len(standing) == len(set(standing)), "a load is in two places"
        for location in self.kernel.site.locations:
            count = len(state.standing.get(location.id, ()))
            assert location.kind == "lane" or count <= location.capacity, f"{count} loads booked at {location.id}"
        for run in self.kernel.floor.runs:
            zones = self.plant.conveyors[run.device].zones[run.zone_first - 1 : run.zone_last]
            assert sum(bool(z.load) for z in zones) <= run.loads_max, f"{run.run} is overfull"
        repeated = {name: c.mailbox.repeated for name, c in self.plant.controllers().items()}
        assert not any(repeated.values()), repeated

    def at_rest(self) -> None:
        """Nothing moves: the books and the plant must say the same, and nothing may be held back for nobody."""
        state = self.kernel.state
        plant = {load: place.partition("/")[0] for load, place in self.plant.standing()}
        runs = {run.run: run.device for run in self.kernel.floor.runs}
        books = {name: runs.get(load.location, load.location) for name, load in state.loads.items()}
        assert books == plant
        assert not any(state.coming.values()), f"room is still kept: {state.coming}"
        for name, vehicle in self.vehicles.items():
            assert vehicle.way() == [self.kernel.floor.agvs[name].home], f"{name} stands at {vehicle.way()}"


def legs(way: list[str]) -> list[tuple[str, str]]:
    """The straight pieces of a way; a single node is a piece of no length."""
    return list(pairwise(way)) or [(way[0], way[0])]
