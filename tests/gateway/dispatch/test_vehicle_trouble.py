"""Vehicles that fail, fall silent, refuse, forget: nothing else is harmed, and what can be carried on is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from small_plant import Hall, MakeHall

from gateway.contract import AnnounceLoad, Command, ResolveCommand, SendFailed, StepRequest
from gateway.devices.agv import Drive, Instant
from gateway.dispatch import explain
from gateway.site import Site


def trip_of(hall: Hall, load: str):
    return next((t for t in hall.kernel.state.trips.values() if t.load == load), None)


def vehicle_of(hall: Hall, load: str) -> str:
    trip = trip_of(hall, load)
    assert trip is not None
    return trip.vehicle


def to_rack(hall: Hall, load: str, rack: str = "RACK-3") -> str:
    return hall.order(f"M-{load}", StepRequest("go", "move", load, rack))


def driving(hall: Hall, load: str) -> bool:
    trip = trip_of(hall, load)
    return trip is not None and trip.passed > 0


def loaded(hall: Hall, load: str) -> bool:
    trip = trip_of(hall, load)
    return trip is not None and trip.picked and trip.passed > trip.pick_at


STAGES: dict[str, Callable[[Hall, str], bool]] = {"before the pick": driving, "with the load": loaded}


@pytest.mark.parametrize("stage", STAGES)
def test_a_vehicle_that_fails_goes_on_when_it_has_recovered(staffed: Hall, stage: str) -> None:
    load = staffed.put("RACK-2")
    order = to_rack(staffed, load)
    staffed.until(lambda: STAGES[stage](staffed, load))
    vehicle = vehicle_of(staffed, load)
    staffed.plant.fault("agv_failure", vehicle, True)
    staffed.until(lambda: f"{vehicle}/vehicle faulted" in staffed.alarms())
    way = staffed.watch.vehicles[vehicle].way()
    staffed.run(40)
    assert staffed.watch.vehicles[vehicle].way() == way
    assert staffed.state_of(order) == "started"
    staffed.plant.fault("agv_failure", vehicle, False)
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert staffed.alarms() == {}
    staffed.until_quiet()


@pytest.mark.parametrize("stage", STAGES)
def test_a_vehicle_without_a_link_for_minutes_keeps_its_base_and_goes_on(staffed: Hall, stage: str) -> None:
    load = staffed.put("RACK-2")
    order = to_rack(staffed, load)
    staffed.until(lambda: STAGES[stage](staffed, load))
    vehicle = vehicle_of(staffed, load)
    staffed.cut(vehicle)
    others = [staffed.ship(staffed.put("RACK-4")) for _ in range(2)]
    staffed.run(240)
    assert staffed.state_of(order) == "started"
    staffed.connect(vehicle)
    staffed.until_ended(order, *others)
    assert {staffed.state_of(o) for o in (order, *others)} == {"finished"}
    staffed.until_quiet()
    assert staffed.alarms() == {}


def test_who_has_no_way_around_a_broken_vehicle_waits_and_says_for_whom(staffed: Hall) -> None:
    load = staffed.put("RACK-3")
    order = to_rack(staffed, load, "RACK-1")
    vehicle = vehicle_of(staffed, load)
    staffed.until(lambda: staffed.plant.vehicles[vehicle].last_node == "T3")
    staffed.plant.fault("agv_failure", vehicle, True)
    staffed.until(lambda: f"{vehicle}/vehicle faulted" in staffed.alarms())
    free = staffed.order("free", StepRequest("go", "move", staffed.put("RACK-1"), "WS1-BENCH"))
    staffed.run(120)
    assert staffed.state_of(free) != "finished"
    waits = explain.order(staffed.kernel.state, free)[0]
    assert vehicle in waits
    assert "driveFault" in waits
    staffed.plant.fault("agv_failure", vehicle, False)
    staffed.until_ended(order, free)
    assert {staffed.state_of(order), staffed.state_of(free)} == {"finished"}
    staffed.until_quiet()


LOOP = """
site: {id: loop, name: Two ways from left to right}
policies: {base_nodes_max: 1}
map:
  clearance_mm: 900
  nodes:
    - {id: A, x_mm: 0, y_mm: 0}
    - {id: U1, x_mm: 3000, y_mm: 2000}
    - {id: U2, x_mm: 6000, y_mm: 2000}
    - {id: M, x_mm: 4500, y_mm: -2500}
    - {id: B, x_mm: 9000, y_mm: 0}
    - {id: C, x_mm: 9000, y_mm: -6000}
    - {id: E, x_mm: 4500, y_mm: -6000}
    - {id: D, x_mm: 0, y_mm: -6000}
    - {id: P1, x_mm: -3000, y_mm: 0}
    - {id: P2, x_mm: 4500, y_mm: -9000}
    - {id: NL, x_mm: -3000, y_mm: -6000}
    - {id: NR, x_mm: 12000, y_mm: 0}
  edges:
    - {from: A, to: U1}
    - {from: U1, to: U2}
    - {from: U2, to: B}
    - {from: A, to: M}
    - {from: M, to: B, speed_max_mm_s: 500}
    - {from: B, to: C}
    - {from: C, to: E}
    - {from: E, to: D}
    - {from: D, to: A}
    - {from: A, to: P1, both_ways: true}
    - {from: E, to: P2, both_ways: true}
    - {from: D, to: NL, both_ways: true}
    - {from: B, to: NR, both_ways: true}
