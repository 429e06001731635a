"""The fixed order in which a turn goes: facts of devices first, scans before all else, then the planning phases."""

from __future__ import annotations

from collections.abc import Callable

from gateway.devices.facts import (
    ActionEnded,
    CellFinished,
    Diverted,
    DivertFailed,
    Fact,
    FaultCleared,
    Faulted,
    Irregular,
    LaneEmptied,
    NodeReached,
    OrderRejected,
    Restarted,
    Scanned,
    StateChanged,
    TrackLost,
    ZoneLeft,
    ZoneTaken,
)
from gateway.dispatch import assign, flow, ledger, orders, requests, sort, work
from gateway.dispatch.traffic import drives, trips
from gateway.dispatch.turn import Turn


def apply_fact(turn: Turn, fact: Fact) -> None:
    """Book what a device concluded."""
    match fact:
        case Scanned():
            sort.scanned(turn, fact)
        case Diverted():
            sort.diverted(turn, fact)
        case DivertFailed():
            sort.divert_failed(turn, fact)
        case TrackLost():
            sort.track_lost(turn, fact)
        case LaneEmptied():
            sort.lane_emptied(turn, fact)
        case CellFinished():
            work.cell_finished(turn, fact)
        case NodeReached():
            trips.node_reached(turn, fact)
        case ActionEnded():
            trips.action_ended(turn, fact)
        case OrderRejected():
            trips.rejected(turn, fact)
        case Restarted():
            ledger.restarted(turn, fact.device, requests.settled)
            turn.note(fact.device, "device restarted", f"boot id {fact.boot_id}")
        case Faulted():
            turn.raise_alarm(fact.device, f"{fact.part} {fact.code}", f"{fact.device} {fact.part}: {fact.text}")
        case FaultCleared():
            turn.clear_alarm(fact.device, f"{fact.part} {fact.code}")
        case Irregular():
            turn.note(fact.device, "irregular", fact.text)
        case StateChanged():
            turn.note(fact.device, "state", f"{fact.part}: {fact.before} → {fact.after}")
        case ZoneTaken() | ZoneLeft():
            pass  # the conveyors' flow reads the zones' levels


PHASES: tuple[Callable[[Turn], None], ...] = (
    orders.release,
    orders.prepare,
    flow.drive,
    work.drive,
    assign.drive,
    drives.drive,
)


def run(turn: Turn) -> None:
    """All planning phases once, in order."""
    ledger.overdue(turn)
    for phase in PHASES:
        phase(turn)
