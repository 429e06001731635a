"""PackML (OPC 30050 v1.01) in the PLC: a table of numbers, and a unit that walks through it.

States, commands and numbers are the standard's; the Hold transitions out of Starting and the suspend states are
those of the OPC nodeset.
"""

from __future__ import annotations

CLEARING, STOPPED, STARTING, IDLE, SUSPENDED, EXECUTE, STOPPING, ABORTING, ABORTED = range(1, 10)
HOLDING, HELD, UNHOLDING, SUSPENDING, UNSUSPENDING, RESETTING, COMPLETING, COMPLETE = range(10, 18)
RESET, START, STOP, HOLD, UNHOLD, SUSPEND, UNSUSPEND, ABORT, CLEAR, FINISH = range(1, 11)
PRODUCE = 1

ACTING = {
    ABORTING: ABORTED,
    CLEARING: STOPPED,
    STOPPING: STOPPED,
    RESETTING: IDLE,
    STARTING: EXECUTE,
    COMPLETING: COMPLETE,
    HOLDING: HELD,
    UNHOLDING: EXECUTE,
    SUSPENDING: SUSPENDED,
    UNSUSPENDING: EXECUTE,
}
"""States that end by themselves, and where to."""

_ALL = range(CLEARING, COMPLETE + 1)
_TABLE: dict[tuple[int, int], int] = {
    (ABORTED, CLEAR): CLEARING,
    (STOPPED, RESET): RESETTING,
    (COMPLETE, RESET): RESETTING,
    (IDLE, START): STARTING,
    (EXECUTE, FINISH): COMPLETING,
    (EXECUTE, SUSPEND): SUSPENDING,
    (SUSPENDED, UNSUSPEND): UNSUSPENDING,
    (HELD, UNHOLD): UNHOLDING,
}
for _state in (EXECUTE, STARTING, SUSPENDING, SUSPENDED, UNSUSPENDING, UNHOLDING):
    _TABLE[_state, HOLD] = HOLDING
for _state in _ALL:
    if _state not in (ABORTING, ABORTED, CLEARING, STOPPED, STOPPING):
        _TABLE[_state, STOP] = STOPPING
    if _state not in (ABORTING, ABORTED):
        _TABLE[_state, ABORT] = ABORTING

ACTING_NS = 200_000_000
"""How long an acting state lasts."""


def after(state: int, command: int) -> int | None:
    """The state that `command` leads to from `state`, None where it is not allowed."""
    return _TABLE.get((state, command))


class Unit:
    """One machine's state. Execute is the program's own to end (`command(FINISH)`)."""

    def __init__(self) -> None:
        self.state = STOPPED
        self.locked = False
        """An emergency stop is pressed: nothing leads out of Aborted."""
        self._since_ns = 0

    def command(self, command: int, now_ns: int) -> bool:
        """Do a command if it is allowed in this state; say whether it was."""
        target = after(self.state, command)
        if target is None or (self.locked and self.state == ABORTED):
            return False
        self.state, self._since_ns = target, now_ns
        return True

    def step(self, now_ns: int) -> int | None:
        """End an acting state whose time is over; return the state that was reached by that, else None."""
        target = ACTING.get(self.state)
        if target is None or now_ns - self._since_ns < ACTING_NS:
            return None
        self.state, self._since_ns = target, now_ns
        return target

    def keep_executing(self, now_ns: int) -> None:
        """What a line without commands of its own does: from Stopped through Idle into Execute by itself."""
        if self.state == ABORTED:
            self.command(CLEAR, now_ns)
        elif self.state == STOPPED:
            self.command(RESET, now_ns)
        elif self.state == IDLE:
            self.command(START, now_ns)

    def restart(self) -> None:
        """Power-on: Stopped, or Aborted while an emergency stop is pressed."""
        self.state = ABORTED if self.locked else STOPPED
        self._since_ns = 0
