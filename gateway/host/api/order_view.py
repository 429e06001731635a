"""Orders as they are shown."""

from __future__ import annotations

from gateway.contract import Struct
from gateway.dispatch.state import ORDER_ENDED, Order, State, Task
from gateway.host.api.moment import text_of


class StepView(Struct, frozen=True):
    """One step. `reason` says, at any time, why it is not further on; `device`, `person` and `target`: who does it, and
    where, "" while nobody has it."""

    step: str
    kind: str
    load: str
    to: str
    skill: str
    recipe: str
    after: tuple[str, ...]
    state: str
    reason: str
    device: str
    person: str
    target: str
    started_at: str | None
    ended_at: str | None


class OrderLine(Struct, frozen=True):
    """An order in a list. `state` is `interrupted` while it is held; `held` says why."""

    order: str
    client: str
    number: int
    state: str
    version: int
    priority: int
    deadline: str | None
    held: str
    reason: str
    accepted_at: str | None
    released_at: str | None
    ended_at: str | None
    loads: tuple[str, ...]


class OrderView(Struct, frozen=True):
    """An order with its steps."""

    order: str
    client: str
    number: int
    state: str
    version: int
    priority: int
    deadline: str | None
    held: str
    reason: str
    accepted_at: str | None
    released_at: str | None
    ended_at: str | None
    steps: tuple[StepView, ...]


def shown_state(order: Order) -> str:
    """As order events have it."""
    return "interrupted" if order.held and order.state not in ORDER_ENDED else order.state


def loads_of(state: State, order: Order) -> tuple[str, ...]:
    return tuple(dict.fromkeys(state.tasks[name].load for name in order.tasks))


def line_of(state: State, order: Order) -> OrderLine:
    return OrderLine(*_head(order), loads_of(state, order))


def view_of(state: State, order: Order) -> OrderView:
    return OrderView(*_head(order), tuple(_step(state.tasks[name]) for name in order.tasks))


def _head(
    order: Order,
) -> tuple[str, str, int, str, int, int, str | None, str, str, str | None, str | None, str | None]:
    return (
        order.order, order.client, order.number, shown_state(order), order.version, order.priority,
        text_of(order.deadline_ns), order.held, order.reason, text_of(order.accepted_ns), text_of(order.released_ns),
        text_of(order.ended_ns),
    )  # fmt: skip


def _step(task: Task) -> StepView:
    own = len(task.order) + 1
    return StepView(
        step=task.task[own:],
        kind=task.kind,
        load=task.load,
        to=task.to,
        skill=task.skill,
        recipe=task.recipe,
        after=tuple(name[own:] for name in task.after),
        state=task.state,
        reason=task.reason,
        device=task.device,
        person=task.person,
        target=task.target,
        started_at=text_of(task.started_ns),
        ended_at=text_of(task.ended_ns),
    )
