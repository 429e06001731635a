"""Work by people: by skill, one piece at a time, handed on when somebody leaves in the middle of it."""

from __future__ import annotations

from small_plant import Hall

from gateway.contract import ConfirmWork, RemoveLoad, SetMode, SignOff, SignOn, StepRequest
from gateway.dispatch import explain


def pick(load: str, to: str = "", step: str = "pick") -> StepRequest:
    return StepRequest(step, "work", load, to, skill="pick")


def working(hall: Hall, station: str) -> bool:
    return hall.kernel.state.stations[station].state == "working"


def test_a_person_who_signs_off_in_the_middle_leaves_the_work_for_the_next(staffed: Hall) -> None:
    staffed.work_forever = True
    load = staffed.put()
    order = staffed.order("W", pick(load, "WS1"))
    staffed.until(lambda: working(staffed, "WS1"))
    staffed.must(SignOff("anna"))
    assert staffed.kernel.state.stations["WS1"].state == "closed"
    assert staffed.state_of(order) == "started"
    assert "WS1: nobody has signed on" in explain.order(staffed.kernel.state, order)[0]
    late = staffed.ask(ConfirmWork("W/pick", "anna"))
    assert (late.accepted, late.reason) == (False, "task W/pick is nobody's")
    staffed.must(SignOff("ben"))
    staffed.must(SignOn("ben", "WS1"))
    assert working(staffed, "WS1")
    staffed.must(ConfirmWork("W/pick", "ben"))
    assert staffed.state_of(order) == "finished"
    staffed.until_quiet()


