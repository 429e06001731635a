"""Around a vehicle that can't move, where there is another way and nobody is locked up by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_plant import Hall

from gateway.contract import SetMode, StepRequest
from gateway.devices.agv import Drive
from gateway.dispatch.traffic import trips
from gateway.dispatch.turn import Turn

TWO_WAYS = """
site: {id: two-ways, name: A station with two ways to the parking places}
policies: {base_nodes_max: 3}
map:
  clearance_mm: 900
  nodes:
    - {id: S, x_mm: 0, y_mm: -3000}
    - {id: J, x_mm: 0, y_mm: 0}
    - {id: T1, x_mm: 2000, y_mm: 2000}
    - {id: T2, x_mm: 4000, y_mm: 2000}
    - {id: T3, x_mm: 6000, y_mm: 2000}
    - {id: T4, x_mm: 8000, y_mm: 2000}
    - {id: T5, x_mm: 10000, y_mm: 2000}
    - {id: B1, x_mm: 3000, y_mm: -2500}
    - {id: B2, x_mm: 8000, y_mm: -2500}
    - {id: K, x_mm: 12000, y_mm: 0}
    - {id: HX, x_mm: 15000, y_mm: 0}
    - {id: HY, x_mm: 12000, y_mm: 3000}
    - {id: HZ, x_mm: 12000, y_mm: -3000}
    - {id: R, x_mm: 15000, y_mm: 3000}
  edges:
    - {from: S, to: J, both_ways: true}
    - {from: J, to: T1, both_ways: true}
    - {from: T1, to: T2, both_ways: true}
    - {from: T2, to: T3, both_ways: true}
    - {from: T3, to: T4, both_ways: true}
    - {from: T4, to: T5, both_ways: true}
    - {from: T5, to: K, both_ways: true}
    - {from: J, to: B1, both_ways: true, speed_max_mm_s: 800}
    - {from: B1, to: B2, both_ways: true, speed_max_mm_s: 800}
    - {from: B2, to: K, both_ways: true, speed_max_mm_s: 800}
    - {from: K, to: HX, both_ways: true}
    - {from: K, to: HY, both_ways: true}
    - {from: K, to: HZ, both_ways: true}
    - {from: K, to: R, both_ways: true}
locations:
  - {id: STATION, kind: rack, capacity: 9, node: S}
  - {id: STORE, kind: rack, capacity: 9, node: R}
devices:
  - {id: X, type: agv, driver: vda5050, profile: vda5050-2.1, connection: {manufacturer: m, serial: x}, home: HX}
  - {id: Y, type: agv, driver: vda5050, profile: vda5050-2.1, connection: {manufacturer: m, serial: y}, home: HY}
  - {id: Z, type: agv, driver: vda5050, profile: vda5050-2.1, connection: {manufacturer: m, serial: z}, home: HZ}
