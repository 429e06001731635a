"""Orders: made, looked at, changed, held, cancelled, explained, reconciled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from gateway.client.ask import PREFIX, Ask, Body, Done, Record, Version, moment, path_of, reads, writes
from gateway.client.endpoint import Group, W, lists, sends

ORDERS_MAX = 1_000
"""Of one call: more go in several."""
OrderState = Literal["created", "released", "started", "interrupted", "finished", "failed", "cancelled"]
StepKind = Literal["move", "sort", "work"]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Step(Body, frozen=True):
    """move: `load` to location `to` · sort: `load` to the sort-plan destination `to` · work: `skill` on `load` at `to`,
    or wherever it can be done where `to` is "". `after`: steps before it in this order."""

    step: str
    kind: StepKind
    load: str
    to: str = ""
    skill: str = ""
    recipe: str = ""
    after: tuple[str, ...] = ()


class NewOrder(Body, frozen=True):
    """An order: a name of your own, and its steps. `priority` 1 is the most urgent, 5 the least."""

    order: str
    steps: tuple[Step, ...]
    priority: int = 3
    deadline: Moment | None = None

    def __post_init__(self) -> None:
        if self.deadline is not None:
            moment(self.deadline)


class _Change(Body, frozen=True):
    priority: int | UnsetType = UNSET
    deadline: datetime | UnsetType | None = UNSET
    steps: tuple[Step, ...] | UnsetType = UNSET


class Why(Body, frozen=True):
    reason: str = ""


class OrderStep(Record, frozen=True):
    """`reason` says, at any time, why it is not further on; `device`, `person` and `target`: who does it, and where."""

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
    started_at: datetime | None
    ended_at: datetime | None


class OrderLine(Record, frozen=True):
    """An order in a list. `state` is `interrupted` while it is held; `held` says why."""

    order: str
    client: str
    number: int
    state: str
    version: int
    priority: int
    deadline: datetime | None
    held: str
    reason: str
    accepted_at: datetime | None
    released_at: datetime | None
    ended_at: datetime | None
    loads: tuple[str, ...]


class Order(Record, frozen=True):
    """An order with its steps. `etag` is there where it was asked for by itself."""

    order: str
    client: str
    number: int
    state: str
    version: int
    priority: int
    deadline: datetime | None
    held: str
    reason: str
    accepted_at: datetime | None
    released_at: datetime | None
    ended_at: datetime | None
    steps: tuple[OrderStep, ...]
    etag: str = ""


class OrderPage(Record, frozen=True):
    items: tuple[OrderLine, ...] = msgspec.field(name="orders")
    next: str = ""


class OpenOrders(Record, frozen=True):
    """`input`: the number of the last input that is in this picture, `at` its time."""

    items: tuple[Order, ...] = msgspec.field(name="orders")
    input: int
    at: datetime | None
    next: str = ""


class Result(Record, frozen=True):
    """What became of one order of a list."""

    order: str
    accepted: bool
    status: int
    request_id: str
    code: str = ""
    detail: str = ""
    next: str = ""


class Results(Record, frozen=True):
    """In the order in which they were sent."""

    results: tuple[Result, ...]
    accepted: int
    refused: int


class Explanation(Record, frozen=True):
    """Why an order is not further on: a line for each open step."""

    order: str
    state: str
    reasons: tuple[str, ...]


class Orders(Group[W]):
    """The routes below /orders."""

    @sends
    def create(
        self,
        order: str,
        steps: Sequence[Step],
        *,
        priority: int = 3,
        deadline: datetime | None = None,
        reason: str = "",
        key: str | None = None,
    ) -> Ask[Done]:
        """Make one order. It is durable when this returns."""
        body = NewOrder(order, tuple(steps), priority, deadline)
        return writes("POST", path_of("orders"), Done, body, key=key, reason=reason)

    @sends
    def create_many(self, orders: Sequence[NewOrder], *, reason: str = "", key: str | None = None) -> Ask[Results]:
        """Make up to 1,000 orders. Each is accepted or refused by itself: look at the results."""
        if not 1 <= len(orders) <= ORDERS_MAX:
            raise ValueError(f"{len(orders)} orders: 1 to {ORDERS_MAX} go in one call")
        return writes("POST", path_of("orders"), Results, tuple(orders), key=key, reason=reason)

    @sends
    def get(self, order: str) -> Ask[Order]:
        """One order with its steps."""
        return reads(path_of("orders", order), Order)

    @lists(OrderLine)
    def browse(
        self,
        *,
        state: Sequence[OrderState] = (),
        client: str = "",
        load: str = "",
        priority: int | None = None,
        text: str = "",
        sort: Literal["oldest", "newest"] = "oldest",
        limit: int = 100,
        cursor: str = "",
    ) -> Ask[OrderPage]:
        """Orders, open and ended ones, by age. `limit` is a page's, 500 at most."""
        return reads(
            path_of("orders"), OrderPage, state=tuple(state), client=client, load=load, priority=priority, text=text,
            sort=sort, limit=limit, cursor=cursor,
        )  # fmt: skip

    @lists(Order)
    def reconcile(
        self, *, client: str = "", ended_since: datetime | None = None, limit: int = 500, cursor: str = ""
    ) -> Ask[OpenOrders]:
        """All open orders with version, state and steps, for a host that was away; and those ended since."""
        path = f"{PREFIX}/orders:open"
        return reads(path, OpenOrders, client=client, ended_since=ended_since, limit=limit, cursor=cursor)

    @sends
    def change(
        self,
        order: str,
        *,
        priority: int | None = None,
        deadline: datetime | None = None,
        no_deadline: bool = False,
        steps: Sequence[Step] | None = None,
        version: Version | None = None,
        reason: str = "",
        key: str | None = None,
    ) -> Ask[Done]:
        """Another priority or deadline, or other steps while it is not released. What is None stays."""
        if no_deadline and deadline is not None:
            raise ValueError("a deadline and no deadline at once: give one of the two")
        until: datetime | UnsetType | None = moment(deadline) if deadline is not None else UNSET
        body = _Change(
            UNSET if priority is None else priority,
            None if no_deadline else until,
            UNSET if steps is None else tuple(steps),
        )
        return writes("PATCH", path_of("orders", order), Done, body, key=key, version=version, reason=reason)

    @sends
    def hold(
        self, order: str, reason: str = "", *, version: Version | None = None, key: str | None = None
    ) -> Ask[Done]:
        """Begin no further step of it until it is resumed."""
        return writes("POST", path_of("orders", order, "hold"), Done, Why(reason), key=key, version=version)

    @sends
    def resume(
        self, order: str, reason: str = "", *, version: Version | None = None, key: str | None = None
    ) -> Ask[Done]:
        """Go on with an order that was held."""
        return writes("POST", path_of("orders", order, "resume"), Done, Why(reason), key=key, version=version)

    @sends
    def cancel(
        self, order: str, reason: str = "", *, version: Version | None = None, key: str | None = None
    ) -> Ask[Done]:
        """Want it no more. Loads that move come to rest at the next place."""
        return writes("POST", path_of("orders", order, "cancel"), Done, Why(reason), key=key, version=version)

    @sends
    def explain(self, order: str) -> Ask[Explanation]:
        """Why it waits."""
        return reads(path_of("orders", order, "explain"), Explanation)
