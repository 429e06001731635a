"""Work that is taken up, people who call for help, alarms that are shelved, devices that are held."""

from __future__ import annotations

import pytest
from small_plant import SECOND, Hall

from gateway.contract import (
    AcceptWork,
    AcknowledgeAlarm,
    CallHelp,
    HoldDevice,
    Request,
    SetMode,
    ShelveAlarm,
    SignOff,
    StepRequest,
)
from gateway.devices.agv import AgvFactsheet, Instant
from gateway.devices.robot_cell import Control


def working(hall: Hall) -> str:
    """Somebody has a load before them and does not end; returns the task."""
    hall.work_forever = True
    load = hall.put()
    hall.order("W", StepRequest("pick", "work", load, "", skill="pick"))
    hall.until(lambda: bool(hall.kernel.state.tasks["W/pick"].person))
    return "W/pick"


def test_work_is_taken_up_once_by_whom_it_was_given_to(staffed: Hall) -> None:
    task = working(staffed)
    person = staffed.kernel.state.tasks[task].person
    assert staffed.ask(AcceptWork("W/none", person)).code == "unknown"
    other = staffed.ask(AcceptWork(task, "cleo"))
    assert (other.code, other.reason) == ("conflict", f"task W/pick is done by {person}")
    staffed.must(AcceptWork(task, person))
    assert staffed.kernel.state.tasks[task].accepted_ns == staffed.kernel.state.now_ns
    assert "taken up W/pick already" in staffed.ask(AcceptWork(task, person)).reason
    staffed.must(SignOff(person))
    assert staffed.kernel.state.tasks[task].accepted_ns == 0


def test_a_call_for_help_is_an_alarm_until_somebody_has_seen_it(staffed: Hall) -> None:
    staffed.must(CallHelp("anna", "the tote is wet"))
    assert staffed.alarms() == {"WS1/help anna": "anna at WS1 asks for help: the tote is wet"}
    staffed.must(AcknowledgeAlarm("WS1/help anna"))
    assert staffed.kernel.state.alarms == {}
    staffed.must(CallHelp("anna"))
    assert staffed.alarms() == {"WS1/help anna": "anna at WS1 asks for help"}
    assert staffed.ask(CallHelp("nobody")).reason == "nobody is not signed on"
    assert staffed.ask(CallHelp("anna", "x" * 501)).reason == "501 characters, at most 500"


def test_an_alarm_is_shelved_for_a_time(hall: Hall) -> None:
    hall.cut("C1")
    now_ns = hall.kernel.state.now_ns
    hall.must(ShelveAlarm("C1/link", now_ns + 60 * SECOND, "cable is being mended"))
    alarm = hall.kernel.state.alarms["C1/link"]
    assert (alarm.shelved_until_ns, alarm.shelved_why) == (now_ns + 60 * SECOND, "cable is being mended")
    assert alarm.active
    hall.must(ShelveAlarm("C1/link", 0))
    assert (alarm.shelved_until_ns, alarm.shelved_why) == (0, "")
    assert hall.ask(ShelveAlarm("C1/lnk", 0)).code == "unknown"
    too_long = hall.ask(ShelveAlarm("C1/link", now_ns + 25 * 3600 * SECOND))
    assert too_long.reason == "an alarm is shelved for 24 h at the most"


def test_a_held_vehicle_stops_where_it_is_and_goes_on(hall: Hall) -> None:
    order = hall.ship(hall.put())
    hall.until(lambda: any(trip.passed for trip in hall.kernel.state.trips.values()))
    vehicle = next(iter(hall.kernel.state.trips))
    hall.must(HoldDevice(vehicle, hold=True, reason="somebody stands there"))
    hall.run(5)
    assert hall.kernel.state.agvs[vehicle].state == "paused"
    way = hall.watch.vehicles[vehicle].way()
    hall.run(40)
    assert hall.watch.vehicles[vehicle].way() == way
    assert hall.kernel.state.agvs[vehicle].health.refusal() == "held by an operator: somebody stands there"
    hall.must(HoldDevice(vehicle, hold=False))
    hall.until_ended(order)
    assert hall.state_of(order) == "finished"
    hall.until_quiet()


def test_a_vehicle_that_lists_no_pause_is_not_told_to(hall: Hall) -> None:
    hall.kernel.state.agvs["AGV1"].factsheet = AgvFactsheet("T", ("pick", "drop"), 2_000, 1_000, 800)
    before = len(hall.commands("AGV1"))
    hall.must(HoldDevice("AGV1", hold=True))
    assert [c for c in hall.commands("AGV1")[before:] if isinstance(c.action, Instant)] == []
    assert hall.kernel.state.agvs["AGV1"].health.held == "no reason given"


def test_a_held_cell_holds_and_takes_up_its_work_again(hall: Hall) -> None:
    load = hall.put()
    order = hall.order("D", StepRequest("decant", "work", load, "RC1", skill="decant", recipe="small"))
    hall.until(lambda: hall.kernel.state.cells["RC1"].state == "Execute")
    hall.must(HoldDevice("RC1", hold=True, reason="a box has fallen"))
    hall.until(lambda: hall.kernel.state.cells["RC1"].state == "Held")
    hall.run(60)
    assert hall.state_of(order) == "started"
    hall.must(HoldDevice("RC1", hold=False))
    hall.until_ended(order)
    assert hall.state_of(order) == "finished"
    controls = [c.action.command for c in hall.commands("RC1") if isinstance(c.action, Control)]
    assert controls[controls.index("Hold") + 1] == "Unhold"


def test_a_held_conveyor_gets_no_new_load_and_finishes_what_lies_on_it(hall: Hall) -> None:
    hall.must(HoldDevice("C1", hold=True, reason="cleaning"))
    order = hall.ship(hall.put())
    hall.run(60)
    assert set(hall.plant.loads().values()) == {"C1/zone 1"}
    hall.must(HoldDevice("C1", hold=False))
    hall.until_ended(order)


REFUSED: list[tuple[Request, str]] = [
    (HoldDevice("C9", hold=True), "unknown device 'C9'"),
    (HoldDevice("C1", hold=False), "C1 is not held"),
    (SetMode("C9", "manual"), "unknown device 'C9'"),
]


@pytest.mark.parametrize(("request_", "reason"), REFUSED, ids=[r[1] for r in REFUSED])
def test_what_is_refused_says_why(hall: Hall, request_: Request, reason: str) -> None:
    assert hall.ask(request_).reason == reason
    hall.ask(HoldDevice("C1", hold=True))
    assert hall.ask(HoldDevice("C1", hold=True)).reason == "C1 is held already"
