"""Drives: turn trips into base and horizon on the wire, release node by node what is free and safe."""

from __future__ import annotations

from gateway.contract import DeviceId, NodeId
from gateway.devices.agv import Drive, DriveAction, DriveEdge, DriveNode, Instant
from gateway.dispatch import ledger, loads, orders, work
from gateway.dispatch.state import Trip
from gateway.dispatch.traffic import occupancy, trips, untangle
from gateway.dispatch.turn import Turn

HORIZON_NODES_MAX = 24
DRIVE_TIMEOUT_MS = 600_000
SECOND_NS = 1_000_000_000
WAITS_LONG = 5
"""After so many times `drive_stuck_s` a vehicle that waits for another one is a person's affair."""


def drive(turn: Turn) -> None:
    """Resume, send home, release and send, the most urgent trips first."""
    _carry_on(turn)
    _send_home(turn)
    _charge(turn)
    for trip in list(turn.state.trips.values()):
        if trip.load and not trip.picked and trip.pick_at >= trip.released:
            _cancel_if_pointless(turn, trip)
    _refresh_order(turn)
    holder = occupancy.held(turn)
    for trip in _by_rank(turn):
        _release(turn, holder, trip)
        # Not `trip`: a detour has put another one in its place, and what is sent of the old one nobody would know of.
        current = turn.state.trips[trip.vehicle]
        if current.released != current.sent_released or current.route_number != current.sent_route:
            _send(turn, current)
        _watch(turn, current)


def _by_rank(turn: Turn) -> list[Trip]:
    known = turn.memory.trips
    if known is None:
        known = turn.memory.trips = sorted(turn.state.trips.values(), key=lambda t: _rank(turn, t))
    return known


def _rank(turn: Turn, trip: Trip) -> tuple[int, int, int, str]:
    load = turn.state.loads.get(trip.load)
    task = turn.state.tasks.get(load.task) if load else None
    order = turn.state.orders.get(task.order) if task else None
    return (*(order.rank() if order else (9, 0, 0)), trip.vehicle)


def _carry_on(turn: Turn) -> None:
    """A vehicle that has a load on its deck and no trip (its last one failed) takes it on to where it should go."""
    for vehicle in turn.floor.agvs:
        if vehicle not in turn.state.standing:
            turn.clear_alarm(vehicle, "load on deck")
            continue
        if vehicle in turn.state.trips or occupancy.refusal(turn, vehicle) is not None:
            continue
        if not turn.state.agvs[vehicle].at_rest:
            continue
        deck = loads.at(turn.state, vehicle)
        load = deck[0]
        task = turn.state.tasks.get(load.task)
        if task is not None and task.kind == "work":
            target = task.target
            task.reason = work.choose_target(turn, task, load) or task.reason
            if task.target != target:
                turn.touch()
        dest = _next_stop(turn, vehicle, task.target or task.to, task.kind) if task else None
        key = f"{vehicle} carry on"
        if dest is None or task is None:
            text = f"{vehicle} carries {load.load}, which has nowhere to go. Take it off and announce it where it is"
            turn.raise_alarm(vehicle, "load on deck", text)
        elif not turn.held_off(key):
            place = turn.floor.place_of(dest)
            refusal = f"{place} has no room" if loads.taken(turn, place) >= turn.floor.room(place) else None
            refusal = refusal or trips.begin(turn, vehicle, load.load, vehicle, dest)
            if refusal is None:
                turn.clear_alarm(vehicle, "load on deck")
                turn.went_well(key, vehicle)
                turn.state.coming.setdefault(place, {})[load.load] = 1
                orders.begin(turn, task)
            else:
                task.reason = refusal
                turn.hold_off(key, vehicle, refusal)


def _next_stop(turn: Turn, vehicle: DeviceId, dest: str, kind: str) -> str | None:
    """Where a vehicle must put a load down so that it comes nearer to `dest`."""
    if kind == "sort":
        plan = turn.site.sort_plan
        planned = plan.destinations.get(dest) if plan else None
        dest = turn.floor.sorters[planned.sorter].infeed if planned else ""
    here = turn.floor.roadmap
    best: tuple[float, str] | None = None
    for location in turn.floor.locations.values():
        route = turn.floor.route(location.id, dest)
        if route is None or not turn.floor.can_drop(location.id) or (route and route[0].kind == "agv"):
            continue
        way = here.way(trips.stands_at(turn, vehicle), location.node or "")
        if way is not None:
            offer = (here.seconds(way) + sum(hop.seconds for hop in route), location.id)
            best = min(best, offer) if best else offer
    return best[1] if best else None


def _send_home(turn: Turn) -> None:
    """A vehicle without a trip must not stand in a station or an aisle: the passing order counts on its going home,
    empty, with a low battery or with a load that has nowhere to go."""
    for vehicle, spec in turn.floor.agvs.items():
        away = vehicle not in turn.state.trips and turn.state.agvs[vehicle].last_node != spec.home
        if away and trips.drive_refusal(turn, vehicle) is None:
            trips.go_home(turn, vehicle)


