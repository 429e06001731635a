"""A vehicle with a load on its deck and no trip takes it on to where it should go, or says what a person must do."""

from __future__ import annotations

import pytest
from small_plant import Hall

from gateway.contract import Notice, RemoveLoad, SignOff, SignOn, SiteChanged, StepRequest, Tick
from gateway.devices.agv import Instant
from gateway.devices.sorter import SorterEvent
from gateway.dispatch import explain
from gateway.site import encode_site


def why(hall: Hall, order: str) -> str:
    return explain.order(hall.kernel.state, order)[0]


def carrier(hall: Hall, load: str) -> str:
    return next(t.vehicle for t in hall.kernel.state.trips.values() if t.load == load)


def on_board(hall: Hall, load: str) -> str:
    """Wait until a vehicle has it and is on its way; its name."""
    hall.until(lambda: any(t.load == load and t.picked for t in hall.kernel.state.trips.values()))
    return carrier(hall, load)


def block(hall: Hall, bench: str) -> None:
    """Two loads that nobody knows of stand where there is room for two."""
    for _ in range(2):
        hall.put(bench, announce=False)


def test_work_that_can_t_be_done_where_it_was_planned_is_taken_to_another_place(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.order("W", StepRequest("pick", "work", load, "", skill="pick"))
    vehicle = on_board(staffed, load)
    assert staffed.kernel.state.tasks["W/pick"].target == "WS2-BENCH"
    block(staffed, "WS2-BENCH")
    staffed.must(SignOff("ben"))
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert staffed.where(load) == "WS1-BENCH"
    assert f"{vehicle} could not drop {load}" in staffed.notes("trip failed")[0].detail
    assert staffed.alarms() == {}


def test_work_for_which_there_is_no_place_any_more_leaves_the_load_on_its_vehicle_and_says_so(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.order("W", StepRequest("pick", "work", load, "", skill="pick"))
    vehicle = on_board(staffed, load)
    block(staffed, "WS2-BENCH")
    for person in ("anna", "ben"):
        staffed.must(SignOff(person))
    alarm = f"{vehicle}/load on deck"
    staffed.until(lambda: alarm in staffed.alarms())
    assert f"{vehicle} carries {load}, which has nowhere to go" in staffed.alarms()[alarm]
    assert "WS1: nobody has signed on" in why(staffed, order)
    staffed.must(SignOn("anna", "WS1"))
    staffed.until_ended(order)
    assert (staffed.state_of(order), staffed.where(load)) == ("finished", "WS1-BENCH")
    assert staffed.alarms() == {}


def test_a_vehicle_waits_with_its_load_until_there_is_room_for_it(staffed: Hall) -> None:
    """Another one has been promised the place that its failed drop gave back."""
    standing, load, next_ = staffed.put("WS1-BENCH"), staffed.put(), staffed.put("RACK-4")
    order = staffed.order("M", StepRequest("go", "move", load, "WS1-BENCH"))
    other = staffed.order("N", StepRequest("go", "move", next_, "WS1-BENCH"))
    vehicle = on_board(staffed, load)
    in_the_way = staffed.put("WS1-BENCH", announce=False)
    staffed.until(lambda: bool(staffed.notes("trip failed")))
    staffed.plant.take_away(in_the_way)
    staffed.until(lambda: "WS1-BENCH has no room" in why(staffed, order), limit_s=60)
    tries = staffed.kernel.state.hold_offs[f"{vehicle} carry on"].tries
    staffed.enter(Tick())
    assert staffed.kernel.state.hold_offs[f"{vehicle} carry on"].tries == tries, "not in every turn"
    staffed.until_ended(other)
    staffed.until(lambda: f"{vehicle}/keeps-refusing" in staffed.alarms(), limit_s=120)
    assert staffed.where(load) == vehicle
    staffed.plant.take_away(standing)
    staffed.must(RemoveLoad(standing))
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert staffed.alarms() == {}
    staffed.until_quiet()


def test_a_vehicle_that_carries_a_load_with_nowhere_to_go_is_given_no_other_one(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.order("M", StepRequest("go", "move", load, "WS1-BENCH"))
    vehicle = on_board(staffed, load)
    block(staffed, "WS1-BENCH")
    staffed.cancel(order)
    staffed.until(lambda: f"{vehicle}/load on deck" in staffed.alarms())
    for other in staffed.plant.vehicles:
        if other != vehicle:
            staffed.cut(other)
    waiting = staffed.order("N", StepRequest("go", "move", staffed.put(), "RACK-2"))
    home = staffed.kernel.floor.agvs[vehicle].home
    staffed.until(lambda: vehicle not in staffed.kernel.state.trips and staffed.watch.vehicles[vehicle].at == home)
    staffed.run(2)
    assert f"{vehicle} carries {load}" in why(staffed, waiting)
    assert staffed.plant.vehicles[vehicle].deck.load == load


def test_a_load_for_a_destination_that_the_plan_has_lost_stays_on_its_vehicle(staffed: Hall) -> None:
    load = staffed.put()
    staffed.ship(load, "LEIPZIG")
    vehicle = on_board(staffed, load)
    plan = staffed.site.sort_plan
    assert plan is not None
    destinations = {k: v for k, v in plan.destinations.items() if k != "LEIPZIG"}
    new = staffed.site.model_copy(update={"sort_plan": plan.model_copy(update={"destinations": destinations})})
    staffed.plant.conveyors["C1"].put_down("X-1", 1)
    staffed.enter(SiteChanged(encode_site(new), False))
    staffed.until(lambda: f"{vehicle}/load on deck" in staffed.alarms())
    staffed.enter(SiteChanged(encode_site(staffed.site), False))
    staffed.plant.take_away("X-1")
    staffed.until_ended()
    assert staffed.where(load) == "LANE-5"


# --- a load that is not in the books ---


@pytest.mark.parametrize("there", [True, False])
def test_a_load_that_left_the_books_while_its_pick_was_released(staffed: Hall, there: bool) -> None:
    """People emptied the reject lane and said so; the vehicle finds it all the same, or does not."""
    load = staffed.put("LANE-R")
    order = staffed.order("M", StepRequest("go", "move", load, "RACK-1"))
    vehicle = carrier(staffed, load)
    trip = staffed.kernel.state.trips[vehicle]
    staffed.until(lambda: trip.takes_load)
    staffed.cancel(order)
    staffed.enter(Notice("S1", SorterEvent("lane_emptied", 0, lane=9)))
    assert load not in staffed.kernel.state.loads
    if not there:
        staffed.plant.take_away(load)
    alarm = f"{vehicle}/unknown load"
    staffed.until(lambda: bool(staffed.raised(alarm) or staffed.notes("trip failed")))
    if there:
        assert staffed.alarms()[alarm] == f"{vehicle}: pick of {load}, which is not booked"
        staffed.until(lambda: "drop of" in staffed.alarms()[alarm])
        assert staffed.really(load) == "RACK-1"
    else:
        assert "is not at LANE-R" in staffed.notes("trip failed")[0].detail
        assert [c.action.kind for c in staffed.commands(vehicle) if isinstance(c.action, Instant)] == ["cancelOrder"]
    home = staffed.kernel.floor.agvs[vehicle].home
    staffed.until(lambda: vehicle not in staffed.kernel.state.trips and staffed.watch.vehicles[vehicle].at == home)
    assert not any(staffed.kernel.state.coming.values())
