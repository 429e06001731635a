"""What the simulators need to know of a site: read straight from its YAML, in a reading of their own.

All `*.yaml` files of the folder count; lists on the top level are concatenated. `${NAME}` and `${NAME:-default}`
are replaced from the environment. Only what a plant is built of is kept: addresses are not, since the simulators
choose free ports themselves. Lengths are millimetres, speeds mm/s.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


class LayoutError(ValueError):
    """The site folder can't be simulated; the text says what is missing where."""


@dataclass(frozen=True, slots=True)
class Location:
    """A place for `capacity` loads; `node` is where a vehicle stands to reach it, "" for none."""

    id: str
    kind: str
    capacity: int = 1
    node: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One way over a conveyor, from its entry zone to its exit zone."""

    from_location: str
    to_location: str
    zone_first: int
    zone_last: int


@dataclass(frozen=True, slots=True)
class ConveyorLayout:
    id: str
    zones: int
    runs: tuple[Run, ...]
    zone_length_mm: int = 700
    speed_mm_s: int = 600


@dataclass(frozen=True, slots=True)
class SorterLayout:
    """`lanes` maps the lane number to its location's id."""

    id: str
    infeed: str
    lanes: Mapping[int, str]
    reject_lane: int
    speed_mm_s: int = 1000
    scan_to_first_divert_mm: int = 2000
    lane_pitch_mm: int = 1000


@dataclass(frozen=True, slots=True)
class CellLayout:
    id: str
    infeed: str
    outfeed: str


@dataclass(frozen=True, slots=True)
class VehicleLayout:
    id: str
    manufacturer: str
    serial: str
    home: str
    interface: str = "uagv"
    speed_max_mm_s: int = 1500
    vda_version: str = "2.1.0"


@dataclass(frozen=True, slots=True)
class Layout:
    """One site as the plant sees it. `nodes` maps a node's id to its position (x_mm, y_mm)."""

    map_id: str = "floor"
    nodes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    locations: Mapping[str, Location] = field(default_factory=dict)
    conveyors: tuple[ConveyorLayout, ...] = ()
    sorters: tuple[SorterLayout, ...] = ()
    cells: tuple[CellLayout, ...] = ()
    vehicles: tuple[VehicleLayout, ...] = ()


def read(site: Path, environment: Mapping[str, str] | None = None) -> Layout:
    """Read the site folder. Raises LayoutError for a folder, file or entry that can't be used."""
    variables = os.environ if environment is None else environment
    files = sorted(site.glob("*.yaml"))
    if not files:
        raise LayoutError(f"{site}: no *.yaml file there; give the folder of a site")
    merged: dict[str, Any] = {}
    for file in files:
        try:
            document = yaml.safe_load(_substitute(file.read_text(encoding="utf-8"), variables, file))
        except yaml.YAMLError as problem:
            raise LayoutError(f"{file}: not YAML: {problem}") from problem
        if not isinstance(document or {}, dict):
            raise LayoutError(f"{file}: not a mapping of sections; compare with the demo site")
        for key, value in (document or {}).items():
            if isinstance(value, list) and isinstance(merged.get(key), list):
                merged[key] = merged[key] + value
            else:
                merged[key] = value
    try:
        return _build(merged)
    except (KeyError, TypeError, AttributeError) as problem:
        raise LayoutError(f"{site}: an entry lacks or misuses {problem}; compare with the demo site") from problem


def _substitute(text: str, variables: Mapping[str, str], file: Path) -> str:
    def replace(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        value = variables.get(name, default)
        if value is None:
            raise LayoutError(f"{file}: ${{{name}}} has no value; set the variable or give a default with :-")
        return value

    return _VARIABLE.sub(replace, text)


def _build(site: Mapping[str, Any]) -> Layout:
    floor = site.get("map", {})
    devices = site.get("devices", [])
    locations = [
        Location(entry["id"], entry["kind"], entry.get("capacity", 1), entry.get("node", ""))
        for entry in site.get("locations", [])
    ]
    layout = Layout(
        map_id=floor.get("id", "floor"),
        nodes={node["id"]: (node["x_mm"], node["y_mm"]) for node in floor.get("nodes", [])},
        locations={location.id: location for location in locations},
        conveyors=tuple(_conveyor(entry) for entry in devices if entry["type"] == "conveyor"),
        sorters=tuple(_sorter(entry) for entry in devices if entry["type"] == "sorter"),
        cells=tuple(
            CellLayout(entry["id"], entry["infeed"], entry["outfeed"])
            for entry in devices
            if entry["type"] == "robot_cell"
        ),
        vehicles=tuple(_vehicle(entry) for entry in devices if entry["type"] == "agv"),
    )
    _check(layout)
    return layout


def _chosen(entry: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The optional settings that the entry really has, so that the dataclass keeps its own defaults."""
    return {name: entry[name] for name in names if name in entry}


def _conveyor(entry: Mapping[str, Any]) -> ConveyorLayout:
    runs = tuple(Run(run["from"], run["to"], run["zone_first"], run["zone_last"]) for run in entry["runs"])
    return ConveyorLayout(entry["id"], entry["zones"], runs, **_chosen(entry, "zone_length_mm", "speed_mm_s"))


def _sorter(entry: Mapping[str, Any]) -> SorterLayout:
    lanes = {lane["lane"]: lane["location"] for lane in entry["lanes"]}
    options = _chosen(entry, "speed_mm_s", "scan_to_first_divert_mm", "lane_pitch_mm")
    return SorterLayout(entry["id"], entry["infeed"], lanes, entry["reject_lane"], **options)


def _vehicle(entry: Mapping[str, Any]) -> VehicleLayout:
    connection = entry["connection"]
    return VehicleLayout(
        entry["id"],
        connection["manufacturer"],
        connection["serial"],
        entry["home"],
        connection.get("interface", "uagv"),
        **_chosen(entry, "speed_max_mm_s"),
        vda_version=_vda_version(entry.get("profile", "")),
    )


def _vda_version(profile: str) -> str:
    """The version that a profile's name ends with (`vda5050-3.0`); with another name the vehicle speaks 2.1."""
    found = re.search(r"(2\.0|2\.1|3\.0)$", profile)
    return f"{found.group()}.0" if found else "2.1.0"


def _check(layout: Layout) -> None:
    """Refuse what would make a plant with holes in it."""
    reachable = {*layout.locations, *(run.from_location for line in layout.conveyors for run in line.runs)}
    reachable |= {sorter.infeed for sorter in layout.sorters}
    reachable |= {place for cell in layout.cells for place in (cell.infeed, cell.outfeed)}
    for conveyor in layout.conveyors:
        for run in conveyor.runs:
            if run.to_location not in reachable:
                raise LayoutError(f"conveyor {conveyor.id}: hands over to {run.to_location}, which is no location")
            if not 1 <= run.zone_first <= run.zone_last <= conveyor.zones:
                zones = f"zones {run.zone_first} to {run.zone_last} of {conveyor.zones}"
                raise LayoutError(f"conveyor {conveyor.id}: a run uses {zones}; correct the run or the zones")
    for sorter in layout.sorters:
        if sorter.reject_lane not in sorter.lanes:
            raise LayoutError(f"sorter {sorter.id}: reject lane {sorter.reject_lane} is not among its lanes")
        for lane, location in sorter.lanes.items():
            if location not in reachable:
                raise LayoutError(f"sorter {sorter.id}: lane {lane} leads to {location}, which is no location")
    for vehicle in layout.vehicles:
        if vehicle.home not in layout.nodes:
            raise LayoutError(f"vehicle {vehicle.id}: home {vehicle.home} is no node of the map")