def _charge(turn: Turn) -> None:
    """A vehicle that waits at its parking place charges there; a new drive ends the charging by itself."""
    below_permille = 10 * turn.site.policies.charge_below_percent
    for vehicle, spec in turn.floor.agvs.items():
        agv, key = turn.state.agvs[vehicle], f"{vehicle} charge"
        if vehicle in turn.state.trips:
            if vehicle in turn.state.charge_skipped:
                turn.state.charge_skipped.remove(vehicle)
            continue
        if agv.charging or agv.battery_permille >= below_permille:
            turn.went_well(key, vehicle)
            continue
        if agv.last_node != spec.home or not agv.at_rest or occupancy.refusal(turn, vehicle) is not None:
            continue
        if vehicle in turn.state.charge_skipped or ledger.open_for(turn, vehicle, Instant) or turn.held_off(key):
            continue
        if agv.factsheet is not None and "startCharging" not in agv.factsheet.actions:
            continue
        number = turn.state.next_seq.get(vehicle, 1)
        ledger.issue(turn, vehicle, Instant(f"{trips.CHARGE}{turn.state.epoch}-{number}", "startCharging"))
        turn.hold_off(key, vehicle, "has been told to charge")


def _cancel_if_pointless(turn: Turn, trip: Trip) -> None:
    """The order was cancelled before the pick was released: the vehicle turns back."""
    load = turn.state.loads.get(trip.load)
    if load is not None and load.task:
        return
    known = Trip(**{f: getattr(trip, f) for f in Trip.__struct_fields__})
    known.load, known.pick_at, known.drop_at = "", -1, -1
    turn.state.trips[trip.vehicle] = known
    turn.touch()
    loads.release_room(turn, trip.load)
    trips.go_home(turn, trip.vehicle)


def _refresh_order(turn: Turn) -> None:
    """Work the passing order out anew when a trip has ended or a vehicle's health has changed."""
    if turn.memory.order_checked and not turn.state.locked:
        return
    turn.memory.order_checked = True
    able = [v for v in turn.floor.agvs if occupancy.refusal(turn, v) is None]
    ways = [f"{t.drive_id}.{t.route_number}" for t in turn.state.trips.values()]
    seen = f"{able} {ways}"
    if seen != turn.state.traffic_seen:
        turn.state.traffic_seen = seen
        occupancy.adopt(turn, occupancy.try_out(turn))
    untangle.untangle(turn)


def _release(turn: Turn, holder: dict[str, DeviceId], trip: Trip) -> None:
    """Extend the base while it is short, it is this vehicle's turn at the next node, and the node is free."""
    if _is_out_of_reach(turn, trip.vehicle):
        return
    trip.waits_for = ""
    roadmap = turn.floor.roadmap
    before = trip.released
    while trip.released < len(trip.nodes):
        if trip.released - 1 - trip.passed >= turn.site.policies.base_nodes_max:
            return
        if trip.released - 1 == trip.pick_at and not trip.picked:
            return  # not past the pick before the load is on board
        claims = roadmap.step(trip.nodes[trip.released - 1], trip.nodes[trip.released]).claims
        blocker = _in_the_way(turn, holder, trip, claims)
        if blocker is not None:
            _wait(turn, trip, blocker, moved=trip.released > before)
            return
        trip.released += 1
        holder.update(dict.fromkeys(claims, trip.vehicle))


def _is_out_of_reach(turn: Turn, vehicle: DeviceId) -> bool:
    return occupancy.refusal(turn, vehicle) is not None and turn.state.agvs[vehicle].health.refusal() is not None


def _in_the_way(turn: Turn, holder: dict[str, DeviceId], trip: Trip, claims: tuple[str, ...]) -> DeviceId | None:
    """Who holds one of the claims of the next step, or has to pass there before."""
    vehicle = trip.vehicle
    for resource in claims:
        if holder.get(resource, vehicle) != vehicle:
            return holder[resource]
    for resource in claims:
        first = occupancy.goes_first(turn, vehicle, trip.released, resource)
        if first is not None:
            return first
    return None


