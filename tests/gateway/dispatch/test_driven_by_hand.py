"""Vehicles that stand where nobody has sent them: on a node that the map does not have, at the end of a way of no
return, in front of what they should fetch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from small_plant import Hall

from gateway.contract import Report, SetMode, StepRequest
from gateway.devices.agv import ActionState, Drive, Instant
from gateway.dispatch import explain
from gateway.dispatch.memory import Memory
from gateway.dispatch.traffic import occupancy
from gateway.dispatch.turn import Turn

ONE_WAY = """
site: {id: dead-end, name: A track with a siding that nobody comes back from}
map:
  clearance_mm: 900
  nodes:
    - {id: P1, x_mm: -3000, y_mm: 0}
    - {id: P2, x_mm: -3000, y_mm: 3000}
    - {id: A, x_mm: 0, y_mm: 0}
    - {id: B, x_mm: 3000, y_mm: 0}
    - {id: NL, x_mm: 0, y_mm: -3000}
    - {id: NR, x_mm: 3000, y_mm: -3000}
    - {id: PIT, x_mm: 6000, y_mm: 0}
  edges:
    - {from: A, to: P1, both_ways: true}
    - {from: A, to: P2, both_ways: true}
    - {from: A, to: B, both_ways: true}
    - {from: A, to: NL, both_ways: true}
    - {from: B, to: NR, both_ways: true}
    - {from: B, to: PIT}
locations:
  - {id: LEFT, kind: rack, capacity: 9, node: NL}
  - {id: RIGHT, kind: rack, capacity: 9, node: NR}
devices:
  - {id: V1, type: agv, driver: vda5050, profile: vda5050-2.1, connection: {manufacturer: m, serial: v1}, home: P1}
  - {id: V2, type: agv, driver: vda5050, profile: vda5050-2.1, connection: {manufacturer: m, serial: v2}, home: P2}
