"""What vehicles occupy, and the passing order in force.

A vehicle holds all claims from the last node it has reached to the last one released to it, whatever becomes of its
order or its link. A node is released only to a vehicle whose turn it is there and when nobody else holds its claims.
"""

from __future__ import annotations

from gateway.contract import DeviceId, NodeId
from gateway.dispatch.state import Trip
from gateway.dispatch.traffic.schedule import NEVER_S, Mover, Schedule, simulate
from gateway.dispatch.turn import Turn

STOP_S = 6.0
"""What a pick or a drop is taken to last when passing orders are worked out."""


def stands_on(turn: Turn, vehicle: DeviceId) -> NodeId:
    """The last node that the vehicle has reported; its parking place while it has reported none on the map."""
    node = turn.state.agvs[vehicle].last_node
    return node if node in turn.floor.roadmap.nodes else turn.floor.agvs[vehicle].home


def way_held(turn: Turn, vehicle: DeviceId) -> set[NodeId]:
    """The nodes that a vehicle holds, with those that lie too near to them."""
    trip = turn.state.trips.get(vehicle)
    way = trip.nodes[trip.passed : trip.released] if trip else [stands_on(turn, vehicle)]
    return turn.floor.roadmap.nodes_excluded_by(turn.floor.roadmap.claims(way))


def held(turn: Turn) -> dict[str, DeviceId]:
    """Resource → the vehicle that may be there now."""
    holder: dict[str, DeviceId] = {}
    for vehicle in turn.floor.agvs:
        trip = turn.state.trips.get(vehicle)
        way = trip.nodes[trip.passed : trip.released] if trip else [stands_on(turn, vehicle)]
        for resource in turn.floor.roadmap.claims(way):
            holder.setdefault(resource, vehicle)
    return holder


def try_out(turn: Turn, changed: Trip | None = None) -> Schedule:
    """The passing order if `changed` were in force beside the other trips."""
    movers = []
    for vehicle in turn.floor.agvs:
        trip = changed if changed and changed.vehicle == vehicle else turn.state.trips.get(vehicle)
        mover = _mover(turn, vehicle, trip)
        if mover is not None:
            movers.append(mover)
    return simulate(turn.floor.roadmap, movers)


def _mover(turn: Turn, vehicle: DeviceId, trip: Trip | None) -> Mover | None:
    home = turn.floor.agvs[vehicle].home
    rest = trip.nodes[trip.released - 1 :] if trip else [stands_on(turn, vehicle)]
    last = turn.floor.roadmap.way(rest[-1], home)
    ready_s = 0.0 if turn.state.agvs[vehicle].refusal() is None else NEVER_S
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
    for resource, order in turn.state.passes.items():
        turn.state.passes[resource] = [
            (v, i - driven if v == trip.vehicle else i) for v, i in order if v != trip.vehicle or i > driven
        ]


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
