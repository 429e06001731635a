"""What is seen late, by nobody, or only after a person has had a hand in it, is put right once it can be known."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_plant import Hall
from test_cells import decant, why
from test_memory import first_difference
from test_names_at_the_scanner import opened, queued
from test_names_on_conveyors import MISSING_S, TOLERANCE_S, at_the_conveyor, on_zone
from test_people import carried_off, working
from test_stepping_aside import ALARM, WITH_SIDING, WITHOUT, aside, by_hand

from gateway.contract import AnnounceLoad, ConfirmWork, LinkChanged, SetMode, StepRequest
from gateway.devices.conveyor import Discharge
from gateway.site import Site


def test_a_load_lifted_off_an_entry_where_nothing_else_happens_is_lost_too(staffed: Hall, site: Site) -> None:
    """A PLC reports what changes: no report comes any more that would show the entry as empty."""
    load = staffed.put("RACK-4")
    order = staffed.ship(load)
    staffed.until(at_the_conveyor(staffed, load))
    staffed.until(on_zone(staffed, load, 1))
    staffed.plant.take_away(load)
    staffed.until(lambda: f"C1/lost {load}" in staffed.alarms(), limit_s=TOLERANCE_S + MISSING_S + 10)
    assert staffed.state_of(order) == "started"
    assert first_difference(site, staffed.journal) == ""


def test_a_load_that_has_been_scanned_is_not_booked_back_by_a_conveyor_that_says_it_late(staffed: Hall) -> None:
    (load,) = queued(staffed, 1)
    opened(staffed)
    staffed.until(lambda: any(isinstance(c.action, Discharge) for c in staffed.commands("C1")))
    staffed.muted.add("C1")
    staffed.until(lambda: staffed.kernel.state.tally.scans == 1, limit_s=20)
    assert staffed.where(load) == "S1"
    staffed.until_ended()
    assert staffed.where(load) == "LANE-1"
    assert staffed.notes("load found") == []
    staffed.muted.clear()
    staffed.connect("C1")
    staffed.until_quiet()


@pytest.mark.parametrize("how", ["manual", "doubtful"])
def test_a_drive_that_was_forgotten_meanwhile_is_not_continued(staffed: Hall, how: str) -> None:
    """The vehicle would refuse the update; and its base would be longer here than there."""
    load = staffed.put("RACK-4")
    order = staffed.order("M", StepRequest("go", "move", load, "RACK-3"))
    vehicle = next(iter(staffed.kernel.state.trips))
    staffed.until(lambda: staffed.kernel.state.trips[vehicle].passed > 1)
    if how == "manual":
        staffed.must(SetMode(vehicle, "manual"))
    else:
        staffed.enter(LinkChanged(vehicle, "uncertain", "silent"))
    sim = staffed.plant.vehicles[vehicle]
    staffed.until(lambda: not sim.driving, limit_s=60)
    sim.order_id, sim.nodes, sim.edges, sim.actions, sim._todo = "", [], [], [], []
    sim.version += 1
    staffed.run(20)
    assert staffed.notes("trip failed") == []
    if how == "manual":
        staffed.must(SetMode(vehicle, "automatic"))
    else:
        staffed.enter(LinkChanged(vehicle, "up", "heard again"))
    assert "has forgotten its drive" in staffed.notes("trip failed")[0].detail
    assert sim.orders_refused == 0
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


@pytest.mark.parametrize("yaml", [WITH_SIDING, WITHOUT])
def test_vehicles_that_were_driven_in_front_of_one_another_by_hand_are_seen_as_locked_up(
    own_hall: Callable[[str], Hall], yaml: str
) -> None:
    hall = own_hall(yaml)
    by_hand(hall, "V1", "B")
    by_hand(hall, "V2", "A")
    for vehicle in ("V1", "V2"):
        hall.must(SetMode(vehicle, "automatic"))
    hall.until(lambda: bool(hall.raised(ALARM)), limit_s=5)
    if yaml is WITH_SIDING:
        hall.until(lambda: ALARM not in hall.alarms(), limit_s=5)
        assert aside(hall) == ["V2"]
        hall.until_quiet()


def test_nobody_confirms_what_is_nobodys(staffed: Hall) -> None:
    load = staffed.put()
    staffed.order("M", StepRequest("go", "move", load, "RACK-2"))
    reply = staffed.ask(ConfirmWork("M/go", ""))
    assert (reply.accepted, reply.reason) == (False, "task M/go is nobody's")


def test_work_that_the_cell_can_t_do_says_so(staffed: Hall) -> None:
    load = staffed.put("RC1-IN")
    order = decant(staffed, load, recipe="huge")
    staffed.run(5)
    assert "RC1: has no recipe huge (has small, large)" in why(staffed, order)


def test_when_the_load_in_hand_has_to_be_clarified_the_person_is_free_again(staffed: Hall) -> None:
    staffed.plant.fault("no_read", "S1", True)
    load, order = carried_off(staffed)
    staffed.must(AnnounceLoad(load, "S1-IN"))
    staffed.until(lambda: staffed.where(load) == "LANE-R", limit_s=60)
    assert staffed.kernel.state.stations["WS1"].state == "staffed"
    staffed.plant.fault("no_read", "S1", False)
    staffed.work_forever = False
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert not working(staffed, "WS1")
