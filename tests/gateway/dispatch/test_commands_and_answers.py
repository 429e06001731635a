"""Commands on their way: written again only while that can do no harm, numbered so that a PLC never runs one twice, and
given to a person when nobody else can say what became of them."""

from __future__ import annotations

import msgspec
from small_plant import SECOND, Hall

from gateway.contract import Command, LinkChanged, Report, ResetDevice, ResolveCommand, SendFailed, StepRequest
from gateway.devices.conveyor import Discharge, ResetZone
from gateway.devices.echo import Echo


def resets(hall: Hall) -> list[int]:
    """The numbers under which C1 was told to reset a zone, write by write."""
    return [c.seq for c in hall.commands("C1") if isinstance(c.action, ResetZone)]


def with_numbers_of_an_earlier_journal(hall: Hall, number: int) -> None:
    box = hall.plant.controllers()["C1"].mailbox
    box.ack_seq = box.done_seq = number
    box._remember(number, 1)


def test_a_command_for_a_doubtful_link_waits_until_it_is_up_again(staffed: Hall) -> None:
    staffed.enter(LinkChanged("C1", "uncertain", "heartbeat stands at 7"))
    staffed.must(ResetDevice("C1", 3))
    staffed.run(10)
    assert resets(staffed) == []
    staffed.connect("C1")
    assert resets(staffed) == [1]
    staffed.until(lambda: not staffed.kernel.state.ledger, limit_s=5)
    assert staffed.alarms() == {}


def test_a_command_that_waits_takes_no_number_that_the_plc_has_run_already(staffed: Hall) -> None:
    """The journal is new and the PLC is not: a number that it knows would be answered and never carried out."""
    staffed.enter(LinkChanged("C1", "uncertain", "heartbeat stands at 7"))
    staffed.must(ResetDevice("C1", 3))
    staffed.must(ResetDevice("C1", 4))
    with_numbers_of_an_earlier_journal(staffed, 500)
    staffed.run(1)
    assert list(staffed.kernel.state.ledger) == ["C1/501", "C1/502"]
    staffed.connect("C1")
    staffed.until(lambda: not staffed.kernel.state.ledger, limit_s=5)
    assert resets(staffed) == [501, 502]
    assert staffed.plant.controllers()["C1"].mailbox.executed == 2


def test_a_command_that_was_sent_under_an_old_number_is_refused_and_said_so(staffed: Hall) -> None:
    """It went out between the link's coming up and the first report, which shows that the PLC is far ahead."""
    staffed.enter(LinkChanged("C1", "down", "cable pulled"))
    staffed.enter(LinkChanged("C1", "up", "connected"))
    with_numbers_of_an_earlier_journal(staffed, 500)
    staffed.must(ResetDevice("C1", 3))
    assert resets(staffed) == [1]
    staffed.enter(Report("C1", staffed.wire.report("C1")))
    assert staffed.notes("reset refused")[0].detail == "zone 3: passed over by a later command"
    staffed.must(ResetDevice("C1", 3))
    staffed.until(lambda: not staffed.kernel.state.ledger, limit_s=5)
    assert resets(staffed) == [1, 501]


def test_a_command_of_which_nobody_knows_whether_it_was_written_is_written_again_after_a_while(staffed: Hall) -> None:
    lost: list[str] = []

    def once(command: Command) -> bool:
        if isinstance(command.action, ResetZone) and not lost:
            lost.append(command.command_id)
            staffed.enter(SendFailed(command.command_id, command.device, False, "no answer to the write"))
            return True
        return False

    staffed.lose = once
    staffed.must(ResetDevice("C1", 3))
    staffed.run(1)
    assert resets(staffed) == [1], "it may have arrived: not before the time for an answer is over"
    staffed.until(lambda: resets(staffed) == [1, 1], limit_s=staffed.site.policies.ack_timeout_ms / 1000)
    staffed.until(lambda: not staffed.kernel.state.ledger, limit_s=5)
    assert staffed.notes("command not written")[0].detail == "C1/1: no answer to the write"


