"""The PackML table against OPC 30050, written down here once more: state by state, what each trigger does."""

from __future__ import annotations

import pytest

from gateway.devices.packml import COMMAND, MODE_BY_NUMBER, PACKML, PRODUCE, STATE_BY_NUMBER

NUMBERS = {
    "Clearing": 1, "Stopped": 2, "Starting": 3, "Idle": 4, "Suspended": 5, "Execute": 6, "Stopping": 7, "Aborting": 8,
    "Aborted": 9, "Holding": 10, "Held": 11, "Unholding": 12, "Suspending": 13, "Unsuspending": 14, "Resetting": 15,
    "Completing": 16, "Complete": 17,
}  # fmt: skip
COMMANDS = ("Reset", "Start", "Stop", "Hold", "Unhold", "Suspend", "Unsuspend", "Abort", "Clear", "Complete")
SC = "StateComplete"
ENDS = {"Stop": "Stopping", "Abort": "Aborting"}
EXPECTED: dict[str, dict[str, str]] = {
    "Aborting": {SC: "Aborted"},
    "Aborted": {"Clear": "Clearing"},
    "Clearing": {SC: "Stopped", "Abort": "Aborting"},
    "Stopping": {SC: "Stopped", "Abort": "Aborting"},
    "Stopped": {"Reset": "Resetting", "Abort": "Aborting"},
    "Resetting": {SC: "Idle", **ENDS},
    "Idle": {"Start": "Starting", **ENDS},
    "Starting": {SC: "Execute", "Hold": "Holding", **ENDS},
    "Execute": {SC: "Completing", "Complete": "Completing", "Hold": "Holding", "Suspend": "Suspending", **ENDS},
    "Completing": {SC: "Complete", **ENDS},
    "Complete": {"Reset": "Resetting", **ENDS},
    "Holding": {SC: "Held", **ENDS},
    "Held": {"Unhold": "Unholding", **ENDS},
    "Unholding": {SC: "Execute", "Hold": "Holding", **ENDS},
    "Suspending": {SC: "Suspended", "Hold": "Holding", **ENDS},
    "Suspended": {"Unsuspend": "Unsuspending", "Hold": "Holding", **ENDS},
    "Unsuspending": {SC: "Execute", "Hold": "Holding", **ENDS},
}


class Record:
    def __init__(self, state: str) -> None:
        self.state = state


def test_states_commands_and_modes_have_the_standards_numbers() -> None:
    assert {name: number for number, name in STATE_BY_NUMBER.items()} == NUMBERS
    assert {name: n for n, name in enumerate(COMMANDS, 1)} == COMMAND
    assert MODE_BY_NUMBER == {1: "Produce", 2: "Maintenance", 3: "Manual"}
    assert PRODUCE == 1
    assert set(PACKML.states) == set(EXPECTED) == set(NUMBERS)
    assert PACKML.initial == "Stopped"


@pytest.mark.parametrize("state", NUMBERS)
@pytest.mark.parametrize("trigger", [*COMMANDS, SC])
def test_each_trigger_in_each_state(state: str, trigger: str) -> None:
    record = Record(state)
    dest = EXPECTED[state].get(trigger)
    assert PACKML.fire(record, trigger) is (dest is not None)
    assert record.state == (dest or state)


def test_there_is_no_other_trigger() -> None:
    assert {trigger for trigger, _, _ in PACKML.rows} == {*COMMANDS, SC}
