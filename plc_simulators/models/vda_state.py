"""What a vehicle's state message lists: its actions and its errors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ActionState:
    id: str
    type: str
    status: str = "WAITING"
    result: str = ""
    instant: bool = False


@dataclass(frozen=True, slots=True)
class Error:
    type: str
    level: str
    description: str
    references: tuple[tuple[str, str], ...] = ()