def test_nobody_does_work_that_they_have_no_skill_for(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.order("P", StepRequest("pack", "work", load, "WS2", skill="pack"))
    staffed.run(60)
    assert staffed.where(load) == "RACK-1"
    assert "ben has no skill pack" in explain.order(staffed.kernel.state, order)[0]
    staffed.must(SignOff("anna"))
    staffed.must(SignOff("ben"))
    staffed.must(SignOn("anna", "WS2"))
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


def test_work_that_can_t_be_done_fails_the_order_with_the_persons_words(staffed: Hall) -> None:
    staffed.work_forever = True
    load = staffed.put()
    order = staffed.order("W", pick(load, "WS1"), StepRequest("ship", "sort", load, "BERLIN", after=("pick",)))
    staffed.until(lambda: working(staffed, "WS1"))
    staffed.must(ConfirmWork("W/pick", "anna", ok=False, note="tote is empty"))
    assert staffed.kernel.state.orders[order].reason == "step pick: anna: tote is empty"
    assert staffed.kernel.state.stations["WS1"].state == "staffed"
    staffed.until_quiet()
    assert staffed.where(load) == "WS1-BENCH"


def test_work_goes_to_the_station_with_less_before_it(staffed: Hall) -> None:
    staffed.work_forever = True
    loads = [staffed.put() for _ in range(4)]
    for load in loads:
        staffed.order(f"W-{load}", pick(load))
    staffed.until(lambda: working(staffed, "WS1") and working(staffed, "WS2"))
    staffed.until(lambda: all(staffed.where(load).endswith("BENCH") for load in loads))
    benches = [staffed.where(load) for load in loads]
    assert sorted(benches) == ["WS1-BENCH", "WS1-BENCH", "WS2-BENCH", "WS2-BENCH"]


def test_when_a_sister_step_fails_the_other_person_is_free_again(staffed: Hall) -> None:
    staffed.work_forever = True
    one, two = staffed.put(), staffed.put()
    order = staffed.order("W", pick(one, "WS1", "a"), pick(two, "WS2", "b"))
    staffed.until(lambda: working(staffed, "WS1") and working(staffed, "WS2"))
    staffed.must(ConfirmWork("W/a", "anna", ok=False, note="broken"))
    assert staffed.state_of(order) == "failed"
    assert staffed.kernel.state.stations["WS2"].state == "staffed"
    other = staffed.order("next", pick(two, "WS2"))
    staffed.until(lambda: working(staffed, "WS2"))
    staffed.must(ConfirmWork("next/pick", "ben"))
    assert staffed.state_of(other) == "finished"


def test_when_the_load_in_hand_is_removed_the_person_is_free_again(staffed: Hall) -> None:
    staffed.work_forever = True
    load = staffed.put()
    order = staffed.order("W", pick(load, "WS1"))
    staffed.until(lambda: working(staffed, "WS1"))
    staffed.must(RemoveLoad(load, "damaged"))
    assert staffed.state_of(order) == "failed"
    assert staffed.kernel.state.stations["WS1"].state == "staffed"


def test_steps_of_one_order_wait_for_one_another(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.order("S", pick(load, "WS1"), StepRequest("ship", "sort", load, "BERLIN", after=("pick",)))
    second = " ".join(explain.order(staffed.kernel.state, order)[1:])
    assert "comes after step pick" in second
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


def test_two_orders_for_one_load_take_turns(staffed: Hall) -> None:
    load = staffed.put()
    first = staffed.order("first", StepRequest("go", "move", load, "RACK-3"))
    second = staffed.order("second", StepRequest("go", "move", load, "RACK-2"))
    assert f"load {load} is busy with first/go" in explain.order(staffed.kernel.state, second)[0]
    staffed.until_ended(first, second)
    assert staffed.where(load) == "RACK-2"
    staffed.until_quiet()


def test_a_move_to_where_the_load_stands_is_finished_at_once(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.order("stay", StepRequest("go", "move", load, "RACK-1"))
    staffed.run(2)
    assert staffed.state_of(order) == "finished"
    assert all(not staffed.commands(vehicle) for vehicle in staffed.plant.vehicles)


def carried_off(hall: Hall) -> tuple[str, str]:
    """Somebody takes the load that a person has in hand, and puts it in front of the scanner."""
    hall.work_forever = True
    load = hall.put("WS1-BENCH")
    order = hall.order("W", pick(load, "WS1"))
    assert working(hall, "WS1")
    hall.plant.take_away(load)
    hall.plant.put_down(load, "S1-IN")
    return load, order


def test_when_the_load_in_hand_comes_by_a_scanner_the_person_is_free_again(staffed: Hall) -> None:
    load, order = carried_off(staffed)
    staffed.until(lambda: staffed.where(load) == "LANE-R", limit_s=60)
    assert staffed.kernel.state.stations["WS1"].state == "staffed"
    assert staffed.kernel.state.tasks["W/pick"].person == ""
    staffed.work_forever = False
    staffed.until_ended(order)
    assert (staffed.state_of(order), staffed.where(load)) == ("finished", "WS1-BENCH")
    staffed.until_quiet()


def test_work_on_a_deck_is_not_meant_for_a_place_where_no_vehicle_puts_anything_down(staffed: Hall) -> None:
    """The clearing place at the reject lane is empty and near, but only the sorter brings loads there."""
    staffed.must(SignOff("ben"))
    load = staffed.put()
    order = staffed.order("W", pick(load))
    staffed.until(lambda: staffed.where(load).startswith("AGV"))
    staffed.must(SignOff("cleo"))
    staffed.must(SignOn("ben", "CLR"))
    vehicle = staffed.where(load)
    task = staffed.kernel.state.tasks["W/pick"]
    staffed.plant.vehicles[vehicle].deck.take_away()
    staffed.until(lambda: bool(staffed.notes("trip failed")))
    staffed.until(lambda: bool(task.target))
    assert task.target == "WS1-BENCH"
    assert staffed.state_of(order) == "started"


def test_a_place_for_work_is_chosen_anew_where_no_way_leads_to_the_old_one(staffed: Hall) -> None:
    """Somebody has carried the load elsewhere meanwhile."""
    for vehicle in staffed.kernel.floor.agvs:
        staffed.must(SetMode(vehicle, "manual"))
    load = staffed.put()
    order = staffed.order("W", pick(load))
    task = staffed.kernel.state.tasks["W/pick"]
    task.target, task.device = "LANE-R", "CLR"
    for vehicle in staffed.kernel.floor.agvs:
        staffed.must(SetMode(vehicle, "automatic"))
    assert task.target != "LANE-R"
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
