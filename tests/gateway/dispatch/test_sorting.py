"""What the sorter can't do or read ends in the reject lane, is counted by its reason, and put right."""

from __future__ import annotations

import pytest
from small_plant import SECOND, Hall, MakeHall

from gateway.contract import AnnounceLoad, CreateOrder, Notice, StepRequest
from gateway.devices.sorter import Assign, SorterEvent
from gateway.dispatch import explain
from gateway.site import Site, SortPlanSpec
from gateway.site.model import SortDestination

LANES = {"BERLIN": (1, 2), "MUNICH": (3,), "LEIPZIG": (5,), "EXPRESS": (7, 6)}
"""EXPRESS has its alternate before its primary lane, as a site should not."""


@pytest.fixture
def staffed(make_hall: MakeHall, site: Site) -> Hall:
    """The demo site with a sort plan of its own, everybody at work."""
    destinations = {name: SortDestination(sorter="S1", lanes=lanes) for name, lanes in LANES.items()}
    plan = SortPlanSpec(id="test", destinations=destinations)
    hall = make_hall(site=site.model_copy(update={"sort_plan": plan}))
    hall.staff()
    return hall


def reasons(hall: Hall) -> dict[str, int]:
    return hall.kernel.state.tally.reject_reasons


def test_a_no_read_is_clarified_by_a_person_and_sorted_again(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.ship(load, "BERLIN")
    staffed.plant.fault("no_read", "S1", True)
    staffed.until(lambda: staffed.where(load) == "LANE-R")
    staffed.plant.fault("no_read", "S1", False)
    assert reasons(staffed) == {"no-read": 1}
    assert "clarify" in " ".join(explain.order(staffed.kernel.state, order))
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert staffed.where(load) == "LANE-1"
    staffed.until_quiet()


def test_a_load_that_is_never_read_fails_after_the_policys_tries(staffed: Hall) -> None:
    order = staffed.ship(staffed.put())
    staffed.plant.fault("no_read", "S1", True)
    staffed.until_ended(order, limit_s=1500)
    assert staffed.state_of(order) == "failed"
    assert staffed.kernel.state.orders[order].reason == "step ship: rejected 3 times by the sorter, last: no-read"
    assert reasons(staffed) == {"no-read": 3}
    staffed.until_quiet()


def test_an_unknown_barcode_never_reaches_a_customers_lane(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.ship(load)
    staffed.plant.barcodes[load] = ("9999999",)
    staffed.until(lambda: staffed.really(load) == "LANE-R")
    staffed.until(lambda: reasons(staffed) == {"unknown": 1})
    staffed.plant.barcodes[load] = (load,)
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


def test_codes_of_two_loads_on_one_item_are_ambiguous(staffed: Hall) -> None:
    other = staffed.put(codes=("A-1",))
    load = staffed.put(codes=("B-2",))
    order = staffed.ship(load)
    staffed.plant.barcodes[load] = ("A-1", "B-2")
    staffed.until(lambda: reasons(staffed) == {"ambiguous": 1})
    assert staffed.where(other) == "RACK-1"
    staffed.plant.barcodes[load] = ("B-2",)
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


def test_two_codes_of_the_same_load_are_no_doubt(staffed: Hall) -> None:
    load = staffed.put(codes=("A-1", "A-2"))
    order = staffed.ship(load)
    staffed.until_ended(order)
    assert reasons(staffed) == {}
    assert staffed.where(load) == "LANE-1"


def test_a_destination_that_the_plan_no_longer_has_goes_to_reject(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.ship(load, "LEIPZIG")
    staffed.until(lambda: staffed.where(load) == "C1.1")
    site, plan = staffed.site, staffed.site.sort_plan
    assert plan is not None
    left = {k: v for k, v in plan.destinations.items() if k != "LEIPZIG"}
    staffed.site = site.model_copy(update={"sort_plan": plan.model_copy(update={"destinations": left})})
    staffed.restart()
    staffed.until(lambda: staffed.where(load) == "LANE-R")
    assert reasons(staffed) == {"no plan for LEIPZIG": 1}
    # It waits there for a plan that knows the place, and says so.
    assert "the sort plan has no destination LEIPZIG" in explain.order(staffed.kernel.state, order)[0]
    staffed.site = site
    staffed.restart()
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


def test_a_load_without_an_order_goes_to_reject(staffed: Hall) -> None:
    load = staffed.put("C1-IN")
    staffed.until(lambda: staffed.where(load) == "LANE-R")
    assert reasons(staffed) == {"no order": 1}


def test_a_full_lane_sends_loads_to_the_alternate(staffed: Hall) -> None:
    staffed.plant.fault("lane_full", "S1", True, lane=1)
    load = staffed.put()
    order = staffed.ship(load, "BERLIN")
    staffed.until_ended(order)
    assert (staffed.state_of(order), staffed.where(load)) == ("finished", "LANE-2")
    assert reasons(staffed) == {}


def test_with_all_its_lanes_full_it_is_rejected_and_tried_again(staffed: Hall) -> None:
    for lane in (1, 2):
        staffed.plant.fault("lane_full", "S1", True, lane=lane)
    load = staffed.put()
    order = staffed.ship(load, "BERLIN")
    staffed.until(lambda: staffed.where(load) == "LANE-R")
    assert reasons(staffed) == {"lane 1 is full; lane 2 is full": 1}
    for lane in (1, 2):
        staffed.plant.fault("lane_full", "S1", False, lane=lane)
    staffed.until_ended(order)
    assert (staffed.state_of(order), staffed.where(load)) == ("finished", "LANE-1")
    assert not staffed.notes("load found")


def test_a_lane_that_fills_after_the_assignment_is_left_for_the_alternate_by_the_plc(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.ship(load, "EXPRESS")
    staffed.until(lambda: bool(staffed.commands("S1")))
    assert staffed.commands("S1")[-1].action.lanes == (7, 6)
    staffed.plant.fault("lane_disabled", "S1", True, lane=7)
    staffed.until_ended(order)
    # 6 lies before 7: it can't be had any more, so the PLC rejects it and it comes again, to 6 at once.
    assert (staffed.state_of(order), staffed.where(load)) == ("finished", "LANE-6")
    assert reasons(staffed) == {"lane disabled": 1}


def test_an_assignment_that_comes_too_late_means_reject_not_a_wrong_lane(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.ship(load)
    staffed.plant.fault("slow_plc", "S1", True, delay_ms=3_000)
    staffed.until(lambda: staffed.where(load) == "LANE-R")
    assert reasons(staffed) == {"late": 1}
    staffed.plant.fault("slow_plc", "S1", False)
    staffed.until_ended(order)
    assert (staffed.state_of(order), staffed.where(load)) == ("finished", "LANE-1")


def test_the_deadline_is_the_scans_plc_time_plus_nine_tenths_of_the_way(staffed: Hall) -> None:
    staffed.ship(staffed.put())
    staffed.until(lambda: bool(staffed.commands("S1")))
    scan = next(e for e in staffed.plant.sorters["S1"].ring.entries if e.type == 1)
    assert staffed.commands("S1")[0].action == Assign(scan.track_id, (1, 2), scan.plc_ms + 1_800)


def test_a_lost_track_fails_its_order_and_asks_a_person_to_find_the_load(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.ship(load)
    staffed.until(lambda: staffed.where(load) == "S1")
    track = next(iter(staffed.kernel.state.sorters["S1"].tracks))
    staffed.enter(Notice("S1", SorterEvent("lost", track)))
    assert staffed.state_of(order) == "failed"
    assert staffed.where(load) == ""
    assert f"S1/lost {load}" in staffed.alarms()
    assert staffed.kernel.state.tally.loads_lost == 1
    staffed.must(AnnounceLoad(load, "RACK-2"))
    assert f"S1/lost {load}" not in staffed.alarms()
    assert staffed.where(load) == "RACK-2"


def test_an_unknown_load_in_a_lane_is_told_once(staffed: Hall) -> None:
    staffed.put("C1-IN", announce=False)
    staffed.until(lambda: "C1/stranger in zone 1" in staffed.alarms(), limit_s=60)
    assert "nobody has announced" in staffed.alarms()["C1/stranger in zone 1"]
    assert len(staffed.raised("C1/stranger in zone 1")) == 1


def test_an_emptied_lane_forgets_its_loads_and_nothing_else(staffed: Hall) -> None:
    loads = [staffed.put() for _ in range(2)]
    berlin = staffed.ship(loads[0], "BERLIN")
    munich = staffed.ship(loads[1], "MUNICH")
    staffed.until_ended(berlin, munich)
    staffed.enter(Notice("S1", SorterEvent("lane_emptied", 0, lane=1)))
    assert loads[0] not in staffed.kernel.state.loads
    assert staffed.where(loads[1]) == "LANE-3"
    assert staffed.kernel.state.tally.loads_shipped == 1
    assert staffed.state_of(berlin) == "finished"


def test_a_mis_sort_is_told_and_fails_the_order(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.ship(load, "BERLIN")
    staffed.until(lambda: bool(staffed.commands("S1")))
    track = next(iter(staffed.kernel.state.sorters["S1"].tracks))
    staffed.enter(Notice("S1", SorterEvent("diverted", track, lane=5)))
    assert staffed.state_of(order) == "failed"
    assert f"S1/mis-sort {load}" in staffed.alarms()
    assert staffed.where(load) == "LANE-5"


def test_scans_are_answered_in_the_turn_that_brings_them(staffed: Hall) -> None:
    load = staffed.put()
    staffed.ship(load)
    staffed.until(lambda: staffed.where(load) == "S1")
    scan = next(i for i, (_, _, data) in enumerate(staffed.journal) if b"scan" in data)
    stamp_ns = staffed.journal[scan][1]
    entry = next(iter(e for e in staffed.kernel.state.ledger.values() if isinstance(e.action, Assign)), None)
    assert entry is None or entry.created_ns == stamp_ns


def test_a_full_reject_lane_holds_the_conveyor_back(make_hall: MakeHall) -> None:
    hall = make_hall()
    hall.staff()
    load = hall.put()
    hall.plant.fault("lane_full", "S1", True, lane=9)
    order = hall.ship(load)
    hall.until(lambda: hall.really(load) == "C1/zone 12")
    hall.run(10)
    assert hall.really(load) == "C1/zone 12"
    assert "lane 9 is full" in explain.order(hall.kernel.state, order)[0]
    hall.plant.fault("lane_full", "S1", False, lane=9)
    hall.until_ended(order)
    assert hall.state_of(order) == "finished"


def test_a_load_handed_over_and_never_scanned_raises_an_alarm(staffed: Hall) -> None:
    load = staffed.put()
    staffed.ship(load)
    staffed.until(lambda: staffed.really(load) == "S1/belt")
    # Somebody takes it off the belt before the scanner.
    staffed.plant.sorters["S1"].belt.clear()
    staffed.until(lambda: "S1/not scanned" in staffed.alarms(), limit_s=40)
    assert load in staffed.alarms()["S1/not scanned"]
    staffed.must(AnnounceLoad(load, "RACK-1"))
    assert "S1/not scanned" not in staffed.alarms()


def test_a_move_through_the_sorter_takes_the_lane_that_leads_there(staffed: Hall) -> None:
    load = staffed.put()
    staffed.must(CreateOrder("TO-C2", (StepRequest("go", "move", load, "C2-IN"),)))
    staffed.until(lambda: bool(staffed.commands("S1")))
    assert staffed.commands("S1")[0].action.lanes == (8,)
    assert staffed.now_ns < 600 * SECOND
