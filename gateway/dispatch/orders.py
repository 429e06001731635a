"""Orders and their steps: accepted, released by rank while there is room for more work, brought to one end.

A step becomes ready when the steps before it are finished and its load is free; an order ends as finished when
all its steps are, as failed as soon as one of them is, as cancelled when its host says so in time.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from gateway.contract import CreateOrder, Ns, OrderEvent, StepEvent, StepRequest
from gateway.devices import workstation
from gateway.dispatch import loads, questions
from gateway.dispatch.state import ORDER, ORDER_ENDED, TASK, TASK_ENDED, Order, Task
from gateway.dispatch.turn import Turn

ENDED_KEPT_MAX = 10_000


def task_id(order: str, step: str) -> str:
    return f"{order}/{step}"


def accept(turn: Turn, client: str, request: CreateOrder) -> Order:
    """Book a checked request as an order with its tasks."""
    state = turn.state
    state.order_number += 1
    order = Order(
        order=request.order,
        client=client,
        number=state.order_number,
        priority=request.priority,
        deadline_ns=request.deadline_ns,
        tasks=[task_id(request.order, s.step) for s in request.steps],
        accepted_ns=turn.now_ns,
    )
    _add_tasks(turn, order, request.steps)
    state.orders[order.order] = order
    insort(state.queue, (*order.rank(), order.order))
    state.tally.orders_accepted += 1
    tell(turn, order)
    return order


def tell(turn: Turn, order: Order) -> None:
    """Something about the order is otherwise now: its host is told, in a version of its own."""
    order.version += 1
    state = "interrupted" if order.held and order.state not in ORDER_ENDED else order.state
    reason = order.held if state == "interrupted" else order.reason
    turn.effects.append(OrderEvent(order.order, state, reason, order.client, order.version))


def _tell_step(turn: Turn, task: Task, state: str) -> None:
    load, order = turn.state.loads.get(task.load), turn.state.orders[task.order]
    step = task.task[len(task.order) + 1 :]
    at = load.location if load is not None else ""
    reason = task.reason if state in ("failed", "cancelled") else ""
    turn.effects.append(StepEvent(task.order, step, state, task.load, at, reason, order.client))


def change(
    turn: Turn, order: Order, priority: int, deadline_ns: Ns | None, steps: tuple[StepRequest, ...] | None
) -> None:
    """Another rank; other steps where nothing has been released."""
    state = turn.state
    waiting = order.state == "created"
    if waiting:
        del state.queue[bisect_left(state.queue, (*order.rank(), order.order))]
    order.priority, order.deadline_ns = priority, deadline_ns
    if waiting:
        insort(state.queue, (*order.rank(), order.order))
    if steps is not None:
        for name in order.tasks:
            del state.tasks[name]
        order.tasks = [task_id(order.order, s.step) for s in steps]
        _add_tasks(turn, order, steps)
    _released_changed(turn)
    tell(turn, order)


def hold(turn: Turn, order: Order, why: str) -> None:
    """Begin none of its steps (`why`), or go on ("")."""
    order.held = why
    for name in order.tasks:
        task = turn.state.tasks[name]
        if task.state in ("waiting", "ready"):
            task.reason = f"held: {why}" if why else "goes on"
    _released_changed(turn)
    tell(turn, order)


def _add_tasks(turn: Turn, order: Order, steps: tuple[StepRequest, ...]) -> None:
    for step in steps:
        task = Task(
            task=task_id(order.order, step.step),
            order=order.order,
            kind=step.kind,
            load=step.load,
            to=step.to,
            skill=step.skill,
            recipe=step.recipe,
            after=tuple(task_id(order.order, a) for a in step.after),
            reason="order is not released yet",
        )
        turn.state.tasks[task.task] = task


def release(turn: Turn) -> None:
    """Start the best of the waiting orders while fewer than the policy's limit are under way; held ones wait."""
    state, limit = turn.state, turn.site.policies.orders_released_max
    place = 0
    while place < len(state.queue) and len(state.released) < limit:
        order = state.orders[state.queue[place][-1]]
        if order.held:
            place += 1
            continue
        name = order.order
        del state.queue[place]
        ORDER.fire(order, "release")
        order.released_ns = turn.now_ns
        state.released.append(name)
        _released_changed(turn)
        tell(turn, order)


def prepare(turn: Turn) -> None:
    """Make ready every task of a released order whose turn has come."""
    state = turn.state
    for order in by_rank(turn):
        for name in order.tasks:
            task = state.tasks[name]
            if task.state == "waiting" and not order.held:
                _prepare(turn, task)


def _prepare(turn: Turn, task: Task) -> None:
    state = turn.state
    before = [a for a in task.after if state.tasks[a].state != "finished"]
    if before:
        task.reason = f"comes after step {before[0].rpartition('/')[2]}, which is {state.tasks[before[0]].state}"
        return
    load = state.loads.get(task.load)
    if load is None:
        fail(turn, task, f"load {task.load} has left the site")
        return
    if load.task and load.task != task.task:
        task.reason = f"load {load.load} is busy with {load.task}"
        return
    load.task = task.task
    turn.touch()
    TASK.fire(task, "prepare")
    task.reason = "ready"


