"""Names on conveyors: a load is called by the name of another one for as short as can be, and never shipped by it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_plant import SECOND, Hall

from gateway.contract import AnnounceLoad, Command, RemoveLoad, ResolveCommand
from gateway.devices.conveyor import Discharge, Induct
from gateway.dispatch import explain
from gateway.dispatch.flow import ENTRY_TOLERANCE_NS, MISSING_NS, UNKNOWN_LOAD_GRACE_NS

MISSING_S = MISSING_NS / SECOND
TOLERANCE_S = ENTRY_TOLERANCE_NS / SECOND
GRACE_S = UNKNOWN_LOAD_GRACE_NS / SECOND


def track(hall: Hall, load: str) -> int:
    return hall.kernel.state.loads[load].track_id


def inducted(hall: Hall, load: str) -> list[Command]:
    """The commands by which C1 was told that a load is this one, repetitions apart."""
    number = track(hall, load)
    found = {c.seq: c for c in hall.commands("C1") if isinstance(c.action, Induct) and c.action.track_id == number}
    return list(found.values())


def on_zone(hall: Hall, load: str, zone: int) -> Callable[[], bool]:
    return lambda: hall.really(load) == f"C1/zone {zone}"


def at_the_conveyor(hall: Hall, load: str) -> Callable[[], bool]:
    """Its vehicle stands before C1 and is about to put it down."""
    vehicles = hall.plant.vehicles
    return lambda: hall.where(load) in vehicles and vehicles[hall.where(load)].last_node == "NC1"


# --- at the entry ---


def test_a_load_that_is_being_named_has_moved_on_when_the_next_one_stands_at_its_entry(staffed: Hall) -> None:
    """The conveyor's report of the first comes after the second vehicle's: the books must not have both there."""
    first, second = staffed.put("RACK-4"), staffed.put("RACK-4")
    orders = [staffed.ship(first, "BERLIN"), staffed.ship(second, "MUNICH")]
    staffed.until(lambda: bool(inducted(staffed, first)))
    staffed.muted.add("C1")
    staffed.until(lambda: staffed.where(second) == "C1-IN")
    assert staffed.where(first) == "C1.1"
    assert f"{first} is not at C1-IN any more: {second} is" in staffed.notes("load moved on")[0].detail
    staffed.muted.clear()
    staffed.until_ended(*orders, limit_s=300)
    assert [staffed.where(first), staffed.where(second)] == ["LANE-1", "LANE-3"]
    assert staffed.kernel.state.tally.loads_lost == 0
    staffed.until_quiet()


def test_a_load_that_nobody_has_named_is_lost_when_another_one_stands_in_its_place(staffed: Hall) -> None:
    first, second = staffed.put("RACK-4"), staffed.put("RACK-4")
    order, other = staffed.ship(first, "BERLIN"), staffed.ship(second, "MUNICH")
    staffed.until(at_the_conveyor(staffed, first))
    staffed.muted.add("C1")
    staffed.until(lambda: staffed.where(first) == "C1-IN")
    staffed.plant.take_away(first)
    staffed.until(lambda: staffed.where(second) == "C1-IN")
    assert staffed.where(first) == ""
    assert f"{first} was at C1-IN, where {second} stands now" in staffed.alarms()[f"C1/lost {first}"]
    staffed.muted.clear()
    staffed.until_ended(other, limit_s=300)
    assert staffed.where(second) == "LANE-3"
    assert "Look for it and announce it where it is" in explain.order(staffed.kernel.state, order)[0]
    staffed.plant.put_down(first, "RACK-2")
    staffed.must(AnnounceLoad(first, "RACK-2"))
    assert f"C1/lost {first}" not in staffed.alarms()
    staffed.until_ended(order, limit_s=300)
    assert (staffed.state_of(order), staffed.where(first)) == ("finished", "LANE-1")
    staffed.until_quiet()


def test_a_load_lifted_off_the_entry_never_gives_its_name_to_the_next_one(staffed: Hall) -> None:
    """The next one is seen by the photo-eye before its vehicle says that it has put it down."""
    first, second = staffed.put("RACK-4"), staffed.put("RACK-4")
    staffed.ship(first, "BERLIN")
    other = staffed.ship(second, "MUNICH")
    staffed.until(at_the_conveyor(staffed, first))
    staffed.until(on_zone(staffed, first, 1))
    staffed.plant.take_away(first)
    put_s = staffed.now_ns / SECOND
    staffed.until(at_the_conveyor(staffed, second))
    staffed.muted.add(staffed.where(second))
    staffed.until(on_zone(staffed, second, 1))
    assert put_s + TOLERANCE_S < staffed.now_ns / SECOND < put_s + TOLERANCE_S + MISSING_S
    before = len(inducted(staffed, first))
    staffed.run(3)
    assert staffed.where(first) == "C1-IN"
    assert (len(inducted(staffed, first)), inducted(staffed, second)) == (before, [])
    staffed.muted.clear()
    staffed.until_ended(other, limit_s=300)
    assert staffed.where(second) == "LANE-3"
    assert f"C1/lost {first}" in staffed.alarms()


# --- missing ---


def test_a_load_taken_off_a_conveyor_is_lost_after_a_while_and_its_order_goes_on_where_it_is_found(
    staffed: Hall,
) -> None:
    load = staffed.put()
    order = staffed.ship(load)
    staffed.until(on_zone(staffed, load, 4))
    staffed.plant.take_away(load)
    staffed.run(MISSING_S - 1)
    assert staffed.where(load) == "C1.1"
    assert staffed.alarms() == {}
    staffed.until(lambda: f"C1/lost {load}" in staffed.alarms(), limit_s=5)
    assert staffed.where(load) == ""
    assert staffed.state_of(order) == "started"
    assert "booked on C1 and no zone shows it" in explain.order(staffed.kernel.state, order)[0]
    assert staffed.kernel.state.tally.loads_lost == 1
    staffed.plant.put_down(load, "RACK-3")
    staffed.must(AnnounceLoad(load, "RACK-3"))
    assert f"C1/lost {load}" not in staffed.alarms()
    staffed.until_ended(order, limit_s=300)
    assert (staffed.state_of(order), staffed.where(load)) == ("finished", "LANE-1")
    staffed.until_quiet()


def test_a_lost_load_without_an_order_is_looked_for_as_well_and_may_be_removed(staffed: Hall) -> None:
    load = staffed.put("C1-IN")
    staffed.until(on_zone(staffed, load, 5))
    staffed.plant.take_away(load)
    staffed.until(lambda: f"C1/lost {load}" in staffed.alarms(), limit_s=MISSING_S + 5)
    staffed.must(RemoveLoad(load, "fell off the line"))
    assert staffed.alarms() == {}
    staffed.until_quiet()


def test_a_load_between_two_photo_eyes_is_not_missed(staffed: Hall) -> None:
    """Nobody sees it for a moment: no alarm, and nothing is remembered of it afterwards."""
    load = staffed.put()
    order = staffed.ship(load)
    staffed.until(on_zone(staffed, load, 4))
    line = staffed.plant.conveyors["C1"]
    zone = line.zones[3]
    known, line.zones[3] = zone, type(zone)()
    staffed.run(MISSING_S - 5)
    line.zones[3] = known
    staffed.until_ended(order, limit_s=300)
    assert staffed.state_of(order) == "finished"
    assert not [k for k in staffed.kernel.state.hold_offs if "misses" in k]
    assert staffed.kernel.state.tally.loads_lost == 0


def test_while_a_load_without_a_name_is_on_the_line_nobody_is_called_lost(staffed: Hall) -> None:
    """The nameless one may be the one that is missed: after a PLC's restart it is."""
    load = staffed.put()
    staffed.ship(load)
    staffed.until(on_zone(staffed, load, 4))
    staffed.plant.take_away(load)
    staffed.plant.put_down("X-1", "C1", 8)
    staffed.plant.fault("jam", "C1", True, zone=8)
    staffed.run(MISSING_S + 10)
    assert staffed.where(load) == "C1.1"
    assert f"C1/lost {load}" not in staffed.alarms()
    staffed.plant.take_away("X-1")
    staffed.until(lambda: f"C1/lost {load}" in staffed.alarms(), limit_s=MISSING_S + 5)


