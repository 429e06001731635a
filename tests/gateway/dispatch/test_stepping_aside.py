"""Vehicles that stand in one another's way: one of them steps aside where that sets somebody free, and where nothing
does, a person is told until one has been driven away by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_plant import Hall

from gateway.contract import Note, SetMode, StepRequest
from gateway.dispatch.traffic import trips, untangle
from gateway.dispatch.turn import Turn

OwnHall = Callable[[str], Hall]

LINE = """
site: {id: line, name: One track}
map:
  clearance_mm: 900
  nodes:
    - {id: HL, x_mm: 0, y_mm: 0}
    - {id: A, x_mm: 3000, y_mm: 0}
    - {id: B, x_mm: 6000, y_mm: 0}
    - {id: HR, x_mm: 9000, y_mm: 0}
    - {id: SIDE, x_mm: 3000, y_mm: -3000}
    - {id: END, x_mm: 6000, y_mm: -3000}
  edges:
    - {from: HL, to: A, both_ways: true}
    - {from: A, to: B, both_ways: true}
    - {from: B, to: HR, both_ways: true}
    - {from: A, to: SIDE, both_ways: LEFT}
    - {from: B, to: END, both_ways: RIGHT}
locations:
  - {id: AT-A, kind: rack, capacity: 9, node: A}
  - {id: AT-B, kind: rack, capacity: 9, node: B}
devices:
  - {id: V1, type: agv, driver: vda5050, profile: vda5050-2.1, connection: {manufacturer: m, serial: v1}, home: HL}
  - {id: V2, type: agv, driver: vda5050, profile: vda5050-2.1, connection: {manufacturer: m, serial: v2}, home: HR}
"""
WITHOUT = LINE.replace("LEFT", "false").replace("RIGHT", "false")
"""What drives into such a siding does not come out again, so it is no way for anybody."""
WITH_SIDING = LINE.replace("LEFT", "true").replace("RIGHT", "false")
WITH_TWO = LINE.replace("LEFT", "true").replace("RIGHT", "true")
TWO_LINES = """
site: {id: two, name: Two tracks with a long way between them}
map:
  clearance_mm: 900
  nodes:
    - {id: HL, x_mm: 0, y_mm: 0}
    - {id: A, x_mm: 3000, y_mm: 0}
    - {id: B, x_mm: 6000, y_mm: 0}
    - {id: HR, x_mm: 9000, y_mm: 0}
    - {id: SIDE, x_mm: 3000, y_mm: -3000}
    - {id: LINK, x_mm: 6000, y_mm: -9000}
    - {id: HL2, x_mm: 0, y_mm: -18000}
    - {id: A2, x_mm: 3000, y_mm: -18000}
    - {id: B2, x_mm: 6000, y_mm: -18000}
    - {id: HR2, x_mm: 9000, y_mm: -18000}
    - {id: SIDE2, x_mm: 3000, y_mm: -15000}
  edges:
    - {from: HL, to: A, both_ways: true}
    - {from: A, to: B, both_ways: true}
    - {from: B, to: HR, both_ways: true}
    - {from: A, to: SIDE, both_ways: true}
    - {from: HL2, to: A2, both_ways: true}
    - {from: A2, to: B2, both_ways: true}
    - {from: B2, to: HR2, both_ways: true}
    - {from: A2, to: SIDE2, both_ways: true}
    - {from: B, to: LINK, both_ways: true}
    - {from: LINK, to: B2, both_ways: true}
locations:
  - {id: AT-A, kind: rack, capacity: 9, node: A}
  - {id: AT-B, kind: rack, capacity: 9, node: B}
devices:
  - {id: V1, type: agv, driver: vda5050, profile: vda5050-2.1, connection: {manufacturer: m, serial: v1}, home: HL}
  - {id: V2, type: agv, driver: vda5050, profile: vda5050-2.1, connection: {manufacturer: m, serial: v2}, home: HR}
  - {id: V3, type: agv, driver: vda5050, profile: vda5050-2.1, connection: {manufacturer: m, serial: v3}, home: HL2}
  - {id: V4, type: agv, driver: vda5050, profile: vda5050-2.1, connection: {manufacturer: m, serial: v4}, home: HR2}
