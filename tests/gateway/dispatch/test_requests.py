"""What hosts and people may ask for: refusals name the value and what would be right, and change nothing."""

from __future__ import annotations

import pytest
from small_plant import Hall, MakeHall, demo_layout

from gateway import codec
from gateway.contract import (
    AcknowledgeAlarm,
    AnnounceLoad,
    CancelOrder,
    ConfirmWork,
    CreateOrder,
    RemoveLoad,
    Request,
    ResetDevice,
    ResolveCommand,
    SetMode,
    SignOff,
    SignOn,
    StepRequest,
)
from gateway.dispatch.loads import LOADS_MAX
from gateway.site import Site


def move(load: str = "T0001", to: str = "RACK-2", step: str = "go", after: tuple[str, ...] = ()) -> StepRequest:
    return StepRequest(step, "move", load, to, after=after)


def work(skill: str, to: str = "", step: str = "do") -> StepRequest:
    return StepRequest(step, "work", "T0001", to, skill=skill)


def order(*steps: StepRequest, name: str = "new", priority: int = 3) -> CreateOrder:
    return CreateOrder(name, steps, priority)


LONG = "x" * 65
REFUSED: list[tuple[Request, str]] = [
    (order(move(), name=""), "order id '' must have 1 to 64 characters and no '/'"),
    (order(move(), name="a/b"), "order id 'a/b' must have 1 to 64 characters and no '/'"),
    (order(move(), name=LONG), f"order id '{LONG}' must have 1 to 64 characters and no '/'"),
    (order(move(), name="OLD"), "order OLD exists already and is created"),
    (order(move(), priority=0), "priority 0 must be 1 (most urgent) to 5"),
    (order(move(), priority=6), "priority 6 must be 1 (most urgent) to 5"),
    (order(), "an order has 1 to 64 steps, this one has 0"),
    (order(*(move(step=f"s{i}") for i in range(65))), "an order has 1 to 64 steps, this one has 65"),
    (order(move(step="")), "step 1: the step's name must have 1 to 64 characters and no '/'"),
    (order(move(step="a/b")), "step a/b: the step's name must have 1 to 64 characters and no '/'"),
    (order(move(), move()), "step go: two steps are called go"),
    (order(move(load="T001")), "step go: unknown load 'T001', did you mean 'T0001'?: announce it first"),
    (order(move(load="zzz")), "step go: unknown load 'zzz': announce it first"),
    (order(move(after=("go",))), "step go: comes after 'go', which is not an earlier step of this order"),
    (order(move(after=("x",))), "step go: comes after 'x', which is not an earlier step of this order"),
    (order(move(to="RACK-9")), "step go: unknown location 'RACK-9', did you mean 'RACK-4'?"),
    (order(move(load="T0002", to="RACK-3")), "step go: there is no way from LANE-1 to RACK-3"),
    (
        order(StepRequest("ship", "sort", "T0001", "BERLN")),
        "step ship: unknown sort destination 'BERLN', did you mean 'BERLIN'?",
    ),
    (order(StepRequest("ship", "sort", "T0001", "")), "step ship: unknown sort destination ''"),
    (order(work("pikc")), "step do: unknown skill 'pikc', did you mean 'pick'?"),
    (order(work("")), "step do: unknown skill ''"),
    (order(work("pick", "WS9")), "step do: unknown station or cell 'WS9', did you mean 'WS2'?"),
    (CancelOrder("OLDD"), "unknown order 'OLDD', did you mean 'OLD'?"),
    (AnnounceLoad("", "RACK-1"), "load id '' must have 1 to 64 characters"),
    (AnnounceLoad(LONG, "RACK-1"), f"load id '{LONG}' must have 1 to 64 characters"),
    (AnnounceLoad("N", "RACK1"), "unknown location 'RACK1', did you mean 'RACK-1'?"),
    (AnnounceLoad("N", "RACK-1", tuple(map(str, range(17)))), "17 barcodes, at most 16"),
    (AnnounceLoad("N", "RACK-1", ("CODE-1",)), "barcode CODE-1 belongs to load T0001"),
    (AnnounceLoad("CODE-1", "RACK-1"), "barcode CODE-1 belongs to load T0001"),
    (AnnounceLoad("N", "RC1-OUT"), "RC1-OUT has no room: 1 of 1"),
    (RemoveLoad("T000"), "unknown load 'T000', did you mean 'T0003'?"),
    (SignOn("dora", "WS1"), "unknown person 'dora'"),
    (SignOn("anna", "WS3"), "unknown workstation 'WS3', did you mean 'WS2'?"),
    (SignOn("ben", "WS2"), "ben is signed on at WS1 already"),
    (SignOn("anna", "WS1"), "ben is signed on at WS1: one person a station"),
    (SignOff("anna"), "anna is not signed on"),
    (ConfirmWork("OLD/nothing", "ben"), "no task OLD/nothing"),
    (ConfirmWork("OLD/go", "ben"), "task OLD/go is nobody's"),
    (SetMode("C3", "manual"), "unknown device 'C3'"),
    (ResetDevice("C1", 13), "zone 13 of C1 does not exist (1 to 12)"),
    (ResetDevice("C1", -1), "zone -1 of C1 does not exist (1 to 12)"),
    (ResetDevice("C2", 1), "C2 can't be reached: cable pulled"),
    (ResetDevice("RC1"), "RC1 is Idle: nothing to reset"),
    (ResetDevice("AGV1"), "AGV1 is reset at the machine itself"),
    (ResetDevice("WS1"), "WS1 is reset at the machine itself"),
    (ResetDevice("C9"), "unknown device 'C9'"),
    (ResolveCommand("C1/1", True), "no open command C1/1"),
    (AcknowledgeAlarm("C2/lnik"), "unknown alarm 'C2/lnik', did you mean 'C2/link'?"),
]


