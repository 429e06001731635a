"""What happens at a limit: every list in the kernel has one, and what is given up there is what is needed least."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from small_plant import Hall, MakeHall

from gateway.contract import AnnounceLoad, Note, ShellAlarm, StepRequest
from gateway.devices.conveyor import ResetZone
from gateway.dispatch import explain
from gateway.dispatch.ledger import ENTRIES_MAX
from gateway.dispatch.loads import TRACK_ID_MAX
from gateway.dispatch.memory import Memory
from gateway.dispatch.orders import ENDED_KEPT_MAX
from gateway.dispatch.state import Answer, Entry, HoldOff, Order, Task
from gateway.dispatch.turn import ALARMS_MAX, HOLD_OFFS_MAX, Turn
from gateway.kernel import ANSWERS_MAX


def fill_ledger(hall: Hall) -> Callable[[], None]:
    """Commands that nobody has resolved, up to the limit; call what comes back to be rid of them."""
    ledger = hall.kernel.state.ledger
    count = ENTRIES_MAX - len(ledger)
    names = [f"C2/x{i}" for i in range(count)]
    ledger.update({name: Entry(name, "C2", i, ResetZone(1), state="unknown") for i, name in enumerate(names)})

    def empty() -> None:
        for name in names:
            del ledger[name]

    return empty


def turn_of(hall: Hall) -> Turn:
    kernel = hall.kernel
    return Turn(kernel.site, kernel.floor, kernel.state, Memory(kernel.floor, kernel.state))


# --- commands ---


def test_no_more_commands_are_open_than_the_ledger_holds_and_the_rest_is_tried_again(staffed: Hall) -> None:
    load = staffed.put("C1-IN")
    empty = fill_ledger(staffed)
    staffed.run(1)
    assert staffed.commands("C1") == []
    assert f"{ENTRIES_MAX} commands are open" in staffed.alarms()["ledger/full"]
    empty()
    staffed.until(lambda: staffed.where(load) == "C1.1", limit_s=5)


@pytest.mark.parametrize("part", ["a new drive", "an update"])
def test_a_drive_for_which_there_is_no_room_is_sent_when_there_is(staffed: Hall, part: str) -> None:
    """Its numbers go on without a gap, or the vehicle would refuse what follows; the watchers look at them."""
    load = staffed.put("RACK-4")
    staffed.run(1)
    empty = fill_ledger(staffed) if part == "a new drive" else None
    order = staffed.order("M", StepRequest("go", "move", load, "RACK-3"))
    (trip,) = staffed.kernel.state.trips.values()
    if empty is None:
        staffed.until(lambda: trip.passed > 0 and not staffed.kernel.state.ledger)
        empty = fill_ledger(staffed)
    before, update_id, sent = len(staffed.commands(trip.vehicle)), trip.update_id, trip.sent_released
    staffed.run(2)
    assert len(staffed.commands(trip.vehicle)) == before
    assert (trip.update_id, trip.sent_released) == (update_id, sent)
    assert "ledger/full" in staffed.alarms()
    empty()
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"
    staffed.until_quiet()


# --- alarms ---


def test_a_full_alarm_list_drops_one_that_has_gone_and_never_one_that_is_on(make_hall: MakeHall) -> None:
    hall = make_hall()
    for number in range(ALARMS_MAX):
        hall.enter(ShellAlarm("shell", f"a{number}", "text", True))
    (note,) = (e for e in hall.enter(ShellAlarm("shell", "one more", "look", True)) if isinstance(e, Note))
    assert (note.event, note.detail) == ("alarm list is full", "one more: look")
    assert "shell/one more" not in hall.alarms()
    assert len(hall.alarms()) == ALARMS_MAX
    hall.enter(ShellAlarm("shell", "a7", "text", False))
    hall.enter(ShellAlarm("shell", "one more", "look", True))
    assert "shell/one more" in hall.alarms()
    assert "shell/a7" not in hall.kernel.state.alarms
    assert len(hall.kernel.state.alarms) == ALARMS_MAX


def test_an_alarm_that_goes_before_anybody_has_seen_it_stays_in_the_list(make_hall: MakeHall) -> None:
    hall = make_hall()
    hall.enter(ShellAlarm("shell", "bad frames", "17 in a minute", True))
    hall.enter(ShellAlarm("shell", "bad frames", "", False))
    known = hall.kernel.state.alarms["shell/bad frames"]
    assert (known.active, known.acknowledged, known.text) == (False, False, "17 in a minute")
    hall.enter(ShellAlarm("shell", "bad frames", "again", True))
    assert hall.kernel.state.alarms["shell/bad frames"].count == 2


# --- hold-offs ---


def test_a_full_list_of_hold_offs_drops_those_that_are_over(make_hall: MakeHall) -> None:
    hall = make_hall()
    turn, held = turn_of(hall), hall.kernel.state.hold_offs
    for number in range(HOLD_OFFS_MAX):
        over = number < HOLD_OFFS_MAX // 2
        held[f"h{number}"] = HoldOff(turn.now_ns + (0 if over else 1), 3, "no")
    turn.hold_off("new", "C1", "no")
    assert list(held) == [*(f"h{n}" for n in range(HOLD_OFFS_MAX // 2, HOLD_OFFS_MAX)), "new"]


def test_a_full_list_of_hold_offs_that_are_all_on_drops_the_oldest(make_hall: MakeHall) -> None:
    hall = make_hall()
    turn, held = turn_of(hall), hall.kernel.state.hold_offs
    held.update({f"h{n}": HoldOff(turn.now_ns + 1, 3, "no") for n in range(HOLD_OFFS_MAX)})
    turn.hold_off("new", "C1", "no")
    assert len(held) == HOLD_OFFS_MAX
    assert "h0" not in held
    assert turn.held_off("new")


# --- what has ended, what was answered ---


def test_the_oldest_ended_order_is_forgotten_with_its_steps_and_nothing_more_is_said_of_it(staffed: Hall) -> None:
    state = staffed.kernel.state
    for number in range(ENDED_KEPT_MAX):
        name = f"old-{number}"
        state.orders[name] = Order(name, "wms", number, 3, None, [f"{name}/go"], state="finished")
        state.tasks[f"{name}/go"] = Task(f"{name}/go", name, "move", "T1", "RACK-1", state="finished")
        state.ended.append(name)
    assert explain.order(state, "old-0") == ["old-0 is finished"]
    order = staffed.order("new", StepRequest("go", "move", staffed.put(), "RACK-1"))
    staffed.run(1)
    assert explain.order(state, order) == ["new is finished"]
    assert len(state.ended) == ENDED_KEPT_MAX
    assert "old-0" not in state.orders
    assert "old-0/go" not in state.tasks
    assert explain.order(state, "old-0") == []
    assert explain.order(state, "old-1") == ["old-1 is finished"]


def test_the_oldest_answer_is_forgotten_for_a_new_one(make_hall: MakeHall) -> None:
    hall = make_hall()
    hall.ask(AnnounceLoad("T1", "RACK-1"), "wms", "first")
    answers = hall.kernel.state.answers
    answers.update({f"wms\nr{n}": Answer(b"", True, "") for n in range(ANSWERS_MAX - len(answers))})
    hall.ask(AnnounceLoad("T2", "RACK-1"), "wms", "last")
    assert len(answers) == ANSWERS_MAX
    assert "wms\nfirst" not in answers
    assert "wms\nlast" in answers


def test_track_numbers_begin_anew_at_their_end_and_leave_out_those_in_use(make_hall: MakeHall) -> None:
    """A register of the PLC holds them: two loads with one number would be one load."""
    hall = make_hall()
    first = hall.put()
    hall.kernel.state.track_number = TRACK_ID_MAX - 1
    last, next_ = hall.put(), hall.put()
    numbers = [hall.kernel.state.loads[load].track_id for load in (first, last, next_)]
    assert numbers == [1, TRACK_ID_MAX, 2]