"""
ALARM = "traffic/locked up"


def driven_to(hall: Hall, vehicle: str, node: str) -> None:
    """Somebody drives it there by hand, so that it has given up its drive."""
    sim = hall.plant.vehicles[vehicle]
    sim.order_id, sim.update_id, sim.last_seq, sim.last_node = "", 0, 0, node
    sim.nodes, sim.edges, sim.actions, sim._todo = [], [], [], []
    sim.since_node_mm, sim.driving = 0.0, False
    x_mm, y_mm = sim.world.nodes[node]
    sim.x_mm, sim.y_mm = float(x_mm), float(y_mm)
    sim.pace.rouse()
    sim.version += 1


def by_hand(hall: Hall, vehicle: str, node: str) -> None:
    hall.must(SetMode(vehicle, "manual"))
    driven_to(hall, vehicle, node)
    hall.run(1)


def face_to_face(hall: Hall, *given_back: str) -> None:
    """V1, whose home is on the left, stands on the right in front of V2, and the other way round."""
    by_hand(hall, "V1", "B")
    by_hand(hall, "V2", "A")
    for vehicle in given_back:
        hall.must(SetMode(vehicle, "automatic"))
    hall.run(1)
    # V1 is switched off and on again, and has forgotten its way home.
    driven_to(hall, "V1", "B")
    hall.until(lambda: bool(hall.raised(ALARM)), limit_s=3)


def moved(hall: Hall) -> str:
    """Something is carried from A to B, as a proof that the track is free again; how the order ended."""
    order = hall.order("M", StepRequest("go", "move", hall.put("AT-A"), "AT-B"))
    hall.until_ended(order)
    hall.until_quiet()
    return hall.state_of(order)


def aside(hall: Hall) -> list[str]:
    return [note.source for note in hall.notes("steps aside")]


def test_one_of_two_that_face_each_other_steps_aside(own_hall: OwnHall) -> None:
    hall = own_hall(WITH_SIDING)
    face_to_face(hall, "V1", "V2")
    assert "V1, V2 stand in one another's way" in hall.raised(ALARM)[0].text
    hall.until(lambda: ALARM not in hall.alarms(), limit_s=5)
    assert aside(hall) == ["V2"]
    assert "SIDE" in hall.notes("steps aside")[0].detail
    assert moved(hall) == "finished"


def test_the_one_without_a_load_steps_aside(own_hall: OwnHall) -> None:
    """Of two that could do it: it is the quickest out of the way."""
    hall = own_hall(WITH_TWO)
    for _ in range(9):
        hall.put("AT-B", announce=False)
    load = hall.put("AT-A")
    order = hall.order("full", StepRequest("go", "move", load, "AT-B"))
    hall.until(lambda: hall.where(load) in ("V1", "V2"))
    vehicle = hall.where(load)
    hall.cancel(order)
    home = hall.kernel.floor.agvs[vehicle].home
    hall.until(lambda: f"{vehicle}/load on deck" in hall.alarms() and hall.watch.vehicles[vehicle].at == home)
    face_to_face(hall, "V1", "V2")
    hall.until(lambda: ALARM not in hall.alarms(), limit_s=5)
    assert aside(hall) == [{"V1": "V2", "V2": "V1"}[vehicle]]


def test_where_nobody_can_step_aside_a_person_is_told_until_one_has_been_driven_away(own_hall: OwnHall) -> None:
    hall = own_hall(WITHOUT)
    face_to_face(hall, "V1", "V2")
    hall.run(20)
    assert aside(hall) == []
    assert "Drive one of them by hand to its parking place" in hall.alarms()[ALARM]
    assert hall.kernel.state.locked == ["V1", "V2"]
    by_hand(hall, "V2", "HR")
    hall.must(SetMode("V2", "automatic"))
    hall.until(lambda: ALARM not in hall.alarms(), limit_s=10)
    assert moved(hall) == "finished"


def test_one_that_an_operator_has_taken_over_is_not_the_one_that_steps_aside(own_hall: OwnHall) -> None:
    """It would be sent off under somebody's hand; the other one has no room to do it."""
    hall = own_hall(WITH_SIDING)
    face_to_face(hall, "V1")
    hall.run(20)
    assert aside(hall) == []
    assert ALARM in hall.alarms()
    hall.must(SetMode("V2", "automatic"))
    hall.until(lambda: ALARM not in hall.alarms(), limit_s=5)
    assert aside(hall) == ["V2"]
    assert moved(hall) == "finished"


