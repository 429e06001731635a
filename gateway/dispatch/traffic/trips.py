"""Trips: one vehicle's way to a load and on to where the load goes, or home; from the first node to the last fact.

A trip is begun by the assignment, is sent to the vehicle as a drive (base and horizon) by `drives`, and ends with
the vehicle's own report. What the vehicle may occupy is never taken from it, whatever becomes of the order.
"""

from __future__ import annotations

import re

from gateway.contract import DeviceId, LoadId, LocationId, NodeId
from gateway.devices.agv import Drive, Instant
from gateway.devices.facts import ActionEnded, NodeReached, OrderRejected
from gateway.dispatch import flow, ledger, loads, orders, questions
from gateway.dispatch.state import Entry, Question, Task, Trip
from gateway.dispatch.traffic import occupancy
from gateway.dispatch.turn import Turn

CHARGE = "charge-"
"""How the ids of our charging actions begin."""
OUR_DRIVE = re.compile(r"D\d+-\d+")


def refusal(turn: Turn, vehicle: DeviceId) -> str | None:
    """Why a vehicle can't be given a new load to carry."""
    why = drive_refusal(turn, vehicle)
    battery_permille = turn.state.agvs[vehicle].battery_permille
    if why is None and battery_permille < 10 * turn.floor.agvs[vehicle].battery_min_percent:
        why = f"battery at {battery_permille / 10:.0f} %"
    if why is None and loads.at(turn.state, vehicle):
        why = f"carries {loads.at(turn.state, vehicle)[0].load}"
    return why


def drive_refusal(turn: Turn, vehicle: DeviceId) -> str | None:
    """Why a vehicle can't be sent anywhere, not even home."""
    agv, trip = turn.state.agvs[vehicle], turn.state.trips.get(vehicle)
    why = occupancy.refusal(turn, vehicle)
    if why is None and agv.last_node not in turn.floor.roadmap.nodes:
        why = f"stands on node {agv.last_node}, which is not on the map"
    if why is None and trip is not None and trip.load:
        why = f"is under way with {trip.load}"
    if why is None and trip is not None and trip.drop_at >= 0:
        why = "is just ending its drive"
    if why is None and trip is None and not agv.at_rest:
        why = "still carries out a drive"
    if why is None and ledger.open_for(turn, vehicle, Instant):
        why = "is cancelling its drive"
    return why


def why_none_free(turn: Turn) -> str:
    return "; ".join(f"{v} {refusal(turn, v)}" for v in turn.floor.agvs) or "the site has none"


def stands_at(turn: Turn, vehicle: DeviceId) -> NodeId:
    """The node from which a new way of this vehicle starts: the end of what has been released to it."""
    trip = turn.state.trips.get(vehicle)
    return trip.nodes[trip.released - 1] if trip else turn.state.agvs[vehicle].last_node


def begin(turn: Turn, vehicle: DeviceId, load: LoadId, source: LocationId, dest: LocationId) -> str | None:
    """Send the vehicle for a load; the reason where that can't be done safely now. `source` is the vehicle itself
    where it has the load on its deck already."""
    floor = turn.floor
    start = stands_at(turn, vehicle)
    drop_node = floor.locations[dest].node or ""
    pick_node = start if source == vehicle else floor.locations[source].node or ""
    running = turn.state.trips.get(vehicle)
    if running is not None and running.sent_released and start == pick_node:
        # An action can't be added to a node that is released already (VDA 5050 2.x).
        return f"{vehicle} is just leaving {start}"
    to_pick = _way(turn, vehicle, start, pick_node)
    to_drop = _way(turn, vehicle, pick_node, drop_node)
    # Whoever chose the vehicle and the places has looked for both ways.
    assert to_pick is not None, f"no way for {vehicle} from {start} to {pick_node}"
    assert to_drop is not None, f"no way for {vehicle} from {pick_node} to {drop_node}"
    trip = _trip(turn, vehicle, [*to_pick, *to_drop[1:]])
    base = trip.released - 1
    trip.load, trip.source, trip.dest = load, source, dest
    trip.pick_at = -1 if source == vehicle else base + len(to_pick) - 1
    trip.drop_at = len(trip.nodes) - 1
    trip.picked = source == vehicle
    trip.action_number = turn.state.drive_number = turn.state.drive_number + 1
    return _adopt(turn, trip)


