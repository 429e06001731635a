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
from gateway.dispatch import assign, flow, ledger, orders, outcomes, sort, work
from gateway.dispatch.traffic import drives, trips
from gateway.dispatch.turn import Turn

_BESIDE_THE_BOOKS = (NodeReached, StateChanged, ZoneTaken, ZoneLeft, Irregular, Faulted, FaultCleared)
"""Facts that change nothing which the books' phases look at, but for the device's own picture."""


def apply_fact(turn: Turn, fact: Fact) -> None:
    """Book what a device concluded."""
    if not isinstance(fact, _BESIDE_THE_BOOKS):
        turn.touch()
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
            ledger.restarted(turn, fact.device, outcomes.settled)
            turn.note(fact.device, "device restarted", f"boot id {fact.boot_id}")
        case Faulted():
            turn.raise_alarm(fact.device, f"{fact.part} {fact.code}", f"{fact.device} {fact.part}: {fact.text}")
        case FaultCleared():
            turn.clear_alarm(fact.device, f"{fact.part} {fact.code}")
        case Irregular():
            turn.note(fact.device, "irregular", fact.text)
        case StateChanged():
            turn.note(fact.device, "state", f"{fact.part}: {fact.before} → {fact.after}")
    # ZoneTaken and ZoneLeft are for others: the conveyors' flow reads the zones' levels.


BOOKS: tuple[Callable[[Turn], None], ...] = (
    orders.release,
    orders.prepare,
    flow.drive,
    sort.drive,
    work.drive,
)
"""What goes by orders, loads and PLCs alone, so that it has nothing to do while those stay as they are."""


def run(turn: Turn) -> None:
    """All planning phases once, in order, without those that would do nothing new (see `memory`)."""
    ledger.overdue(turn)
    memory = turn.memory
    if memory.touched or turn.now_ns >= memory.due_ns:
        _plan(turn)
    elif memory.vehicles_touched:
        assign.drive(turn)
    drives.drive(turn)


def run_all(turn: Turn) -> None:
    """All planning phases once, in order. Tests hold `run` against this."""
    ledger.overdue(turn)
    _plan(turn)
    drives.drive(turn)


def _plan(turn: Turn) -> None:
    memory = turn.memory
    memory.touched = False
    for phase in BOOKS:
        phase(turn)
    assign.drive(turn)
    if not memory.touched:
        memory.due_ns = min(turn.next_over_ns(), flow.due_ns(turn), work.due_ns(turn))
