"""The PackML table, whole, and the cell that walks through it."""

from __future__ import annotations

from typing import Any

import pytest

from plc_simulators.models import packml
from plc_simulators.models.mailbox import INVALID, NOT_NOW, NOT_THERE, OK
from plc_simulators.models.packml import Unit

HandT = Any
S = packml

# From OPC 30050, written out by hand: state → command → state.
EXPECTED = {
    S.ABORTED: {S.CLEAR: S.CLEARING},
    S.STOPPED: {S.RESET: S.RESETTING, S.ABORT: S.ABORTING},
    S.CLEARING: {S.ABORT: S.ABORTING},
    S.STOPPING: {S.ABORT: S.ABORTING},
    S.ABORTING: {},
    S.RESETTING: {S.STOP: S.STOPPING, S.ABORT: S.ABORTING},
    S.IDLE: {S.START: S.STARTING, S.STOP: S.STOPPING, S.ABORT: S.ABORTING},
    S.STARTING: {S.HOLD: S.HOLDING, S.STOP: S.STOPPING, S.ABORT: S.ABORTING},
    S.EXECUTE: {
        S.HOLD: S.HOLDING, S.SUSPEND: S.SUSPENDING, S.FINISH: S.COMPLETING, S.STOP: S.STOPPING, S.ABORT: S.ABORTING,
    },
    S.COMPLETING: {S.STOP: S.STOPPING, S.ABORT: S.ABORTING},
    S.COMPLETE: {S.RESET: S.RESETTING, S.STOP: S.STOPPING, S.ABORT: S.ABORTING},
    S.HOLDING: {S.STOP: S.STOPPING, S.ABORT: S.ABORTING},
    S.HELD: {S.UNHOLD: S.UNHOLDING, S.STOP: S.STOPPING, S.ABORT: S.ABORTING},
    S.UNHOLDING: {S.HOLD: S.HOLDING, S.STOP: S.STOPPING, S.ABORT: S.ABORTING},
    S.SUSPENDING: {S.HOLD: S.HOLDING, S.STOP: S.STOPPING, S.ABORT: S.ABORTING},
    S.SUSPENDED: {S.UNSUSPEND: S.UNSUSPENDING, S.HOLD: S.HOLDING, S.STOP: S.STOPPING, S.ABORT: S.ABORTING},
    S.UNSUSPENDING: {S.HOLD: S.HOLDING, S.STOP: S.STOPPING, S.ABORT: S.ABORTING},
}  # fmt: skip
ENDS = {
    S.ABORTING: S.ABORTED, S.CLEARING: S.STOPPED, S.STOPPING: S.STOPPED, S.RESETTING: S.IDLE, S.STARTING: S.EXECUTE,
    S.COMPLETING: S.COMPLETE, S.HOLDING: S.HELD, S.UNHOLDING: S.EXECUTE, S.SUSPENDING: S.SUSPENDED,
    S.UNSUSPENDING: S.EXECUTE,
}  # fmt: skip


@pytest.mark.parametrize("state", range(1, 18))
def test_the_table_is_the_standards(state: int) -> None:
    found = {command: packml.after(state, command) for command in range(11) if packml.after(state, command)}
    assert found == EXPECTED[state]


@pytest.mark.parametrize("state", range(1, 18))
def test_acting_states_end_by_themselves_and_others_stay(state: int) -> None:
    unit = Unit()
    unit.state = state
    assert unit.step(packml.ACTING_NS - 1) is None
    unit.step(packml.ACTING_NS)
    assert unit.state == ENDS.get(state, state)


def test_numbers_are_those_of_opc_30050() -> None:
    assert (S.CLEARING, S.STOPPED, S.IDLE, S.EXECUTE, S.ABORTED, S.HELD, S.COMPLETE) == (1, 2, 4, 6, 9, 11, 17)
    assert (S.RESET, S.START, S.STOP, S.ABORT, S.CLEAR, S.FINISH) == (1, 2, 3, 8, 9, 10)