"""


@pytest.fixture
def hall(own_hall: Callable[[str], Hall]) -> Hall:
    return own_hall(TWO_WAYS)


def by_hand(hall: Hall, vehicle: str, node: str) -> None:
    """An operator drives it there, and keeps it in hand."""
    hall.must(SetMode(vehicle, "manual"))
    sim = hall.plant.vehicles[vehicle]
    sim.last_node, sim.driving = node, False
    x_mm, y_mm = sim.world.nodes[node]
    sim.x_mm, sim.y_mm = float(x_mm), float(y_mm)
    sim.pace.rouse()
    sim.version += 1
    hall.run(0.3)


def given_back(hall: Hall, vehicle: str) -> None:
    hall.must(SetMode(vehicle, "automatic"))


def drives(hall: Hall, vehicle: str) -> list[Drive]:
    return [c.action for c in hall.commands(vehicle) if isinstance(c.action, Drive)]


def way(drive: Drive) -> list[str]:
    return [n.node for n in drive.nodes]


def base(drive: Drive) -> list[str]:
    return [n.node for n in drive.nodes if n.released]


def test_an_empty_vehicle_drives_home_around_one_that_has_failed_in_front_of_it(hall: Hall) -> None:
    by_hand(hall, "X", "J")
    by_hand(hall, "Y", "S")
    given_back(hall, "X")
    given_back(hall, "Y")
    hall.until(lambda: hall.plant.vehicles["X"].last_node == "T1")
    hall.plant.fault("agv_failure", "X", True)
    hall.until(lambda: hall.watch.vehicles["Y"].at == "HY", limit_s=60)
    assert "around X over" in hall.notes("detour")[0].detail
    assert {"B1", "B2"} <= {n for drive in drives(hall, "Y") for n in base(drive)}
    assert hall.watch.vehicles["X"].at == "T1"
    hall.plant.fault("agv_failure", "X", False)
    hall.until_quiet()


def test_a_detour_in_the_turn_in_which_the_base_has_grown_is_sent_alone(hall: Hall) -> None:
    """X fails the moment it has made room for Y's next node. What Y is told is the new way with that node in its base;
    the old way is not sent beside it, or the vehicle would follow one and the gateway reckon with the other."""
    by_hand(hall, "X", "J")
    by_hand(hall, "Y", "S")
    given_back(hall, "X")
    given_back(hall, "Y")
    hall.until(lambda: hall.kernel.state.trips["Y"].released == 2)
    assert hall.kernel.state.agvs["X"].last_node == "T1"
    hall.muted.add("X")
    hall.until(lambda: hall.plant.vehicles["X"].last_node == "T2")
    hall.plant.fault("agv_failure", "X", True)
    before = len(drives(hall, "Y"))
    released = hall.kernel.state.trips["Y"].released
    hall.muted.clear()
    hall.until(lambda: len(drives(hall, "Y")) > before, limit_s=1)
    assert hall.notes("detour")
    (only,) = drives(hall, "Y")[before:]
    trip = hall.kernel.state.trips["Y"]
    assert trip.released == released + 1
    assert (way(only), base(only)) == (trip.nodes[released - 1 :], ["J", "T1"])
    assert "B1" in way(only)
    hall.until(lambda: hall.watch.vehicles["Y"].at == "HY", limit_s=90)
    hall.plant.fault("agv_failure", "X", False)
    hall.until_quiet()


def test_a_way_around_that_would_lock_somebody_up_is_not_driven(hall: Hall) -> None:
    """Z comes the other way, for the place where Y stands: Y waits for X on the usual way home."""
    by_hand(hall, "X", "T1")
    hall.plant.fault("agv_failure", "X", True)
    hall.must(SetMode("Y", "manual"))
    order = hall.order("M", StepRequest("go", "move", hall.put("STATION"), "STORE"))
    trips = hall.kernel.state.trips
    hall.until(lambda: trips["Z"].nodes[trips["Z"].released - 1] == "B1")
    by_hand(hall, "Y", "S")
    given_back(hall, "Y")
    hall.run(60)
    assert trips["Y"].nodes == ["S", "J", "T1", "T2", "T3", "T4", "T5", "K", "HY"]
    assert (trips["Y"].waits_for, trips["Z"].waits_for) == ("X", "Y")
    assert hall.notes("detour") == []
    assert hall.kernel.state.locked == []
    hall.plant.fault("agv_failure", "X", False)
    given_back(hall, "X")
    hall.until_ended(order)
    assert hall.state_of(order) == "finished"
    hall.until_quiet()


def test_what_has_been_released_and_not_been_sent_yet_stays_in_front_of_a_detour(hall: Hall) -> None:
    """The vehicle stands at the first node of it, and others keep clear of all of it."""
    kernel = hall.kernel
    turn = Turn(kernel.site, kernel.floor, kernel.state, kernel._remembered())
    trip = trips.empty(turn, "Y", ["S", "J", "T1", "T2", "T3", "T4", "T5", "K", "HY"])
    trip.released = 2
    kernel.state.trips["Y"] = trip
    new = trips.redirected(turn, trip, ["J", "B1", "B2", "K", "HY"])
    assert new.nodes == ["S", "J", "B1", "B2", "K", "HY"]
    assert (new.drive_id, new.released, new.passed) == (trip.drive_id, 2, 0)


def test_a_pick_that_is_over_stays_where_it_was_on_another_way(hall: Hall) -> None:
    kernel = hall.kernel
    turn = Turn(kernel.site, kernel.floor, kernel.state, kernel._remembered())
    trip = trips.empty(turn, "Y", ["S", "J", "T1", "T2", "T3", "T4", "T5", "K", "R"])
    trip.released, trip.load, trip.source, trip.dest = 2, "L", "STATION", "STORE"
    trip.pick_at, trip.drop_at, trip.picked = 0, 8, True
    kernel.state.trips["Y"] = trip
    new = trips.redirected(turn, trip, ["J", "B1", "B2", "K", "R"])
    assert (new.pick_at, new.drop_at, new.picked) == (0, 5, True)
    assert new.nodes == ["S", "J", "B1", "B2", "K", "R"]