def _wait(turn: Turn, trip: Trip, blocker: DeviceId, *, moved: bool) -> None:
    trip.waits_for = blocker
    # While there is base left to drive, nobody waits yet.
    if moved or not trip.waits_since_ns or trip.passed < trip.released - 1:
        trip.waits_since_ns = turn.now_ns
        turn.clear_alarm(trip.vehicle, "waits long")
    waits_s = (turn.now_ns - trip.waits_since_ns) / SECOND_NS
    if waits_s > WAITS_LONG * turn.site.policies.drive_stuck_s:
        text = f"{trip.vehicle} has waited at {trip.nodes[trip.passed]} for {waits_s:.0f} s for {blocker} to pass"
        turn.raise_alarm(trip.vehicle, "waits long", f"{text}. Look at {blocker}")
    why = occupancy.refusal(turn, blocker)
    if why is None:
        return
    turn.touch()  # the reason is that of this turn: the books may say something else in the next one
    trips.say(turn, trip.load, f"{trip.vehicle} waits for {blocker}, which is in its way: {why}")
    key = f"{trip.vehicle} detour"
    if not turn.held_off(key):
        turn.state.hold_offs.pop(key, None)
        turn.hold_off(key, trip.vehicle, "looked for a way around")
        turn.state.hold_offs[key].until_ns = turn.now_ns + 2 * SECOND_NS
        _detour(turn, trip, blocker)


def _detour(turn: Turn, trip: Trip, blocker: DeviceId) -> None:
    """Drive around a vehicle that can't move, where the roadmap has another way."""
    roadmap = turn.floor.roadmap
    avoid = frozenset(occupancy.way_held(turn, blocker))
    goals = [trip.nodes[-1]]
    if trip.pick_at >= trip.released:
        goals.insert(0, trip.nodes[trip.pick_at])
    new: list[NodeId] = [trip.nodes[trip.released - 1]]
    for goal in goals:
        part = roadmap.way(new[-1], goal, avoid)
        if part is None or (avoid & set(part[1:])):
            return
        new.extend(part[1:])
    if trips.redirect(turn, trip, new):
        turn.note(trip.vehicle, "detour", f"around {blocker} over {' '.join(new)}")


def _send(turn: Turn, trip: Trip) -> None:
    """Send the drive, which is new or whose base has grown or whose horizon has changed; one command at a time."""
    # Nor a drive behind a cancelOrder without an answer: written again, that would cancel this drive.
    if ledger.outstanding(turn, trip.vehicle):
        return
    if _is_out_of_reach(turn, trip.vehicle):
        return
    new = trip.sent_released == 0
    if not new:
        trip.update_id += 1
    start = 0 if new else trip.sent_released - 1
    action = _wire(turn, trip, start)
    if ledger.issue(turn, trip.vehicle, action, trip.load, timeout_ms=DRIVE_TIMEOUT_MS) is None:
        trip.update_id -= 0 if new else 1
        return
    trip.sent_released, trip.sent_route = trip.released, trip.route_number


def _wire(turn: Turn, trip: Trip, start: int) -> Drive:
    """The drive from node index `start` (the stitching node of an update) to the end of the horizon."""
    roadmap = turn.floor.roadmap
    end = min(len(trip.nodes), trip.released + HORIZON_NODES_MAX)
    nodes: list[DriveNode] = []
    edges: list[DriveEdge] = []
    for i in range(start, end):
        spec = roadmap.nodes[trip.nodes[i]]
        released = i < trip.released
        nodes.append(DriveNode(spec.id, 2 * i, released, spec.x_mm, spec.y_mm, _actions(trip, i)))
        if i > start:
            a, b = trip.nodes[i - 1], trip.nodes[i]
            speed_mm_s = min(roadmap.speed_mm_s[a, b], turn.floor.agvs[trip.vehicle].speed_max_mm_s)
            edges.append(DriveEdge(f"{a}-{b}", 2 * i - 1, released, a, b, speed_mm_s))
    return Drive(trip.drive_id, trip.update_id, roadmap.map_id, tuple(nodes), tuple(edges))


def _actions(trip: Trip, index: int) -> tuple[DriveAction, ...]:
    actions: list[DriveAction] = []
    if index == trip.pick_at:
        parameters = {"stationName": trip.source, "loadId": trip.load}
        actions.append(DriveAction(trip.pick_id, "pick", dict(parameters)))
    if index == trip.drop_at:
        parameters = {"stationName": trip.dest, "loadId": trip.load}
        actions.append(DriveAction(trip.drop_id, "drop", dict(parameters)))
    return tuple(actions)


def _watch(turn: Turn, trip: Trip) -> None:
    """A vehicle that may drive, and does not, needs a person."""
    may_move = trip.sent_released - 1 > trip.passed
    if not may_move or occupancy.refusal(turn, trip.vehicle) is not None:
        trip.moved_ns = turn.now_ns  # only the time counts in which it could have moved
        return
    idle_s = (turn.now_ns - trip.moved_ns) / SECOND_NS
    if idle_s > turn.site.policies.drive_stuck_s:
        text = (
            f"{trip.vehicle} has not moved from {trip.nodes[trip.passed]} for {idle_s:.0f} s though "
            f"{trip.nodes[trip.passed + 1]} is free for it. Look at the vehicle"
        )
        turn.raise_alarm(trip.vehicle, "stuck", text)
