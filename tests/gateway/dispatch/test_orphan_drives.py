"""Drives that belong to no trip, and refusals and answers that belong to another one: what a vehicle says that it will
drive stays its own, and nobody is judged by what was meant for somebody else."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from small_plant import Hall

from gateway.contract import AnnounceLoad, Command, Report, ResolveCommand, SetMode, Started, StepRequest
from gateway.devices.agv import ActionState, AgvError, Drive, DriveEdge, DriveNode, Instant
from gateway.dispatch import explain
from gateway.dispatch.state import Trip
from gateway.kernel import Kernel


def to_rack(hall: Hall, load: str, rack: str = "RACK-3") -> str:
    return hall.order(f"M-{load}", StepRequest("go", "move", load, rack))


def vehicle_of(hall: Hall, load: str) -> str:
    return next(t.vehicle for t in hall.kernel.state.trips.values() if t.load == load)


def cancels(hall: Hall, vehicle: str) -> list[Instant]:
    """How often it was told to give its drive up, repetitions of a write apart."""
    found = {c.seq: c.action for c in hall.commands(vehicle) if isinstance(c.action, Instant)}
    return [action for action in found.values() if action.kind == "cancelOrder"]


def along(hall: Hall, drive_id: str, *nodes: str) -> Drive:
    """A drive over these nodes, all of them released."""
    at = {n.id: n for n in hall.site.map.nodes}
    stops = tuple(DriveNode(n, 2 * i, True, at[n].x_mm, at[n].y_mm) for i, n in enumerate(nodes))
    edges = tuple(DriveEdge(f"{a}-{b}", 2 * i + 1, True, a, b, 1000) for i, (a, b) in enumerate(pairwise(nodes)))
    return Drive(drive_id, 0, hall.site.map.id, stops, edges)


def begin_anew(hall: Hall, *vehicles: str) -> None:
    """The journal is gone: a kernel that knows nothing takes the hall over, with these vehicles."""
    hall.kernel = hall.watch.kernel = Kernel(hall.site)
    hall.watch.orders.clear()
    hall.orders.clear()
    hall.enter(Started(7, "test"))
    for device in hall.devices:
        if device in vehicles or device not in hall.plant.vehicles:
            hall.connect(device)
        else:
            hall.cut(device)


def under_way(hall: Hall, load: str) -> str:
    """Its vehicle, on the way to it in the upper aisle, when it has taken all that was sent to it."""
    vehicle = vehicle_of(hall, load)
    sim, told = hall.plant.vehicles[vehicle], hall.watch.vehicles[vehicle]
    hall.until(lambda: sim.last_node == "T1" and told.drive is not None and sim.update_id == told.drive.update_id)
    return vehicle


def test_a_drive_of_a_journal_that_is_gone_is_cancelled_and_the_vehicle_comes_home(staffed: Hall) -> None:
    """It would wait for the rest of its way for ever."""
    load = staffed.put("RACK-4")
    to_rack(staffed, load)
    vehicle = under_way(staffed, load)
    drive_id = staffed.plant.vehicles[vehicle].order_id
    begin_anew(staffed, *staffed.plant.vehicles)
    staffed.run(5)
    assert [action.action_id.partition(".")[0] for action in cancels(staffed, vehicle)] == [drive_id]
    staffed.until(lambda: staffed.kernel.state.agvs[vehicle].last_node == staffed.kernel.floor.agvs[vehicle].home)
    assert staffed.alarms() == {}


def test_a_way_that_an_orphan_says_it_will_drive_is_given_to_nobody_else(staffed: Hall) -> None:
    """It has lost its gateway and stands in its base: it may drive on at any moment."""
    load = staffed.put("RACK-4")
    to_rack(staffed, load)
    vehicle = under_way(staffed, load)
    other = "AGV2" if vehicle == "AGV1" else "AGV1"
    staffed.plant.fault("agv_failure", vehicle, True)
    staffed.lose = lambda command: isinstance(command.action, Instant)
    begin_anew(staffed, vehicle, other)
    ahead = staffed.kernel.state.agvs[vehicle].ahead
    assert ahead[0] == "T2"
    staffed.must(AnnounceLoad(load, "RACK-4"))
    before = len(staffed.commands(other))
    order = staffed.order("N", StepRequest("go", "move", load, "RACK-1"))
    staffed.run(60)
    drives = [c.action for c in staffed.commands(other)[before:] if isinstance(c.action, Drive)]
    assert drives
    assert not {n.node for drive in drives for n in drive.nodes if n.released} & {"T1", *ahead}
    assert f"waits for {vehicle}, which is in its way" in explain.order(staffed.kernel.state, order)[0]
    staffed.plant.fault("agv_failure", vehicle, False)
    staffed.lose = lambda command: False
    entry = next(e for e in staffed.kernel.state.ledger.values() if isinstance(e.action, Instant))
    staffed.must(ResolveCommand(entry.command_id, done=False))
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


def test_a_drive_that_was_given_up_and_is_taken_after_all_is_cancelled(staffed: Hall) -> None:
    """It lay in a broker for a minute; meanwhile a person has said that it was not done, and it is planned anew."""
    load = staffed.put("RACK-2")
    late: list[Command[Any]] = []

    def into_the_drawer(command: Command[Any]) -> bool:
        if isinstance(command.action, Drive):
            late.append(command)
        return isinstance(command.action, Drive)

    staffed.lose = into_the_drawer
    order = to_rack(staffed, load)
    vehicle = vehicle_of(staffed, load)
    staffed.until(lambda: f"{vehicle}/no-answer" in staffed.alarms())
    staffed.watch.not_done(vehicle, late[0].seq)
    staffed.must(ResolveCommand(late[0].command_id, done=False))
    assert f"{vehicle} never took its drive" in staffed.notes("trip failed")[0].detail
    staffed.wire.deliver(late[0])
    drive_id = late[0].action.drive_id
    assert staffed.plant.vehicles[vehicle].order_id == drive_id
    staffed.lose = lambda command: False
    staffed.until(lambda: bool(cancels(staffed, vehicle)))
    assert cancels(staffed, vehicle)[0].action_id.startswith(f"{drive_id}.cancel")
    staffed.until_ended(order)
    assert (staffed.state_of(order), staffed.where(load)) == ("finished", "RACK-3")
    staffed.until_quiet()


def test_a_cancel_that_has_no_effect_is_given_again_with_pauses(staffed: Hall) -> None:
    vehicle = "AGV1"
    staffed.lose = lambda command: isinstance(command.action, Instant)
    staffed.wire.deliver(Command("x", vehicle, 0, 1, 0, along(staffed, "D9-1", "H1", "B1", "T1", "T2")))
    staffed.until(lambda: bool(cancels(staffed, vehicle)))
    staffed.run(1)
    assert len(cancels(staffed, vehicle)) == 1, "one cancelOrder at a time"
    staffed.muted.add(vehicle)

    def says_that_it_can_t() -> int:
        ended = tuple(ActionState(action.action_id, "FAILED") for action in cancels(staffed, vehicle))
        staffed.enter(Report(vehicle, msgspec.structs.replace(staffed.wire.report(vehicle), actions=ended)))
        return len(cancels(staffed, vehicle))

    assert says_that_it_can_t() == 2
    assert says_that_it_can_t() == 2, "not again at once"
    staffed.run(1)
    assert says_that_it_can_t() == 3


def test_an_order_of_somebody_else_is_left_alone_and_told_until_it_ends(staffed: Hall) -> None:
    vehicle, alarm = "AGV1", "AGV1/foreign drive"
    staffed.wire.deliver(Command("x", vehicle, 0, 1, 0, along(staffed, "MES-4711", "H1", "B1", "T1", "T2")))
    staffed.until(lambda: alarm in staffed.alarms(), limit_s=5)
    assert "AGV1 carries out MES-4711, which is not an order of this gateway" in staffed.alarms()[alarm]
    order = to_rack(staffed, staffed.put("RACK-1"))
    staffed.until(lambda: staffed.plant.vehicles[vehicle].last_node == "T2")
    assert cancels(staffed, vehicle) == []
    staffed.until(lambda: alarm not in staffed.alarms(), limit_s=5)
    staffed.until_ended(order)
    staffed.until_quiet()


# --- not meant for this trip ---


@pytest.mark.parametrize("on_a_trip", [False, True])
def test_a_refusal_of_somebody_elses_order_ends_no_trip(staffed: Hall, on_a_trip: bool) -> None:
    load = staffed.put("RACK-2")
    order = to_rack(staffed, load)
    vehicle = vehicle_of(staffed, load) if on_a_trip else "AGV6"
    staffed.until(lambda: not on_a_trip or staffed.kernel.state.trips[vehicle].passed > 0)
    error = AgvError("orderError", "WARNING", "node R9 is not on the map", "MES-1")
    staffed.enter(Report(vehicle, msgspec.structs.replace(staffed.wire.report(vehicle), errors=(error,))))
    assert staffed.kernel.state.agvs[vehicle].errors == (error,)
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert staffed.notes("trip failed") == []


def test_a_refused_update_of_a_drive_that_is_under_way_is_noted_and_ends_nothing(staffed: Hall) -> None:
    load = staffed.put("RACK-2")
    order = to_rack(staffed, load)
    vehicle = vehicle_of(staffed, load)
    staffed.until(lambda: staffed.kernel.state.trips[vehicle].passed > 0)
    drive_id = staffed.kernel.state.trips[vehicle].drive_id
    error = AgvError("orderUpdateError", "WARNING", "update 1 is older", drive_id)
    staffed.enter(Report(vehicle, msgspec.structs.replace(staffed.wire.report(vehicle), errors=(error,))))
    assert "update 1 is older" in staffed.notes("drive update refused")[0].detail
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert staffed.notes("trip failed") == []


def test_a_vehicle_that_an_operator_has_taken_over_is_not_judged_until_it_is_given_back(staffed: Hall) -> None:
    """It may be driven by hand meanwhile: what it says of its drive is no news of the trip."""
    load = staffed.put("RACK-4")
    order = to_rack(staffed, load)
    vehicle = vehicle_of(staffed, load)
    staffed.until_ended(order)
    staffed.until(lambda: staffed.kernel.state.trips[vehicle].sent_released == len(trip_of(staffed, vehicle).nodes))
    staffed.must(SetMode(vehicle, "manual"))
    home = staffed.kernel.floor.agvs[vehicle].home
    staffed.until(lambda: staffed.kernel.state.agvs[vehicle].last_node == home)
    staffed.run(20)
    assert vehicle in staffed.kernel.state.trips
    staffed.must(SetMode(vehicle, "automatic"))
    staffed.until(lambda: vehicle not in staffed.kernel.state.trips, limit_s=15)
    assert staffed.notes("trip failed") == []
    staffed.until_quiet()


def trip_of(hall: Hall, vehicle: str) -> Trip:
    return hall.kernel.state.trips[vehicle]


def test_an_update_that_never_arrives_is_sent_again_when_a_person_has_said_so(staffed: Hall) -> None:
    """The drive itself is under way: only what was added to it is missing."""
    load = staffed.put("RACK-4")
    staffed.lose = lambda command: isinstance(command.action, Drive) and command.action.update_id > 0
    order = to_rack(staffed, load)
    vehicle = vehicle_of(staffed, load)
    staffed.until(lambda: f"{vehicle}/no-answer" in staffed.alarms())
    entry = next(e for e in staffed.kernel.state.ledger.values() if e.device == vehicle)
    staffed.lose = lambda command: False
    # What counts is what it was told before.
    told = staffed.watch.vehicles[vehicle]
    told.drive = next(c.action for c in staffed.commands(vehicle) if isinstance(c.action, Drive))
    told.base = [n for n in told.drive.nodes if n.released]
    staffed.must(ResolveCommand(entry.command_id, done=False))
    again = staffed.commands(vehicle)[-1].action
    assert (again.drive_id, again.update_id) == (entry.action.drive_id, entry.action.update_id)
    assert again.nodes[0] == entry.action.nodes[0]
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert staffed.notes("trip failed") == []
    staffed.until_quiet()