def start(hand: HandT, track: int = 5) -> int:
    return int(hand.command("RC1", S.START, track_id=track, recipe="small"))


def command(hand: HandT, code: int) -> int:
    return int(hand.command("RC1", code, track_id=0, recipe=""))


def reaches(hand: HandT, state: int, seconds_max: float = 10) -> None:
    unit = hand.plant.cells["RC1"].controller.unit
    hand.until(lambda: unit.state == state, seconds_max)


def test_a_cell_works_one_load_from_infeed_to_outfeed(hand: HandT) -> None:
    cell = hand.plant.cells["RC1"]
    assert (cell.controller.unit.state, cell.starved) == (S.IDLE, True)
    assert start(hand) == NOT_THERE
    hand.plant.put("L1", [], "RC1-IN")
    assert not cell.starved
    assert start(hand) == OK
    assert (cell.track_id, cell.recipe) == (5, "small")
    assert start(hand, 6) == NOT_NOW
    reaches(hand, S.COMPLETE)
    assert hand.plant.loads() == {"L1": "RC1-OUT"}
    assert (cell.processed, cell.defective, cell.track_id) == (1, 0, 5)
    assert command(hand, S.RESET) == OK
    reaches(hand, S.IDLE)
    assert command(hand, 11) == INVALID


def test_an_occupied_outfeed_suspends_the_cell(hand: HandT) -> None:
    cell = hand.plant.cells["RC1"]
    hand.plant.put("L1", [], "RC1-IN")
    hand.plant.put("L0", [], "RC1-OUT")
    assert start(hand) == OK
    reaches(hand, S.SUSPENDED)
    assert (cell.blocked, cell.processed) == (True, 0)
    assert hand.plant.places["RC1-OUT"].give("L0") == "L0"
    reaches(hand, S.COMPLETE)
    assert (cell.blocked, cell.processed) == (False, 1)


def test_bad_work_counts_as_defective_too(hand: HandT) -> None:
    cell = hand.plant.cells["RC1"]
    cell.defect_share = 1.0
    hand.plant.put("L1", [], "RC1-IN")
    assert start(hand) == OK
    reaches(hand, S.COMPLETE)
    assert (cell.processed, cell.defective) == (1, 1)


def test_a_stop_stays_until_a_reset_and_the_work_begins_anew(hand: HandT) -> None:
    hand.plant.put("L1", [], "RC1-IN")
    assert start(hand) == OK
    hand.run(3)
    assert command(hand, S.ABORT) == OK
    reaches(hand, S.ABORTED)
    assert command(hand, S.CLEAR) == OK
    reaches(hand, S.STOPPED)
    hand.run(30)
    reaches(hand, S.STOPPED, 0.1)
    assert command(hand, S.RESET) == OK
    reaches(hand, S.IDLE)
    assert hand.plant.loads() == {"L1": "RC1-IN"}
    assert start(hand) == OK
    reaches(hand, S.COMPLETE)
    assert hand.plant.cells["RC1"].processed == 1


def test_an_early_complete_command_leaves_the_load_and_counts_nothing(hand: HandT) -> None:
    hand.plant.put("L1", [], "RC1-IN")
    assert start(hand) == OK
    reaches(hand, S.EXECUTE)
    assert command(hand, S.FINISH) == OK
    reaches(hand, S.COMPLETE)
    assert hand.plant.loads() == {"L1": "RC1-IN"}
    assert hand.plant.cells["RC1"].processed == 0


def test_a_restart_comes_back_to_idle_with_counters_at_zero(hand: HandT) -> None:
    cell = hand.plant.cells["RC1"]
    hand.plant.put("L1", [], "RC1-IN")
    assert start(hand) == OK
    reaches(hand, S.COMPLETE)
    boot_id = cell.controller.boot_id
    hand.plant.fault("plc_restart", "RC1")
    assert cell.controller.unit.state == S.STOPPED
    reaches(hand, S.IDLE)
    assert (cell.processed, cell.controller.boot_id) == (0, boot_id + 1)
    assert hand.plant.loads() == {"L1": "RC1-OUT"}
