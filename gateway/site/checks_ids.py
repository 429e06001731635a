"""Ids are unique, and every name that refers to something refers to something that is there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from gateway.site.checks_finding import Finding, Path, did_you_mean
from gateway.site.model import (
    AgvSpec,
    ConveyorSpec,
    DeviceSpec,
    LocationSpec,
    NodeSpec,
    RobotCellSpec,
    Site,
    SorterSpec,
    WorkstationSpec,
)
from gateway.site.profile import Profile

HINTS_MAX = 100
"""Near names are looked for in so many findings; a site with more unknown names has another problem."""


@dataclass(slots=True)
class Ids:
    """What there is, by id. `left_out`: ids that exist but could not be read."""

    devices: dict[str, DeviceSpec]
    locations: dict[str, LocationSpec]
    nodes: dict[str, NodeSpec]
    profiles: dict[str, Profile]
    profile_names: frozenset[str]
    left_out: frozenset[str]
    users: dict[str, list[int]]
    """Profile → the indices of the devices that use it."""
    hints: int = 0


def index(site: Site, left_out: frozenset[str], shipped: Collection[str]) -> Ids:
    profiles = {profile.profile: profile for profile in site.profiles}
    users: dict[str, list[int]] = {}
    for number, device in enumerate(site.devices):
        if not isinstance(device, WorkstationSpec):
            users.setdefault(device.profile, []).append(number)
    return Ids(
        devices={device.id: device for device in site.devices},
        locations={location.id: location for location in site.locations},
        nodes={node.id: node for node in site.map.nodes},
        profiles=profiles,
        profile_names=frozenset(profiles) | frozenset(shipped),
        left_out=left_out,
        users=users,
    )


# --- ids are unique ---

_Named = Iterable[tuple[str, Path]]


def check_ids(site: Site) -> Iterator[Finding]:
    devices: _Named = ((d.id, ("devices", i, "id")) for i, d in enumerate(site.devices))
    locations: _Named = ((x.id, ("locations", i, "id")) for i, x in enumerate(site.locations))
    yield from _unique("device or location", [*locations, *devices], "ids are shared by devices and locations")
    yield from _unique("node", ((n.id, ("map", "nodes", i, "id")) for i, n in enumerate(site.map.nodes)))
    yield from _unique("person", ((p.id, ("people", i, "id")) for i, p in enumerate(site.people)))
    yield from _unique("channel", ((c.id, ("channels", i, "id")) for i, c in enumerate(site.channels)))
    names: _Named = ((p.profile, ("profiles", i, "profile")) for i, p in enumerate(site.profiles))
    yield from _unique("profile", names)
    yield from _unique_edges(site)


def _unique(what: str, named: _Named, why: str = "ids are unique") -> Iterator[Finding]:
    first: dict[str, Path] = {}
    for name, path in named:
        known = first.setdefault(name, path)
        if known is not path:
            yield Finding(path, f"the id '{name}' is taken by another {what}", f"{why}: choose another one", known)


def _unique_edges(site: Site) -> Iterator[Finding]:
    first: dict[tuple[str, str], Path] = {}
    for number, edge in enumerate(site.map.edges):
        path: Path = ("map", "edges", number, "to")
        name = f"edge {edge.from_node} → {edge.to_node}"
        if edge.from_node == edge.to_node:
            yield Finding(path, f"{name} leads back to where it begins", "name another node, or remove the edge")
            continue
        ways = [(edge.from_node, edge.to_node)]
        if edge.both_ways:
            ways.append((edge.to_node, edge.from_node))
        known = next((first[way] for way in ways if way in first), None)
        if known is not None:
            yield Finding(path, f"{name} stands here twice", "remove one; both_ways means both directions", known)
        for way in ways:
            first.setdefault(way, path)


# --- what is named is there ---


def check_references(site: Site, ids: Ids) -> Iterator[Finding]:
    for number, location in enumerate(site.locations):
        if location.node is not None:
            yield from _node(ids, location.node, ("locations", number, "node"), f"location {location.id}")
    for number, edge in enumerate(site.map.edges):
        name = f"edge {edge.from_node} → {edge.to_node}"
        yield from _node(ids, edge.from_node, ("map", "edges", number, "from"), name)
        yield from _node(ids, edge.to_node, ("map", "edges", number, "to"), name)
    for number, device in enumerate(site.devices):
        path: Path = ("devices", number)
        for steps, location_id in _locations_of(device):
            yield from _location(ids, location_id, path + steps, f"{device.type} {device.id}")
        if isinstance(device, AgvSpec):
            yield from _node(ids, device.home, (*path, "home"), f"agv {device.id}")
        if not isinstance(device, WorkstationSpec):
            yield from _profile(ids, device.profile, (*path, "profile"), f"{device.type} {device.id}")
    if site.sort_plan is not None:
        for name, destination in site.sort_plan.destinations.items():
            at: Path = ("sort_plan", "destinations", name, "sorter")
            yield from _sorter(ids, destination.sorter, at, f"destination {name}")


def _locations_of(device: DeviceSpec) -> Iterator[tuple[Path, str]]:
    """Where a device names locations, as steps below it and the id."""
    if isinstance(device, ConveyorSpec):
        for number, run in enumerate(device.runs):
            yield ("runs", number, "from"), run.from_location
            yield ("runs", number, "to"), run.to_location
    elif isinstance(device, SorterSpec):
        yield ("infeed",), device.infeed
        for number, lane in enumerate(device.lanes):
            yield ("lanes", number, "location"), lane.location
    elif isinstance(device, RobotCellSpec):
        yield ("infeed",), device.infeed
        yield ("outfeed",), device.outfeed
    elif isinstance(device, WorkstationSpec):
        yield ("location",), device.location


def _node(ids: Ids, name: str, path: Path, who: str) -> Iterator[Finding]:
    if name not in ids.nodes and name not in ids.left_out:
        other = f"'{name}' is a location; name the node where the vehicle stands" if name in ids.locations else ""
        yield _unknown(ids, "node", name, path, who, ids.nodes, other, "declare it under map: nodes")


def _location(ids: Ids, name: str, path: Path, who: str) -> Iterator[Finding]:
    if name not in ids.locations and name not in ids.left_out:
        other = ""
        if name in ids.devices:
            other = f"'{name}' is a device; name one of its locations"
        elif name in ids.nodes:
            other = f"'{name}' is a node of the map; name the location at it"
        yield _unknown(ids, "location", name, path, who, ids.locations, other, "declare it under locations")


def _profile(ids: Ids, name: str, path: Path, who: str) -> Iterator[Finding]:
    if name not in ids.profiles and name not in ids.left_out:
        known = ", ".join(sorted(ids.profile_names)[:10])
        hint = f"there are {known}" if known else "declare it under profiles"
        yield _unknown(ids, "profile", name, path, who, sorted(ids.profile_names), "", hint)


def _sorter(ids: Ids, name: str, path: Path, who: str) -> Iterator[Finding]:
    device = ids.devices.get(name)
    if isinstance(device, SorterSpec) or name in ids.left_out:
        return
    sorters = [d.id for d in ids.devices.values() if isinstance(d, SorterSpec)]
    other = f"'{name}' is a {device.type.replace('_', ' ')}, not a sorter" if device is not None else ""
    yield _unknown(ids, "sorter", name, path, who, sorters, other, "declare it under devices")


def _unknown(
    ids: Ids, what: str, name: str, path: Path, who: str, known: Iterable[str], other: str, otherwise: str
) -> Finding:
    hint = other
    if not hint:
        ids.hints += 1
        hint = did_you_mean(name, known, otherwise) if ids.hints <= HINTS_MAX else otherwise
    return Finding(path, f"unknown {what} '{name}' in {who}", hint)
