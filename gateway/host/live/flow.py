"""Looks at what flows: loads, orders, alarms, people, figures.

There may be ten thousand orders and more loads, so not all of them are looked at each time. What can change by itself
is: released orders, and loads that move or stand elsewhere than in a rack. What waits changes with an event that the
kernel tells, or is found on a round that takes so many of them each time and comes to all in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.contract import Effect, LocationId, Ns, OrderEvent, OrderId, StepEvent
from gateway.dispatch.floor import Floor
from gateway.dispatch.state import ORDER_ENDED, Load, Order, State, Task
from gateway.host.live.board import Board
from gateway.host.live.views import AlarmView, LoadView, OrderView, PersonView, ms_of

LOADS_A_LOOK = 2_000
"""As long as there are no more of them, each look is at all loads."""
ORDERS_A_LOOK = 250
TOLD_MAX = 10_000
"""Orders that were told of and not looked at; beyond that all are looked at."""
_HIGH = ("aborted", "faulted", "jammed", "lost ", "locked up", "help ", "not-written", "no-answer", "full", "foreign")
_LOW = ("differs", "not-reloaded", "not-changed", "load without order", "waits long", "keeps-refusing")


class Round:
    """Goes round keys that come and go, so many at a time."""

    def __init__(self) -> None:
        self._ahead: list[str] = []

    def next(self, count: int, keys: Callable[[], Iterable[str]]) -> list[str]:
        """The next `count`; the round begins anew with `keys` when it is over."""
        if not self._ahead:
            self._ahead = list(keys())
            self._ahead.reverse()
        taken, self._ahead = self._ahead[-count:], self._ahead[:-count]
        return taken


class Orders:
    """Open orders."""

    def __init__(self) -> None:
        self._told: set[OrderId] = set()
        self._all = True
        self._round = Round()

    def heard(self, _seq: int, _number: int, _at_ns: Ns, effect: Effect) -> None:
        """A listener: whatever is told of is looked at next."""
        if isinstance(effect, OrderEvent | StepEvent):
            self._told.add(effect.order)
            if len(self._told) > TOLD_MAX:
                self.forget()

    def forget(self) -> None:
        """Events may have been missed: the next look is at all of them."""
        self._told.clear()
        self._all = True

    def look(self, state: State, board: Board) -> None:
        def known() -> tuple[OrderId, ...]:
            return (*board.entries, *(key[-1] for key in state.queue))

        names = known() if self._all else self._round.next(ORDERS_A_LOOK, known)
        self._all = False
        for name in names:
            self._show(state, board, name)
        told, self._told = self._told, set()
        for name in told:
            self._show(state, board, name)
        for name in state.released:
            self._show(state, board, name)

    def _show(self, state: State, board: Board, name: OrderId) -> None:
        order = state.orders.get(name)
        if order is None or order.state in ORDER_ENDED:
            board.gone(name)
        else:
            board.show(name, _order(state, order))


def _order(state: State, order: Order) -> OrderView:
    done, current = 0, None
    for name in order.tasks:
        task = state.tasks[name]
        if task.state == "finished":
            done += 1
        elif current is None:
            current = task
    return OrderView(
        order.client,
        "interrupted" if order.held else order.state,
        order.held,
        order.priority,
        order.version,
        ms_of(order.deadline_ns),
        ms_of(order.accepted_ns),
        ms_of(order.released_ns),
        len(order.tasks),
        done,
        *(_step(order, current) if current is not None else ("", "", "", "", "", "")),
    )


def _step(order: Order, task: Task) -> tuple[str, str, str, str, str, str]:
    return (task.task[len(order.order) + 1 :], task.state, task.load, task.device, task.person, task.reason)


class Loads:
    """All loads of the site."""

    def __init__(self, floor: Floor) -> None:
        self._round = Round()
        racks = {name for name, spec in floor.locations.items() if spec.kind == "rack"}
        self._moving: list[LocationId] = [
            *(name for name in floor.locations if name not in racks),
            *floor.run_by_id,
            *floor.conveyors,
            *floor.sorters,
            *floor.agvs,
        ]

    def look(self, state: State, board: Board) -> None:
        loads = state.loads
        if len(loads) <= LOADS_A_LOOK:
            for load in loads.values():
                board.show(load.load, _load(state, load))
        else:
            self._look_at_some(state, board)
        board.keep(loads.keys())

    def _look_at_some(self, state: State, board: Board) -> None:
        loads, known = state.loads, board.entries
        names = [name for place in self._moving for name in state.standing.get(place, ())]
        names += [state.tasks[t].load for order in state.released for t in state.orders[order].tasks]
        names += self._round.next(LOADS_A_LOOK, lambda: loads)
        for name in names:
            load = loads.get(name)
            if load is not None:
                board.show(name, _load(state, load))
        # The newest stand at the end of the books. One that has come back under its old name may hide others behind it.
        for name in reversed(loads):
            if name in known:
                break
            board.show(name, _load(state, loads[name]))
        if len(known) != len(loads):
            for name in loads.keys() - known.keys():
                board.show(name, _load(state, loads[name]))


def _load(state: State, load: Load) -> LoadView:
    task = state.tasks.get(load.task) if load.task else None
    return LoadView(
        load.location,
        load.barcodes,
        task.order if task is not None else "",
        load.task,
        load.unsure,
        load.since_ns // 1_000_000,
    )


def look_at_alarms(state: State, board: Board) -> None:
    first: dict[str, tuple[Ns, str]] = {}
    for name, alarm in state.alarms.items():
        if alarm.active:
            first[alarm.source] = min(first.get(alarm.source, (alarm.raised_ns, name)), (alarm.raised_ns, name))
    for name, alarm in state.alarms.items():
        board.show(
            name,
            AlarmView(
                alarm.source,
                alarm.code,
                alarm.text,
                priority_of(alarm.code),
                ms_of(alarm.raised_ns),
                alarm.count,
                alarm.active,
                alarm.acknowledged,
                alarm.active and first[alarm.source][1] == name,
                ms_of(alarm.shelved_until_ns),
                alarm.shelved_why,
            ),
        )
    board.keep(state.alarms.keys())


def priority_of(code: str) -> str:
    """`high`: something or somebody stands still, or a load is nowhere · `low`: it goes on so far ·
    `medium`: the rest.

    The kernel's alarms have no priority of their own; it is read from their code here.
    """
    if any(word in code for word in _HIGH):
        return "high"
    return "low" if any(code.startswith(word) for word in _LOW) else "medium"


def look_at_people(state: State, board: Board) -> None:
    for person, device in state.people.items():
        station = state.stations.get(device)
        task = state.tasks.get(station.task) if station is not None and station.task else None
        work = ("", "", "", "", "", 0, 0)
        if task is not None:
            began = (ms_of(task.started_ns), ms_of(task.accepted_ns))
            work = (task.task, task.order, task.load, task.skill, task.recipe, *began)
        board.show(person, PersonView(device, *work))
    board.keep(state.people.keys())


def look_at_tally(state: State, board: Board) -> None:
    tally = state.tally
    for name in tally.__struct_fields__:
        value = getattr(tally, name)
        # The kernel goes on with its own dict; what is shown is an immutable picture of it.
        board.show(name, dict(value) if isinstance(value, dict) else value)
    board.show("orders_open", state.open_orders())
    board.show("orders_waiting", len(state.queue))
    board.show("loads", len(state.loads))
