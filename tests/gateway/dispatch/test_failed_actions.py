"""What becomes of a pick, a drop or a charging that a vehicle reports as failed: as the site's policies say."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_plant import Hall, MakeHall

from gateway.contract import AnnounceLoad, RemoveLoad, ResolveCommand, SetMode, SiteChanged, StepRequest
from gateway.devices.agv import Instant
from gateway.dispatch import explain, site_change
from gateway.site import Site, encode_site

MakeStaffed = Callable[..., Hall]


@pytest.fixture
def with_policies(make_hall: MakeHall, site: Site) -> MakeStaffed:
    def make(**policies: str) -> Hall:
        changed = site.model_copy(update={"policies": site.policies.model_copy(update=policies)})
        hall = make_hall(site=changed)
        hall.staff()
        return hall

    return make


def failed_pick(hall: Hall) -> tuple[str, str]:
    """Load and order of a pick that finds nothing; the plant's load is away meanwhile."""
    load = hall.put("RACK-2")
    order = hall.order(f"M-{load}", StepRequest("go", "move", load, "RACK-3"))
    hall.plant.places["RACK-2"].give(load)
    hall.until(lambda: bool(hall.notes("trip failed")), limit_s=300)
    return load, order


def failed_drop(hall: Hall) -> tuple[str, str]:
    """Load and order of a drop that finds the bench full."""
    load = hall.put("RACK-2")
    order = hall.order(f"M-{load}", StepRequest("go", "move", load, "WS1-BENCH"))
    bench = hall.plant.places["WS1-BENCH"]
    for name in ("X1", "X2"):
        bench.take(name)
    hall.until(lambda: bool(hall.notes("trip failed")), limit_s=300)
    for name in ("X1", "X2"):
        bench.give(name)
    return load, order


def question(hall: Hall) -> tuple[str, str]:
    """The vehicle that asks, and its question's action."""
    ((vehicle, asked),) = hall.kernel.state.questions.items()
    return vehicle, asked.action_id


def test_abort_fails_the_order_at_the_first_failure(with_policies: MakeStaffed) -> None:
    hall = with_policies(pick_failed="abort")
    load, order = failed_pick(hall)
    assert hall.state_of(order) == "failed"
    assert len(hall.notes("trip failed")) == 1
    (alarm,) = (text for key, text in hall.alarms().items() if key.endswith(f"/gave up {load}"))
    assert "could not pick" in alarm
    hall.plant.places["RACK-2"].take(load)
    hall.until_quiet()


def test_abort_of_a_drop_leaves_the_load_on_the_vehicle(with_policies: MakeStaffed) -> None:
    hall = with_policies(drop_failed="abort")
    load, order = failed_drop(hall)
    assert hall.state_of(order) == "failed"
    assert hall.where(load) in hall.plant.vehicles
    hall.until_quiet()


def test_the_policy_of_the_other_action_is_not_asked(with_policies: MakeStaffed) -> None:
    hall = with_policies(drop_failed="abort")
    load, order = failed_pick(hall)
    assert hall.state_of(order) != "failed"
    hall.plant.places["RACK-2"].take(load)
    hall.until_ended(order)
    assert hall.state_of(order) == "finished"


def test_ask_keeps_vehicle_and_load_where_they_are_and_says_how_to_answer(with_policies: MakeStaffed) -> None:
    hall = with_policies(pick_failed="ask")
    load, order = failed_pick(hall)
    vehicle, action = question(hall)
    hall.run(120)
    assert len(hall.notes("trip failed")) == 1, "nothing is tried before the answer"
    assert "waits for a person's decision" in explain.order(hall.kernel.state, order)[0]
    text = hall.alarms()[f"{vehicle}/asks about {load}"]
    assert f"`stellwerk resolve {action} --done`" in text
    assert f"is at {vehicle}" in text
    other = hall.put("RACK-1")
    hall.until_ended(hall.order("other", StepRequest("go", "move", other, "RACK-4")))
    assert hall.kernel.state.agvs[vehicle].last_node == hall.kernel.floor.locations["RACK-2"].node


def test_ask_answered_with_not_done_is_tried_again(with_policies: MakeStaffed) -> None:
    hall = with_policies(pick_failed="ask")
    load, order = failed_pick(hall)
    vehicle, action = question(hall)
    hall.plant.places["RACK-2"].take(load)
    hall.must(ResolveCommand(action, done=False))
    assert f"{vehicle}/asks about {load}" not in hall.alarms()
    hall.until_ended(order)
    assert hall.state_of(order) == "finished"
    assert not hall.ask(ResolveCommand(action, done=False)).accepted
    hall.until_quiet()


def test_a_pick_answered_with_done_goes_on_from_the_deck(with_policies: MakeStaffed) -> None:
    """The vehicle has it after all: its sensor had missed it."""
    hall = with_policies(pick_failed="ask")
    load, order = failed_pick(hall)
    vehicle, action = question(hall)
    hall.plant.vehicles[vehicle].deck.load = load
    hall.must(ResolveCommand(action, done=True))
    assert hall.where(load) == vehicle
    hall.until_ended(order)
    assert hall.state_of(order) == "finished"
    assert hall.really(load) == "RACK-3"
    hall.until_quiet()


