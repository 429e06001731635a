"""The material flow: runs over conveyors, lanes of sorters, the sort plan, and who serves which location."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gateway.site.checks_finding import Finding, Path
from gateway.site.checks_ids import Ids
from gateway.site.model import AgvSpec, ConveyorSpec, RobotCellSpec, Site, SortDestination, SorterSpec, SortPlanSpec


def check_flow(site: Site, ids: Ids) -> Iterator[Finding]:
    for number, device in enumerate(site.devices):
        path: Path = ("devices", number)
        if isinstance(device, ConveyorSpec):
            yield from _runs(device, path)
        elif isinstance(device, SorterSpec):
            yield from _lanes(device, path)
        elif isinstance(device, RobotCellSpec) and device.infeed == device.outfeed:
            message = f"robot_cell {device.id}: '{device.infeed}' is both its infeed and its outfeed"
            yield Finding((*path, "outfeed"), message, "name the place where finished loads come out")
    yield from _takers(site)
    if site.sort_plan is not None:
        yield from check_sort_plan(site.sort_plan, ids.devices)


def check_sort_plan(plan: SortPlanSpec, devices: Mapping[str, object]) -> Iterator[Finding]:
    """Whether the lanes of a plan are those of its sorters. A sorter that is not there is not judged here."""
    for name, destination in plan.destinations.items():
        sorter = devices.get(destination.sorter)
        if isinstance(sorter, SorterSpec):
            yield from _destination(name, destination, sorter)


def _runs(conveyor: ConveyorSpec, path: Path) -> Iterator[Finding]:
    who = f"conveyor {conveyor.id}"
    owner: dict[int, int] = {}
    for number, run in enumerate(conveyor.runs):
        at: Path = (*path, "runs", number)
        name = f"{who}: run {run.from_location} → {run.to_location}"
        if run.from_location == run.to_location:
            yield Finding((*at, "to"), f"{name} ends where it begins", "name the location behind its last zone")
        if run.zone_first > run.zone_last:
            message = f"{name} runs backwards, from zone {run.zone_first} to {run.zone_last}"
            yield Finding((*at, "zone_last"), message, "zones are numbered in the direction of travel")
            continue
        for key in ("zone_first", "zone_last"):
            zone = getattr(run, key)
            if zone > conveyor.zones:
                message = f"{name} uses zone {zone}; {conveyor.id} has {conveyor.zones}"
                yield Finding((*at, key), message, f"write at most {conveyor.zones}, or raise 'zones'")
        zones = range(run.zone_first, min(run.zone_last, conveyor.zones) + 1)
        shared = next((zone for zone in zones if zone in owner), None)
        if shared is not None:
            other: Path = (*path, "runs", owner[shared], "zone_first")
            message = f"{name} shares zone {shared} with another run"
            yield Finding((*at, "zone_first"), message, "a zone belongs to one run", other)
        for zone in zones:
            owner.setdefault(zone, number)


def _lanes(sorter: SorterSpec, path: Path) -> Iterator[Finding]:
    who = f"sorter {sorter.id}"
    first: dict[int, Path] = {}
    for number, lane in enumerate(sorter.lanes):
        at: Path = (*path, "lanes", number, "lane")
        known = first.setdefault(lane.lane, at)
        if known is not at:
            yield Finding(at, f"{who}: lane {lane.lane} stands here twice", "lane numbers are unique", known)
        if lane.location == sorter.infeed:
            message = f"{who}: lane {lane.lane} leads to its own infeed '{sorter.infeed}'"
            yield Finding((*path, "lanes", number, "location"), message, "name the place behind the lane")
    last = max(first)
    gap = next((lane for lane in range(1, last) if lane not in first), None)
    if gap is not None:
        message = f"{who}: lane {gap} is missing; lanes are numbered from 1 to {len(first)} without a gap"
        yield Finding(first[last], message, "number them as the PLC does")
    if sorter.reject_lane not in first:
        message = f"{who}: the reject lane {sorter.reject_lane} is not one of its lanes"
        yield Finding((*path, "reject_lane"), message, f"the lanes are {_numbers(first)}")


def _destination(name: str, destination: SortDestination, sorter: SorterSpec) -> Iterator[Finding]:
    known = {lane.lane for lane in sorter.lanes}
    order = {lane.lane: place for place, lane in enumerate(sorter.lanes)}
    seen: set[int] = set()
    for number, lane in enumerate(destination.lanes):
        at: Path = ("sort_plan", "destinations", name, "lanes", number)
        if lane not in known:
            message = f"destination {name}: sorter {sorter.id} has no lane {lane}"
            yield Finding(at, message, f"the lanes are {_numbers(known)}")
        elif lane == sorter.reject_lane:
            message = f"destination {name}: lane {lane} is the reject lane of {sorter.id}"
            yield Finding(at, message, "rejects and goods do not share a lane; name another one")
        elif lane in seen:
            yield Finding(at, f"destination {name}: lane {lane} stands here twice", "name each lane once")
        elif number and order.get(lane, 0) < order.get(destination.lanes[number - 1], 0):
            message = f"destination {name}: lane {lane} lies before lane {destination.lanes[number - 1]}"
            yield Finding(at, message, "a load that has passed a lane can't go back: name the lanes in travel order")
        seen.add(lane)


def _numbers(lanes: dict[int, Path] | set[int]) -> str:
    numbers = [str(lane) for lane in sorted(lanes)]
    return ", ".join(numbers) if len(numbers) <= 12 else f"{', '.join(numbers[:11])} … {numbers[-1]}"


def _takers(site: Site) -> Iterator[Finding]:
    """A load in a location must have one device that takes it on by itself, or nobody knows which one will."""
    first: dict[str, tuple[Path, str]] = {}
    for location, path, who in _taking(site):
        known = first.setdefault(location, (path, who))
        if known[0] is not path:
            message = f"location {location} is taken from by {known[1]} and by {who}"
            yield Finding(path, message, "a place feeds one run, sorter or cell; use a location for each", known[0])


def _taking(site: Site) -> Iterator[tuple[str, Path, str]]:
    for number, device in enumerate(site.devices):
        if isinstance(device, ConveyorSpec):
            for run_number, run in enumerate(device.runs):
                who = f"a run of conveyor {device.id}"
                yield run.from_location, ("devices", number, "runs", run_number, "from"), who
        elif isinstance(device, SorterSpec | RobotCellSpec):
            yield device.infeed, ("devices", number, "infeed"), f"{device.type.replace('_', ' ')} {device.id}"


def check_served(site: Site) -> Iterator[Finding]:
    """A location that no device brings loads to or takes them from."""
    vehicles = any(isinstance(device, AgvSpec) for device in site.devices)
    served: set[str] = set()
    for device in site.devices:
        if isinstance(device, ConveyorSpec):
            for run in device.runs:
                served.update((run.from_location, run.to_location))
        elif isinstance(device, SorterSpec):
            served.add(device.infeed)
            served.update(lane.location for lane in device.lanes)
        elif isinstance(device, RobotCellSpec):
            served.update((device.infeed, device.outfeed))
    for number, location in enumerate(site.locations):
        if location.id in served or (location.node is not None and vehicles):
            continue
        message = f"location {location.id} is out of reach: no device brings loads there or takes them away"
        hint = "give it a 'node' for the vehicles, or name it in a run, a sorter or a cell"
        if location.node is not None:
            hint = "it has a node, but the site has no vehicles: add an agv, a run, a sorter or a cell"
        yield Finding(("locations", number, "id"), message, hint)
