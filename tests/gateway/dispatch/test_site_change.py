"""Another site in force: taken whole or not at all, with the reason; what it does not know any more is let go of."""

from __future__ import annotations

from typing import Any

import pytest
from small_plant import Hall

from gateway.contract import (
    AnnounceLoad,
    CreateOrder,
    ResetDevice,
    SetMode,
    ShellAlarm,
    SignOff,
    SignOn,
    SiteChanged,
    Started,
    StepRequest,
)
from gateway.dispatch import explain
from gateway.kernel import Kernel
from gateway.site import PersonSpec, Site, WorkstationSpec, encode_site

REFUSED = "site/not-changed"


def changed(site: Site, /, **parts: Any) -> Site:
    return site.model_copy(update=parts)


def without(site: Site, *names: str, **parts: Any) -> Site:
    """The site without these devices and locations."""
    devices = tuple(d for d in site.devices if d.id not in names)
    locations = tuple(x for x in site.locations if x.id not in names)
    return changed(site, devices=devices, locations=locations, **parts)


def device_with(site: Site, name: str, **parts: Any) -> Site:
    """The site with one device described otherwise."""
    devices = tuple(d.model_copy(update=parts) if d.id == name else d for d in site.devices)
    return changed(site, devices=devices)


def stopped(hall: Hall) -> None:
    """The process has stopped and begins anew: no link is up."""
    hall.kernel = Kernel.restore(hall.site, hall.kernel.snapshot())
    hall.watch.kernel = hall.kernel
    hall.enter(Started(hall.kernel.state.epoch + 1, "test"))


def put_in_force(hall: Hall, site: Site, *, at_start: bool = False) -> str:
    """The reason why it was refused, "" where it is in force."""
    hall.enter(SiteChanged(encode_site(site), at_start))
    return hall.alarms().get(REFUSED, "")


# --- while running ---


def test_policies_people_and_the_sort_plan_take_effect_while_running(staffed: Hall) -> None:
    site, plan = staffed.site, staffed.site.sort_plan
    assert plan is not None
    load = staffed.put()
    order = staffed.ship(load, "MUNICH")
    staffed.until(lambda: staffed.where(load) == "C1.1")
    lanes = plan.destinations["BERLIN"]
    new = changed(
        site,
        sort_plan=plan.model_copy(update={"destinations": plan.destinations | {"MUNICH": lanes}}),
        people=(*site.people, PersonSpec(id="dora", name="Dora", skills=("pick",))),
        policies=site.policies.model_copy(update={"orders_open_max": 1}),
    )
    assert put_in_force(staffed, new) == ""
    assert staffed.notes("in force")[0].detail == f"{len(site.devices)} devices, 4 people"
    assert staffed.ask(SignOn("dora", "WS1")).reason == "anna is signed on at WS1: one person a station"
    assert "this site's limit" in staffed.ask(another("second", load)).reason
    staffed.until_ended(order)
    assert staffed.where(load) == "LANE-1"
    assert staffed.kernel.site == new


def another(name: str, load: str) -> CreateOrder:
    return CreateOrder(name, (StepRequest("go", "move", load, "RACK-2"),))


def test_who_is_no_longer_in_the_configuration_is_signed_off_and_the_work_is_left_for_others(staffed: Hall) -> None:
    staffed.work_forever = True
    load = staffed.put("WS1-BENCH")
    order = staffed.order("W", StepRequest("pick", "work", load, "WS1", skill="pick"))
    assert staffed.kernel.state.stations["WS1"].person == "anna"
    left = tuple(p for p in staffed.site.people if p.id != "anna")
    assert put_in_force(staffed, changed(staffed.site, people=left)) == ""
    assert staffed.notes("signed off")[0].detail == "anna is no longer in the configuration"
    assert staffed.kernel.state.stations["WS1"].state == "closed"
    assert staffed.kernel.state.people == {"ben": "WS2", "cleo": "CLR"}
    assert "WS1: nobody has signed on" in explain.order(staffed.kernel.state, order)[0]
    staffed.must(SignOff("ben"))
    staffed.must(SignOn("ben", "WS1"))
    assert staffed.kernel.state.stations["WS1"].task == "W/pick"


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (lambda site: without(site, "AGV6"), "its devices differ from what is in force"),
        (lambda site: without(site, "RACK-4"), "its locations differ from what is in force"),
        (
            lambda site: changed(site, map=site.map.model_copy(update={"clearance_mm": 900}), profiles=()),
            "its map, profiles differ from what is in force",
        ),
        (
            lambda site: changed(site, site=site.site.model_copy(update={"id": "hall-7"})),
            "it is the configuration of site 'hall-7', this gateway runs 'demo'",
        ),
    ],
)
def test_what_links_and_bookings_hang_on_is_refused_while_running(staffed: Hall, new: Any, reason: str) -> None:
    before = staffed.kernel.site
    text = put_in_force(staffed, new(staffed.site))
    assert reason in text
    assert reason.startswith("it is") or "that takes effect with a restart" in text
    assert staffed.kernel.site is before
    assert staffed.kernel.state.site == ""


