"""Orders that their host changes or holds on the way: versions, ranks, steps, and what stands still."""

from __future__ import annotations

import pytest
from small_plant import Hall, MakeHall

from gateway.contract import (
    CancelOrder,
    ChangeOrder,
    CreateOrder,
    HoldOrder,
    OrderEvent,
    Request,
    StepEvent,
    StepRequest,
)
from gateway.dispatch import explain
from gateway.site import Site


def crowded(site: Site, make_hall: MakeHall) -> Hall:
    """One order may be under way at a time; the others are created."""
    policies = site.policies.model_copy(update={"orders_released_max": 1})
    return make_hall(site=site.model_copy(update={"policies": policies}))


def events(hall: Hall, order: str) -> list[tuple[str, int]]:
    return [(e.state, e.version) for e in hall.effects if isinstance(e, OrderEvent) and e.order == order]


def test_every_change_is_told_in_a_version_of_its_own(hall: Hall) -> None:
    order = hall.ship(hall.put())
    hall.must(ChangeOrder(order, priority=1))
    hall.must(HoldOrder(order, hold=True, reason="wrong address"))
    hall.must(HoldOrder(order, hold=False))
    hall.until_ended(order)
    told = events(hall, order)
    assert [version for _, version in told] == list(range(1, len(told) + 1))
    assert [state for state, _ in told][:2] == ["created", "released"]
    assert "interrupted" in [state for state, _ in told]
    assert told[-1] == ("finished", hall.kernel.state.orders[order].version)
    held = next(e for e in hall.effects if isinstance(e, OrderEvent) and e.state == "interrupted")
    assert (held.reason, held.client) == ("wrong address", "wms")


def test_steps_are_told_as_they_begin_and_end(hall: Hall) -> None:
    load = hall.put()
    order = hall.ship(load, "BERLIN")
    hall.until_ended(order)
    steps = [e for e in hall.effects if isinstance(e, StepEvent)]
    assert [(e.step, e.state, e.load, e.client) for e in steps] == [
        ("ship", "started", load, "wms"),
        ("ship", "finished", load, "wms"),
    ]
    assert steps[-1].at == "LANE-1"
    other = hall.ship(hall.put())
    hall.must(CancelOrder(other, "not wanted"))
    last = [e for e in hall.effects if isinstance(e, StepEvent)][-1]
    assert (last.order, last.state, last.reason) == (other, "cancelled", "not wanted")


def test_a_changed_priority_overtakes_and_a_deadline_comes_and_goes(site: Site, make_hall: MakeHall) -> None:
    hall = crowded(site, make_hall)
    first, second, third = (hall.ship(hall.put(f"RACK-{n}")) for n in (1, 2, 3))
    hall.must(ChangeOrder(third, priority=1, deadline_ns=5))
    hall.until_ended(first)
    assert hall.state_of(third) == "released" or hall.state_of(third) == "started"
    assert hall.state_of(second) == "created"
    assert hall.kernel.state.orders[third].deadline_ns == 5
    hall.must(ChangeOrder(third, no_deadline=True))
    assert hall.kernel.state.orders[third].deadline_ns is None
    assert hall.kernel.state.orders[third].priority == 1
    hall.until_ended(second, third)


def test_steps_of_an_order_that_is_not_released_are_replaced(site: Site, make_hall: MakeHall) -> None:
    hall = crowded(site, make_hall)
    first = hall.ship(hall.put())
    load = hall.put("RACK-2")
    order = hall.ship(load)
    steps = (StepRequest("go", "move", load, "RACK-3"), StepRequest("out", "sort", load, "MUNICH", after=("go",)))
    hall.must(ChangeOrder(order, steps=steps))
    assert hall.kernel.state.orders[order].tasks == [f"{order}/go", f"{order}/out"]
    assert f"{order}/ship" not in hall.kernel.state.tasks
    hall.until_ended(first, order)
    assert hall.state_of(order) == "finished"
    assert hall.where(load) == "LANE-3"


def test_a_held_order_is_not_released_and_the_next_one_goes_first(site: Site, make_hall: MakeHall) -> None:
    hall = crowded(site, make_hall)
    first, held, third = (hall.ship(hall.put(f"RACK-{n}")) for n in (1, 2, 3))
    hall.must(HoldOrder(held, hold=True, reason="no paper"))
    hall.until_ended(first, third)
    hall.run(30)
    assert hall.state_of(held) == "created"
    assert explain.order(hall.kernel.state, held) == [f"{held} is held: no paper"]
    hall.restart()
    hall.run(10)
    assert hall.state_of(held) == "created"
    hall.must(HoldOrder(held, hold=False))
    hall.until_ended(held)
    assert hall.state_of(held) == "finished"


