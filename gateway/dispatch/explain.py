"""Why does this order wait? The reasons that the phases left behind, in the order in which they matter."""

from __future__ import annotations

from bisect import bisect_left

from gateway.contract import OrderId
from gateway.dispatch.state import ORDER_ENDED, TASK_ENDED, State


def order(state: State, name: OrderId) -> list[str]:
    """One line per open step; the reason of the end where the order has ended; empty for an unknown order."""
    known = state.orders.get(name)
    if known is None:
        return []
    if known.state in ORDER_ENDED:
        return [f"{name} is {known.state}" + (f": {known.reason}" if known.reason else "")]
    if known.held and known.state == "created":
        return [f"{name} is held: {known.held}"]
    if known.state == "created":
        ahead = bisect_left(state.queue, (*known.rank(), name))
        return [f"{name} is not released: {len(state.released)} orders are under way and {ahead} are before it"]
    lines = [f"{name} is held, no further step is begun: {known.held}"] if known.held else []
    for task_name in known.tasks:
        task = state.tasks[task_name]
        if task.state in TASK_ENDED:
            continue
        load = state.loads.get(task.load)
        where = load.location or "an unknown place" if load else "nowhere"
        lines.append(f"{task_name} ({task.kind} {task.load}, now at {where}) is {task.state}: {task.reason}")
    return lines
