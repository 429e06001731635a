"""One synchronous `transitions` machine per device type, with the devices' records as its models.

A table is a list of rows (trigger, source, dest). `fire` changes nothing when the table has no such row; `adopt`
brings a record to a state that the plant reports, by the shortest way through the table where there is one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from transitions import Machine as TransitionsMachine

Row = tuple[str, str, str]
STEPS_MAX = 4
"""How many transitions one polled level may hide before it counts as a jump."""


class Stateful(Protocol):
    state: str


class Table:
    """A state machine as data: its states, its rows, and the machine that runs them."""

    def __init__(self, name: str, states: Sequence[str], rows: Iterable[Row], initial: str) -> None:
        self.name = name
        self.states = tuple(states)
        self.rows = tuple(rows)
        self.initial = initial
        self.next = {(source, trigger): dest for trigger, source, dest in self.rows}
        if len(self.next) != len(self.rows):
            raise AssertionError(f"{name}: two rows leave one state by the same trigger")
        self._machine = TransitionsMachine(
            model=None, states=list(states), initial=initial, auto_transitions=False, send_event=False
        )
        for trigger, source, dest in self.rows:
            self._machine.add_transition(trigger, source, dest)
        self._paths: dict[tuple[str, str], tuple[str, ...] | None] = {}

    def fire(self, record: Stateful, trigger: str) -> bool:
        """Take the row for `trigger`; False, and nothing changed, where the table has none."""
        if (record.state, trigger) not in self.next:
            return False
        events: Any = self._machine.events
        return bool(events[trigger].trigger(record))

    def path(self, source: str, dest: str) -> tuple[str, ...] | None:
        """The triggers of the shortest way from `source` to `dest`, None where more than STEPS_MAX are needed."""
        key = (source, dest)
        if source not in self.states:
            return None
        if key not in self._paths:
            self._paths[key] = self._search(source, dest)
        return self._paths[key]

    def _search(self, source: str, dest: str) -> tuple[str, ...] | None:
        seen = {source}
        queue: deque[tuple[str, tuple[str, ...]]] = deque([(source, ())])
        while queue:
            state, way = queue.popleft()
            if state == dest:
                return way
            if len(way) == STEPS_MAX:
                continue
            for trigger, row_source, row_dest in self.rows:
                if row_source == state and row_dest not in seen:
                    seen.add(row_dest)
                    queue.append((row_dest, (*way, trigger)))
        return None

    def adopt(self, record: Stateful, observed: str) -> bool:
        """Follow the plant to `observed`. False where the table knows no short way: the state was jumped to.

        The plant outranks our picture of it, so the record ends in `observed` either way; the caller reports a
        jump. An `observed` that is no state of the table changes nothing and is a jump, too.
        """
        if observed not in self.states:
            return False
        way = self.path(record.state, observed)
        if way is None:
            record.state = observed
            return False
        for trigger in way:
            taken = self.fire(record, trigger)
            assert taken, f"{self.name}: path {way} is not in its own table"
        return True