def test_a_failed_write_of_a_command_that_has_been_answered_says_nothing_any_more(staffed: Hall) -> None:
    staffed.must(ResetDevice("C1", 3))
    staffed.until(lambda: not staffed.kernel.state.ledger, limit_s=5)
    staffed.enter(SendFailed("C1/1", "C1", True, "late"))
    staffed.run(5)
    assert resets(staffed) == [1]


def test_a_command_that_can_never_be_written_calls_a_person_and_is_tried_on(staffed: Hall) -> None:
    """The link is up, so nothing else would say it: an address that may not be written, a server that refuses."""

    def refuse(command: Command) -> bool:
        staffed.enter(SendFailed(command.command_id, command.device, True, "BadNotWritable"))
        return True

    staffed.lose = refuse
    staffed.must(ResetDevice("C1", 3))
    staffed.until(lambda: "C1/not-written" in staffed.alarms(), limit_s=30)
    tries = staffed.site.policies.send_tries_max
    assert f"C1/1 could not be written in {tries} tries though the link is up" in staffed.alarms()["C1/not-written"]
    staffed.run(10)
    assert len(resets(staffed)) > tries
    staffed.lose = lambda command: False
    staffed.until(lambda: not staffed.kernel.state.ledger, limit_s=5)
    assert staffed.alarms() == {}


def test_a_drive_that_waits_to_be_written_is_not_taken_for_answered(staffed: Hall) -> None:
    """The vehicle's state message comes in between: it says nothing of a drive that never reached it."""
    load = staffed.put("RACK-2")
    staffed.lose = lambda command: True
    order = staffed.order("M", StepRequest("go", "move", load, "RACK-3"))
    vehicle = next(iter(staffed.kernel.state.trips))
    (entry,) = staffed.kernel.state.ledger.values()
    staffed.enter(SendFailed(entry.command_id, vehicle, True, "broker is away"))
    assert entry.state == "queued"
    staffed.enter(Report(vehicle, staffed.wire.report(vehicle)))
    assert staffed.kernel.state.ledger == {entry.command_id: entry}
    staffed.lose = lambda command: False
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


def test_a_command_that_was_accepted_and_never_done_is_a_persons_affair(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.ship(load)
    staffed.until(lambda: any(isinstance(c.action, Discharge) for c in staffed.commands("C1")))
    staffed.muted.add("C1")
    (entry,) = (e for e in staffed.kernel.state.ledger.values() if isinstance(e.action, Discharge))
    shown = staffed.wire.report("C1")
    hung = msgspec.structs.replace(shown, echo=Echo(entry.seq, entry.seq - 1, 0, 1))
    staffed.enter(Report("C1", hung))
    assert entry.state == "accepted"
    wait_s = (entry.deadline_ns - staffed.kernel.state.now_ns) / SECOND
    staffed.run(wait_s - 1)
    assert "C1/no-answer" not in staffed.alarms()
    staffed.until(lambda: "C1/no-answer" in staffed.alarms(), limit_s=3)
    assert "accepted, but not done after 60" in staffed.alarms()["C1/no-answer"]
    assert len([c for c in staffed.commands("C1") if isinstance(c.action, Discharge)]) == 1, "never written again"
    staffed.watch.resolved.add(("C1", entry.seq))
    staffed.must(ResolveCommand(entry.command_id, done=True))
    staffed.muted.clear()
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


def test_a_plc_that_takes_commands_again_ends_the_alarm_that_it_keeps_refusing(staffed: Hall) -> None:
    box = staffed.plant.controllers()["C1"].mailbox
    box.epoch = 99
    order = staffed.ship(staffed.put())
    staffed.until(lambda: "C1/keeps-refusing" in staffed.alarms(), limit_s=200)
    box.epoch = 1
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    assert staffed.alarms() == {}