def test_while_a_command_for_a_load_is_open_it_is_not_called_lost(staffed: Hall) -> None:
    """The command's outcome says where it is; a person who looks for it would look too early."""
    load = staffed.put()
    staffed.ship(load)
    staffed.lose = lambda command: isinstance(command.action, Discharge)
    staffed.until(lambda: any(isinstance(c.action, Discharge) for c in staffed.commands("C1")))
    staffed.plant.take_away(load)
    staffed.run(MISSING_S + 10)
    assert f"C1/lost {load}" not in staffed.alarms()
    entry = next(iter(staffed.kernel.state.ledger.values()))
    staffed.watch.not_done("C1", entry.seq)
    staffed.must(ResolveCommand(entry.command_id, done=False))
    staffed.until(lambda: f"C1/lost {load}" in staffed.alarms(), limit_s=MISSING_S + 5)


# --- loads without a name ---


@pytest.mark.parametrize("booked", ["none", "two"])
def test_loads_that_can_t_be_told_apart_are_a_persons_affair(staffed: Hall, booked: str) -> None:
    """After a restart of the PLC: as many as are booked are named in their order, any other number is not guessed."""
    loads = [staffed.put() for _ in range(0 if booked == "none" else 2)]
    for load in loads:
        staffed.ship(load)
    staffed.plant.fault("lane_full", "S1", True, lane=9)
    staffed.until(lambda: all(staffed.where(ld) == "C1.1" for ld in loads), limit_s=300)
    staffed.until(lambda: all(on_zone(staffed, ld, 12 - i)() for i, ld in enumerate(loads)), limit_s=300)
    staffed.plant.fault("plc_restart", "C1")
    staffed.plant.put_down("X-1", "C1", 5)
    staffed.run(1)
    code = "C1/nameless load in zone 12"
    assert code not in staffed.alarms()
    staffed.until(lambda: code in staffed.alarms(), limit_s=GRACE_S + 15)
    count = len(loads) + 1
    assert f"{count} loads on it have no name and {len(loads)} are booked" in staffed.alarms()[code]
    assert (", ".join(loads) or "none") in staffed.alarms()[code]
    assert all(not inducted(staffed, ld)[1:] for ld in loads)
    staffed.plant.take_away("X-1")
    staffed.plant.fault("lane_full", "S1", False, lane=9)
    staffed.until(lambda: code not in staffed.alarms(), limit_s=60)
    staffed.until_ended(limit_s=300)
    assert {staffed.state_of(o) for o in staffed.orders} <= {"finished"}


