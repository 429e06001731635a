"""Between kernel and plant models: commands into mailboxes and vehicles, levels and ring entries out of them.

Says what docs/plc-interface.md says, without bytes: the drivers' tests are where the bytes are.
"""

from __future__ import annotations

from typing import Any

from gateway.contract import Command, Notice
from gateway.devices import agv as vehicles
from gateway.devices import conveyor, robot_cell, sorter
from gateway.devices.agv import AgvError, AgvReport, Drive, Instant, PathState
from gateway.devices.conveyor import ConveyorReport, Zone
from gateway.devices.echo import Echo
from gateway.devices.robot_cell import CellReport, Control
from gateway.devices.sorter import EVENT_BY_CODE, Assign, Lane, SorterEvent, SorterReport
from plc_simulators.models import conveyor as bits
from plc_simulators.models.agv import Agv
from plc_simulators.models.controller import Controller
from plc_simulators.models.mailbox import Offer
from plc_simulators.models.vda_order import Action, Edge, Node, Order
from plc_simulators.plant import Plant


class Wire:
    """The links of one plant."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant

    # --- up ---

    def mark(self, device: str) -> object:
        """Something that differs whenever the device would show something new."""
        agv = self._plant.vehicles.get(device)
        if agv:
            return agv.version
        controller = self._plant.controllers()[device]
        box = controller.mailbox
        head = (controller.boot_id, box.ack_seq, box.done_seq, box.result, controller.unit.state)
        line = self._plant.conveyors.get(device)
        if line is not None:
            return head, [(z.status(), z.arrivals, z.departures, z.track_id) for z in line.zones]
        sorter = self._plant.sorters.get(device)
        if sorter is not None:
            # Everything that a lane's levels are made of.
            lanes = sorter.lanes.values()
            return head, [(n.enabled, n.forced_full, len(n.diverting), n.place.room()) for n in lanes]
        cell = self._plant.cells[device]
        return head, cell.track_id, cell.processed, cell.defective, cell.infeed.room(), cell.outfeed.room()

    def steps(self, device: str) -> int:
        """A number that stays while a PLC has done nothing that could change what it shows."""
        return self._plant.line(device).pace.steps

    def report(self, device: str) -> Any:
        """All levels of a device, as now."""
        if device in self._plant.vehicles:
            return self._agv(self._plant.vehicles[device])
        controller = self._plant.controllers()[device]
        head = (controller.boot_id, _echo(controller), controller.unit.state, controller.mode)
        if device in self._plant.conveyors:
            zones = tuple(_zone(zone) for zone in self._plant.conveyors[device].zones)
            return ConveyorReport(*head, zones)
        if device in self._plant.sorters:
            lanes = self._plant.sorters[device].lanes
            shown = (lanes[number] for number in sorted(lanes))
            return SorterReport(*head, tuple(Lane(ln.enabled, ln.half_full, ln.full, ln.count) for ln in shown))
        cell = self._plant.cells[device]
        full = (bool(cell.infeed.loads()), bool(cell.outfeed.loads()))
        return CellReport(*head, cell.track_id, cell.blocked, cell.starved, cell.processed, cell.defective, *full)

    def notices(self, device: str, after: int) -> list[Notice[SorterEvent]]:
        """The entries of a sorter's event ring after number `after`."""
        found = []
        for entry in self._plant.sorters[device].ring.since(after):
            codes = tuple(code for code in entry.barcodes.split(";") if code)
            event = SorterEvent(
                EVENT_BY_CODE[entry.type], entry.track_id, entry.point, entry.lane, entry.result, entry.plc_ms, codes
            )
            found.append(Notice(device, event, entry.seq))
        return found

    def _agv(self, agv: Agv) -> AgvReport:
        agv.pace.catch_up()
        return AgvReport(
            drive_id=agv.order_id,
            update_id=agv.update_id,
            last_node=agv.last_node,
            last_sequence_id=agv.last_seq,
            path=tuple(PathState(n.id, n.seq, n.released) for n in agv.nodes),
            edges_left=len(agv.edges),
            actions=tuple(vehicles.ActionState(a.id, a.status, a.result) for a in agv.actions),
            driving=agv.driving,
            paused=agv.paused,
            new_base_request=agv.new_base_request,
            operating_mode="AUTOMATIC",
            battery_permille=round(agv.battery_percent * 10),
            charging=agv.charging,
            e_stop="MANUAL" if agv.stopped else "NONE",
            field_violation=False,
            errors=tuple(
                AgvError(e.type, e.level, e.description, dict(e.references).get("orderId", "")) for e in agv.errors
            ),
            loads=(agv.deck.load,) if agv.deck.load else (),
            localised=agv.localised,
        )

    # --- down ---

    def deliver(self, command: Command[Any]) -> None:
        """The command arrives."""
        match command.action:
            case Drive() as drive:
                self._plant.vehicles[command.device].order(_order(drive))
            case Instant() as instant:
                action = Action(instant.action_id, instant.kind, instant.blocking, instant.parameters)
                self._plant.vehicles[command.device].instant(action)
            case action:
                code, values = _payload(action)
                box = self._plant.controllers()[command.device].mailbox
                box.offer(Offer(command.seq, command.epoch, code, values), self._plant.now_ns)


def _echo(controller: Controller) -> Echo:
    box = controller.mailbox
    return Echo(box.ack_seq, box.done_seq, box.result, box.epoch)


def _zone(zone: bits.Zone) -> Zone:
    status = zone.status()
    return Zone(
        bool(status & bits.OCCUPIED),
        bool(status & bits.RUNNING),
        bool(status & bits.HELD),
        bool(status & bits.JAM_ARRIVAL),
        bool(status & bits.JAM_SENSOR),
        False,
        zone.arrivals,
        zone.departures,
        zone.track_id,
    )


def _payload(action: Any) -> tuple[int, dict[str, int | str]]:
    if isinstance(action, Assign):
        values = sorter.encode(action)
        lanes = {f"lane_{n}": values[f"cmd_lane_{n}"] for n in range(1, 5)}
        found = {"track_id": action.track_id, "deadline_ms": action.deadline_plc_ms, **lanes}
    elif isinstance(action, Control):
        values = robot_cell.encode(action)
        found = {"track_id": action.track_id, "recipe": action.recipe}
    else:
        values = conveyor.encode(action)
        found = {"zone": action.zone, "track_id": values["cmd_track_id"]}
    return int(str(values["cmd_code"])), found  # type: ignore[return-value]


def _order(drive: Drive) -> Order:
    nodes = tuple(
        Node(
            n.node,
            n.sequence_id,
            n.released,
            (float(n.x_mm), float(n.y_mm)),
            tuple(Action(a.action_id, a.kind, "HARD", a.parameters) for a in n.actions),
        )
        for n in drive.nodes
    )
    edges = tuple(Edge(e.edge, e.sequence_id, e.released, float(e.speed_max_mm_s)) for e in drive.edges)
    return Order(drive.drive_id, drive.update_id, nodes, edges)
