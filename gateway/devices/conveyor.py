"""Conveyor: a line of zones under one controller, with zero-pressure accumulation done by the PLC.

The entry zone holds a load until the gateway says which one it is (`Induct`), the exit zone holds it until the
gateway asks for it (`Discharge`). In between the PLC moves it and carries its track id from zone to zone.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.contract import DeviceId, Scalar, Struct
from gateway.devices.echo import Echo, plc_levels
from gateway.devices.facts import (
    Fact,
    FaultCleared,
    Faulted,
    Irregular,
    Restarted,
    StateChanged,
    ZoneLeft,
    ZoneTaken,
)
from gateway.devices.health import Health
from gateway.devices.machine import Row, Table
from gateway.devices.packml import PRODUCE, follow, not_running

# --- records on the wire ---


class Zone(Struct, frozen=True):
    """One zone's level. Counters are uint16 and roll over; `track_id` 0 means that the PLC knows none."""

    occupied: bool = False
    running: bool = False
    held: bool = False
    jam_at_arrival: bool = False
    jam_at_sensor: bool = False
    fault: bool = False
    arrivals: int = 0
    departures: int = 0
    track_id: int = 0


class ConveyorReport(Struct, frozen=True, tag="conveyor"):
    boot_id: int
    echo: Echo
    state: int
    mode: int
    zones: tuple[Zone, ...]


class Induct(Struct, frozen=True, tag="induct"):
    """The load that stands in `zone` is the one with `track_id`: take it along."""

    zone: int
    track_id: int


class Discharge(Struct, frozen=True, tag="discharge"):
    """Hand the load `track_id` over from exit zone `zone` to whatever follows."""

    zone: int
    track_id: int


class ResetZone(Struct, frozen=True, tag="reset_zone"):
    """The jam or fault in `zone` has been cleared by a person: run again."""

    zone: int


ConveyorAction = Induct | Discharge | ResetZone
CODE = {Induct: 1, Discharge: 2, ResetZone: 3}


def decode(values: Mapping[str, Scalar], zones: int) -> ConveyorReport:
    """Build the record from signal values; KeyError or ValidationError where a signal is missing or bad."""
    return msgspec.convert(
        {
            "type": "conveyor",
            **plc_levels(values),
            "zones": [
                {name: values[f"zone.{n}.{name}"] for name in Zone.__struct_fields__} for n in range(1, zones + 1)
            ],
        },
        ConveyorReport,
    )


def encode(action: ConveyorAction) -> dict[str, Scalar]:
    """The mailbox payload of an action, signal by signal, without its sequence number."""
    track_id = 0 if isinstance(action, ResetZone) else action.track_id
    return {"cmd_code": CODE[type(action)], "cmd_zone": action.zone, "cmd_track_id": track_id}


# --- the zone's state machine ---

ZONE_STATES = ("empty", "occupied", "jammed", "faulted")
ZONE_ROWS: tuple[Row, ...] = (
    ("arrive", "empty", "occupied"),
    ("leave", "occupied", "empty"),
    ("jam", "empty", "jammed"),
    ("jam", "occupied", "jammed"),
    ("clear_empty", "jammed", "empty"),
    ("clear_occupied", "jammed", "occupied"),
    ("fail", "empty", "faulted"),
    ("fail", "occupied", "faulted"),
    ("fail", "jammed", "faulted"),
    ("clear_empty", "faulted", "empty"),
    ("clear_occupied", "faulted", "occupied"),
)
ZONE = Table("conveyor zone", ZONE_STATES, ZONE_ROWS, "empty")


class ZoneState(msgspec.Struct):
    state: str = "empty"
    track_id: int = 0
    occupied: bool = False
    arrivals: int = 0
    departures: int = 0


class Conveyor(msgspec.Struct):
    """The gateway's picture of one conveyor controller."""

    device: DeviceId
    zones: list[ZoneState]
    health: Health = msgspec.field(default_factory=Health)
    state: str = "Stopped"
    packml_mode: int = PRODUCE
    boot_id: int | None = None
    echo: Echo = Echo()

    def refusal(self) -> str | None:
        """Why the conveyor as a whole can't be used now."""
        return not_running(self)


def new(device: DeviceId, zones: int) -> Conveyor:
    return Conveyor(device=device, zones=[ZoneState() for _ in range(zones)])


def observe(conveyor: Conveyor, report: ConveyorReport) -> list[Fact]:
    """Bring the picture up to `report` and say what happened meanwhile."""
    facts: list[Fact] = []
    restarted = conveyor.boot_id not in (None, report.boot_id)
    if restarted:
        facts.append(Restarted(conveyor.device, report.boot_id))
    conveyor.boot_id, conveyor.echo, conveyor.packml_mode = report.boot_id, report.echo, report.mode
    facts.extend(follow(conveyor, report.state))
    if len(report.zones) != len(conveyor.zones):
        facts.append(
            Irregular(conveyor.device, f"report has {len(report.zones)} zones, configured {len(conveyor.zones)}")
        )
        # Zones that can't be told apart are no picture to act on.
        conveyor.health.reported = False
        return facts
    pairs = list(zip(conveyor.zones, report.zones, strict=True))
    # A load that moved on has left its old zone when its arrival is told, so all that left comes first.
    for number, (known, zone) in enumerate(pairs, 1):
        if known.occupied and known.track_id and (not zone.occupied or zone.track_id != known.track_id):
            facts.append(ZoneLeft(conveyor.device, number, known.track_id))
    for number, (known, zone) in enumerate(pairs, 1):
        if zone.occupied and _is_another(known, zone, counting=not restarted):
            facts.append(ZoneTaken(conveyor.device, number, zone.track_id))
    for number, (known, zone) in enumerate(pairs, 1):
        facts.extend(_observe_zone(conveyor, number, known, zone))
    conveyor.health.reported = True
    return facts


def _is_another(known: ZoneState, zone: Zone, *, counting: bool) -> bool:
    """Whether the load in an occupied zone is not the one known there, or is named only now.

    Track ids tell loads apart; only where there is none does the arrival counter have to, and it says nothing
    over a restart of the PLC.
    """
    if not known.occupied or zone.track_id != known.track_id:
        return True
    return counting and not zone.track_id and zone.arrivals != known.arrivals


def _zone_state(zone: Zone) -> str:
    if zone.fault:
        return "faulted"
    if zone.jam_at_arrival or zone.jam_at_sensor:
        return "jammed"
    return "occupied" if zone.occupied else "empty"


def _observe_zone(conveyor: Conveyor, number: int, known: ZoneState, zone: Zone) -> list[Fact]:
    facts: list[Fact] = []
    before, part = known.state, f"zone {number}"
    ZONE.adopt(known, _zone_state(zone))  # every zone state is two rows at most from any other: never a jump
    known.occupied, known.track_id = zone.occupied, zone.track_id
    known.arrivals, known.departures = zone.arrivals, zone.departures
    if before != known.state:
        facts.append(StateChanged(conveyor.device, part, before, known.state))
        if before in ("jammed", "faulted"):
            facts.append(FaultCleared(conveyor.device, part, before))
        if known.state == "jammed":
            where = "at arrival" if zone.jam_at_arrival else "at the sensor"
            text = f"load jammed {where}: free it by hand, then reset the zone"
            facts.append(Faulted(conveyor.device, part, "jammed", text))
        elif known.state == "faulted":
            facts.append(Faulted(conveyor.device, part, "faulted", "drive fault: check the motor, then reset the zone"))
    return facts