def test_a_track_that_belongs_to_nobody_is_not_sent_on(staffed: Hall) -> None:
    """A name that an earlier journal has given: the books know no load behind it."""
    load = staffed.put()
    order = staffed.ship(load)
    staffed.until(on_zone(staffed, load, 6))
    staffed.plant.conveyors["C1"].zones[5].track_id = 777
    code = "C1/unknown track in zone 12"
    staffed.until(lambda: code in staffed.alarms(), limit_s=60)
    assert "track 777 is at the exit and belongs to no known load" in staffed.alarms()[code]
    staffed.run(5)
    assert not any(isinstance(c.action, Discharge) for c in staffed.commands("C1"))
    staffed.plant.take_away(load)
    staffed.until(lambda: code not in staffed.alarms(), limit_s=5)
    staffed.plant.put_down(load, "RACK-1")
    staffed.must(AnnounceLoad(load, "RACK-1"))
    staffed.until_ended(order, limit_s=300)
    assert staffed.state_of(order) == "finished"


def test_a_load_that_its_plc_shows_at_the_exit_is_booked_there_wherever_it_was_believed_to_be(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.ship(load)
    staffed.until(on_zone(staffed, load, 6))
    staffed.must(AnnounceLoad(load, "RACK-2"))
    staffed.until(lambda: bool(staffed.notes("load found")), limit_s=60)
    assert staffed.notes("load found")[0].detail == f"{load} was booked at RACK-2"
    staffed.until_ended(order, limit_s=300)
    assert staffed.where(load) == "LANE-1"
