"""Orders as hosts ask for them: new ones, other ones, held, cancelled."""

from __future__ import annotations

from itertools import islice

from gateway.contract import CancelOrder, ChangeOrder, CreateOrder, HoldOrder, OrderId, StepRequest
from gateway.dispatch import orders
from gateway.dispatch.requests.refusal import Refusal, absent, conflict, invalid, limit, unknown
from gateway.dispatch.state import ORDER_ENDED, Order
from gateway.dispatch.turn import Turn

STEPS_MAX = 64
ID_LENGTH_MAX = 64
REASON_LENGTH_MAX = 500
SUGGESTIONS_MAX = 500
"""Names looked through for what may have been meant: 10 ms at the most, which a scan behind it can wait."""


def create(turn: Turn, client: str, request: CreateOrder) -> Refusal | None:
    state, most = turn.state, turn.site.policies.orders_open_max
    if not 0 < len(request.order) <= ID_LENGTH_MAX or "/" in request.order:
        return invalid(f"order id {request.order!r} must have 1 to {ID_LENGTH_MAX} characters and no '/'")
    if request.order in state.orders:
        return conflict(f"order {request.order} exists already and is {state.orders[request.order].state}")
    if state.open_orders() >= most:
        return limit(f"{most} orders are open, which is this site's limit (orders_open_max): send it again later")
    if not 1 <= request.priority <= 5:
        return invalid(f"priority {request.priority} must be 1 (most urgent) to 5")
    refusal = _steps_refusal(turn, request.steps)
    if refusal is None:
        orders.accept(turn, client, request)
    return refusal


def change(turn: Turn, request: ChangeOrder) -> Refusal | None:
    order = _open(turn, request.order, request.version)
    if isinstance(order, Refusal):
        return order
    if request.priority is not None and not 1 <= request.priority <= 5:
        return invalid(f"priority {request.priority} must be 1 (most urgent) to 5")
    if request.no_deadline and request.deadline_ns is not None:
        return invalid("a deadline and no deadline at once: give one of the two")
    if request.priority is None and request.deadline_ns is None and not request.no_deadline and request.steps is None:
        return invalid("nothing to change: give a priority, a deadline or steps")
    if request.steps is not None:
        if order.state != "created":
            return conflict(f"order {order.order} is {order.state}: its steps can be changed until it is released")
        refusal = _steps_refusal(turn, request.steps)
        if refusal is not None:
            return refusal
    deadline_ns = None if request.no_deadline else request.deadline_ns or order.deadline_ns
    orders.change(turn, order, request.priority or order.priority, deadline_ns, request.steps)
    return None


def hold(turn: Turn, request: HoldOrder) -> Refusal | None:
    order = _open(turn, request.order, request.version)
    if isinstance(order, Refusal):
        return order
    if len(request.reason) > REASON_LENGTH_MAX:
        return invalid(f"a reason has up to {REASON_LENGTH_MAX} characters, this one {len(request.reason)}")
    if bool(order.held) == request.hold:
        return conflict(f"order {order.order} is {'held already' if request.hold else 'not held'}")
    orders.hold(turn, order, (request.reason or "held by its host") if request.hold else "")
    return None


def cancel(turn: Turn, request: CancelOrder) -> Refusal | None:
    order = _open(turn, request.order, request.version)
    if isinstance(order, Refusal):
        return order
    orders.cancel(turn, order, request.reason or "cancelled by its host")
    return None


def _open(turn: Turn, name: OrderId, version: int) -> Order | Refusal:
    """An order that has not ended and is as its host believes it to be."""
    order = turn.state.orders.get(name)
    if order is None:
        return unknown("order", name, list(islice(turn.state.orders, SUGGESTIONS_MAX)))
    if order.state in ORDER_ENDED:
        return conflict(f"order {name} is {order.state} already")
    if version and version != order.version:
        return Refusal("version", f"order {name} has version {order.version} by now, not {version}: look at it again")
    return order


def _steps_refusal(turn: Turn, steps: tuple[StepRequest, ...]) -> Refusal | None:
    if not 1 <= len(steps) <= STEPS_MAX:
        return invalid(f"an order has 1 to {STEPS_MAX} steps, this one has {len(steps)}")
    names = [s.step for s in steps]
    for i, step in enumerate(steps):
        refusal = _step_refusal(turn, step, names, i)
        if refusal is not None:
            # An order that names what is not there is wrong itself; `unknown` is for what a request is about.
            return invalid(f"step {step.step or i + 1}: {refusal.text}")
    return None


def _step_refusal(turn: Turn, step: StepRequest, names: list[str], place: int) -> Refusal | None:
    if not 0 < len(step.step) <= ID_LENGTH_MAX or "/" in step.step:
        return invalid(f"the step's name must have 1 to {ID_LENGTH_MAX} characters and no '/'")
    if names.count(step.step) > 1:
        return invalid(f"two steps are called {step.step}")
    load = turn.state.loads.get(step.load)
    if load is None:
        close = unknown("load", step.load, list(islice(turn.state.loads, SUGGESTIONS_MAX)))
        return absent(f"{close.text}: announce it first")
    later = [a for a in step.after if a not in names[:place]]
    if later:
        return invalid(f"comes after {later[0]!r}, which is not an earlier step of this order")
    if step.kind == "sort":
        plan = turn.site.sort_plan
        known = list(plan.destinations) if plan else []
        return None if step.to in known else unknown("sort destination", step.to, known)
    if step.kind == "work":
        return _work_refusal(turn, step)
    if step.to not in turn.floor.locations:
        return unknown("location", step.to, list(turn.floor.locations))
    if place == 0 and load.location in turn.floor.locations and turn.floor.route(load.location, step.to) is None:
        return invalid(f"there is no way from {load.location} to {step.to}")
    return None


def _work_refusal(turn: Turn, step: StepRequest) -> Refusal | None:
    floor = turn.floor
    if step.to and step.to not in {
        *floor.stations,
        *floor.cells,
        *floor.stations_by_location,
        *floor.cell_by_infeed,
    }:
        return unknown("station or cell", step.to, [*floor.stations, *floor.cells])
    skills = {s for p in floor.people.values() for s in p.skills} | {s for c in floor.cells.values() for s in c.skills}
    return None if step.skill in skills else unknown("skill", step.skill, sorted(skills))
