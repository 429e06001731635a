"""What vehicles occupy, and the passing order in force.

A vehicle holds all claims from the last node it has reached to the last one released to it, whatever becomes of its
order or its link. A node is released only to a vehicle whose turn it is there and when nobody else holds its claims.
"""

from __future__ import annotations

from gateway.contract import DeviceId, NodeId
from gateway.dispatch import questions
from gateway.dispatch.state import Trip
from gateway.dispatch.traffic.schedule import NEVER_S, Mover, Schedule, simulate
from gateway.dispatch.turn import Turn

STOP_S = 6.0
"""What a pick or a drop is taken to last when passing orders are worked out."""


def stands_on(turn: Turn, vehicle: DeviceId) -> NodeId:
    """The last node that the vehicle has reported; its parking place while it has reported none on the map."""
    node = turn.state.agvs[vehicle].last_node
    return node if node in turn.floor.roadmap.nodes else turn.floor.agvs[vehicle].home


def refusal(turn: Turn, vehicle: DeviceId) -> str | None:
    """Why the vehicle can't drive at all."""
    known = turn.memory.refusals
    if vehicle not in known:
        known[vehicle] = turn.state.agvs[vehicle].refusal() or questions.refusal(turn, vehicle)
    return known[vehicle]


def way_held(turn: Turn, vehicle: DeviceId) -> set[NodeId]:
    """The nodes that a vehicle holds, with those that lie too near to them."""
    return turn.floor.roadmap.nodes_excluded_by(turn.floor.roadmap.claims(_way(turn, vehicle)))


def _way(turn: Turn, vehicle: DeviceId) -> list[NodeId]:
    """Where a vehicle may be now: from the last node reached to the last one released to it, and what it says itself
    that it will drive, where that is of a drive which is not its trip's (one given up, one of an earlier journal)."""
    trip, agv = turn.state.trips.get(vehicle), turn.state.agvs[vehicle]
    way = trip.nodes[trip.passed : trip.released] if trip else [stands_on(turn, vehicle)]
    if agv.ahead and (trip is None or trip.drive_id != agv.drive_id):
        known = turn.floor.roadmap.nodes
        way = [*way, *(n for n in (agv.last_node, *agv.ahead) if n in known and n not in way)]
    return way


def held(turn: Turn) -> dict[str, DeviceId]:
    """Resource → the vehicle that may be there now."""
    holder: dict[str, DeviceId] = {}
    known = turn.memory.held
    # The last one written counts, and where two are too near to each other that shall be the first one of the site.
    for vehicle in reversed(turn.floor.agvs):
        way = _way(turn, vehicle)
        if vehicle not in known or known[vehicle][0] != way:
            known[vehicle] = way, dict.fromkeys(turn.floor.roadmap.claims(way), vehicle)
        holder.update(known[vehicle][1])
    return holder


def try_out(turn: Turn, changed: Trip | None = None) -> Schedule:
    """The passing order if `changed` were in force beside the other trips."""
    movers = []
    for vehicle in turn.floor.agvs:
        trip = changed if changed and changed.vehicle == vehicle else turn.state.trips.get(vehicle)
        movers.append(_mover(turn, vehicle, trip))
    # A trip that is begun is tried out first, and when it is in force the order is worked out for good: from the same.
    known = turn.memory.schedule
    if known is None or known[0] != movers:
        known = turn.memory.schedule = movers, simulate(turn.floor.roadmap, movers)
    return known[1]


def _mover(turn: Turn, vehicle: DeviceId, trip: Trip | None) -> Mover:
    home = turn.floor.agvs[vehicle].home
    rest = trip.nodes[trip.released - 1 :] if trip else [stands_on(turn, vehicle)]
    last = turn.floor.roadmap.way(rest[-1], home)
    ready_s = 0.0 if refusal(turn, vehicle) is None else NEVER_S
    if last is None:
        # No way home: it stays where its trip ends, and the site check has said so.
        last = (rest[-1],)
    stops = {}
    if trip is not None and trip.load:
        stops = {trip.drop_at: STOP_S} | ({trip.pick_at: STOP_S} if not trip.picked else {})
    return Mover(vehicle, [*rest, *last[1:]], trip.released - 1 if trip else 0, ready_s, stops)


def adopt(turn: Turn, schedule: Schedule) -> bool:
    """Put a passing order in force unless it locks up somebody who is not locked up now.

    The one in force stays right however far it has been carried out, so keeping it is always safe; unless a vehicle
    has left its way (`passes_void`).
    """
    state = turn.state
    if not set(schedule.locked) <= set(state.locked) and not state.passes_void:
        return False
    state.passes_void = False
    state.passes, state.locked = schedule.passes, schedule.locked
    if state.locked:
        text = f"{', '.join(state.locked)} stand in one another's way. Drive one of them by hand to its parking place"
        turn.raise_alarm("traffic", "locked up", text)
    else:
        turn.clear_alarm("traffic", "locked up")
    return True


def trip_ended(turn: Turn, trip: Trip) -> None:
    """A trip has been driven to its end: what the passing order still has of it is the way home, counted anew."""
    driven = len(trip.nodes) - 1
    # A new one: the old one is also that of `Memory.schedule`.
    turn.state.passes = {
        resource: [(v, i - driven if v == trip.vehicle else i) for v, i in order if v != trip.vehicle or i > driven]
        for resource, order in turn.state.passes.items()
    }


def goes_first(turn: Turn, vehicle: DeviceId, index: int, resource: str) -> DeviceId | None:
    """Who has to pass `resource` before `vehicle` enters it with the node `index` of its trip."""
    for other, other_index in turn.state.passes.get(resource, ()):
        if other == vehicle:
            if other_index >= index:
                return None
            continue
        trip = turn.state.trips.get(other)
        if trip is None and stands_on(turn, other) == turn.floor.agvs[other].home:
            continue
        if trip is None or trip.released - 1 < other_index:
            return other
    return None