def test_of_an_order_held_under_way_only_what_has_begun_is_finished(staffed: Hall) -> None:
    load = staffed.put()
    order = staffed.order(
        "TWO",
        StepRequest("go", "move", load, "RACK-3"),
        StepRequest("ship", "sort", load, "BERLIN", after=("go",)),
    )
    staffed.until(lambda: staffed.state_of(order) == "started")
    staffed.must(HoldOrder(order, hold=True))
    staffed.until(lambda: staffed.where(load) == "RACK-3")
    staffed.run(60)
    assert staffed.where(load) == "RACK-3"
    assert staffed.state_of(order) == "started"
    lines = explain.order(staffed.kernel.state, order)
    assert lines[0] == "TWO is held, no further step is begun: held by its host"
    assert "held: held by its host" in lines[1]
    staffed.must(HoldOrder(order, hold=False))
    staffed.until_ended(order)
    assert staffed.state_of(order) == "finished"


def test_an_order_with_a_vehicle_on_its_way_is_held_at_the_end_of_the_step(hall: Hall) -> None:
    order = hall.ship(hall.put())
    hall.run(1)
    hall.must(HoldOrder(order, hold=True))
    assert hall.kernel.state.tasks[f"{order}/ship"].state == "active"
    hall.until_ended(order)
    assert hall.state_of(order) == "finished"


STEP = (StepRequest("go", "move", "T0001", "RACK-9"),)
REFUSED: list[tuple[Request, str, str]] = [
    (ChangeOrder("NO", priority=1), "unknown", "unknown order 'NO'"),
    (ChangeOrder("A", priority=9), "invalid", "priority 9 must be 1 (most urgent) to 5"),
    (ChangeOrder("A"), "invalid", "nothing to change: give a priority, a deadline or steps"),
    (
        ChangeOrder("A", deadline_ns=1, no_deadline=True),
        "invalid",
        "a deadline and no deadline at once: give one of the two",
    ),
    (ChangeOrder("A", priority=1, version=1), "version", "order A has version 3 by now, not 1: look at it again"),
    (ChangeOrder("A", steps=STEP), "conflict", "order A is started: its steps can be changed until it is released"),
    (ChangeOrder("B", steps=STEP), "invalid", "step go: unknown location 'RACK-9', did you mean 'RACK-4'?"),
    (ChangeOrder("B", steps=()), "invalid", "an order has 1 to 64 steps, this one has 0"),
    (HoldOrder("NO", hold=True), "unknown", "unknown order 'NO'"),
    (HoldOrder("A", hold=False), "conflict", "order A is not held"),
    (HoldOrder("C", hold=True), "conflict", "order C is held already"),
    (HoldOrder("A", hold=True, reason="x" * 501), "invalid", "a reason has up to 500 characters, this one 501"),
    (HoldOrder("A", hold=True, version=7), "version", "order A has version 3 by now, not 7: look at it again"),
    (CancelOrder("A", version=9), "version", "order A has version 3 by now, not 9: look at it again"),
    (CreateOrder("A", STEP), "conflict", "order A exists already and is started"),
]


@pytest.mark.parametrize(("request_", "code", "reason"), REFUSED, ids=[r[2][:40] for r in REFUSED])
def test_what_is_refused_says_why_and_changes_nothing(
    site: Site, make_hall: MakeHall, request_: Request, code: str, reason: str
) -> None:
    hall = crowded(site, make_hall)
    load = hall.put()
    for name in "ABC":
        hall.ship(load, name=name)
    hall.must(HoldOrder("C", hold=True))
    before = hall.kernel.state.orders["A"].version, hall.kernel.state.orders["B"].version
    reply = hall.ask(request_, request_id="same")
    assert (reply.accepted, reply.code, reply.reason) == (False, code, reason)
    assert before == (hall.kernel.state.orders["A"].version, hall.kernel.state.orders["B"].version)
    assert hall.ask(request_, request_id="same") == reply


def test_the_limit_and_a_used_id_have_codes_of_their_own(site: Site, make_hall: MakeHall) -> None:
    policies = site.policies.model_copy(update={"orders_open_max": 1})
    hall = make_hall(site=site.model_copy(update={"policies": policies}))
    load = hall.put()
    hall.ship(load, name="A")
    ship = (StepRequest("ship", "sort", load, "BERLIN"),)
    assert hall.ask(CreateOrder("B", ship), request_id="one").code == "limit"
    hall.until_ended("A")
    again = hall.put()
    assert hall.ask(CreateOrder("B", (StepRequest("ship", "sort", again, "BERLIN"),)), request_id="one").accepted
    assert hall.ask(CreateOrder("C", ship), request_id="one").code == "reused"
