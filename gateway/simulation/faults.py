"""What goes wrong in a run: drawn from the seed as a timetable, so that a run can be shrunk to fewer faults."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.site import AgvSpec, ConveyorSpec, RobotCellSpec, Site, SorterSpec

CONVEYOR, SORTER, CELL, VEHICLE, SITE = "conveyor", "sorter", "robot_cell", "agv", "site"
PLC = (CONVEYOR, SORTER, CELL)
WARM_UP_S = 60


@dataclass(frozen=True)
class Kind:
    """One kind of fault: what it strikes, how long it lasts (seconds, least and most; (0, 0): it just happens),
    and the number that goes with it (least and most)."""

    strikes: tuple[str, ...]
    lasts_s: tuple[int, int] = (0, 0)
    number: tuple[int, int] = (0, 0)


KINDS: Mapping[str, Kind] = {
    # the air and the cables
    "loss": Kind((VEHICLE,), (10, 90), (5, 60)),
    "duplication": Kind((VEHICLE,), (10, 90), (10, 80)),
    "delay": Kind((VEHICLE,), (10, 90), (100, 3_000)),
    "reordering": Kind((VEHICLE,), (10, 90), (10, 60)),
    "partition_up": Kind((*PLC, VEHICLE), (2, 45)),
    "partition_down": Kind((*PLC, VEHICLE), (2, 45)),
    "link_drop": Kind((*PLC, VEHICLE), (1, 45)),
    "broker_restart": Kind((SITE,), (2, 20)),
    "frozen": Kind(PLC, (2, 30)),
    "bad_quality": Kind(PLC, (1, 30)),
    # the plant
    "plc_restart": Kind(PLC),
    "slow_plc": Kind(PLC, (10, 60), (200, 4_000)),
    "jam": Kind((CONVEYOR,), (60, 60), (2, 11)),
    "sensor_stuck": Kind((CONVEYOR,), (5, 40), (2, 11)),
    "no_read": Kind((SORTER,), (5, 40)),
    "double_scan": Kind((SORTER,), (5, 40)),
    "divert_missed": Kind((SORTER,), (5, 40)),
    "lane_full": Kind((SORTER,), (10, 90), (1, 8)),
    "lane_disabled": Kind((SORTER,), (10, 90), (1, 8)),
    "e_stop": Kind((CONVEYOR, SORTER, CELL, VEHICLE), (5, 45)),
    "agv_failure": Kind((VEHICLE,), (10, 90)),
    "low_battery": Kind((VEHICLE,), (30, 90), (3, 15)),
    "localisation_lost": Kind((VEHICLE,), (5, 45)),
    # people
    "load_taken": Kind((SITE,), (20, 120)),
    "load_put_down": Kind((SITE,), (20, 60)),
    "operator_absent": Kind((SITE,), (30, 180), (0, 2)),
    # hosts
    "host_retries": Kind((SITE,), (10, 60), (20, 70)),
    "host_duplicate": Kind((SITE,)),
    "host_id_reused": Kind((SITE,)),
    "late_cancel": Kind((SITE,)),
    # the edge server
    "clock_step": Kind((SITE,), (0, 0), (-1, 1)),
    "config_valid": Kind((SITE,), (0, 0), (0, 3)),
    "config_invalid": Kind((SITE,)),
    "crash": Kind((SITE,), (0, 0), (0, 7)),
    "power_cut": Kind((SITE,)),
    "disk_full": Kind((SITE,), (2, 30)),
    "disk_slow": Kind((SITE,), (5, 40), (20, 400)),
}


@dataclass(frozen=True)
class Fault:
    """One fault of a timetable; `at_s` from the beginning of the run, `device` "" where it strikes the site."""

    index: int
    kind: str
    at_s: float
    lasts_s: float = 0.0
    device: str = ""
    number: int = 0

    def __str__(self) -> str:
        where = f" {self.device}" if self.device else ""
        number = f" {self.number}" if KINDS[self.kind].number != (0, 0) else ""
        lasts = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        return f"fault {self.index} at {self.at_s:.1f} s: {self.kind}{where}{number}{lasts}"


def chosen(text: str) -> tuple[str, ...]:
    """The kinds that `all`, `none` or a list parted by commas names. Raises ValueError."""
    if text == "all":
        return tuple(KINDS)
    if text == "none":
        return ()
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in KINDS]
    if unknown or not names:
        raise ValueError(
            f"faults {text!r}: unknown {', '.join(unknown) or 'empty list'}; known are all, none, {', '.join(KINDS)}"
        )
    return tuple(dict.fromkeys(names))


def timetable(site: Site, seed: int, kinds: tuple[str, ...], until_s: float, mean_s: float) -> tuple[Fault, ...]:
    """The faults of one run, on average one in `mean_s` seconds, all over at `until_s`. Kinds are equally likely."""
    rng = random.Random(f"{seed} faults")
    devices = _devices(site)
    found: list[Fault] = []
    at_s = WARM_UP_S + rng.expovariate(1 / mean_s)
    while kinds and at_s < until_s:
        kind = rng.choice(kinds)
        meant = KINDS[kind]
        targets = [name for name, type_ in devices if type_ in meant.strikes] or [""]
        lasts_s = min(rng.uniform(*meant.lasts_s), until_s - at_s)
        number = rng.randint(*meant.number)
        if kind == "clock_step":
            number = number or 1
        found.append(Fault(len(found), kind, round(at_s, 3), round(lasts_s, 3), rng.choice(targets), number))
        at_s += rng.expovariate(1 / mean_s)
    return tuple(found)


def _devices(site: Site) -> list[tuple[str, str]]:
    types = {ConveyorSpec: CONVEYOR, SorterSpec: SORTER, RobotCellSpec: CELL, AgvSpec: VEHICLE}
    return [(spec.id, types[type(spec)]) for spec in site.devices if type(spec) in types]
