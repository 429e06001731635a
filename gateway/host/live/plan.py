"""The part of a site that does not move: what a floor is drawn from. Nothing of its connections is told."""

from __future__ import annotations

from typing import Any

from gateway.site import AgvSpec, ConveyorSpec, RobotCellSpec, Site, SorterSpec, WorkstationSpec


def plan_of(site: Site) -> dict[str, Any]:
    """Names, roadmap, locations, where devices stand, people, the sort plan: plain values for JSON."""
    plan = site.sort_plan
    return {
        "id": site.site.id,
        "name": site.site.name,
        "timezone": site.site.timezone,
        "map": {
            "id": site.map.id,
            "clearance_mm": site.map.clearance_mm,
            "nodes": {node.id: {"x_mm": node.x_mm, "y_mm": node.y_mm} for node in site.map.nodes},
            "edges": [
                {
                    "from": edge.from_node,
                    "to": edge.to_node,
                    "both_ways": edge.both_ways,
                    "speed_max_mm_s": edge.speed_max_mm_s,
                }
                for edge in site.map.edges
            ],
        },
        "locations": {
            place.id: {"kind": place.kind, "capacity": place.capacity, "node": place.node} for place in site.locations
        },
        "devices": {spec.id: _device(spec) for spec in site.devices},
        "people": {person.id: {"name": person.name, "skills": person.skills} for person in site.people},
        "sort_plan": None
        if plan is None
        else {
            "id": plan.id,
            "destinations": {
                name: {"sorter": found.sorter, "lanes": found.lanes} for name, found in plan.destinations.items()
            },
        },
    }


def _device(spec: ConveyorSpec | SorterSpec | RobotCellSpec | AgvSpec | WorkstationSpec) -> dict[str, Any]:
    match spec:
        case ConveyorSpec():
            runs = [
                {
                    "run": f"{spec.id}.{number}",
                    "from": run.from_location,
                    "to": run.to_location,
                    "zone_first": run.zone_first,
                    "zone_last": run.zone_last,
                    "loads_max": run.loads_max,
                }
                for number, run in enumerate(spec.runs, 1)
            ]
            sizes = {"zones": spec.zones, "zone_length_mm": spec.zone_length_mm, "speed_mm_s": spec.speed_mm_s}
            return {"type": spec.type, **sizes, "runs": runs}
        case SorterSpec():
            sizes = {
                "speed_mm_s": spec.speed_mm_s,
                "scan_to_first_divert_mm": spec.scan_to_first_divert_mm,
                "lane_pitch_mm": spec.lane_pitch_mm,
            }
            lanes = {str(lane.lane): lane.location for lane in spec.lanes}
            return {
                "type": spec.type,
                "infeed": spec.infeed,
                **sizes,
                "lanes": lanes,
                "reject_lane": spec.reject_lane,
            }
        case RobotCellSpec():
            return {
                "type": spec.type,
                "infeed": spec.infeed,
                "outfeed": spec.outfeed,
                "skills": spec.skills,
                "recipes": spec.recipes,
            }
        case AgvSpec():
            return {
                "type": spec.type,
                "home": spec.home,
                "speed_max_mm_s": spec.speed_max_mm_s,
                "battery_min_percent": spec.battery_min_percent,
            }
        case WorkstationSpec():
            return {"type": spec.type, "location": spec.location}