def go_home(turn: Turn, vehicle: DeviceId) -> str | None:
    """Send an idle vehicle to its parking place."""
    start, home = stands_at(turn, vehicle), turn.floor.agvs[vehicle].home
    way = _way(turn, vehicle, start, home)
    if way is None:
        return "no way to its parking place"
    refused = _adopt(turn, _trip(turn, vehicle, list(way)))
    if refused is not None and vehicle not in turn.state.trips:
        # The way home that the passing order in force has counted on all the time can be driven as it is.
        turn.state.trips[vehicle] = _trip(turn, vehicle, list(turn.floor.roadmap.way(start, home) or way))
        turn.touch()
        return None
    return refused


def empty(turn: Turn, vehicle: DeviceId, way: list[NodeId]) -> Trip:
    """A trip along `way` without a load, not in force yet."""
    return _trip(turn, vehicle, way)


def _way(turn: Turn, vehicle: DeviceId, a: NodeId, b: NodeId) -> tuple[NodeId, ...] | None:
    """The quickest way that leaves out where a vehicle stands that can't move; over it only where there is no other."""
    avoid: set[NodeId] = set()
    for other in turn.floor.agvs:
        if other != vehicle and occupancy.refusal(turn, other) is not None:
            avoid |= occupancy.way_held(turn, other)
    roadmap = turn.floor.roadmap
    return roadmap.way(a, b, frozenset(avoid - {a, b})) or roadmap.way(a, b)


def _trip(turn: Turn, vehicle: DeviceId, way: list[NodeId]) -> Trip:
    """A new trip along `way`, or the one in force with its horizon replaced by `way`, which starts where its base ends.

    What has been released in this very turn and has not been sent yet is base already.
    """
    known = turn.state.trips.get(vehicle)
    if known is None or (not known.sent_released and known.released == 1):
        turn.state.drive_number += 1
        return Trip(vehicle, f"D{turn.state.epoch}-{turn.state.drive_number}", way, moved_ns=turn.now_ns)
    return Trip(
        vehicle=vehicle,
        drive_id=known.drive_id,
        nodes=[*known.nodes[: known.released], *way[1:]],
        released=known.released,
        passed=known.passed,
        update_id=known.update_id,
        sent_released=known.sent_released,
        sent_route=known.sent_route,
        route_number=known.route_number + 1,
        accepted=known.accepted,
        moved_ns=turn.now_ns,
    )


def _adopt(turn: Turn, trip: Trip) -> str | None:
    """Put the trip in force if that locks nobody up."""
    if not occupancy.adopt(turn, occupancy.try_out(turn, trip)):
        return f"{trip.vehicle} would block the way of others: traffic has to clear first"
    turn.state.trips[trip.vehicle] = trip
    turn.touch()
    return None


def redirect(turn: Turn, trip: Trip, way: list[NodeId]) -> bool:
    """Replace what is not released yet by another way to the same goals; False where that would lock someone up."""
    return _adopt(turn, redirected(turn, trip, way)) is None


def redirected(turn: Turn, trip: Trip, way: list[NodeId]) -> Trip:
    """The trip with another way to the same goals in place of what is not released yet.

    `way` starts at the last released node. The caller has made sure that it passes the pick node if need be.
    """
    new = _trip(turn, trip.vehicle, way)
    new.load, new.source, new.dest, new.picked = trip.load, trip.source, trip.dest, trip.picked
    new.action_number = trip.action_number
    if trip.load:
        new.drop_at = len(new.nodes) - 1
        new.pick_at = trip.pick_at
        if trip.pick_at >= trip.released:
            pick_node = trip.nodes[trip.pick_at]
            new.pick_at = new.nodes.index(pick_node, trip.released - 1)
    return new


# --- what the vehicle says ---