@pytest.fixture(scope="module")
def ready(site: Site) -> Hall:
    hall = Hall(site, demo_layout())
    for vehicle in hall.plant.vehicles:
        hall.cut(vehicle)
    hall.put("RACK-1", ("CODE-1",))
    hall.put("LANE-1")
    hall.put("RC1-OUT")
    hall.must(SignOn("ben", "WS1"))
    hall.cut("C2")
    held = site.policies.orders_released_max
    for i in range(held):
        hall.order(f"held-{i}", move())
    hall.order("OLD", move())
    return hall


@pytest.mark.parametrize(("request_", "reason"), REFUSED, ids=[f"{type(r).__name__}-{t[:40]}" for r, t in REFUSED])
def test_a_refusal_says_why_and_changes_nothing(ready: Hall, request_: Request, reason: str) -> None:
    before = codec.decode_state(ready.kernel.snapshot())
    reply = ready.ask(request_)
    after = codec.decode_state(ready.kernel.snapshot())
    assert (reply.accepted, reply.reason) == (False, reason)
    # Only that it was asked and answered is remembered.
    after.answers, after.seq = before.answers, before.seq
    after.tally.orders_refused = before.tally.orders_refused
    assert after == before


def test_refused_orders_are_counted(ready: Hall) -> None:
    before = ready.kernel.state.tally.orders_refused
    ready.ask(order())
    ready.ask(CancelOrder("nothing"))
    assert ready.kernel.state.tally.orders_refused == before + 1


def test_an_ended_order_can_t_be_cancelled(make_hall: MakeHall) -> None:
    hall = make_hall()
    load = hall.put()
    name = hall.order("stay", move(load, "RACK-1"))
    hall.run(1)
    assert hall.cancel(name).reason == "order stay is finished already"


def test_work_of_somebody_else_can_t_be_confirmed(staffed: Hall) -> None:
    staffed.work_forever = True
    load = staffed.put()
    staffed.order("W", StepRequest("pick", "work", load, "WS1", skill="pick"))
    staffed.until(lambda: staffed.kernel.state.stations["WS1"].state == "working")
    assert staffed.ask(ConfirmWork("W/pick", "ben")).reason == "task W/pick is done by anna"


