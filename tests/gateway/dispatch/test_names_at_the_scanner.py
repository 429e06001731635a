"""What the scanner reads outranks what was believed of a load on its way there; what nobody has announced is rejected
and shown to a person."""

from __future__ import annotations

from small_plant import Hall

from gateway.contract import AnnounceLoad, Consume, Notice, RemoveLoad, ResetDevice, StepRequest
from gateway.devices.conveyor import Discharge
from gateway.devices.sorter import SorterEvent
from gateway.dispatch import explain

CITIES = ("BERLIN", "MUNICH", "COLOGNE")
LANES = ("LANE-1", "LANE-3", "LANE-4")


def queued(hall: Hall, count: int) -> list[str]:
    """So many loads stand one behind the other at the end of C1, in the order of the list, and the sorter is shut."""
    hall.plant.fault("lane_full", "S1", True, lane=9)
    loads = []
    for city in CITIES[:count]:
        loads.append(hall.put("RACK-4"))
        hall.ship(loads[-1], city)
        zone = f"C1/zone {13 - len(loads)}"
        hall.until(lambda zone=zone: hall.really(loads[-1]) == zone)
    return loads


def opened(hall: Hall) -> None:
    hall.plant.fault("lane_full", "S1", False, lane=9)


def belt_has(hall: Hall, load: str) -> bool:
    return hall.where(load) == "S1"


def tracks(hall: Hall) -> list[int]:
    return list(hall.kernel.state.sorters["S1"].tracks)


# --- taken for one another ---


def test_two_loads_taken_for_one_another_are_put_right_at_the_scanner(staffed: Hall) -> None:
    """Else every load behind them would be called by the name of the next one, and each be looked for as lost."""
    first, second, third = queued(staffed, 3)
    zones = staffed.plant.conveyors["C1"].zones
    zones[11].load, zones[10].load = zones[10].load, zones[11].load
    names = [staffed.kernel.state.loads[ld].track_id for ld in (first, second, third)]
    opened(staffed)
    staffed.until(lambda: bool(staffed.notes("names exchanged")))
    assert staffed.notes("names exchanged")[0].detail == f"{second} came by, {first} was expected"
    assert (staffed.where(second), staffed.where(first), staffed.where(third)) == ("S1", "C1.1", "C1.1")
    now = [staffed.kernel.state.loads[ld].track_id for ld in (first, second, third)]
    assert now == [names[1], names[0], names[2]]
    staffed.until_ended()
    assert [staffed.where(ld) for ld in (first, second, third)] == list(LANES)
    assert len(staffed.notes("names exchanged")) == 1
    assert staffed.notes("load found") == []
    assert staffed.kernel.state.tally.reject_reasons == {}
    staffed.until_quiet()


def test_a_load_from_elsewhere_that_comes_by_exchanges_nothing(staffed: Hall) -> None:
    """It was booked in a rack, so nobody was taken for it: the one that was handed over is still to come."""
    (first,) = queued(staffed, 1)
    stored = staffed.put("RACK-2")
    staffed.ship(stored, "HAMBURG")
    staffed.cancel(f"O-{stored}")
    zones = staffed.plant.conveyors["C1"].zones
    staffed.plant.places["RACK-2"].give(stored)
    zones[11].load = stored
    opened(staffed)
    staffed.until(lambda: belt_has(staffed, stored))
    assert staffed.notes("load found")[0].detail == f"{stored} was booked at RACK-2"
    assert staffed.notes("names exchanged") == []
    assert staffed.where(first) == "S1-IN"
    staffed.until(lambda: "S1/not scanned" in staffed.alarms(), limit_s=60)
    assert first in staffed.alarms()["S1/not scanned"]


# --- not read ---


