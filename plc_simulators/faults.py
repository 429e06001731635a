"""Faults that can be put into a plant: which kinds there are, what they apply to, and which are on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CONVEYOR, SORTER, CELL, VEHICLE = "conveyor", "sorter", "robot_cell", "agv"
DELAY_MS_MAX = 600_000


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: device types it applies to, and the number it needs besides ("" for none)."""

    applies_to: tuple[str, ...]
    needs: str = ""
    lasting: bool = True


KINDS: Mapping[str, Kind] = {
    "jam": Kind((CONVEYOR,), "zone"),
    "sensor_stuck": Kind((CONVEYOR,), "zone"),
    "lane_full": Kind((SORTER,), "lane"),
    "lane_disabled": Kind((SORTER,), "lane"),
    "no_read": Kind((SORTER,)),
    "double_scan": Kind((SORTER,)),
    "divert_missed": Kind((SORTER,)),
    "e_stop": Kind((CONVEYOR, SORTER, CELL, VEHICLE)),
    "link_drop": Kind((CONVEYOR, SORTER, CELL, VEHICLE)),
    "plc_restart": Kind((CONVEYOR, SORTER, CELL), lasting=False),
    "agv_failure": Kind((VEHICLE,)),
    "localisation_lost": Kind((VEHICLE,)),
    "low_battery": Kind((VEHICLE,), "percent", lasting=False),
    "slow_plc": Kind((CONVEYOR, SORTER, CELL), "delay_ms"),
}


class FaultError(ValueError):
    """The fault can't be put there; the text says what would be right."""


@dataclass(frozen=True, slots=True)
class Fault:
    kind: str
    device: str
    number: int = 0
    """Zone, lane, delay in ms or percent, as the kind needs it."""


class Faults:
    """Which faults are on. `devices` maps a device's id to its type, `numbers` to its zones or lanes."""

    def __init__(self, devices: Mapping[str, str], numbers: Mapping[str, frozenset[int]]) -> None:
        self._devices = devices
        self._numbers = numbers
        self._active: dict[tuple[str, str, int], Fault] = {}

    def check(self, kind: str, device: str, where: Mapping[str, object]) -> Fault:
        """The fault that is meant. Raises FaultError."""
        meant = KINDS.get(kind)
        if meant is None:
            raise FaultError(f"fault {kind} is unknown; known are {', '.join(KINDS)}")
        type_ = self._devices.get(device)
        if type_ is None:
            raise FaultError(f"device {device} is unknown; known are {', '.join(self._devices)}")
        if type_ not in meant.applies_to:
            raise FaultError(f"fault {kind} applies to {' and '.join(meant.applies_to)}; {device} is a {type_}")
        unknown = set(where) - {meant.needs}
        if unknown:
            raise FaultError(f"fault {kind} takes no {', '.join(sorted(unknown))}")
        number = where.get(meant.needs, 0) if meant.needs else 0
        if isinstance(number, bool) or not isinstance(number, int):
            raise FaultError(f"fault {kind} at {device}: {meant.needs} {number!r} is not a whole number")
        if meant.needs in ("zone", "lane") and number not in self._numbers[device]:
            raise FaultError(f"{device} has no {meant.needs} {number}; give a {meant.needs} it has")
        if meant.needs == "delay_ms" and not 0 <= number <= DELAY_MS_MAX:
            raise FaultError(f"slow_plc at {device}: delay_ms {number} is not within 0 to {DELAY_MS_MAX}")
        if meant.needs == "percent" and not 0 <= number <= 100:
            raise FaultError(f"{kind} at {device}: percent {number} is not within 0 to 100")
        return Fault(kind, device, number)

    def switch(self, fault: Fault, on: bool) -> None:
        """Remember a lasting fault as on or off. One delay per PLC: a new one replaces the old one."""
        if not KINDS[fault.kind].lasting:
            return
        key = (fault.kind, fault.device, 0 if fault.kind == "slow_plc" else fault.number)
        if on:
            self._active[key] = fault
        else:
            self._active.pop(key, None)

    def active(self) -> tuple[Fault, ...]:
        return tuple(self._active.values())

    def is_on(self, kind: str, device: str) -> bool:
        return any(fault.kind == kind and fault.device == device for fault in self._active.values())