def test_a_load_on_a_driving_vehicle_can_t_be_announced_elsewhere(staffed: Hall) -> None:
    load = staffed.put()
    staffed.ship(load)
    staffed.until(lambda: staffed.where(load) in staffed.plant.vehicles)
    vehicle = staffed.where(load)
    reply = staffed.ask(AnnounceLoad(load, "RACK-1"))
    assert (reply.accepted, reply.reason) == (
        False,
        f"{load} is being carried by {vehicle}: wait until it has put it down",
    )
    assert staffed.where(load) == vehicle


def test_more_orders_than_the_site_takes_are_refused(make_hall: MakeHall, site: Site) -> None:
    few = site.model_copy(update={"policies": site.policies.model_copy(update={"orders_open_max": 2})})
    hall = make_hall(site=few)
    load = hall.put()
    for name in ("one", "two"):
        hall.order(name, move(load))
    reply = hall.ask(order(move(load), name="three"))
    assert reply.reason == "2 orders are open, which is this site's limit (orders_open_max): send it again later"


def test_more_loads_than_the_limit_are_refused(make_hall: MakeHall) -> None:
    hall = make_hall()
    first = hall.put()
    known = hall.kernel.state.loads[first]
    hall.kernel.state.loads.update({f"many-{i}": known for i in range(LOADS_MAX - 1)})
    assert hall.ask(AnnounceLoad("one-more", "RACK-2")).reason == "200000 loads are on the site, which is the limit"


def test_a_full_location_is_refused_by_its_capacity(make_hall: MakeHall) -> None:
    hall = make_hall()
    for _ in range(2):
        hall.put("WS1-BENCH")
    assert hall.ask(AnnounceLoad("third", "WS1-BENCH")).reason == "WS1-BENCH has no room: 2 of 2"


# --- the same request twice ---


def test_the_same_request_again_is_answered_the_same_and_done_once(make_hall: MakeHall) -> None:
    hall = make_hall()
    load = hall.put()
    first = hall.ask(order(move(load)), "wms", "r-1")
    before = codec.decode_state(hall.kernel.snapshot())
    again = hall.ask(order(move(load)), "wms", "r-1")
    assert again == first
    after = codec.decode_state(hall.kernel.snapshot())
    after.seq = before.seq
    assert after == before
    assert hall.kernel.state.tally.orders_accepted == 1


def test_a_refusal_is_repeated_as_well_even_when_it_would_be_right_by_now(make_hall: MakeHall) -> None:
    hall = make_hall()
    first = hall.ask(order(move("T0001")), "wms", "r-1")
    hall.put()
    assert hall.ask(order(move("T0001")), "wms", "r-1") == first
    assert hall.ask(order(move("T0001")), "wms", "r-2").accepted


def test_the_same_id_with_other_content_is_refused(make_hall: MakeHall) -> None:
    hall = make_hall()
    load = hall.put()
    hall.ask(order(move(load)), "wms", "r-1")
    reply = hall.ask(order(move(load), name="other"), "wms", "r-1")
    assert (reply.accepted, reply.reason) == (
        False,
        "this request id was used before with other content: use a new one",
    )
    assert "other" not in hall.kernel.state.orders


def test_two_clients_do_not_share_request_ids(make_hall: MakeHall) -> None:
    hall = make_hall()
    load = hall.put()
    assert hall.ask(order(move(load), name="a"), "wms", "r-1").accepted
    assert hall.ask(order(move(load), name="b"), "shop", "r-1").accepted


def test_the_contract_allows_to_reset_a_whole_device(make_hall: MakeHall) -> None:
    """`ResetDevice.zone` 0 = the whole device."""
    hall = make_hall()
    assert hall.ask(ResetDevice("C1")).accepted