def test_a_no_read_is_booked_though_the_conveyor_has_not_said_yet_that_it_handed_it_over(staffed: Hall) -> None:
    """Its echo comes late: what is being discharged towards the sorter is what has come by."""
    (load,) = queued(staffed, 1)
    staffed.plant.fault("no_read", "S1", True)
    opened(staffed)
    staffed.until(lambda: any(isinstance(c.action, Discharge) for c in staffed.commands("C1")))
    staffed.muted.add("C1")
    # Something else is asked of it meanwhile; that says nothing of what comes by.
    staffed.must(ResetDevice("C1", 3))
    staffed.until(lambda: staffed.kernel.state.tally.scans == 1, limit_s=20)
    staffed.muted.clear()
    staffed.until(lambda: staffed.where(load) == "LANE-R")
    staffed.plant.fault("no_read", "S1", False)
    assert staffed.kernel.state.tally.reject_reasons == {"no-read": 1}
    staffed.until_ended()
    assert staffed.where(load) == "LANE-1"


def test_what_nobody_has_announced_is_rejected_and_a_person_looks_at_it(staffed: Hall) -> None:
    staffed.put("S1-IN", announce=False)
    alarm = "S1/unknown load in lane 9"
    staffed.until(lambda: alarm in staffed.alarms(), limit_s=60)
    assert "an unknown load (unknown barcode 00340000001) lies there" in staffed.alarms()[alarm]
    assert staffed.kernel.state.tally.reject_reasons == {"unknown": 1}
    staffed.enter(Notice("S1", SorterEvent("lane_emptied", 0, lane=9)))
    assert alarm not in staffed.alarms()


def test_a_load_removed_while_it_is_on_the_belt_lies_in_its_lane_as_an_unknown_one(staffed: Hall) -> None:
    (load,) = queued(staffed, 1)
    opened(staffed)
    staffed.until(lambda: belt_has(staffed, load))
    staffed.must(RemoveLoad(load, "recalled"))
    staffed.until(lambda: "S1/unknown load in lane 1" in staffed.alarms(), limit_s=60)
    assert "(never announced)" in staffed.alarms()["S1/unknown load in lane 1"]
    assert load not in staffed.kernel.state.loads


# --- found by a person meanwhile ---


def test_a_load_that_a_person_has_announced_elsewhere_is_not_booked_into_its_lane(staffed: Hall) -> None:
    """The person may know it better than the sorter, or not: both places are said, nothing is moved in the books."""
    load, other = queued(staffed, 2)
    opened(staffed)
    staffed.until(lambda: belt_has(staffed, load))
    staffed.must(AnnounceLoad(load, "RACK-2"))
    alarm = f"S1/two places {load}"
    staffed.until(lambda: alarm in staffed.alarms(), limit_s=60)
    assert "went to lane 1" in staffed.alarms()[alarm]
    assert "it is at RACK-2" in staffed.alarms()[alarm]
    assert staffed.where(load) == "RACK-2"
    staffed.must(AnnounceLoad(load, "LANE-1"))
    assert alarm not in staffed.alarms()
    staffed.until_ended(f"O-{other}")
    assert staffed.where(other) == "LANE-3"


def test_only_the_track_of_the_load_that_was_found_is_withdrawn(staffed: Hall) -> None:
    on_belt, found = staffed.put("RACK-1"), staffed.put("RACK-1")
    for track, load in ((901, on_belt), (902, found)):
        code = staffed.kernel.state.loads[load].barcodes[0]
        staffed.enter(Notice("S1", SorterEvent("scan", track, barcodes=(code,))))
    staffed.must(AnnounceLoad(found, "RACK-3"))
    # It comes off the belt in front of the divert: the sorter misses both.
    for track in (901, 902):
        staffed.enter(Notice("S1", SorterEvent("lost", track)))
    assert (staffed.where(on_belt), staffed.where(found)) == ("", "RACK-3")
    assert [k for k in staffed.alarms() if "lost" in k] == [f"S1/lost {on_belt}"]


def test_a_track_that_nobody_knows_the_load_of_is_lost_without_a_word(staffed: Hall) -> None:
    staffed.enter(Notice("S1", SorterEvent("scan", 901)))
    staffed.enter(Notice("S1", SorterEvent("lost", 901)))
    assert staffed.alarms() == {}
    assert staffed.kernel.state.tally.loads_lost == 0
    assert tracks(staffed) == []