def by_rank(turn: Turn) -> list[Order]:
    """The released orders, most urgent first."""
    known = turn.memory.ranked
    if known is None:
        known = turn.memory.ranked = sorted((turn.state.orders[o] for o in turn.state.released), key=Order.rank)
    return known


def _released_changed(turn: Turn) -> None:
    turn.touch()
    turn.memory.ranked = None


def ready_tasks(turn: Turn) -> list[Task]:
    """Tasks that are ready or active and wait for nobody's decision, by the rank of their orders. Of an order that is
    held, only those that have begun."""
    tasks, asked = turn.state.tasks, questions.asked(turn)
    return [
        tasks[t]
        for o in by_rank(turn)
        for t in o.tasks
        if tasks[t].state in (("active",) if o.held else ("ready", "active")) and t not in asked
    ]


def begin(turn: Turn, task: Task) -> None:
    """Something moves for this task now."""
    turn.touch()
    order = turn.state.orders[task.order]
    if ORDER.fire(order, "start"):
        tell(turn, order)
    if TASK.fire(task, "start") and not task.started_ns:
        task.started_ns = turn.now_ns
        _tell_step(turn, task, "started")


def set_back(turn: Turn, task: Task, reason: str) -> None:
    """What was under way came to nothing: the task is planned anew from where its load is."""
    TASK.fire(task, "set_back")
    _let_go(turn, task)
    task.reason = reason


def _let_go(turn: Turn, task: Task) -> None:
    """Nobody does the task any more: whoever had it in hand is free for the next one, and its room for others."""
    if task.person:
        workstation.end(turn.state.stations[task.device])
    task.device = task.target = task.person = ""
    task.accepted_ns = 0
    loads.release_room(turn, task.load)


def finish(turn: Turn, task: Task) -> None:
    finished = TASK.fire(task, "finish")
    assert finished, f"{task.task} is {task.state} and can't be finished"
    order = turn.state.orders[task.order]
    if ORDER.fire(order, "start"):
        tell(turn, order)
    _end(turn, task, "")
    if all(turn.state.tasks[t].state == "finished" for t in order.tasks):
        _end_order(turn, order, "finish", "")


def fail(turn: Turn, task: Task, reason: str) -> None:
    """The task can't be done: its order fails with the reason, and its other steps are cancelled."""
    failed = TASK.fire(task, "fail")
    assert failed, f"{task.task} is {task.state} and can't fail"
    _end(turn, task, reason)
    order = turn.state.orders[task.order]
    _cancel_tasks(turn, order, f"step {task.task.rpartition('/')[2]} failed")
    _end_order(turn, order, "fail", f"step {task.task.rpartition('/')[2]}: {reason}")


def cancel(turn: Turn, order: Order, reason: str) -> None:
    """The host wants it no more. Loads that move come to rest at the next place; on the sorter they are rejected."""
    _cancel_tasks(turn, order, reason)
    _end_order(turn, order, "cancel", reason)


def _cancel_tasks(turn: Turn, order: Order, reason: str) -> None:
    for name in order.tasks:
        task = turn.state.tasks[name]
        if TASK.fire(task, "cancel"):
            _end(turn, task, reason)


def _end(turn: Turn, task: Task, reason: str) -> None:
    turn.touch()
    task.ended_ns, task.reason = turn.now_ns, reason
    _tell_step(turn, task, task.state)
    questions.withdraw(turn, task.task)
    if task.person:
        # Whatever ended the task, whoever had it in hand is free for the next one.
        workstation.end(turn.state.stations[task.device])
        task.person = ""
    load = turn.state.loads.get(task.load)
    if load is not None and load.task == task.task:
        load.task = ""
        # Room stays reserved for a load that is on its way: it will come, whatever became of the order.
        if load.load not in {t.load for t in turn.state.trips.values() if t.takes_load}:
            loads.release_room(turn, load.load)


def _end_order(turn: Turn, order: Order, trigger: str, reason: str) -> None:
    state = turn.state
    was = order.state
    ended = ORDER.fire(order, trigger)
    assert ended, f"{order.order} is {order.state}: no {trigger}"
    order.ended_ns, order.reason = turn.now_ns, reason
    if was == "created":
        del state.queue[bisect_left(state.queue, (*order.rank(), order.order))]
    else:
        state.released.remove(order.order)
    _released_changed(turn)
    tally = state.tally
    tally.orders_finished += order.state == "finished"
    tally.orders_failed += order.state == "failed"
    tally.orders_cancelled += order.state == "cancelled"
    state.ended.append(order.order)
    while len(state.ended) > ENDED_KEPT_MAX:
        oldest = state.orders.pop(state.ended.pop(0))
        for name in oldest.tasks:
            state.tasks.pop(name, None)
    tell(turn, order)


def insert_before(turn: Turn, task: Task, new: Task) -> None:
    """Put an additional step into a running order, to be finished before `task` goes on."""
    state = turn.state
    order = state.orders[task.order]
    state.tasks[new.task] = new
    order.tasks.insert(order.tasks.index(task.task), new.task)
    task.after = (*task.after, new.task)
    state.loads[task.load].task = ""
    TASK.fire(task, "set_back")
    TASK.fire(task, "postpone")
    _let_go(turn, task)


def is_ended(task: Task) -> bool:
    return task.state in TASK_ENDED