@pytest.mark.parametrize("text", ["", "no JSON", "{}", '{"site": {"id": "demo"}}'])
def test_what_this_version_can_t_read_is_refused(staffed: Hall, text: str) -> None:
    """A journal of a later version: nothing is put in force, and its first words say why."""
    before = staffed.kernel.site
    staffed.enter(SiteChanged(text, True))
    assert "the new configuration was not put in force: this version can't read it" in staffed.alarms()[REFUSED]
    assert len(staffed.alarms()[REFUSED]) < 700
    assert staffed.kernel.site is before


def test_the_next_one_that_can_be_taken_ends_the_alarm(staffed: Hall) -> None:
    staffed.enter(ShellAlarm("site", "not-reloaded", "site.yaml:3:1: what", True))
    assert put_in_force(staffed, without(staffed.site, "AGV6")) != ""
    assert put_in_force(staffed, changed(staffed.site, channels=())) == ""
    assert staffed.alarms() == {}


# --- at a start ---


def test_at_a_start_devices_and_places_may_come_and_go_where_nothing_hangs_on_them(staffed: Hall) -> None:
    staffed.must(SetMode("AGV6", "manual"))
    staffed.plant.fault("jam", "C2", True, zone=3)
    staffed.put("C2-IN")
    staffed.until(lambda: staffed.kernel.state.conveyors["C2"].zones[2].state == "jammed", limit_s=60)
    staffed.plant.take_away("T0001")
    staffed.until(lambda: "C2/lost T0001" in staffed.alarms(), limit_s=60)
    stopped(staffed)
    assert {"C2/zone 3 jammed", "C2/lost T0001"} <= set(staffed.alarms())
    bench = WorkstationSpec(type="workstation", id="WS3", location="WS2-BENCH")
    smaller = without(staffed.site, "AGV6", "C2", "RC1", "WS1", "RC1-IN", "C2-IN", "WS1-BENCH", "RACK-4")
    smaller = changed(smaller, devices=(*smaller.devices, bench))
    sorter = next(d for d in smaller.devices if d.id == "S1")
    lanes = tuple(lane for lane in sorter.lanes if lane.location != "C2-IN")  # type: ignore[union-attr]
    smaller = device_with(smaller, "S1", lanes=lanes)
    assert put_in_force(staffed, smaller, at_start=True) == ""
    state = staffed.kernel.state
    assert "C2" not in state.conveyors
    assert "RC1" not in state.cells
    assert "AGV6" not in state.agvs
    assert "WS1" not in state.stations
    assert state.stations["WS3"].state == "closed"
    assert "anna" not in state.people, "her station is gone"
    assert [key for key in staffed.alarms() if key.startswith("C2/")] == []
    assert staffed.ask(AnnounceLoad("T9", "RACK-4")).reason.startswith("unknown location 'RACK-4'")
    assert staffed.kernel.state.site == encode_site(smaller)


def test_a_device_at_another_address_stays_the_device_that_it_was(staffed: Hall) -> None:
    staffed.must(SetMode("C1", "maintenance"))
    stopped(staffed)
    line = next(d for d in staffed.site.devices if d.id == "C1")
    moved = line.connection.model_copy(update={"port": 1502})  # type: ignore[union-attr]
    new = device_with(staffed.site, "C1", connection=moved)
    before = staffed.kernel.state.conveyors["C1"]
    assert put_in_force(staffed, new, at_start=True) == ""
    assert staffed.kernel.state.conveyors["C1"] is before
    assert before.health.mode == "maintenance"


def test_a_device_of_another_shape_is_pictured_anew(staffed: Hall) -> None:
    stopped(staffed)
    line = next(d for d in staffed.site.devices if d.id == "C1")
    runs = (line.runs[0].model_copy(update={"zone_last": 11}),)  # type: ignore[union-attr]
    assert put_in_force(staffed, device_with(staffed.site, "C1", zones=11, runs=runs), at_start=True) == ""
    assert len(staffed.kernel.state.conveyors["C1"].zones) == 11


def other_type(site: Site) -> Site:
    """What was called AGV6 is a workstation now."""
    left = without(site, "AGV6")
    return changed(left, devices=(*left.devices, WorkstationSpec(type="workstation", id="AGV6", location="WS1-BENCH")))