def node_reached(turn: Turn, fact: NodeReached) -> None:
    trip = turn.state.trips.get(fact.device)
    agv = turn.state.agvs[fact.device]
    if trip is None and fact.node != turn.floor.agvs[fact.device].home:
        # Driven by hand, or by a drive of somebody else's: the passing order does not reckon with it.
        turn.state.passes_void, turn.state.traffic_seen = True, ""
        turn.memory.order_checked = False
    if trip is None or agv.drive_id != trip.drive_id:
        return
    trip.accepted = True
    index = fact.sequence_id // 2
    if not 0 <= index < trip.released or trip.nodes[index] != fact.node:
        text = (
            f"{fact.device} says it is at {fact.node} (sequence {fact.sequence_id}), which is not in its released way. "
            "Stop it at the vehicle and look where it stands"
        )
        turn.raise_alarm(fact.device, "off its way", text)
        return
    turn.clear_alarm(fact.device, "off its way")
    if index > trip.passed:
        trip.passed, trip.moved_ns = index, turn.now_ns
        turn.clear_alarm(fact.device, "stuck")


def action_ended(turn: Turn, fact: ActionEnded) -> None:
    trip = turn.state.trips.get(fact.device)
    if trip is None and not fact.ok and fact.action_id.startswith(CHARGE):
        _not_charged(turn, fact)
        return
    if trip is None or fact.action_id not in (trip.pick_id, trip.drop_id):
        return
    trip.moved_ns = turn.now_ns
    kind = "pick" if fact.action_id == trip.pick_id else "drop"
    load = turn.state.loads.get(trip.load)
    if not fact.ok:
        policies = turn.site.policies
        policy = policies.pick_failed if kind == "pick" else policies.drop_failed
        at = fact.device if kind == "pick" else trip.dest
        question = Question(fact.action_id, load.task if load else "", trip.load, at)
        why = f"{fact.device} could not {kind} {trip.load}: {fact.result or 'no reason given'}"
        _failed(turn, trip, why, policy, question)
        return
    if load is None:
        turn.raise_alarm(fact.device, "unknown load", f"{fact.device}: {kind} of {trip.load}, which is not booked")
        if kind == "pick":
            trip.picked = True
        else:
            trip.load = ""
        return
    if kind == "pick":
        trip.picked = True
        loads.book(turn, load, fact.device)
        say(turn, trip.load, f"{fact.device} brings it to {trip.dest}")
        return
    flow.put_down(turn, load, trip.dest)
    trip.load = ""
    if not load.task:
        # Its order has ended meanwhile: here it stays, or goes where a load without an order goes.
        loads.release_room(turn, load.load)


def _not_charged(turn: Turn, fact: ActionEnded) -> None:
    """The vehicle could not begin to charge: told again by and by, or left alone until it is parked the next time."""
    turn.note(fact.device, "did not charge", fact.result or "no reason given")
    if turn.site.policies.charge_failed == "skip":
        turn.state.charge_skipped.append(fact.device)


def decided(turn: Turn, vehicle: DeviceId, done: bool) -> None:
    """A person has looked: the load is where the failed action was to bring it, or the action is tried again."""
    question = questions.take(turn, vehicle)
    load = turn.state.loads[question.load]  # while the question stands its task is open, and so its load is known
    turn.state.tasks[question.task].reason = "decided by a person"
    if not done:
        return
    if question.at == vehicle:
        loads.book(turn, load, vehicle)
    else:
        flow.put_down(turn, load, question.at)


def _failed(turn: Turn, trip: Trip, why: str, policy: str = "retry", question: Question | None = None) -> None:
    """A pick or drop went wrong, or the vehicle gave the drive up: plan anew, so many times, or as the policy says."""
    turn.note(trip.vehicle, "trip failed", why)
    if trip.accepted:
        number = turn.state.next_seq.get(trip.vehicle, 1)
        ledger.issue(turn, trip.vehicle, Instant(f"{trip.drive_id}.cancel{number}", "cancelOrder"))
    drop(turn, trip)
    turn.state.passes_void = True
    load = turn.state.loads.get(trip.load)
    task = turn.state.tasks.get(load.task) if load else None
    if task is None:
        loads.release_room(turn, trip.load)
        return
    task.tries += 1
    if policy == "ask" and question is not None:
        orders.set_back(turn, task, f"{why}; waits for a person's decision")
        questions.ask(turn, trip.vehicle, question, why)
    elif policy == "abort" or task.tries >= turn.site.policies.leg_tries_max:
        turn.raise_alarm(trip.vehicle, f"gave up {trip.load}", f"{why}. Look for the load and announce it where it is")
        orders.fail(turn, task, why)
    else:
        orders.set_back(turn, task, why)


