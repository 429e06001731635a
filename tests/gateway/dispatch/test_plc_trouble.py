"""PLCs that restart, lose commands or echoes, jam and refuse: a command runs at most once, and somebody is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from small_plant import Hall

from gateway.contract import AcknowledgeAlarm, Command, ResetDevice, ResolveCommand, SetMode, StepRequest
from gateway.devices.conveyor import Discharge, Induct, ResetZone
from gateway.devices.robot_cell import Control
from gateway.dispatch import explain


def executed(hall: Hall, device: str) -> tuple[int, int]:
    box = hall.plant.controllers()[device].mailbox
    return box.executed, box.repeated


def first_of(kind: type) -> Callable[[Command[Any]], bool]:
    """Loses the first write of a command of that kind."""
    lost: list[str] = []

    def lose(command: Command[Any]) -> bool:
        if isinstance(command.action, kind) and not lost:
            lost.append(command.command_id)
            return True
        return False

    return lose


@pytest.mark.parametrize("kind", [Induct, Discharge])
def test_a_lost_command_is_written_again_with_the_same_number(staffed: Hall, kind: type) -> None:
    staffed.lose = first_of(kind)
    order = staffed.ship(staffed.put())
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    writes = [c for c in staffed.commands("C1") if isinstance(c.action, kind)]
    assert [c.seq for c in writes] == [writes[0].seq] * 2
    assert writes[0].action == writes[1].action
    assert staffed.kernel.state.tally.commands_repeated == 1


def test_a_lost_echo_makes_the_command_come_again_and_run_once(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.ship(load)
    staffed.until(lambda: any(isinstance(c.action, Discharge) for c in staffed.commands("C1")))
    staffed.muted.add("C1")
    staffed.run(7)
    writes = [c for c in staffed.commands("C1") if isinstance(c.action, Discharge)]
    assert len(writes) >= 3
    assert len({c.seq for c in writes}) == 1
    assert executed(staffed, "C1") == (2, 0)
    staffed.muted.clear()
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert executed(staffed, "C1") == (2, 0)


@pytest.mark.parametrize("done", [True, False])
def test_a_command_without_any_answer_is_a_persons_affair(staffed: Hall, done: bool) -> None:
    load = staffed.put()
    order = staffed.ship(load)
    staffed.until(lambda: staffed.really(load) == "C1/zone 12")
    # Done: the PLC carries it out, and its echo is lost. Not done: the command never arrives.
    if done:
        staffed.until(lambda: any(isinstance(c.action, Discharge) for c in staffed.commands("C1")))
        staffed.muted.add("C1")
    else:
        staffed.lose = lambda command: isinstance(command.action, Discharge)
    staffed.until(lambda: "C1/no-answer" in staffed.alarms(), limit_s=60)
    entry = next(e for e in staffed.kernel.state.ledger.values() if isinstance(e.action, Discharge))
    assert (entry.state, entry.tries) == ("unknown", staffed.site.policies.send_tries_max)
    assert "resolve the command as done or not done" in staffed.alarms()["C1/no-answer"]
    running = staffed.ask(ResolveCommand("C1/77", done=True))
    assert running.reason == "no open command C1/77"
    staffed.lose = lambda command: False
    staffed.watch.resolved.add(("C1", entry.seq))
    staffed.must(ResolveCommand(entry.command_id, done=done))
    assert "C1/no-answer" not in staffed.alarms()
    staffed.muted.clear()
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert executed(staffed, "C1")[1] == 0


def test_an_open_command_can_t_be_resolved_while_its_outcome_may_still_come(staffed: Hall) -> None:
    staffed.ship(staffed.put())
    staffed.until(lambda: bool(staffed.commands("C1")))
    staffed.muted.add("C1")
    name = staffed.commands("C1")[0].command_id
    reply = staffed.ask(ResolveCommand(name, done=True))
    assert (reply.accepted, reply.reason) == (
        False,
        f"command {name} is sent: only one with an unknown outcome can be resolved",
    )


def test_a_jam_calls_a_person_and_a_reset_lets_it_go_on(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.ship(load)
    staffed.plant.fault("jam", "C1", True, zone=6)
    staffed.until(lambda: "C1/zone 6 jammed" in staffed.alarms())
    assert "free it by hand, then reset the zone" in staffed.alarms()["C1/zone 6 jammed"]
    staffed.must(ResetDevice("C1", 6))
    staffed.run(3)
    assert "zone 6: refused" in staffed.notes("reset refused")[0].detail
    assert "C1/zone 6 jammed" in staffed.alarms()
    staffed.plant.fault("jam", "C1", False, zone=6)
    staffed.must(ResetDevice("C1", 6))
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert staffed.alarms() == {}
    assert sum(isinstance(c.action, ResetZone) for c in staffed.commands("C1")) == 2


def test_an_alarm_that_was_acknowledged_goes_when_its_cause_goes(staffed: Hall) -> None:
    staffed.ship(staffed.put())
    staffed.plant.fault("jam", "C1", True, zone=2)
    staffed.until(lambda: "C1/zone 2 jammed" in staffed.alarms())
    staffed.must(AcknowledgeAlarm("C1/zone 2 jammed"))
    assert "C1/zone 2 jammed" in staffed.alarms()
    staffed.plant.fault("jam", "C1", False, zone=2)
    staffed.must(ResetDevice("C1", 2))
    staffed.run(3)
    assert "C1/zone 2 jammed" not in staffed.kernel.state.alarms


PLACES: dict[str, Callable[[Hall, str], bool]] = {
    "waiting at the entry": lambda hall, load: hall.really(load) == "C1/zone 1",
    "on the line": lambda hall, load: hall.really(load) == "C1/zone 6",
    "leaving it": lambda hall, load: (
        hall.plant.controllers()["C1"].mailbox.busy is not None and hall.really(load) == "C1/zone 12"
    ),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_conveyor_plc_restarts(staffed: Hall, place: str) -> None:
    load = staffed.put()
    order = staffed.ship(load)
    staffed.until(lambda: PLACES[place](staffed, load))
    staffed.plant.fault("plc_restart", "C1")
    staffed.until_ended(order, limit_s=300)
    assert staffed.state_of(order) == "finished"
    assert staffed.notes("device restarted")
    assert executed(staffed, "C1")[1] == 0
    staffed.until_quiet()
    assert staffed.alarms() == {}


def test_a_conveyor_plc_restarts_with_several_loads_on_it(staffed: Hall) -> None:
    loads = [staffed.put("RACK-4") for _ in range(4)]
    for load, city in zip(loads, ("BERLIN", "HAMBURG", "MUNICH", "COLOGNE"), strict=True):
        staffed.ship(load, city)
    line = staffed.plant.conveyors["C1"]
    # A sorter at rest lets them queue up.
    staffed.plant.fault("lane_full", "S1", True, lane=9)
    staffed.until(lambda: sum(bool(z.load) for z in line.zones) == 4, limit_s=900)
    staffed.plant.fault("plc_restart", "C1")
    staffed.plant.fault("lane_full", "S1", False, lane=9)
    staffed.until_ended(limit_s=600)
    assert {staffed.state_of(o) for o in staffed.orders} == {"finished"}
    assert sorted(staffed.where(load) for load in loads) == ["LANE-1", "LANE-2", "LANE-3", "LANE-4"]


def test_a_sorter_plc_restarts_with_a_load_on_the_belt(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.ship(load)
    staffed.until(lambda: staffed.where(load) == "S1")
    staffed.plant.fault("plc_restart", "S1")
    staffed.until_ended(order)
    assert staffed.kernel.state.orders[order].reason == "step ship: lost on S1"
    assert f"S1/lost {load}" in staffed.alarms()
    staffed.until(lambda: staffed.really(load) == "LANE-R")
    other = staffed.ship(staffed.put())
    staffed.until_ended(other)
    assert staffed.state_of(other) == "finished"


def decant(hall: Hall) -> tuple[str, str]:
    load = hall.put()
    order = hall.order(
        f"D-{load}",
        StepRequest("decant", "work", load, "RC1", skill="decant", recipe="small"),
        StepRequest("store", "move", load, "RACK-2", after=("decant",)),
    )
    return load, order


def test_a_cell_plc_restarts_in_the_middle_of_its_work(staffed: Hall) -> None:
    load, order = decant(staffed)
    staffed.until(lambda: staffed.kernel.state.cells["RC1"].state == "Execute")
    staffed.plant.fault("plc_restart", "RC1")
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert staffed.where(load) == "RACK-2"
    starts = [c for c in staffed.commands("RC1") if isinstance(c.action, Control) and c.action.command == "Start"]
    assert len(starts) == 2
    assert starts[0].seq < starts[1].seq
    staffed.until_quiet()


def test_bad_work_of_a_cell_fails_the_order(staffed: Hall) -> None:
    staffed.plant.cells["RC1"].defect_share = 1.0
    load, order = decant(staffed)
    staffed.until_ended(order)
    assert staffed.kernel.state.orders[order].reason == "step decant: RC1 counted it as defective"
    staffed.until_quiet()
    assert staffed.where(load) == "RC1-OUT"


@pytest.mark.parametrize("device", ["C1", "S1"])
def test_a_plc_without_a_link_holds_loads_back_and_goes_on_afterwards(staffed: Hall, device: str) -> None:
    load = staffed.put()
    order = staffed.ship(load)
    staffed.until(lambda: staffed.really(load) == "C1/zone 4")
    staffed.cut(device, "no answer to 3 polls")
    assert f"{device}/link" in staffed.alarms()
    sent = len(staffed.commands(device))
    staffed.run(120)
    assert len(staffed.commands(device)) == sent
    assert staffed.really(load) == "C1/zone 12"
    assert "no answer to 3 polls" in explain.order(staffed.kernel.state, order)[0]
    staffed.connect(device)
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert staffed.alarms() == {}
    staffed.until_quiet()


def test_a_link_lost_with_a_command_open_settles_it_by_the_first_echo(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.ship(load)
    staffed.until(lambda: any(isinstance(c.action, Discharge) for c in staffed.commands("C1")))
    staffed.run(0.05)
    staffed.cut("C1")
    staffed.run(30)
    staffed.connect("C1")
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert executed(staffed, "C1") == (2, 0)


def test_a_journal_begun_anew_never_uses_a_number_that_the_plc_has_seen(staffed: Hall) -> None:
    box = staffed.plant.controllers()["C1"].mailbox
    box.ack_seq = box.done_seq = 500
    box._remember(500, 1)
    staffed.connect("C1")
    order = staffed.ship(staffed.put())
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert [c.seq for c in staffed.commands("C1")] == [501, 502]


def test_a_plc_that_has_seen_a_newer_controller_refuses_and_somebody_is_told(staffed: Hall) -> None:
    staffed.plant.controllers()["C1"].mailbox.epoch = 99
    order = staffed.ship(staffed.put())
    staffed.until(lambda: "C1/keeps-refusing" in staffed.alarms(), limit_s=200)
    assert "older epoch" in staffed.alarms()["C1/keeps-refusing"]
    assert "older epoch" in explain.order(staffed.kernel.state, order)[0]
    assert executed(staffed, "C1") == (0, 0)


@pytest.mark.parametrize("device", ["C1", "S1", "RC1"])
def test_a_plc_out_of_automatic_is_left_alone(staffed: Hall, device: str) -> None:
    staffed.must(SetMode(device, "maintenance"))
    _load, order = decant(staffed)
    staffed.run(150)
    assert staffed.commands(device) == []
    assert staffed.state_of(order) in ("released", "started")
    assert "maintenance" in explain.order(staffed.kernel.state, order)[0]
    staffed.must(SetMode(device, "automatic"))
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