@pytest.mark.parametrize("yaml", [WITH_SIDING, WITHOUT])
def test_nobody_steps_aside_while_everybody_gets_through(own_hall: OwnHall, yaml: str) -> None:
    hall = own_hall(yaml)
    orders = [hall.order(f"M{i}", StepRequest("go", "move", hall.put("AT-A"), "AT-B")) for i in range(3)]
    hall.until_ended(*orders)
    assert {hall.state_of(order) for order in orders} == {"finished"}
    assert hall.notes("steps aside") == []
    assert hall.raised(ALARM) == []
    hall.until_quiet()


def test_who_has_been_driven_home_by_hand_is_waited_for_no_longer(own_hall: OwnHall) -> None:
    """The passing order counted on its going first; it is at home now and has no way to drive."""
    hall = own_hall(WITHOUT)
    by_hand(hall, "V1", "B")
    load = hall.put("AT-A")
    order = hall.order("M", StepRequest("go", "move", load, "AT-B"))
    hall.run(10)
    assert hall.kernel.state.trips["V2"].waits_for == "V1"
    assert [v for v, _ in hall.kernel.state.passes["A"]][:2] == ["V1", "V2"]
    by_hand(hall, "V1", "HL")
    hall.until_ended(order)
    assert hall.state_of(order) == "finished"
    assert hall.kernel.state.agvs["V1"].health.mode == "manual"


def test_who_was_locked_up_drives_on_as_soon_as_the_other_one_has_been_driven_away(own_hall: OwnHall) -> None:
    """Nobody has a turn there in the passing order; that the track is free is enough."""
    hall = own_hall(WITHOUT)
    face_to_face(hall, "V1")
    hall.run(5)
    assert hall.kernel.state.trips["V1"].released == 1
    by_hand(hall, "V2", "HR")
    hall.until(lambda: hall.watch.vehicles["V1"].at == "HL", limit_s=20)
    hall.until(lambda: ALARM not in hall.alarms(), limit_s=5)


def test_of_two_pairs_that_face_each_other_one_is_set_free_after_the_other(own_hall: OwnHall) -> None:
    """Nobody can set all four free: each step counts that frees somebody."""
    hall = own_hall(TWO_LINES)
    for vehicle, node in (("V3", "B2"), ("V4", "A2"), ("V1", "B"), ("V2", "A")):
        by_hand(hall, vehicle, node)
    for vehicle in ("V3", "V4", "V1", "V2"):
        hall.must(SetMode(vehicle, "automatic"))
    hall.run(1)
    driven_to(hall, "V1", "B")
    hall.until(lambda: bool(hall.raised(ALARM)), limit_s=3)
    hall.until(lambda: ALARM not in hall.alarms() and not hall.kernel.state.trips, limit_s=120)
    assert len(aside(hall)) >= 2
    assert set(aside(hall)) & {"V1", "V2"}
    assert set(aside(hall)) & {"V3", "V4"}
    hall.until_quiet()


@pytest.mark.parametrize(("drop_at", "steps_aside"), [(0, []), (-1, ["V2"])])
def test_one_whose_drop_is_released_to_it_drops_where_it_is(
    own_hall: OwnHall, drop_at: int, steps_aside: list[str]
) -> None:
    """A vehicle refuses an update that changes what it is to do at a node of its base."""
    hall = own_hall(WITH_SIDING)
    face_to_face(hall)
    kernel = hall.kernel
    for vehicle in ("V1", "V2"):
        kernel.state.agvs[vehicle].health.mode = "automatic"
    turn = Turn(kernel.site, kernel.floor, kernel.state, kernel._remembered())
    turn.memory.refusals.clear()
    trip = trips.empty(turn, "V2", ["A"])
    trip.drop_at = drop_at
    kernel.state.trips["V2"] = trip
    kernel.state.hold_offs.pop(untangle.KEY, None)
    untangle.untangle(turn)
    assert [effect.source for effect in turn.effects if isinstance(effect, Note)] == steps_aside
