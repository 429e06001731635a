"""The PackML state model (OPC 30050 v1.01) as one table, for every machine that speaks it.

Numbers are OPC 30050's. Hold rows that ISA-TR88's older graph lacks are part of the table because the OPC
nodeset has them.
"""

from __future__ import annotations

from typing import Protocol

from gateway.contract import DeviceId
from gateway.devices.facts import Fact, FaultCleared, Faulted, Irregular, StateChanged
from gateway.devices.health import Health
from gateway.devices.machine import Row, Table

STATE_BY_NUMBER = {
    1: "Clearing", 2: "Stopped", 3: "Starting", 4: "Idle", 5: "Suspended", 6: "Execute", 7: "Stopping",
    8: "Aborting", 9: "Aborted", 10: "Holding", 11: "Held", 12: "Unholding", 13: "Suspending",
    14: "Unsuspending", 15: "Resetting", 16: "Completing", 17: "Complete",
}  # fmt: skip
COMMAND = {
    "Reset": 1, "Start": 2, "Stop": 3, "Hold": 4, "Unhold": 5, "Suspend": 6, "Unsuspend": 7, "Abort": 8,
    "Clear": 9, "Complete": 10,
}  # fmt: skip
MODE_BY_NUMBER = {1: "Produce", 2: "Maintenance", 3: "Manual"}
PRODUCE = 1

STATES = tuple(STATE_BY_NUMBER.values())
_SC = "StateComplete"
_STOPPABLE = [s for s in STATES if s not in {"Aborting", "Aborted", "Clearing", "Stopped", "Stopping"}]
_ABORTABLE = [s for s in STATES if s not in {"Aborting", "Aborted"}]

ROWS: tuple[Row, ...] = (
    (_SC, "Aborting", "Aborted"),
    (_SC, "Clearing", "Stopped"),
    (_SC, "Stopping", "Stopped"),
    (_SC, "Resetting", "Idle"),
    (_SC, "Starting", "Execute"),
    (_SC, "Execute", "Completing"),
    (_SC, "Completing", "Complete"),
    (_SC, "Holding", "Held"),
    (_SC, "Unholding", "Execute"),
    (_SC, "Suspending", "Suspended"),
    (_SC, "Unsuspending", "Execute"),
    ("Clear", "Aborted", "Clearing"),
    ("Reset", "Stopped", "Resetting"),
    ("Reset", "Complete", "Resetting"),
    ("Start", "Idle", "Starting"),
    ("Complete", "Execute", "Completing"),
    ("Suspend", "Execute", "Suspending"),
    ("Unsuspend", "Suspended", "Unsuspending"),
    ("Unhold", "Held", "Unholding"),
    *(("Hold", s, "Holding") for s in ("Execute", "Starting", "Suspending", "Suspended", "Unsuspending", "Unholding")),
    *(("Stop", s, "Stopping") for s in _STOPPABLE),
    *(("Abort", s, "Aborting") for s in _ABORTABLE),
)  # fmt: skip

PACKML = Table("packml", STATES, ROWS, "Stopped")


class Machine(Protocol):
    """A device's picture with its machine state."""

    device: DeviceId
    health: Health
    state: str
    packml_mode: int


def not_running(machine: Machine) -> str | None:
    """Why a machine that works in Execute can't be used now."""
    reason = machine.health.refusal()
    if reason is None and machine.packml_mode != PRODUCE:
        reason = f"PLC is in mode {machine.packml_mode}, not Produce"
    if reason is None and machine.state != "Execute":
        reason = f"PLC state is {machine.state}, not Execute"
    return reason


def follow(machine: Machine, number: int) -> list[Fact]:
    """Bring `machine.state` to the state number that the PLC shows, and say what that means.

    The first report after a link came up may show any state; later ones are held against the table.
    """
    observed = STATE_BY_NUMBER.get(number, f"number {number}")
    before = machine.state
    if before == observed:
        return []
    facts: list[Fact] = []
    if not PACKML.adopt(machine, observed):
        # A number that PackML does not know must not leave an older "Execute" standing.
        machine.state = observed
        if machine.health.reported or observed not in PACKML.states:
            facts.append(Irregular(machine.device, f"machine state jumped from {before} to {observed}"))
    facts.append(StateChanged(machine.device, "machine", before, observed))
    if observed == "Aborted":
        facts.append(
            Faulted(machine.device, "machine", "aborted", "aborted: clear the cause at the machine, then reset it")
        )
    elif before == "Aborted":
        facts.append(FaultCleared(machine.device, "machine", "aborted"))
    return facts
