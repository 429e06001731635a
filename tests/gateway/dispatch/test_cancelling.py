"""An order is cancelled at every stage of its life: it ends once, and everything that it held is given back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_plant import Hall, MakeHall

from gateway.contract import AnnounceLoad, OrderEvent, RemoveLoad, StepRequest
from gateway.site import Site

Stage = Callable[[Hall, str], bool]


def trip_of(hall: Hall, load: str):
    return next((t for t in hall.kernel.state.trips.values() if t.load == load), None)


def fetching(hall: Hall, load: str) -> bool:
    """A vehicle is under way and its pick is not in its base yet."""
    trip = trip_of(hall, load)
    return trip is not None and 1 < trip.released <= trip.pick_at


def about_to_pick(hall: Hall, load: str) -> bool:
    trip = trip_of(hall, load)
    return trip is not None and trip.pick_at < trip.released and not trip.picked


def picked(hall: Hall, load: str) -> bool:
    return hall.where(load) in hall.plant.vehicles


def at(place: str) -> Stage:
    return lambda hall, load: hall.where(load) == place


def cell_at_work(hall: Hall, load: str) -> bool:
    return hall.where(load) == "RC1-IN" and hall.kernel.state.cells["RC1"].state == "Execute"


def ended_once(hall: Hall, order: str, state: str = "cancelled") -> None:
    ends = [e.state for e in hall.effects if isinstance(e, OrderEvent) and e.order == order and e.state in
            ("finished", "failed", "cancelled")]  # fmt: skip
    assert ends == [state]
    assert [t.state for t in hall.kernel.state.tasks.values() if t.order == order and t.state in
            ("waiting", "ready", "active")] == []  # fmt: skip


SHIPPING = {
    "under way to it": fetching,
    "its pick released": about_to_pick,
    "on the vehicle": picked,
    "on the conveyor": at("C1.1"),
    "on the sorter": at("S1"),
}


@pytest.mark.parametrize("stage", SHIPPING)
def test_a_shipment_is_cancelled(staffed: Hall, stage: str) -> None:
    load = staffed.put("RACK-4")
    order = staffed.ship(load)
    staffed.until(lambda: SHIPPING[stage](staffed, load), limit_s=120)
    assert staffed.cancel(order).accepted
    ended_once(staffed, order)
    staffed.until_quiet()
    staffed.run(60)
    staffed.until_quiet()
    ended_once(staffed, order)
    # What goes on by itself ends in the reject lane, never in a customer's; what has not left stays.
    expected = {"under way to it": "RACK-4"}.get(stage, "LANE-R")
    assert staffed.where(load) == expected or (stage == "on the sorter" and staffed.where(load) == "LANE-1")
    # And the next order for it, and for another, is carried out.
    if staffed.where(load) != "LANE-1":
        again = staffed.ship(load, name="again")
        staffed.until_ended(again)
        assert staffed.state_of(again) == "finished"


def test_a_queued_order_is_cancelled(make_hall: MakeHall, site: Site) -> None:
    hall = make_hall(
        site=site.model_copy(update={"policies": site.policies.model_copy(update={"orders_released_max": 1})})
    )
    first, second = hall.ship(hall.put()), hall.ship(hall.put())
    assert hall.state_of(second) == "created"
    assert hall.cancel(second).accepted
    ended_once(hall, second)
    assert hall.kernel.state.queue == []
    hall.until_ended(first)
    hall.until_quiet()
    assert hall.state_of(first) == "finished"


def test_a_released_order_that_waits_for_a_vehicle_is_cancelled(hall: Hall) -> None:
    for vehicle in hall.plant.vehicles:
        hall.cut(vehicle)
    order = hall.ship(hall.put())
    assert hall.state_of(order) == "released"
    assert hall.cancel(order).accepted
    ended_once(hall, order)
    assert hall.commands("AGV1") == []
    for vehicle in hall.plant.vehicles:
        hall.connect(vehicle)
    hall.run(30)
    hall.until_quiet()
    assert all(not hall.commands(vehicle) for vehicle in hall.plant.vehicles)


def decant(hall: Hall, load: str) -> str:
    return hall.order(
        f"D-{load}",
        StepRequest("decant", "work", load, "RC1", skill="decant", recipe="small"),
        StepRequest("store", "move", load, "RACK-2", after=("decant",)),
    )


@pytest.mark.parametrize("stage", ["on the second conveyor", "in the cell"])
def test_decanting_is_cancelled(staffed: Hall, stage: str) -> None:
    load = staffed.put()
    order = decant(staffed, load)
    reached = {"on the second conveyor": at("C2.1"), "in the cell": cell_at_work}[stage]
    staffed.until(lambda: reached(staffed, load), limit_s=300)
    assert staffed.cancel(order).accepted
    ended_once(staffed, order)
    staffed.until_quiet()
    staffed.run(40)
    assert staffed.where(load) == ("RC1-IN" if stage == "on the second conveyor" else "RC1-OUT")
    if stage == "in the cell":
        staffed.order("away", StepRequest("go", "move", load, "RACK-2"))
        staffed.until_ended("away")
        assert staffed.where(load) == "RACK-2"


def test_a_load_without_an_order_that_blocks_the_cell_is_told(staffed: Hall) -> None:
    """Nothing else can come in, no vehicle reaches the infeed: somebody has to take it away."""
    load = staffed.put()
    order = decant(staffed, load)
    staffed.until(lambda: staffed.where(load) == "C2.1", limit_s=300)
    staffed.cancel(order)
    staffed.until(lambda: staffed.where(load) == "RC1-IN")
    staffed.run(30)
    assert [key for key in staffed.alarms() if key.startswith("RC1/")], "the cell is blocked and nobody is called"


def test_work_in_hand_is_cancelled_and_the_person_is_free_again(staffed: Hall) -> None:
    staffed.work_forever = True
    load = staffed.put()
    order = staffed.order("W", StepRequest("pick", "work", load, "WS1", skill="pick"))
    staffed.until(lambda: staffed.kernel.state.stations["WS1"].state == "working")
    assert staffed.cancel(order).accepted
    ended_once(staffed, order)
    assert staffed.kernel.state.stations["WS1"].state == "staffed"
    assert staffed.kernel.state.stations["WS1"].task == ""
    staffed.work_forever = False
    other = staffed.order("W2", StepRequest("pick", "work", staffed.put(), "WS1", skill="pick"))
    staffed.until_ended(other)
    assert staffed.state_of(other) == "finished"
    staffed.until_quiet()
    assert staffed.where(load) == "WS1-BENCH"


def test_a_load_that_waits_at_the_bench_is_cancelled(staffed: Hall) -> None:
    staffed.work_forever = True
    first, second = staffed.put(), staffed.put()
    for load in (first, second):
        staffed.order(f"W-{load}", StepRequest("pick", "work", load, "WS1", skill="pick"))
    staffed.until(lambda: {staffed.where(first), staffed.where(second)} == {"WS1-BENCH"})
    waiting = next(o for o in staffed.orders if staffed.kernel.state.tasks[f"{o}/pick"].person == "")
    assert staffed.cancel(waiting).accepted
    ended_once(staffed, waiting)
    assert staffed.kernel.state.stations["WS1"].state == "working"


def test_room_stays_kept_for_a_load_that_is_on_its_way_whatever_became_of_its_order(staffed: Hall) -> None:
    """The bench has room for two: a cancelled load that a vehicle brings all the same must not meet two others."""
    staffed.work_forever = True
    first = staffed.put()
    gone = staffed.order("gone", StepRequest("pick", "work", first, "WS1", skill="pick"))
    staffed.until(lambda: about_to_pick(staffed, first))
    assert staffed.cancel(gone).accepted
    for _ in range(3):
        load = staffed.put("RACK-4")
        staffed.order(f"W-{load}", StepRequest("pick", "work", load, "WS1", skill="pick"))
    staffed.run(240)
    assert staffed.where(first) == "WS1-BENCH"
    assert len(staffed.plant.places["WS1-BENCH"].loads()) <= 2
    failed = [n.detail for n in staffed.notes("trip failed")]
    assert failed == [], "a vehicle was sent where there was no room"


def test_a_cancelled_order_is_refused_a_second_cancel(staffed: Hall) -> None:
    order = staffed.ship(staffed.put())
    assert staffed.cancel(order).accepted
    again = staffed.cancel(order)
    assert (again.accepted, again.reason) == (False, f"order {order} is cancelled already")


def test_a_failed_drop_of_a_cancelled_load_gives_its_room_back_once_it_is_announced(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.order("to-rack", StepRequest("go", "move", load, "RACK-2"))
    staffed.until(lambda: picked(staffed, load))
    assert staffed.cancel(order).accepted
    # Somebody takes it off the moving vehicle, so that the drop fails, and puts it into a rack.
    vehicle = staffed.where(load)
    staffed.plant.vehicles[vehicle].deck.load = ""
    staffed.plant.places["RACK-3"].take(load)
    staffed.until(lambda: f"{vehicle}/load on deck" in staffed.alarms(), limit_s=200)
    staffed.must(AnnounceLoad(load, "RACK-3"))
    staffed.run(1)
    assert f"{vehicle}/load on deck" not in staffed.alarms(), "what was asked for has been done"
    staffed.until_quiet()


@pytest.mark.parametrize("stage", ["its pick released", "on the vehicle"])
def test_a_load_that_a_vehicle_has_or_is_about_to_take_can_t_be_removed(staffed: Hall, stage: str) -> None:
    load = staffed.put()
    order = staffed.order("to-rack", StepRequest("go", "move", load, "RACK-2"))
    staffed.until(lambda: SHIPPING[stage](staffed, load))
    trip = trip_of(staffed, load)
    assert trip is not None
    reply = staffed.ask(RemoveLoad(load, "broken"))
    assert (reply.accepted, reply.reason) == (
        False,
        f"{load} is being carried by {trip.vehicle}: wait until it has put it down",
    )
    staffed.until_ended(order)
    staffed.must(RemoveLoad(load, "broken"))
    staffed.plant.places["RACK-2"].give(load)
    staffed.until_quiet()


def test_a_load_that_is_removed_before_a_vehicle_can_take_it_frees_the_vehicle(staffed: Hall) -> None:
    load = staffed.put("RACK-4")
    order = staffed.ship(load)
    staffed.until(lambda: fetching(staffed, load))
    staffed.must(RemoveLoad(load, "broken"))
    staffed.plant.places["RACK-4"].give(load)
    assert staffed.kernel.state.orders[order].reason == f"step ship: load {load} was removed: broken"
    staffed.until_quiet()
