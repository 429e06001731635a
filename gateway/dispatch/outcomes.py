"""A command has its outcome: whoever issued it is told."""

from __future__ import annotations

from gateway.devices.conveyor import ResetZone
from gateway.dispatch import flow, work
from gateway.dispatch.state import Entry
from gateway.dispatch.traffic import trips
from gateway.dispatch.turn import Turn


def settled(turn: Turn, entry: Entry, ok: bool, text: str) -> None:
    """Tell all modules; each knows its own actions."""
    flow.settled(turn, entry, ok, text)
    trips.settled(turn, entry, ok, text)
    work.settled(turn, entry, ok, text)
    if isinstance(entry.action, ResetZone) and not ok:
        turn.note(entry.device, "reset refused", f"zone {entry.action.zone}: {text}")
