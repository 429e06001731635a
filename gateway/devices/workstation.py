"""Workstation: a place where people work on loads. It has no wire of its own: people sign on and confirm."""

from __future__ import annotations

import msgspec

from gateway.contract import DeviceId, PersonId, TaskId
from gateway.devices.health import Health
from gateway.devices.machine import Row, Table

STATION_STATES = ("closed", "staffed", "working")
STATION_ROWS: tuple[Row, ...] = (
    ("sign_on", "closed", "staffed"),
    ("sign_off", "staffed", "closed"),
    ("begin", "staffed", "working"),
    ("end", "working", "staffed"),
    ("walk_off", "working", "closed"),
)
STATION = Table("workstation", STATION_STATES, STATION_ROWS, "closed")


class Workstation(msgspec.Struct):
    """The gateway's picture of one workstation with one person at most."""

    device: DeviceId
    health: Health = msgspec.field(default_factory=lambda: Health(link="up", link_reason="no wire", reported=True))
    state: str = "closed"
    person: PersonId = ""
    task: TaskId = ""

    def refusal(self) -> str | None:
        reason = self.health.refusal()
        if reason is None and self.state == "closed":
            reason = "nobody has signed on"
        return reason


def new(device: DeviceId) -> Workstation:
    return Workstation(device=device)


def sign_on(station: Workstation, person: PersonId) -> bool:
    if not STATION.fire(station, "sign_on"):
        return False
    station.person = person
    return True


def sign_off(station: Workstation) -> bool:
    """The person leaves; work in hand stays open for the next one."""
    if not (STATION.fire(station, "sign_off") or STATION.fire(station, "walk_off")):
        return False
    station.person = station.task = ""
    return True


def begin(station: Workstation, task: TaskId) -> bool:
    if not STATION.fire(station, "begin"):
        return False
    station.task = task
    return True


def end(station: Workstation) -> bool:
    if not STATION.fire(station, "end"):
        return False
    station.task = ""
    return True