locations:
  - {id: LEFT, kind: rack, capacity: 9, node: NL}
  - {id: RIGHT, kind: rack, capacity: 9, node: NR}
devices:
  - {id: V1, type: agv, driver: vda5050, profile: vda5050-2.1, connection: {manufacturer: m, serial: v1}, home: P1}
  - {id: V2, type: agv, driver: vda5050, profile: vda5050-2.1, connection: {manufacturer: m, serial: v2}, home: P2}
"""


def test_a_broken_vehicle_is_driven_around_where_the_map_has_another_way(own_hall: Callable[[str], Hall]) -> None:
    hall = own_hall(LOOP)
    first = to_rack(hall, hall.put("LEFT"), "RIGHT")
    hall.until(lambda: any(v.last_node == "U1" for v in hall.plant.vehicles.values()))
    broken = next(name for name, v in hall.plant.vehicles.items() if v.last_node == "U1")
    hall.plant.fault("agv_failure", broken, True)
    second = to_rack(hall, hall.put("LEFT"), "RIGHT")
    hall.until_ended(second)
    assert hall.state_of(second) == "finished"
    assert hall.notes("detour")
    assert hall.state_of(first) == "started"
    hall.plant.fault("agv_failure", broken, False)
    hall.until_ended(first)
    assert hall.state_of(first) == "finished"
    hall.until_quiet()


def test_a_refused_drive_is_planned_anew(staffed: Hall) -> None:
    load = staffed.put("RACK-2")
    order = to_rack(staffed, load)
    vehicle = vehicle_of(staffed, load)
    sim = staffed.plant.vehicles[vehicle]
    refused: list[str] = []

    def as_if_elsewhere(command: Command[Any]) -> bool:
        if refused or not isinstance(command.action, Drive):
            return False
        refused.append(command.action.drive_id)
        was = sim.last_node, sim.x_mm
        sim.last_node, sim.x_mm = "nowhere", sim.x_mm + 5_000
        staffed.wire.deliver(command)
        sim.last_node, sim.x_mm = was
        return True

    staffed.lose = as_if_elsewhere
    staffed.until(lambda: bool(staffed.notes("trip failed")))
    assert "noRouteError" in staffed.notes("trip failed")[0].detail
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    staffed.until_quiet()


def test_a_vehicle_that_has_forgotten_its_drive_is_sent_again(staffed: Hall) -> None:
    load = staffed.put("RACK-2")
    order = to_rack(staffed, load)
    staffed.until(lambda: driving(staffed, load))
    sim = staffed.plant.vehicles[vehicle_of(staffed, load)]
    staffed.until(lambda: not sim.driving or sim.since_node_mm < 200)
    first = sim.order_id
    sim.order_id, sim.update_id, sim.last_seq = "", 0, 0
    sim.nodes, sim.edges, sim.actions = [], [], []
    sim._todo = []
    sim.since_node_mm = 0.0
    x_mm, y_mm = sim.world.nodes[sim.last_node]
    sim.x_mm, sim.y_mm = float(x_mm), float(y_mm)
    sim.version += 1
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert sim.order_id != first
    assert "has forgotten its drive" in staffed.notes("trip failed")[0].detail
    staffed.until_quiet()


def test_a_pick_that_finds_nothing_is_tried_so_often_and_then_a_person_is_called(staffed: Hall) -> None:
    load = staffed.put("RACK-2")
    order = to_rack(staffed, load)
    staffed.plant.places["RACK-2"].give(load)
    staffed.until_ended(order, limit_s=900)
    assert staffed.state_of(order) == "failed"
    alarm = next(k for k in staffed.alarms() if k.endswith(f"/gave up {load}"))
    assert "is not at RACK-2" in staffed.alarms()[alarm]
    assert len(staffed.notes("trip failed")) == staffed.site.policies.leg_tries_max
    staffed.plant.places["RACK-4"].take(load)
    staffed.must(AnnounceLoad(load, "RACK-4"))
    assert alarm not in staffed.alarms()
    staffed.until_quiet()


def test_a_drop_that_fails_is_made_good_by_the_same_vehicle(staffed: Hall) -> None:
    load = staffed.put("RACK-2")
    order = to_rack(staffed, load, "WS1-BENCH")
    staffed.until(lambda: loaded(staffed, load))
    vehicle = vehicle_of(staffed, load)
    bench = staffed.plant.places["WS1-BENCH"]
    for name in ("X1", "X2"):
        bench.take(name)
    staffed.until(lambda: bool(staffed.notes("trip failed")), limit_s=300)
    for name in ("X1", "X2"):
        bench.give(name)
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    drops = {c.device for c in staffed.effects if getattr(c, "device", "") in staffed.plant.vehicles
             and isinstance(getattr(c, "action", None), Drive) and any(n.actions for n in c.action.nodes)}  # fmt: skip
    assert drops == {vehicle}
    assert [c.action.kind for c in staffed.commands(vehicle) if isinstance(c.action, Instant)] == ["cancelOrder"]
    staffed.until_quiet()


def test_a_drive_that_is_never_taken_becomes_a_persons_affair_and_then_is_planned_anew(staffed: Hall) -> None:
    load = staffed.put("RACK-2")
    staffed.lose = lambda command: isinstance(command.action, Drive)
    order = to_rack(staffed, load)
    vehicle = vehicle_of(staffed, load)
    staffed.until(lambda: f"{vehicle}/no-answer" in staffed.alarms())
    tries = [c for c in staffed.commands(vehicle) if isinstance(c.action, Drive)]
    assert len(tries) == staffed.site.policies.send_tries_max
    assert len({(c.seq, c.command_id) for c in tries}) == 1
    staffed.lose = lambda command: False
    staffed.watch.not_done(vehicle, tries[0].seq)
    staffed.must(ResolveCommand(tries[0].command_id, done=False))
    assert f"{vehicle}/no-answer" not in staffed.alarms()
    staffed.until_ended(order, limit_s=300)
    assert staffed.state_of(order) == "finished"
    staffed.until_quiet()


def test_a_drive_that_could_not_be_written_is_written_again(staffed: Hall) -> None:
    load = staffed.put("RACK-2")
    lost: list[str] = []

    def once(command: Command[Any]) -> bool:
        if isinstance(command.action, Drive) and not lost:
            lost.append(command.command_id)
            staffed.enter(SendFailed(command.command_id, command.device, True, "socket is closed"))
            return True
        return False

    staffed.lose = once
    order = to_rack(staffed, load)
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert len([n for n in staffed.notes("command not written") if lost[0] in n.detail]) == 1


def test_a_vehicle_that_may_drive_and_does_not_calls_a_person(staffed: Hall) -> None:
    load = staffed.put("RACK-4")
    to_rack(staffed, load)
    staffed.until(lambda: driving(staffed, load))
    vehicle = vehicle_of(staffed, load)
    staffed.plant.vehicles[vehicle].step = lambda: None  # type: ignore[method-assign]
    staffed.until(lambda: f"{vehicle}/stuck" in staffed.alarms(), limit_s=120)
    assert "though" in staffed.alarms()[f"{vehicle}/stuck"]


def test_waiting_for_others_for_long_is_not_being_stuck(staffed: Hall) -> None:
    """Only the time in which a vehicle could have moved counts."""
    first, second = staffed.put("RACK-3"), staffed.put("RACK-3")
    orders = [to_rack(staffed, first, "RACK-1"), to_rack(staffed, second, "RACK-1")]
    staffed.until(lambda: driving(staffed, first) and driving(staffed, second))
    names = [vehicle_of(staffed, first), vehicle_of(staffed, second)]
    staffed.until(lambda: staffed.plant.vehicles[names[0]].last_node in ("R3", "T4", "T5"))
    staffed.plant.fault("agv_failure", names[0], True)
    staffed.run(staffed.site.policies.drive_stuck_s * 2)
    staffed.plant.fault("agv_failure", names[0], False)
    staffed.until_ended(*orders)
    assert [e for e in staffed.effects if getattr(e, "code", "") == "stuck"] == []
    staffed.until_quiet()


def test_a_vehicle_low_on_battery_is_given_no_load(make_hall: MakeHall, site: Site) -> None:
    hall = make_hall()
    for sim in hall.plant.vehicles.values():
        sim.battery_percent = 12.0
        sim.version += 1
    hall.run(1)
    order = to_rack(hall, hall.put())
    hall.run(5)
    assert "battery at 12 %" in explain.order(hall.kernel.state, order)[0]


def test_every_vehicle_down_for_minutes_and_back(make_hall: MakeHall) -> None:
    hall = make_hall(seed=11)
    hall.staff()
    hall.stream(8)
    hall.run(60)
    for vehicle in hall.plant.vehicles:
        hall.cut(vehicle)
    hall.run(200)
    for vehicle in hall.plant.vehicles:
        hall.connect(vehicle)
    hall.until_ended(limit_s=2000)
    hall.until_quiet()
    assert {hall.state_of(o) for o in hall.orders} == {"finished"}
