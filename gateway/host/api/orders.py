"""Orders: created, looked at, changed, held, cancelled, explained, reconciled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import Path, Query
from starlette.responses import Response

from gateway.contract import CancelOrder, ChangeOrder, CreateOrder, HoldOrder, Struct
from gateway.dispatch import explain
from gateway.dispatch.state import ORDER_ENDED, Order
from gateway.host.api.bodies import NewOrder, NewOrders, OrderChange, Why
from gateway.host.api.call import Call
from gateway.host.api.giving import Cursor, Done, Limit, cursor_of, done, give, key_of, made, page, version_of
from gateway.host.api.moment import When, ns_of, text_of
from gateway.host.api.offer import PREFIX, Offer
from gateway.host.api.order_view import OrderLine, OrderView, line_of, loads_of, shown_state, view_of
from gateway.host.api.parts import Parts
from gateway.host.api.problem import Refusal, of_reply
from gateway.host.api.remembered import Remembered, digest_of

OrderId = Annotated[str, Path(max_length=64)]
ShownState = Literal["created", "released", "started", "interrupted", "finished", "failed", "cancelled"]
Filter = Annotated[str, Query(max_length=64)]


_LINKS = {
    name: {"operationId": f"orders_{name}", "parameters": {"order": "$response.body#/id"}}
    for name in ("get", "change", "hold", "resume", "cancel", "explain")
}


class Result(Struct, frozen=True, omit_defaults=True):
    """What became of one order of a list."""

    order: str
    accepted: bool
    status: int
    request_id: str
    code: str = ""
    detail: str = ""
    next: str = ""


class Results(Struct, frozen=True):
    """In the order in which they were sent."""

    results: tuple[Result, ...]
    accepted: int
    refused: int


class OrderPage(Struct, frozen=True):
    """`next`: the cursor of the next page, "" on the last one."""

    orders: tuple[OrderLine, ...]
    next: str = ""


class OpenOrders(Struct, frozen=True):
    """`input`: the number of the last input that is in this picture, `at` its time. `next`: as in a page."""

    orders: tuple[OrderView, ...]
    input: int
    at: str | None
    next: str = ""


class Explanation(Struct, frozen=True):
    """Why an order is not further on: a line for each open step."""

    order: str
    state: str
    reasons: tuple[str, ...]


class Orders:
    """The routes below /orders."""

    def __init__(self, parts: Parts, remembered: Remembered) -> None:
        self._parts = parts
        self._remembered = remembered

    def offer(self, offer: Offer) -> None:
        route = partial(offer.route, tag="orders")
        made_one = {201: Done, 200: Results}
        route("POST", "/orders", self.create, "operator", made_one, what="create_order", links=_LINKS)
        route("GET", "/orders", self.browse, "viewer", {200: OrderPage})
        route("GET", "/orders:open", self.reconcile, "viewer", {200: OpenOrders})
        one, to = "/orders/{order}", partial(route, matches=True)
        route("GET", one, self.get, "viewer", {200: OrderView})
        to("PATCH", one, self.change, "operator", {200: Done}, what="change_order")
        to("POST", f"{one}/hold", self.hold, "operator", {200: Done}, what="hold_order")
        to("POST", f"{one}/resume", self.resume, "operator", {200: Done}, what="resume_order")
        to("POST", f"{one}/cancel", self.cancel, "operator", {200: Done}, what="cancel_order")
        to("DELETE", one, self.delete, "operator", {200: Done}, what="cancel_order")
        route("GET", f"{one}/explain", self.explain, "viewer", {200: Explanation})

    async def create(self, call: Call, body: NewOrders) -> Response:
        """Create one order, or a list of them. Of a list each is accepted or refused by itself."""
        if isinstance(body, list):
            return await self._create_many(call, body)
        if call.key_given and call.is_known(f"{call.key} 0"):
            raise Refusal("reused", "this Idempotency-Key was used for a list of orders")
        await call.demand(body.asked(), f"create_order {body.order}")
        return done(call, body.order, 201, f"{PREFIX}/orders/{quote(body.order, safe='')}")

    async def _create_many(self, call: Call, bodies: list[NewOrder]) -> Response:
        if call.key_given:
            if call.is_known(call.key):
                raise Refusal("reused", "this Idempotency-Key was used for another request")
            await self._remembered.claim(call.principal.name, call.key, digest_of(call))
        results = await asyncio.gather(*(self._one_of(call, n, body.asked()) for n, body in enumerate(bodies)))
        accepted = sum(result.accepted for result in results)
        return made(Results(tuple(results), accepted, len(results) - accepted), 200)

    async def _one_of(self, call: Call, number: int, request: CreateOrder) -> Result:
        key = f"{call.key} {number}"
        try:
            reply = await call.ask(request, f"create_order {request.order}", key)
        except Refusal as unanswered:
            return _refused(request.order, key, unanswered)
        if reply.accepted:
            return Result(request.order, True, 201, key)
        return _refused(request.order, key, of_reply(reply.code, reply.reason))

    async def browse(
        self,
        call: Call,
        state: Annotated[list[ShownState] | None, Query(max_length=7)] = None,
        client: Filter = "",
        load: Filter = "",
        priority: Annotated[int | None, Query(ge=1, le=5)] = None,
        text: Filter = "",
        sort: Literal["oldest", "newest"] = "oldest",
        limit: Limit = 100,
        cursor: Cursor = "",
    ) -> Response:
        """Orders, open and ended ones, by age. The last 10,000 that have ended are kept.

        `text` is looked for in ids, loads and reasons."""
        kernel, wanted = self._parts.gate.kernel.state, text.casefold()

        def fits(order: Order) -> bool:
            if (state and shown_state(order) not in state) or (client and order.client != client):
                return False
            if (priority and order.priority != priority) or kernel.orders.get(order.order) is not order:
                return False
            if not load and not wanted:
                return True
            loads = loads_of(kernel, order)
            if load and load not in loads:
                return False
            return any(wanted in each.casefold() for each in (order.order, order.reason, order.held, *loads))

        found, following = await self._paged(fits, sort, cursor, limit)
        return give(call, OrderPage(tuple(line_of(kernel, order) for order in found), following))

    async def reconcile(
        self,
        call: Call,
        client: Filter = "",
        ended_since: Annotated[When | None, Query(description="Those, too, that have ended since.")] = None,
        limit: Limit = 500,
        cursor: Cursor = "",
    ) -> Response:
        """All open orders with version, state and steps, for a host that was away."""
        kernel = self._parts.gate.kernel.state
        since_ns = ns_of(ended_since) if ended_since is not None else 2**63

        def fits(order: Order) -> bool:
            shown = order.state not in ORDER_ENDED or order.ended_ns >= since_ns
            return shown and (not client or order.client == client)

        found, following = await self._paged(fits, "oldest", cursor, limit)
        views = tuple(view_of(kernel, order) for order in found)
        return give(call, OpenOrders(views, kernel.seq, text_of(kernel.now_ns), following))

    async def get(self, call: Call, order: OrderId) -> Response:
        """One order with its steps. Its ETag begins with its version."""
        found = self._known(order)
        return give(call, view_of(self._parts.gate.kernel.state, found), str(found.version))

    async def change(self, call: Call, order: OrderId, body: OrderChange) -> Response:
        """Another priority or deadline; other steps while it is not released."""
        deadline_ns = ns_of(body.deadline) if body.deadline is not None else None
        request = ChangeOrder(
            order,
            body.priority,
            deadline_ns,
            no_deadline="deadline" in body.model_fields_set and body.deadline is None,
            steps=tuple(step.asked() for step in body.steps) if body.steps is not None else None,
            version=version_of(call),
        )
        await call.demand(request, f"change_order {order}")
        return done(call, order)

    async def hold(self, call: Call, order: OrderId, body: Why | None = None) -> Response:
        """Begin no further step of it until it is resumed."""
        why = call.reason(body.reason if body else "")
        await call.demand(HoldOrder(order, True, why, version_of(call)), f"hold_order {order}")
        return done(call, order)

    async def resume(self, call: Call, order: OrderId, body: Why | None = None) -> Response:
        """Go on with an order that was held."""
        why = call.reason(body.reason if body else "")
        await call.demand(HoldOrder(order, False, why, version_of(call)), f"resume_order {order}")
        return done(call, order)

    async def cancel(self, call: Call, order: OrderId, body: Why | None = None) -> Response:
        """Want it no more. Loads that move come to rest at the next place."""
        return await self._cancel(call, order, body.reason if body else "")

    async def delete(self, call: Call, order: OrderId) -> Response:
        """The same as cancelling it: what has ended is kept and shown for a while."""
        return await self._cancel(call, order, "")

    async def explain(self, call: Call, order: OrderId) -> Response:
        """Why it waits."""
        found = self._known(order)
        reasons = tuple(explain.order(self._parts.gate.kernel.state, order))
        return give(call, Explanation(order, shown_state(found), reasons))

    async def _cancel(self, call: Call, order: str, said: str) -> Response:
        await call.demand(CancelOrder(order, call.reason(said), version_of(call)), f"cancel_order {order}")
        return done(call, order)

    async def _paged(
        self, fits: Callable[[Order], bool], sort: str, cursor: str, limit: int
    ) -> tuple[list[Order], str]:
        sign = -1 if sort == "newest" else 1
        after = key_of(cursor, int)
        known = self._parts.gate.kernel.state.orders
        found, _ = await page(known.values(), lambda order: sign * order.number, after, limit + 1, fits)
        # Between two chunks some may have gone: of those that are left, the page is made.
        kept = [order for order in found if known.get(order.order) is order]
        following = cursor_of(sign * kept[limit - 1].number) if len(kept) > limit else ""
        return kept[:limit], following

    def _known(self, order: str) -> Order:
        found = self._parts.gate.kernel.state.orders.get(order)
        if found is None:
            raise of_reply("unknown", f"there is no order {order!r}; of ended ones the last 10,000 are kept")
        return found


def _refused(order: str, key: str, refusal: Refusal) -> Result:
    return Result(order, False, refusal.status, key, refusal.code, refusal.detail, refusal.way_on)