def settled(turn: Turn, entry: Entry, ok: bool, text: str) -> None:
    """A person has decided that a drive which the vehicle never answered was not taken: it is sent or planned anew."""
    trip, action = turn.state.trips.get(entry.device), entry.action
    if ok or not isinstance(action, Drive) or trip is None or trip.drive_id != action.drive_id:
        return
    if not trip.accepted:
        _failed(turn, trip, f"{entry.device} never took its drive: {text}")
        return
    trip.update_id = action.update_id - 1
    trip.sent_released = action.nodes[0].sequence_id // 2 + 1


def drop(turn: Turn, trip: Trip) -> None:
    """The trip is over; the commands that carried it have no meaning any more."""
    turn.state.trips.pop(trip.vehicle, None)
    turn.touch()
    turn.clear_alarm(trip.vehicle, "stuck")
    turn.clear_alarm(trip.vehicle, "waits long")
    for entry in ledger.outstanding(turn, trip.vehicle):
        if not isinstance(entry.action, Instant):
            ledger.close(turn, entry)


def rejected(turn: Turn, fact: OrderRejected) -> None:
    trip = turn.state.trips.get(fact.device)
    if trip is None or fact.drive_id not in ("", trip.drive_id):
        return
    # An old refusal that the vehicle still lists says nothing about a drive that it is carrying out.
    if trip.accepted:
        turn.note(fact.device, "drive update refused", fact.error)
        return
    _failed(turn, trip, f"{fact.device} refused the drive: {fact.error}")


def reported(turn: Turn, vehicle: DeviceId) -> None:
    """After each state message: is the trip over, or has the vehicle forgotten it?"""
    agv, trip = turn.state.agvs[vehicle], turn.state.trips.get(vehicle)
    if agv.health.refusal() is not None:
        return
    if trip is None:
        _end_orphan(turn, vehicle)
        return
    if agv.drive_id == trip.drive_id:
        trip.accepted = True
        done = trip.passed == len(trip.nodes) - 1 and not trip.load
        if done and agv.at_rest and agv.update_id == trip.update_id:
            occupancy.trip_ended(turn, trip)
            drop(turn, trip)
    elif trip.accepted and agv.at_rest:
        _failed(turn, trip, f"{vehicle} has forgotten its drive {trip.drive_id}")


def _end_orphan(turn: Turn, vehicle: DeviceId) -> None:
    """A vehicle carries out a drive that no trip belongs to (given up, and taken after all; or of a journal that is
    gone): it would wait for its continuation for ever, so the drive is cancelled. One of somebody else is not."""
    agv = turn.state.agvs[vehicle]
    if agv.at_rest or not agv.drive_id:
        turn.clear_alarm(vehicle, "foreign drive")
        return
    if not OUR_DRIVE.fullmatch(agv.drive_id):
        text = (
            f"{vehicle} carries out {agv.drive_id}, which is not an order of this gateway. End it at the vehicle or at "
            "whoever sent it"
        )
        turn.raise_alarm(vehicle, "foreign drive", text)
        return
    key = f"{vehicle} cancel"
    if ledger.open_for(turn, vehicle, Instant) or turn.held_off(key):
        return
    number = turn.state.next_seq.get(vehicle, 1)
    ledger.issue(turn, vehicle, Instant(f"{agv.drive_id}.cancel{number}", "cancelOrder"))
    turn.hold_off(key, vehicle, f"drive {agv.drive_id}, which no trip belongs to, is being cancelled")


def say(turn: Turn, load: LoadId, reason: str) -> None:
    known = turn.state.loads.get(load)
    task: Task | None = turn.state.tasks.get(known.task) if known else None
    if task is not None and task.state in ("ready", "active"):
        task.reason = reason
