"""Robot cell: takes a load at its infeed, works on it by recipe, leaves it at its outfeed. Speaks PackML."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.contract import DeviceId, Scalar, Struct
from gateway.devices.echo import Echo, plc_levels
from gateway.devices.facts import (
    CellFinished,
    Fact,
    Irregular,
    Restarted,
)
from gateway.devices.health import Health
from gateway.devices.packml import COMMAND, PACKML, PRODUCE, follow

# --- records on the wire ---


class CellReport(Struct, frozen=True, tag="robot_cell"):
    """`track_id` is that of the last `Start`; `processed` and `defective` count what was completed."""

    boot_id: int
    echo: Echo
    state: int
    mode: int
    track_id: int
    blocked: bool
    starved: bool
    processed: int
    defective: int
    infeed_occupied: bool
    outfeed_occupied: bool


class Control(Struct, frozen=True, tag="control"):
    """A PackML command by name; `track_id` and `recipe` belong to Start."""

    command: str
    track_id: int = 0
    recipe: str = ""


CellAction = Control
_AT_WORK = (
    "Starting", "Execute", "Holding", "Held", "Unholding", "Suspending", "Suspended", "Unsuspending", "Completing",
)  # fmt: skip

_LEVELS = (
    "track_id", "blocked", "starved", "processed", "defective", "infeed_occupied",
    "outfeed_occupied",
)  # fmt: skip


def decode(values: Mapping[str, Scalar]) -> CellReport:
    """Build the record from signal values; KeyError or ValidationError where a signal is missing or bad."""
    levels = {k: values[k] for k in _LEVELS}
    return msgspec.convert({"type": "robot_cell", **plc_levels(values), **levels}, CellReport)


def encode(action: CellAction) -> dict[str, Scalar]:
    """The mailbox payload of a PackML command, signal by signal, without its sequence number."""
    return {"cmd_code": COMMAND[action.command], "cmd_track_id": action.track_id, "cmd_recipe": action.recipe}


# --- the picture ---


class RobotCell(msgspec.Struct):
    """The gateway's picture of one robot cell."""

    device: DeviceId
    health: Health = msgspec.field(default_factory=Health)
    state: str = "Stopped"
    packml_mode: int = PRODUCE
    boot_id: int | None = None
    echo: Echo = Echo()
    track_id: int = 0
    processed: int = 0
    defective: int = 0
    infeed_occupied: bool = False
    outfeed_occupied: bool = False

    def refusal(self) -> str | None:
        reason = self.health.refusal()
        if reason is None and self.packml_mode != PRODUCE:
            reason = f"PLC is in mode {self.packml_mode}, not Produce"
        if reason is None and self.state in ("Aborted", "Aborting", "Clearing"):
            reason = f"PLC state is {self.state}: clear the cause, then reset the cell"
        if reason is None and self.state not in PACKML.states:
            reason = f"PLC state is {self.state}, which PackML does not know: check the PLC program"
        return reason


def new(device: DeviceId) -> RobotCell:
    return RobotCell(device=device)


def observe(cell: RobotCell, report: CellReport) -> list[Fact]:
    """Bring the picture up to `report` and say what happened meanwhile."""
    facts: list[Fact] = []
    restarted = cell.boot_id not in (None, report.boot_id)
    if restarted:
        facts.append(Restarted(cell.device, report.boot_id))
    facts.extend(follow(cell, report.state))
    # The counter, not the state, is the evidence of finished work: a poll may miss Complete, never the count.
    finished = 0 if restarted or cell.boot_id is None else (report.processed - cell.processed) % 2**32
    if finished == 1:
        good = report.defective == cell.defective
        # Where the next work has begun already, the count is that of the work before.
        begun = report.track_id != cell.track_id and cell.state in _AT_WORK
        facts.append(CellFinished(cell.device, cell.track_id if begun else report.track_id, good))
    elif finished:
        facts.append(Irregular(cell.device, f"{finished} works finished between two reports: one at a time can run"))
    cell.boot_id, cell.echo, cell.packml_mode = report.boot_id, report.echo, report.mode
    cell.track_id, cell.processed, cell.defective = report.track_id, report.processed, report.defective
    cell.infeed_occupied, cell.outfeed_occupied = report.infeed_occupied, report.outfeed_occupied
    cell.health.reported = True
    return facts