def test_a_load_without_an_order_that_is_lost_on_the_belt_is_looked_for_too(staffed: Hall) -> None:
    load = staffed.put("C1-IN")
    staffed.until(lambda: belt_has(staffed, load))
    staffed.enter(Notice("S1", SorterEvent("lost", tracks(staffed)[0])))
    assert f"S1/lost {load}" in staffed.alarms()
    assert staffed.where(load) == ""


# --- where it may go ---


def test_a_load_that_the_sorter_can_t_bring_nearer_to_its_goal_is_rejected_and_fetched(staffed: Hall) -> None:
    for vehicle in staffed.plant.vehicles:
        staffed.cut(vehicle)
    load = staffed.put("RACK-1")
    order = staffed.order("M", StepRequest("go", "move", load, "RACK-3"))
    staffed.plant.take_away(load)
    staffed.plant.put_down(load, "C1-IN")
    staffed.must(AnnounceLoad(load, "C1-IN"))
    staffed.until(lambda: staffed.where(load) == "LANE-R")
    assert staffed.kernel.state.tally.reject_reasons == {"no route to RACK-3": 1}
    for vehicle in staffed.plant.vehicles:
        staffed.connect(vehicle)
    staffed.until_ended(order)
    assert (staffed.state_of(order), staffed.where(load)) == ("finished", "RACK-3")
    staffed.until_quiet()


def test_a_move_that_ends_in_a_wrong_lane_is_told_and_goes_on_where_a_person_puts_the_load(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.order("M", StepRequest("go", "move", load, "LANE-2"))
    staffed.until(lambda: belt_has(staffed, load))
    assert staffed.commands("S1")[-1].action.lanes == (2,)
    staffed.enter(Notice("S1", SorterEvent("diverted", tracks(staffed)[0], lane=5)))
    assert f"S1/mis-sort {load}" in staffed.alarms()
    assert (staffed.where(load), staffed.state_of(order)) == ("LANE-5", "started")
    assert "there is no way" not in explain.order(staffed.kernel.state, order)[0]
    staffed.must(AnnounceLoad(load, "LANE-2"))
    assert f"S1/mis-sort {load}" not in staffed.alarms()


def test_an_emptied_lane_keeps_a_load_that_an_order_still_wants(staffed: Hall) -> None:
    """People put it aside for its order; only what nobody wants any more has left the site."""
    gone, wanted = staffed.put("LANE-1"), staffed.put("LANE-1")
    staffed.ship(wanted, "MUNICH")
    staffed.enter(Notice("S1", SorterEvent("lane_emptied", 0, lane=1)))
    assert gone not in staffed.kernel.state.loads
    assert staffed.where(wanted) == "LANE-1"
    assert staffed.kernel.state.tally.loads_shipped == 1


def test_two_items_with_one_label_never_make_two_loads_of_one(staffed: Hall) -> None:
    """A label printed twice: the second item that goes to the second conveyor is the same load to the books."""
    staffed.put("C2-IN", ("LABEL-9",))
    load = "T0001"
    staffed.must(AnnounceLoad(load, "RACK-1"))
    for track in (901, 902):
        staffed.enter(Notice("S1", SorterEvent("scan", track, barcodes=("LABEL-9",))))
    for track in (901, 902):
        staffed.enter(Notice("S1", SorterEvent("diverted", track, lane=8)))
    assert staffed.where(load) == "C2-IN"
    assert staffed.kernel.state.tally.loads_lost == 0
    assert f"C2/lost {load}" not in staffed.alarms()


# --- the ring read again ---


def test_an_event_read_again_after_a_crash_is_consumed_again_and_booked_once(staffed: Hall) -> None:
    scan = Notice("S1", SorterEvent("scan", 901, barcodes=("?",)), 7)
    first, again = staffed.enter(scan), staffed.enter(scan)
    assert Consume("S1", 7) in first
    assert again == [Consume("S1", 7)]
    assert staffed.kernel.state.tally.scans == 1