def test_a_drop_answered_with_done_is_booked_where_it_was_to_go(with_policies: MakeStaffed) -> None:
    """A person has lifted it over."""
    hall = with_policies(drop_failed="ask")
    load, order = failed_drop(hall)
    vehicle, action = question(hall)
    assert hall.where(load) == vehicle
    assert hall.plant.vehicles[vehicle].deck.take_away() == load
    hall.plant.places["WS1-BENCH"].take(load)
    hall.must(ResolveCommand(action, done=True))
    hall.until_ended(order)
    assert hall.state_of(order) == "finished"
    hall.until_quiet()


def test_the_question_falls_away_when_the_load_is_announced_elsewhere(with_policies: MakeStaffed) -> None:
    hall = with_policies(pick_failed="ask")
    load, order = failed_pick(hall)
    hall.plant.places["RACK-4"].take(load)
    hall.must(AnnounceLoad(load, "RACK-4"))
    assert not hall.kernel.state.questions
    assert not hall.alarms()
    hall.until_ended(order)
    assert hall.state_of(order) == "finished"
    hall.until_quiet()


@pytest.mark.parametrize("end", ["cancelled", "removed"])
def test_the_question_falls_away_with_the_order(with_policies: MakeStaffed, end: str) -> None:
    hall = with_policies(pick_failed="ask")
    load, order = failed_pick(hall)
    if end == "cancelled":
        hall.cancel(order)
        hall.plant.places["RACK-2"].take(load)
    else:
        hall.must(RemoveLoad(load))
    assert not hall.kernel.state.questions
    hall.until_quiet()


def test_a_question_survives_a_restart(with_policies: MakeStaffed) -> None:
    hall = with_policies(pick_failed="ask")
    load, order = failed_pick(hall)
    vehicle, action = question(hall)
    hall.restart()
    hall.run(60)
    assert question(hall) == (vehicle, action)
    assert len(hall.notes("trip failed")) == 1
    hall.plant.places["RACK-2"].take(load)
    hall.must(ResolveCommand(action, done=False))
    hall.until_ended(order)
    assert hall.state_of(order) == "finished"


def test_a_site_without_the_vehicle_is_refused_while_it_asks(with_policies: MakeStaffed) -> None:
    hall = with_policies(pick_failed="ask")
    failed_pick(hall)
    vehicle, action = question(hall)
    hall.until(lambda: not hall.kernel.state.ledger, limit_s=10)
    devices = tuple(device for device in hall.site.devices if device.id != vehicle)
    refused = site_change.refusal(
        hall.site, hall.site.model_copy(update={"devices": devices}), hall.kernel.state, at_start=True
    )
    assert f"{vehicle} waits for a decision about {action}" in (refused or "")


def failing_charge(hall: Hall) -> list[str]:
    """AGV1 refuses to charge from now on; the ids of what it was told."""
    hall.plant.vehicles["AGV1"].plug_contact = False
    hall.plant.fault("low_battery", "AGV1", True, percent=60)
    hall.until(lambda: bool(hall.notes("did not charge")), limit_s=10)
    return charges(hall)


def charges(hall: Hall) -> list[str]:
    actions = {c.seq: c.action for c in hall.commands("AGV1") if isinstance(c.action, Instant)}
    return [a.action_id for a in actions.values() if a.kind == "startCharging"]


def test_a_charging_that_fails_is_told_again(with_policies: MakeStaffed) -> None:
    hall = with_policies()
    told = failing_charge(hall)
    hall.run(10)
    assert len(charges(hall)) > len(told)


def test_a_charging_that_fails_is_skipped_until_it_is_parked_again(with_policies: MakeStaffed) -> None:
    hall = with_policies(charge_failed="skip")
    assert len(failing_charge(hall)) == 1
    hall.run(60)
    assert len(charges(hall)) == 1
    assert not hall.alarms()
    hall.plant.vehicles["AGV1"].plug_contact = True
    for vehicle in hall.plant.vehicles:
        if vehicle != "AGV1":
            hall.must(SetMode(vehicle, "manual"))
    hall.until_ended(hall.order("M", StepRequest("go", "move", hall.put(), "RACK-2")))
    hall.until(lambda: hall.kernel.state.agvs["AGV1"].charging, limit_s=120)
    assert len(charges(hall)) == 2


def test_a_vehicle_that_is_taken_away_leaves_nothing_behind(with_policies: MakeStaffed) -> None:
    hall = with_policies(charge_failed="skip")
    failing_charge(hall)
    hall.until(lambda: not hall.kernel.state.ledger, limit_s=10)
    devices = tuple(device for device in hall.site.devices if device.id != "AGV1")
    smaller = hall.site.model_copy(update={"devices": devices})
    hall.enter(SiteChanged(encode_site(smaller), at_start=True))
    assert not hall.kernel.state.charge_skipped
