"""Robot cells: they are given only what they can do, and when they can't go on somebody is told what to do about it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from small_plant import Hall

from gateway.contract import AnnounceLoad, CreateOrder, RemoveLoad, Report, ResetDevice, SetMode, StepRequest
from gateway.devices.robot_cell import Control
from gateway.dispatch import explain
from plc_simulators.models import packml


def decant(hall: Hall, load: str, recipe: str = "small", name: str = "D") -> str:
    step = StepRequest("decant", "work", load, "RC1", skill="decant", recipe=recipe)
    return hall.order(f"{name}-{load}", step, StepRequest("store", "move", load, "RACK-2", after=("decant",)))


def told(hall: Hall) -> list[str]:
    """The commands that RC1 was given, write by write."""
    return [c.action.command for c in hall.commands("RC1") if isinstance(c.action, Control)]


def why(hall: Hall, order: str) -> str:
    return explain.order(hall.kernel.state, order)[0]


def before_the_cell(hall: Hall) -> tuple[str, str]:
    """A load with an order stands at the end of the conveyor that leads to the cell."""
    load = hall.put()
    order = decant(hall, load)
    hall.until(lambda: hall.really(load) == "C2/zone 12")
    return load, order


def in_work(hall: Hall) -> tuple[str, str]:
    load, order = before_the_cell(hall)
    hall.until(lambda: hall.kernel.state.cells["RC1"].state == "Execute")
    return load, order


def shown(hall: Hall, **levels: Any) -> Report[Any]:
    return Report("RC1", msgspec.structs.replace(hall.wire.report("RC1"), **levels))


def at_its_panel(hall: Hall, command: int) -> None:
    hall.plant.cells["RC1"].controller.unit.command(command, hall.plant.now_ns)
    hall.plant.line("RC1").pace.rouse()


def test_a_recipe_that_the_cell_does_not_have_is_told(staffed: Hall) -> None:
    load = staffed.put()
    order = decant(staffed, load, recipe="huge")
    staffed.run(10)
    assert "RC1: has no recipe huge (has small, large)" in why(staffed, order)
    assert staffed.where(load) == "RACK-1"


def test_a_place_for_the_work_to_which_no_way_leads_is_told(staffed: Hall) -> None:
    """Nobody brings a load into the reject lane: whoever wants work done there has to wait for the sorter."""
    load = staffed.put()
    order = staffed.order("W", StepRequest("look", "work", load, "CLR", skill="clarify"))
    staffed.run(10)
    assert "CLR: no route from RACK-1" in why(staffed, order)


def test_a_load_at_a_cell_that_is_out_of_use_says_so(staffed: Hall) -> None:
    load, order = before_the_cell(staffed)
    staffed.lose = lambda command: command.device == "RC1"
    staffed.until(lambda: staffed.where(load) == "RC1-IN")
    staffed.must(SetMode("RC1", "maintenance"))
    staffed.run(1)
    assert why(staffed, order).endswith("RC1: switched to maintenance by an operator")
    staffed.lose = lambda command: False
    staffed.must(SetMode("RC1", "automatic"))
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


@pytest.mark.parametrize("ordered", [True, False])
def test_a_held_cell_waits_for_a_person_and_goes_on_after_its_reset(staffed: Hall, ordered: bool) -> None:
    order = in_work(staffed)[1] if ordered else ""
    unit = staffed.plant.cells["RC1"].controller.unit
    if not ordered:
        # Somebody has put a load in and started it at its own panel.
        staffed.put("RC1-IN", announce=False)
        at_its_panel(staffed, packml.START)
        staffed.until(lambda: unit.state == packml.EXECUTE, limit_s=5)
    at_its_panel(staffed, packml.HOLD)
    staffed.until(lambda: staffed.kernel.state.cells["RC1"].state == "Held", limit_s=5)
    staffed.run(20)
    commands = len(told(staffed))
    assert not ordered or "RC1 is held: look at the cell, then reset it" in why(staffed, order)
    staffed.must(ResetDevice("RC1"))
    assert told(staffed)[commands:] == ["Unhold"]
    if ordered:
        staffed.until_ended(order)
        assert staffed.state_of(order) == "finished"


def test_a_cell_after_an_emergency_stop_is_cleared_by_a_person_and_begins_the_work_anew(staffed: Hall) -> None:
    _load, order = in_work(staffed)
    staffed.plant.fault("e_stop", "RC1", True)
    staffed.until(lambda: "RC1/machine aborted" in staffed.alarms(), limit_s=5)
    assert "clear the cause, then reset the cell" in why(staffed, order)
    staffed.plant.fault("e_stop", "RC1", False)
    staffed.must(ResetDevice("RC1"))
    staffed.until_ended(order)
    assert told(staffed)[:4] == ["Start", "Clear", "Reset", "Start"]
    assert staffed.state_of(order) == "finished"
    assert staffed.alarms() == {}


def test_a_cell_that_can_t_be_reached_can_t_be_reset(staffed: Hall) -> None:
    staffed.cut("RC1", "no route to host")
    reply = staffed.ask(ResetDevice("RC1"))
    assert (reply.accepted, reply.reason) == (False, "RC1 can't be reached: no route to host")


def start_sent_for(hall: Hall) -> tuple[str, str]:
    """The cell has been told to start with a load that somebody takes out at that moment."""
    load, order = before_the_cell(hall)
    hall.until(lambda: told(hall) == ["Start"])
    hall.plant.take_away(load)
    return load, order


def test_a_start_that_the_cell_refuses_is_given_again_with_pauses(staffed: Hall) -> None:
    load, order = start_sent_for(staffed)
    staffed.until(lambda: "RC1 Start" in staffed.kernel.state.hold_offs, limit_s=5)
    assert "RC1 refused: the load is not there" in why(staffed, order)
    staffed.run(0.15)
    assert told(staffed) == ["Start"], "not again at once"
    staffed.until(lambda: len(told(staffed)) > 2, limit_s=10)
    staffed.plant.put_down(load, "RC1-IN")
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert "RC1 Start" not in staffed.kernel.state.hold_offs


def test_a_refused_start_for_a_load_that_has_left_the_site_is_nobodys_reason(staffed: Hall) -> None:
    load, order = start_sent_for(staffed)
    staffed.must(RemoveLoad(load, "taken by quality control"))
    staffed.until(lambda: not staffed.kernel.state.ledger, limit_s=5)
    assert staffed.kernel.state.hold_offs["RC1 Start"].reason == "refused: the load is not there"
    assert staffed.kernel.state.orders[order].reason.endswith("taken by quality control")


def test_a_refused_start_for_a_load_whose_order_was_cancelled_is_nobodys_reason(staffed: Hall) -> None:
    load, order = start_sent_for(staffed)
    staffed.cancel(order)
    staffed.until(lambda: not staffed.kernel.state.ledger, limit_s=5)
    assert staffed.kernel.state.tasks[f"{order}/decant"].reason == "cancelled by its host"
    assert staffed.where(load) == "RC1-IN"


def test_work_that_is_finished_on_a_load_that_nobody_knows_is_looked_at(staffed: Hall) -> None:
    staffed.enter(shown(staffed, track_id=777, processed=1))
    assert staffed.alarms() == {
        "RC1/unknown track": "RC1 finished track 777, which is no known load: look at RC1-OUT",
    }


def test_a_load_finished_in_a_cell_whose_order_was_cancelled_is_booked_and_a_person_is_called(staffed: Hall) -> None:
    load, order = in_work(staffed)
    staffed.cancel(order)
    staffed.until(lambda: staffed.where(load) == "RC1-OUT")
    staffed.until(lambda: "RC1/load without order" in staffed.alarms(), limit_s=20)
    assert f"{load} stands at RC1-OUT without an order" in staffed.alarms()["RC1/load without order"]
    staffed.must(CreateOrder("away", (StepRequest("go", "move", load, "RACK-1"),)))
    staffed.until(lambda: "RC1/load without order" not in staffed.alarms(), limit_s=5)


def test_a_cell_with_a_full_outfeed_waits_until_it_is_fetched(staffed: Hall) -> None:
    in_the_way = staffed.put("RC1-OUT", announce=False)
    load, order = before_the_cell(staffed)
    staffed.until(lambda: staffed.where(load) == "RC1-IN")
    staffed.run(2)
    assert "RC1-OUT is taken: a vehicle has to fetch what stands there" in why(staffed, order)
    assert told(staffed) == []
    staffed.plant.take_away(in_the_way)
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


@pytest.mark.parametrize("place", ["RC1-IN", "C2-IN"])
def test_work_ordered_for_a_load_that_is_at_the_cell_or_on_its_way_there_is_done(staffed: Hall, place: str) -> None:
    """A person has put it there: no vehicle has to be sent, so nobody else asks where the work is to be done."""
    load = staffed.put(place)
    order = decant(staffed, load)
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


def test_work_that_the_cell_can_t_do_is_not_begun_on_a_load_that_stands_there(staffed: Hall) -> None:
    load = staffed.put("RC1-IN")
    order = decant(staffed, load, recipe="huge")
    staffed.run(5)
    assert told(staffed) == []
    assert staffed.state_of(order) == "released"


def test_a_load_that_the_cell_does_not_see_is_looked_for(staffed: Hall) -> None:
    """The cell would refuse every start: the person who announced it was mistaken, or it has been taken out since."""
    load = staffed.put()
    staffed.must(AnnounceLoad(load, "RC1-IN"))
    staffed.run(5)
    assert staffed.alarms() == {}
    staffed.until(lambda: "RC1/load not there" in staffed.alarms(), limit_s=10)
    assert f"{load} is booked at RC1-IN, where the cell sees no load" in staffed.alarms()["RC1/load not there"]
    staffed.must(AnnounceLoad(load, "RACK-1"))
    staffed.until(lambda: staffed.alarms() == {}, limit_s=5)
    staffed.until_quiet()


# --- people ---


def test_work_that_is_ordered_for_another_station_is_not_given_to_whoever_stands_beside_it(staffed: Hall) -> None:
    load = staffed.put("WS1-BENCH")
    order = staffed.order("W", StepRequest("pick", "work", load, "WS2", skill="pick"))
    assert staffed.kernel.state.stations["WS1"].state == "staffed"
    staffed.until_ended(order)
    assert (staffed.state_of(order), staffed.where(load)) == ("finished", "WS2-BENCH")
    staffed.must(AnnounceLoad(load, "WS2-BENCH"))
    staffed.until_quiet()