def test_a_name_that_is_given_to_another_kind_of_device_is_another_device(staffed: Hall) -> None:
    stopped(staffed)
    assert put_in_force(staffed, other_type(staffed.site), at_start=True) == ""
    assert "AGV6" not in staffed.kernel.state.agvs
    assert staffed.kernel.state.stations["AGV6"].state == "closed"


def hangs(hall: Hall) -> dict[str, str]:
    """One of each that keeps a device or a place in the configuration, by the name that says it."""
    stored, moving = hall.put("RACK-4"), hall.put("RACK-1")
    hall.order("moving", StepRequest("go", "move", moving, "RACK-2"))
    (trip,) = hall.kernel.state.trips.values()
    hall.order("queued", StepRequest("go", "move", stored, "RACK-3"))
    hall.lose = lambda command: command.device == "C2"
    hall.must(ResetDevice("C2", 3))
    return {
        f"load {stored} is booked at RACK-4": "RACK-4",
        f"load {moving} is on its way to RACK-2": "RACK-2",
        f"{trip.vehicle} is under way": trip.vehicle,
        "command C2/1 is open": "C2",
        "step queued/go needs RACK-3": "RACK-3",
    }


@pytest.mark.parametrize("number", range(5))
def test_what_something_still_hangs_on_can_t_be_taken_away(staffed: Hall, number: int) -> None:
    reason, name = list(hangs(staffed).items())[number]
    stopped(staffed)
    before = staffed.kernel.snapshot()
    new = without(staffed.site, name)
    refusal = staffed.kernel.site_refusal(new)
    assert refusal is not None
    assert reason in refusal
    assert "Start with the earlier configuration, let these come to an end" in refusal
    assert staffed.kernel.snapshot() == before
    assert reason in put_in_force(staffed, new, at_start=True)
    assert staffed.kernel.site == staffed.site


def test_under_another_map_nobody_may_be_under_way(staffed: Hall) -> None:
    hangs(staffed)
    new = changed(staffed.site, map=staffed.site.map.model_copy(update={"clearance_mm": 1100}))
    vehicle = next(iter(staffed.kernel.state.trips))
    assert f"{vehicle} is under way" in (staffed.kernel.site_refusal(new) or "")


def test_of_many_things_that_are_in_the_way_some_are_named_and_the_rest_is_counted(staffed: Hall) -> None:
    loads = [staffed.put("RACK-4") for _ in range(11)]
    refusal = staffed.kernel.site_refusal(without(staffed.site, "RACK-4"))
    assert refusal is not None
    assert f"load {loads[7]} is booked at RACK-4 and 3 more" in refusal
    assert loads[8] not in refusal


def test_a_site_that_differs_in_nothing_may_be_put_in_force_at_any_time(staffed: Hall) -> None:
    assert staffed.kernel.site_refusal(staffed.site) is None
    hangs(staffed)
    assert staffed.kernel.site_refusal(staffed.site) is None
    assert put_in_force(staffed, staffed.site, at_start=True) == ""


def test_a_vehicle_on_its_way_goes_on_under_a_site_that_changes_only_policies(staffed: Hall) -> None:
    load = staffed.put("RACK-1")
    order = staffed.order("M", StepRequest("go", "move", load, "RACK-3"))
    staffed.until(lambda: next(iter(staffed.kernel.state.trips.values())).passed > 1)
    policies = staffed.site.policies.model_copy(update={"base_nodes_max": 2})
    assert put_in_force(staffed, changed(staffed.site, policies=policies)) == ""
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    staffed.until_quiet()


# --- kept with the state ---


def test_a_snapshot_carries_the_site_that_was_in_force(staffed: Hall) -> None:
    """A restart with other YAML must begin with what the bookings belong to, and change it by an input."""
    new = changed(staffed.site, people=staffed.site.people[1:])
    staffed.must(AnnounceLoad("T1", "RACK-1"))
    assert Kernel.restore(new, staffed.kernel.snapshot()).site == new, "no input has said one yet"
    assert put_in_force(staffed, new) == ""
    again = Kernel.restore(staffed.site, staffed.kernel.snapshot())
    assert again.site == new
    assert set(again.floor.people) == {p.id for p in new.people}
    assert again.snapshot() == staffed.kernel.snapshot()
    assert Kernel(staffed.site).site == staffed.site


def test_alarms_of_the_process_before_are_gone_when_a_new_one_begins(staffed: Hall) -> None:
    """It has looked at the clock and the YAML itself; what is still so it says again."""
    for source, code in (("clock", "differs"), ("site", "not-reloaded"), ("journal", "full")):
        staffed.enter(ShellAlarm(source, code, "look", True))
    assert put_in_force(staffed, without(staffed.site, "AGV6")) != ""
    stopped(staffed)
    assert [key for key in staffed.alarms() if not key.endswith("/link")] == ["journal/full"]
