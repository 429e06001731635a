"""Assignment: which vehicle carries which load next.

The most urgent transports are served first: as many as there are free vehicles, by rank. Among those, who takes
which is the cheapest matching by driving time (Hungarian method). Every transport that is not begun says why.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from gateway.contract import DeviceId, Struct
from gateway.dispatch import loads, orders, work
from gateway.dispatch.floor import Hop
from gateway.dispatch.state import Load, Task
from gateway.dispatch.traffic import trips
from gateway.dispatch.turn import Turn

UNREACHABLE_S = 1e9


class Transport(Struct, frozen=True):
    """A load to be carried by one vehicle, with the rest of its route for which room must be kept."""

    task: str
    load: str
    hop: Hop
    route: tuple[Hop, ...]


def drive(turn: Turn) -> None:
    """Begin as many transports as there are vehicles free for them."""
    turn.memory.vehicles_touched = False
    free = []
    for vehicle in turn.floor.agvs:
        refusal = trips.refusal(turn, vehicle)
        turn.memory.saw(vehicle, refusal)
        if refusal is None:
            free.append(vehicle)
    wanted = _transports(turn)
    if not wanted:
        return
    vehicles = sorted(free)
    if not vehicles:
        why = trips.why_none_free(turn)
        for transport in wanted:
            turn.state.tasks[transport.task].reason = f"waits for a vehicle: {why}"
        return
    # Where one can't be begun now, that is a matter of the traffic, which changes with every step of a vehicle.
    turn.memory.vehicles_touched = True
    for vehicle, transport in _match(turn, vehicles, wanted):
        _begin(turn, vehicle, transport)


def _transports(turn: Turn) -> list[Transport]:
    """What could be carried now, most urgent first; the others have been told why not."""
    found: list[Transport] = []
    fetched = {trip.load for trip in turn.state.trips.values()}
    for task in orders.ready_tasks(turn):
        load = turn.state.loads.get(task.load)
        if load is None or task.person or load.location not in turn.floor.pickable or load.load in fetched:
            continue
        target = task.target
        transport = _transport(turn, task, load)
        if task.target != target:
            turn.touch()
        if transport is not None:
            found.append(transport)
    return found


def _transport(turn: Turn, task: Task, load: Load) -> Transport | None:
    route = _route(turn, task, load)
    if not route or route[0].kind != "agv":
        return None
    refusal = loads.no_room(turn, load, route)
    if refusal is not None:
        task.reason = refusal
        if task.kind == "work" and not task.to:
            task.target = task.device = ""  # another place may have room next time
        return None
    return Transport(task.task, load.load, route[0], route)


def _route(turn: Turn, task: Task, load: Load) -> tuple[Hop, ...] | None:
    """The way to where the task wants the load; () when it is there. Sets the task's reason where there is none."""
    if task.kind == "work":
        refusal = work.choose_target(turn, task, load)
        if refusal is not None:
            task.reason = refusal
            return None
        dest = task.target
    elif task.kind == "sort":
        plan = turn.site.sort_plan
        planned = plan.destinations.get(task.to) if plan else None
        if planned is None:
            task.reason = f"the sort plan has no destination {task.to}"
            return None
        dest = turn.floor.sorters[planned.sorter].infeed
    else:
        dest = task.to
    route = turn.floor.route(load.location, dest)
    if route is None:
        task.reason = f"there is no way from {load.location} to {dest}"
        if task.kind == "work" and not task.to:
            task.target = task.device = ""  # chosen when the load was elsewhere: another place is looked for next time
    elif not route and task.kind == "move":
        orders.finish(turn, task)
    return route


def _match(turn: Turn, vehicles: list[DeviceId], wanted: list[Transport]) -> list[tuple[DeviceId, Transport]]:
    first = wanted[: len(vehicles)]
    for transport in wanted[len(vehicles) :]:
        turn.state.tasks[transport.task].reason = f"{len(first)} more urgent transports go first"
    cost = np.array([[_seconds_to(turn, v, t) for t in first] for v in vehicles])
    rows, columns = linear_sum_assignment(cost)
    pairs = [(vehicles[r], first[c]) for r, c in zip(rows, columns, strict=True) if cost[r, c] < UNREACHABLE_S]
    # In the order of urgency, so that scarce room goes to the most urgent one.
    return sorted(pairs, key=lambda pair: first.index(pair[1]))


def _seconds_to(turn: Turn, vehicle: DeviceId, transport: Transport) -> float:
    node = turn.floor.locations[transport.hop.source].node or ""
    way = turn.floor.roadmap.way(trips.stands_at(turn, vehicle), node)
    return UNREACHABLE_S if way is None else turn.floor.roadmap.seconds(way)


def _begin(turn: Turn, vehicle: DeviceId, transport: Transport) -> None:
    task, load = turn.state.tasks[transport.task], turn.state.loads[transport.load]
    refusal = loads.no_room(turn, load, transport.route)  # a more urgent one may have taken it in this turn
    if refusal is None:
        refusal = trips.begin(turn, vehicle, load.load, transport.hop.source, transport.hop.dest)
    if refusal is not None:
        task.reason = refusal
        return
    loads.reserve(turn, load, transport.route)
    orders.begin(turn, task)
    if task.kind != "work":
        task.device = vehicle
    task.reason = f"{vehicle} fetches it from {transport.hop.source}"