"""


def driven_to(hall: Hall, vehicle: str, node: str) -> None:
    """Somebody has driven it there by hand, and has given up what it was doing."""
    sim = hall.plant.vehicles[vehicle]
    sim.order_id, sim.update_id, sim.last_seq, sim.last_node = "", 0, 0, node
    sim.nodes, sim.edges, sim.actions, sim._todo = [], [], [], []
    sim.since_node_mm, sim.driving = 0.0, False
    x_mm, y_mm = sim.world.nodes[node]
    sim.x_mm, sim.y_mm = float(x_mm), float(y_mm)
    sim.pace.rouse()
    sim.version += 1


def why(hall: Hall, order: str) -> str:
    return explain.order(hall.kernel.state, order)[0]


def drives(hall: Hall, vehicle: str) -> list[Drive]:
    return [c.action for c in hall.commands(vehicle) if isinstance(c.action, Drive)]


def turn_of(hall: Hall) -> Turn:
    kernel = hall.kernel
    return Turn(kernel.site, kernel.floor, kernel.state, Memory(kernel.floor, kernel.state))


# --- off the map ---


def test_a_vehicle_on_a_node_that_the_map_does_not_have_is_given_nothing_and_says_why(staffed: Hall) -> None:
    for vehicle in staffed.plant.vehicles:
        if vehicle != "AGV1":
            staffed.cut(vehicle)
    elsewhere = msgspec.structs.replace(staffed.wire.report("AGV1"), last_node="WORKSHOP-3")
    staffed.muted.add("AGV1")
    staffed.enter(Report("AGV1", elsewhere))
    order = staffed.order("M", StepRequest("go", "move", staffed.put(), "RACK-2"))
    staffed.run(10)
    assert "AGV1 stands on node WORKSHOP-3, which is not on the map" in why(staffed, order)
    assert drives(staffed, "AGV1") == []
    # Where it parks nobody else is let in meanwhile.
    assert occupancy.held(turn_of(staffed))[staffed.kernel.floor.agvs["AGV1"].home] == "AGV1"
    staffed.muted.clear()
    staffed.connect("AGV1")
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


# --- no way back ---


def test_a_vehicle_without_a_way_home_stays_and_its_place_is_nobody_elses(own_hall: Callable[[str], Hall]) -> None:
    hall = own_hall(ONE_WAY)
    driven_to(hall, "V1", "PIT")
    hall.run(5)
    order = hall.order("M", StepRequest("go", "move", hall.put("LEFT"), "RIGHT"))
    hall.until_ended(order)
    assert hall.state_of(order) == "finished"
    assert drives(hall, "V1") == []
    assert hall.watch.vehicles["V1"].at == "PIT"
    assert occupancy.held(turn_of(hall))["PIT"] == "V1"
    assert hall.kernel.state.locked == []


def test_a_load_on_a_vehicle_that_can_go_nowhere_is_a_persons_affair(own_hall: Callable[[str], Hall]) -> None:
    hall = own_hall(ONE_WAY)
    load = hall.put("LEFT")
    order = hall.order("M", StepRequest("go", "move", load, "RIGHT"))
    hall.until(lambda: any(t.picked for t in hall.kernel.state.trips.values()))
    vehicle = next(iter(hall.kernel.state.trips))
    driven_to(hall, vehicle, "PIT")
    hall.until(lambda: f"{vehicle}/load on deck" in hall.alarms(), limit_s=10)
    assert f"{vehicle} carries {load}, which has nowhere to go" in hall.alarms()[f"{vehicle}/load on deck"]
    assert hall.state_of(order) == "started"
    driven_to(hall, vehicle, "B")
    hall.until_ended(order)
    assert (hall.state_of(order), hall.where(load)) == ("finished", "RIGHT")
    assert hall.alarms() == {}


# --- where the next load is ---


def test_a_vehicle_that_is_about_to_leave_is_not_sent_for_what_stands_there(staffed: Hall) -> None:
    """A pick can't be added to a node that is released already (VDA 5050): it has to drive once around, or another one
    comes."""
    load = staffed.put("RACK-1")
    order = staffed.order("M", StepRequest("go", "move", load, "RACK-2"))
    vehicle = next(iter(staffed.kernel.state.trips))
    # Whoever comes by T3 stands there, so that the way out of RACK-2 is shut.
    staffed.until(lambda: staffed.plant.vehicles[vehicle].last_node == "R2")
    for other in staffed.plant.vehicles:
        if other != vehicle:
            staffed.cut(other)
    blocker = "AGV6" if vehicle != "AGV6" else "AGV5"
    driven_to(staffed, blocker, "T3")
    staffed.enter(Report(blocker, staffed.wire.report(blocker)))
    staffed.until_ended(order)
    again = staffed.order("N", StepRequest("go", "move", load, "RACK-3"))
    staffed.until(lambda: f"{vehicle} is just leaving R2" in why(staffed, again), limit_s=10)
    assert staffed.kernel.state.trips[vehicle].load == ""
    driven_to(staffed, blocker, staffed.kernel.floor.agvs[blocker].home)
    staffed.connect(blocker)
    staffed.until_ended(again)
    assert staffed.state_of(again) == "finished"


# --- under an operator's hand ---


def test_what_was_released_before_an_operator_took_over_is_sent_when_the_vehicle_is_given_back(staffed: Hall) -> None:
    """An update at a time is on its way; the next one must not follow to a vehicle that is driven by hand."""
    load = staffed.put("RACK-4")
    order = staffed.order("M", StepRequest("go", "move", load, "RACK-3"))
    vehicle = next(iter(staffed.kernel.state.trips))
    trip = staffed.kernel.state.trips[vehicle]
    staffed.lose = lambda command: isinstance(command.action, Drive) and command.action.update_id > 0
    staffed.until(lambda: trip.released > trip.sent_released)
    staffed.must(SetMode(vehicle, "manual"))
    staffed.lose = lambda command: False
    entry = next(iter(staffed.kernel.state.ledger.values()))
    staffed.until(lambda: entry.command_id not in staffed.kernel.state.ledger, limit_s=10)
    sent = len(drives(staffed, vehicle))
    staffed.run(20)
    assert len(drives(staffed, vehicle)) == sent
    assert trip.released > trip.sent_released
    staffed.must(SetMode(vehicle, "automatic"))
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    staffed.until_quiet()


@pytest.mark.parametrize("node", ["", "T5"])
def test_a_vehicle_that_knows_no_node_at_all_is_given_nothing(staffed: Hall, node: str) -> None:
    """Just switched on, it has seen no node yet: it has to be driven to one by hand."""
    for vehicle in staffed.plant.vehicles:
        if vehicle != "AGV1":
            staffed.cut(vehicle)
    staffed.muted.add("AGV1")
    staffed.enter(Report("AGV1", msgspec.structs.replace(staffed.wire.report("AGV1"), last_node=node)))
    order = staffed.order("M", StepRequest("go", "move", staffed.put(), "RACK-2"))
    staffed.run(2)
    assert ("vehicle stands on no known node" in why(staffed, order)) is (node == "")
    assert bool(drives(staffed, "AGV1")) is (node != "")


def test_a_paused_vehicle_is_given_nothing_and_goes_on_when_it_is_resumed(staffed: Hall) -> None:
    """The button at the vehicle: whoever pressed it stands beside it."""
    for vehicle in staffed.plant.vehicles:
        if vehicle != "AGV1":
            staffed.cut(vehicle)
    sim = staffed.plant.vehicles["AGV1"]
    sim.paused, sim.version = True, sim.version + 1
    staffed.run(1)
    order = staffed.order("M", StepRequest("go", "move", staffed.put(), "RACK-2"))
    staffed.run(5)
    assert "AGV1 vehicle is paused" in why(staffed, order)
    assert drives(staffed, "AGV1") == []
    sim.paused, sim.version = False, sim.version + 1
    sim.pace.rouse()
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


def says(hall: Hall, vehicle: str, **levels: Any) -> None:
    """The vehicle shows this instead of what the plant has; it is silent afterwards until its link comes up anew."""
    hall.muted.add(vehicle)
    hall.enter(Report(vehicle, msgspec.structs.replace(hall.wire.report(vehicle), **levels)))


def heard_again(hall: Hall, vehicle: str) -> None:
    hall.muted.discard(vehicle)
    hall.enter(Report(vehicle, hall.wire.report(vehicle)))


def test_a_vehicle_that_is_off_its_way_calls_a_person_until_it_is_on_it_again(staffed: Hall) -> None:
    load = staffed.put("RACK-4")
    order = staffed.order("M", StepRequest("go", "move", load, "RACK-3"))
    vehicle = next(iter(staffed.kernel.state.trips))
    trip = staffed.kernel.state.trips[vehicle]
    staffed.until(lambda: trip.passed == 2)
    says(staffed, vehicle, last_node="B7", last_sequence_id=2 * trip.passed)
    alarm = f"{vehicle}/off its way"
    assert f"{vehicle} says it is at B7 (sequence 4), which is not in its released way" in staffed.alarms()[alarm]
    assert trip.passed == 2
    heard_again(staffed, vehicle)
    assert alarm not in staffed.alarms()
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


def test_a_vehicle_that_has_put_its_load_down_is_given_the_next_one_when_its_drive_has_ended(staffed: Hall) -> None:
    for other in staffed.plant.vehicles:
        if other != "AGV1":
            staffed.cut(other)
    first, second = staffed.put("RACK-1"), staffed.put("RACK-2")
    order = staffed.order("M", StepRequest("go", "move", first, "RACK-2"))
    trip = staffed.kernel.state.trips["AGV1"]
    staffed.until(lambda: trip.picked and trip.passed == len(trip.nodes) - 1)
    drop = trip.drop_id
    ended = (ActionState(drop, "FINISHED"), ActionState("beacon", "RUNNING"))
    says(staffed, "AGV1", actions=ended)
    assert staffed.state_of(order) == "finished"
    waiting = staffed.order("N", StepRequest("go", "move", second, "RACK-3"))
    assert "AGV1 is just ending its drive" in why(staffed, waiting)
    staffed.until(lambda: staffed.really(first) == "RACK-2")
    heard_again(staffed, "AGV1")
    staffed.until_ended(waiting)
    assert staffed.state_of(waiting) == "finished"


def test_a_load_is_taken_on_only_when_the_drive_that_failed_has_come_to_rest(staffed: Hall) -> None:
    """The vehicle gives its drop up before it is there (its fork is blocked) and drives on over its base."""
    load = staffed.put("RACK-1")
    order = staffed.order("M", StepRequest("go", "move", load, "RACK-3"))
    vehicle = next(iter(staffed.kernel.state.trips))
    trip = staffed.kernel.state.trips[vehicle]
    staffed.until(lambda: trip.picked and trip.passed > trip.pick_at)
    before = len(drives(staffed, vehicle))
    staffed.lose = lambda command: isinstance(command.action, Instant)
    says(staffed, vehicle, actions=(ActionState(trip.drop_id, "FAILED", "fork is blocked"),))
    assert "fork is blocked" in staffed.notes("trip failed")[0].detail
    staffed.run(1)
    assert vehicle not in staffed.kernel.state.trips
    assert len(drives(staffed, vehicle)) == before
    staffed.lose = lambda command: False
    heard_again(staffed, vehicle)
    staffed.until_ended(order)
    assert (staffed.state_of(order), staffed.where(load)) == ("finished", "RACK-3")
