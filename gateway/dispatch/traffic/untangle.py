"""A way out for vehicles that stand in one another's way.

The passing order keeps that from happening as long as everybody drives as it was planned. A vehicle that gives up its
way, is driven by hand or fails in a station breaks the plan; then one of those locked up steps aside, to a parking
place or to whatever node beside it is free, and goes on from there to where it was going.
"""

from __future__ import annotations

from gateway.contract import DeviceId, NodeId
from gateway.dispatch.state import Trip
from gateway.dispatch.traffic import occupancy, trips
from gateway.dispatch.traffic.schedule import Schedule
from gateway.dispatch.turn import Turn

KEY = "traffic untangle"
AGAIN_NS = 2_000_000_000
TRIES_MAX = 48
"""Detours tried in one turn; each is driven ahead in thought."""


def untangle(turn: Turn) -> None:
    """Let one of the vehicles that are locked up step aside, where that sets somebody free."""
    locked = turn.state.locked
    if not locked:
        turn.state.hold_offs.pop(KEY, None)
        return
    if turn.held_off(KEY):
        return
    turn.state.hold_offs.pop(KEY, None)
    turn.hold_off(KEY, "traffic", "looked for somebody who can step aside")
    turn.state.hold_offs[KEY].until_ns = turn.now_ns + AGAIN_NS
    best: tuple[Trip, Schedule] | None = None
    for trip in _detours(turn, locked):
        schedule = occupancy.try_out(turn, trip)
        if len(schedule.locked) < (len(best[1].locked) if best else len(locked)):
            best = trip, schedule
            if not schedule.locked:
                break
    if best is not None and occupancy.adopt(turn, best[1]):
        trip = best[0]
        turn.state.trips[trip.vehicle] = trip
        turn.touch()
        turn.note(trip.vehicle, "steps aside", f"over {' '.join(trip.nodes[trip.released - 1 :])}")


def _detours(turn: Turn, locked: list[DeviceId]) -> list[Trip]:
    """What each of them could do instead, those without a load first: they are the quickest out of the way."""
    able = [v for v in locked if occupancy.refusal(turn, v) is None and not _is_dropping(turn, v)]
    found: list[Trip] = []
    for vehicle in sorted(able, key=lambda v: bool(turn.state.standing.get(v))):
        others = [v for v in turn.floor.agvs if v != vehicle]
        taken = frozenset().union(*(occupancy.way_held(turn, other) for other in others))
        homes = [turn.floor.agvs[v].home for v in (vehicle, *others)]
        ways = [_aside(turn, vehicle, home, taken) for home in homes if home not in taken]
        ways += [[trips.stands_at(turn, vehicle), node] for node in _free_beside(turn, vehicle, taken)]
        found += filter(None, (_over(turn, vehicle, way) for way in ways if way))
    return found[:TRIES_MAX]


def _is_dropping(turn: Turn, vehicle: DeviceId) -> bool:
    """The node of its drop is released to it: an update can't change what it does there, and there its trip ends."""
    trip = turn.state.trips.get(vehicle)
    return trip is not None and 0 <= trip.drop_at < trip.released


def _aside(turn: Turn, vehicle: DeviceId, refuge: NodeId, taken: frozenset[NodeId]) -> list[NodeId] | None:
    """The way to a parking place that does not pass where others stand."""
    start = trips.stands_at(turn, vehicle)
    way = turn.floor.roadmap.way(start, refuge, taken - {start})
    return None if way is None or taken & set(way[1:]) else list(way)


def _free_beside(turn: Turn, vehicle: DeviceId, taken: frozenset[NodeId]) -> list[NodeId]:
    """Nodes next to where it stands that are free: it may drive on there, once around if need be."""
    return [node for node in turn.floor.roadmap.after[trips.stands_at(turn, vehicle)] if node not in taken]


def _over(turn: Turn, vehicle: DeviceId, way: list[NodeId]) -> Trip | None:
    """Its trip by way of `way`; None where its goals can't be reached from there."""
    roadmap, trip = turn.floor.roadmap, turn.state.trips.get(vehicle)
    if trip is None:
        goals = [turn.floor.agvs[vehicle].home]
    else:
        goals = [trip.nodes[trip.pick_at]] if trip.pick_at >= trip.released else []
        goals.append(trip.nodes[-1])
    for goal in goals:
        part = roadmap.way(way[-1], goal)
        if part is None:
            return None
        way = [*way, *part[1:]]
    return trips.empty(turn, vehicle, way) if trip is None else trips.redirected(turn, trip, way)
