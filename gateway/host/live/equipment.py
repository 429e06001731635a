"""Looks at the devices: state machines, zones, lanes, positions, and how old what they say is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gateway.contract import DeviceId, LinkFigures, Ns, Scalar
from gateway.devices.agv import Agv
from gateway.devices.conveyor import Conveyor
from gateway.devices.health import Health
from gateway.devices.robot_cell import RobotCell
from gateway.devices.sorter import Sorter
from gateway.devices.workstation import Workstation
from gateway.dispatch.state import State
from gateway.host.live.board import Board
from gateway.host.live.views import (
    AgvView,
    CellView,
    ConveyorView,
    DeviceView,
    LaneView,
    PassView,
    PositionView,
    RoomView,
    SorterView,
    StationView,
    ZoneView,
    ms_of,
)

AGE_STEP_MS = 500
"""A device that was heard later than is shown, by less than this, is not told again."""
AGES_EVERY_NS = 1_000_000_000

Figures = Callable[[], Sequence[LinkFigures]]
Head = tuple[str, str, str, str, str, int, str, tuple[str, ...]]


class Parts:
    """Names of the zones and lanes of devices, made once."""

    def __init__(self) -> None:
        self._names: dict[DeviceId, tuple[str, ...]] = {}

    def names(self, device: DeviceId, count: int) -> tuple[str, ...]:
        known = self._names.get(device)
        if known is None or len(known) != count:
            known = self._names[device] = tuple(f"{device}.{n}" for n in range(1, count + 1))
        return known


def look_at_devices(state: State, devices: Board, zones: Board, lanes: Board, parts: Parts) -> None:
    """All of them, every time: there are some hundreds, and most of what they show can change with any input."""
    unknown: dict[DeviceId, tuple[str, ...]] = {}
    for entry in state.ledger.values():
        if entry.state == "unknown":
            unknown[entry.device] = (*unknown.get(entry.device, ()), entry.command_id)
    _look_at_conveyors(state, devices, zones, parts, unknown)
    _look_at_sorters(state, devices, lanes, parts, unknown)
    for device, cell in state.cells.items():
        devices.show(device, _cell(cell, unknown))
    for device, agv in state.agvs.items():
        devices.show(device, _agv(state, agv, unknown))
    for device, station in state.stations.items():
        devices.show(device, StationView(*_head(station, unknown), person=station.person, task=station.task))
    groups = (state.conveyors, state.sorters, state.cells, state.agvs, state.stations)
    if len(devices.entries) != sum(len(group) for group in groups):
        devices.keep(set().union(*groups))


def _head(device: Conveyor | Sorter | RobotCell | Agv | Workstation, unknown: Mapping[str, tuple[str, ...]]) -> Head:
    health: Health = device.health
    return (
        device.state,
        health.mode,
        health.held,
        health.link,
        health.link_reason,
        ms_of(health.link_since_ns),
        device.refusal() or "",
        unknown.get(device.device, ()),
    )


def _look_at_conveyors(
    state: State, devices: Board, zones: Board, parts: Parts, unknown: Mapping[str, tuple[str, ...]]
) -> None:
    load_of, count = state.by_track, 0
    for device, conveyor in state.conveyors.items():
        devices.show(device, ConveyorView(*_head(conveyor, unknown), packml_mode=conveyor.packml_mode))
        for name, zone in zip(parts.names(device, len(conveyor.zones)), conveyor.zones, strict=True):
            zones.show(name, ZoneView(zone.state, zone.occupied, load_of.get(zone.track_id, "")))
        count += len(conveyor.zones)
    if len(zones.entries) != count:
        zones.keep({n for c in state.conveyors.values() for n in parts.names(c.device, len(c.zones))})


def _look_at_sorters(
    state: State, devices: Board, lanes: Board, parts: Parts, unknown: Mapping[str, tuple[str, ...]]
) -> None:
    count = 0
    for device, sorter in state.sorters.items():
        head = _head(sorter, unknown)
        devices.show(device, SorterView(*head, packml_mode=sorter.packml_mode, tracks=len(sorter.tracks)))
        for name, lane in zip(parts.names(device, len(sorter.lanes)), sorter.lanes, strict=True):
            lanes.show(name, LaneView(lane.state, lane.count))
        count += len(sorter.lanes)
    if len(lanes.entries) != count:
        lanes.keep({n for s in state.sorters.values() for n in parts.names(s.device, len(s.lanes))})


def _cell(cell: RobotCell, unknown: Mapping[str, tuple[str, ...]]) -> DeviceView:
    return CellView(
        *_head(cell, unknown),
        packml_mode=cell.packml_mode,
        infeed_occupied=cell.infeed_occupied,
        outfeed_occupied=cell.outfeed_occupied,
        processed=cell.processed,
        defective=cell.defective,
    )


def _agv(state: State, agv: Agv, unknown: Mapping[str, tuple[str, ...]]) -> DeviceView:
    trip = state.trips.get(agv.device)
    standing = state.standing.get(agv.device)
    question = state.questions.get(agv.device)
    base: tuple[str, ...] = (agv.last_node, *agv.ahead) if agv.ahead else ()
    horizon: tuple[str, ...] = ()
    if trip is not None:
        base = tuple(trip.nodes[trip.passed : trip.released])
        horizon = tuple(trip.nodes[max(trip.released, trip.passed) :])
    return AgvView(
        *_head(agv, unknown),
        operating_mode=agv.operating_mode,
        node=agv.last_node,
        battery_percent=agv.battery_permille // 10,
        charging=agv.charging,
        localised=agv.localised,
        load=next(iter(standing)) if standing else "",
        carries_for=trip.load if trip is not None else "",
        dest=trip.dest if trip is not None else "",
        base=base,
        horizon=horizon,
        waits_for=trip.waits_for if trip is not None else "",
        waits_since_ms=ms_of(trip.waits_since_ns) if trip is not None and trip.waits_for else 0,
        errors=tuple(f"{e.error_type} ({e.level}): {e.description}" for e in agv.errors) if agv.errors else (),
        asks=question.action_id if question is not None else "",
    )


def look_at_positions(telemetry: Mapping[DeviceId, Mapping[str, Scalar]], positions: Board) -> None:
    """Of those that have said one."""
    seen: set[str] = set()
    for device, values in telemetry.items():
        if "x_mm" not in values and "speed_mm_s" not in values:
            continue
        seen.add(device)
        place = values.get("map")
        positions.show(
            device,
            PositionView(
                _number(values.get("x_mm")),
                _number(values.get("y_mm")),
                _number(values.get("theta_mrad")),
                _number(values.get("speed_mm_s")),
                place if isinstance(place, str) else None,
            ),
        )
    positions.keep(seen)


def _number(value: Scalar) -> int | float | None:
    return None if isinstance(value, str) else value


class Ages:
    """When each device was heard last, from what the drivers count; looked at once a second."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._looked_ns: Ns | None = None

    def look(self, now_ns: Ns, ages: Board) -> None:
        if self._looked_ns is not None and 0 <= now_ns - self._looked_ns < AGES_EVERY_NS:
            return
        self._looked_ns = now_ns
        heard = {
            f.device: now_ns // 1_000_000 - int(f.data_age_ms) for f in self._figures() if f.data_age_ms is not None
        }
        for device, heard_ms in heard.items():
            known = ages.entries.get(device)
            if not isinstance(known, int) or not 0 <= heard_ms - known < AGE_STEP_MS:
                ages.show(device, heard_ms)
        ages.keep(heard.keys())


def look_at_reservations(state: State, passes: Board, room: Board) -> None:
    """Who passes contested places in which order, and the room that is kept for loads on their way."""
    for resource, passing in state.passes.items():
        passes.show(resource, PassView(tuple(vehicle for vehicle, _ in passing)))
    passes.keep(state.passes.keys())
    coming = {place: loads for place, loads in state.coming.items() if loads}
    for place, loads in coming.items():
        room.show(place, RoomView(tuple(loads)))
    room.keep(coming.keys())
