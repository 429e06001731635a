"""A way out for vehicles that stand in one another's way.

The passing order keeps that from happening as long as everybody drives as it was planned. A vehicle that gives up its
way, is driven by hand or fails in a station breaks the plan; then one of those locked up steps aside, over a parking
place, and goes on from there to where it was going.
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
    able = [v for v in locked if occupancy.refusal(turn, v) is None]
    found = []
    for vehicle in sorted(able, key=lambda v: bool(turn.state.standing.get(v))):
        others = [v for v in turn.floor.agvs if v != vehicle]
        taken = set[NodeId]().union(*(occupancy.way_held(turn, other) for other in others))
        for refuge in (turn.floor.agvs[v].home for v in (vehicle, *others)):
            trip = None if refuge in taken else _over(turn, vehicle, refuge, frozenset(taken))
            if trip is not None:
                found.append(trip)
    return found[:TRIES_MAX]


def _over(turn: Turn, vehicle: DeviceId, refuge: NodeId, taken: frozenset[NodeId]) -> Trip | None:
    """Its trip by way of `refuge`, not through where others stand until there; None where there is no such way."""
    roadmap, start = turn.floor.roadmap, trips.stands_at(turn, vehicle)
    aside = roadmap.way(start, refuge, taken - {start})
    if aside is None or (taken & set(aside[1:])):
        return None
    trip, way = turn.state.trips.get(vehicle), list(aside)
    if trip is None:
        return trips.empty(turn, vehicle, way)
    goals = [trip.nodes[-1]]
    if trip.pick_at >= trip.released:
        goals.insert(0, trip.nodes[trip.pick_at])
    for goal in goals:
        part = roadmap.way(way[-1], goal)
        if part is None:
            return None
        way.extend(part[1:])
    return trips.redirected(turn, trip, way)
