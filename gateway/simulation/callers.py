"""Whoever asks the gateway for something: hosts that send orders, and the one way in which all of them ask.

A caller keeps a request until it has an answer and asks again with the same id, as every host should that wants to
lose nothing and do nothing twice.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

import msgspec

from gateway.contract import (
    AnnounceLoad,
    CancelOrder,
    ChangeOrder,
    CreateOrder,
    HoldOrder,
    HostRequest,
    Reply,
    Request,
    StepRequest,
)
from gateway.demo.stream import RACKS, steps_for
from gateway.simulation.checkers import OrdersEnd
from gateway.simulation.checkers_plant import RightLane
from gateway.simulation.server import Server
from gateway.simulation.timeline import MS, SECOND, Timeline
from plc_simulators.plant import Plant, PutError

ASK_AGAIN_NS = 5 * SECOND
TRIES_MAX = 500
RACK_FILL_MAX = 28
ROOM_WAIT_NS = 5 * SECOND
REFUSED_TRIES_MAX = 200
CHANGED_SHARE = 0.1
HELD_SHARE = 0.1

Done = Callable[[Reply], None]


def heard(_: Reply) -> None:
    """Whoever asked only wanted it done."""


class Callers:
    """The network between the outside and the gateway, and what has not been answered yet."""

    def __init__(self, server: Server, timeline: Timeline, rng: random.Random, orders: OrdersEnd) -> None:
        self.loss_percent = 0
        """Requests and answers that get lost; each is asked for again."""
        self.retries = 0
        self.unanswered: dict[tuple[str, str], Request] = {}
        self._server = server
        self._timeline = timeline
        self._rng = rng
        self._orders = orders
        self._number = 0
        self._done: dict[tuple[str, str], Done] = {}
        server.answered = self._answered

    def ask(self, client: str, request: Request, done: Done = heard, request_id: str = "") -> str:
        """Ask until there is an answer, which `done` gets. Returns the request's id."""
        self._number += 1
        request_id = request_id or f"{client}-{self._number}"
        key = (client, request_id)
        self.unanswered[key], self._done[key] = request, done
        self._send(key, request, 1)
        return request_id

    def ask_once(self, client: str, request: Request, request_id: str) -> None:
        """Ask and forget: a duplicate on the network, or a host that has mixed up its ids."""
        self._server.ask(HostRequest(client, request_id, request))

    def _send(self, key: tuple[str, str], request: Request, tries: int) -> None:
        if key not in self.unanswered:
            return
        if tries > TRIES_MAX:
            self._server.watch.fail("answers", f"{key} has had no answer in {tries} tries: {request}")
            return
        self.retries += tries > 1
        if not self._lost():
            asked = HostRequest(*key, request)
            self._timeline.after(self._rng.randint(1, 30) * MS, lambda: self._arrives(asked))
        self._timeline.after(ASK_AGAIN_NS, lambda: self._send(key, request, tries + 1))

    def _arrives(self, asked: HostRequest) -> None:
        self._server.ask(asked)

    def _answered(self, reply: Reply) -> None:
        key = (reply.client, reply.request_id)
        request = self.unanswered.get(key)
        if isinstance(request, CreateOrder) and reply.accepted:
            # From here on the order may not be lost, whether or not the answer gets through.
            self._orders.acknowledged.add(request.order)
        if not self._lost():
            self._timeline.after(self._rng.randint(1, 30) * MS, lambda: self._arrived(key, reply))

    def _arrived(self, key: tuple[str, str], reply: Reply) -> None:
        if self.unanswered.pop(key, None) is not None:
            self._done.pop(key)(reply)

    def _lost(self) -> bool:
        return self._rng.random() * 100 < self.loss_percent


class Hosts:
    """A WMS and a shop: put loads into racks, announce them, order, and sometimes cancel."""

    def __init__(
        self, callers: Callers, plant: Plant, timeline: Timeline, rng: random.Random, lanes: RightLane, mean_ns: int
    ) -> None:
        self.orders: list[str] = []
        self.cancelled = 0
        self.mixed_up = 0
        self.held = 0
        self._callers = callers
        self._plant = plant
        self._timeline = timeline
        self._rng = rng
        self._lanes = lanes
        self._mean_ns = mean_ns
        self._loads = 0
        self._until_ns = 0

    def send_until(self, until_ns: int) -> None:
        """Order at random, once in `mean_ns` on average, up to `until_ns`."""
        self._until_ns = until_ns
        self._timeline.after(int(self._rng.expovariate(1 / self._mean_ns)), self._next)

    def cancel_one(self) -> str:
        """Cancel one of the newest orders, whatever it is doing."""
        if not self.orders:
            return ""
        order = self._rng.choice(self.orders[-12:])
        self.cancelled += 1
        self._callers.ask(_host(order), CancelOrder(order, "no longer wanted"))
        return order

    def mix_up_one(self) -> str:
        """Use the request id of an order again for another one."""
        if not self.orders:
            return ""
        order = self._rng.choice(self.orders[-12:])
        self.mixed_up += 1
        steps = (StepRequest("ship", "sort", f"T{self._loads:05d}", "BERLIN"),)
        self._callers.ask_once(_host(order), CreateOrder(f"{order}-again", steps), f"order-{order}")
        return order

    def ask_twice(self) -> str:
        """An order comes a second time, as networks do it."""
        waiting = [(key, request) for key, request in self._callers.unanswered.items() if key[0] in ("WMS", "SHOP")]
        for key, request in waiting[:3]:
            self._callers.ask_once(key[0], request, key[1])
        return ", ".join(key[1] for key, _ in waiting[:3])

    def _next(self) -> None:
        if self._timeline.now_ns >= self._until_ns:
            return
        self.send_until(self._until_ns)
        if len(self._plant.barcodes) > RACK_FILL_MAX * len(RACKS):
            return
        first = self._rng.randrange(len(RACKS))
        racks = [RACKS[(first + i) % len(RACKS)] for i in range(len(RACKS))]
        rack = next((r for r in racks if len(self._plant.places[r].loads()) < RACK_FILL_MAX), None)
        if rack is None:
            return
        self._loads += 1
        load, code = f"T{self._loads:05d}", f"0034012345{self._loads:08d}"
        try:
            self._plant.put(load, (code,), rack)
        except PutError:
            return  # somebody was quicker; the next order finds another place
        host = "SHOP" if self._rng.random() < 0.35 else "WMS"
        self._announce(host, AnnounceLoad(load, rack, (code,)), 1)

    def _announce(self, host: str, announce: AnnounceLoad, tries: int) -> None:
        def done(reply: Reply) -> None:
            if reply.accepted:
                self._order(host, announce.load)
            elif tries < REFUSED_TRIES_MAX and announce.load in self._plant.barcodes:
                self._timeline.after(ROOM_WAIT_NS, partial(self._announce, host, announce, tries + 1))

        self._callers.ask(host, announce, done)

    def _order(self, host: str, load: str) -> None:
        steps = msgspec.convert(steps_for(self._rng, load, host.lower()), tuple[StepRequest, ...])
        order = f"{host}-{load}"
        priority = 1 if host == "SHOP" else self._rng.choice((2, 3, 3, 4))
        self._lanes.ordered(steps)
        self.orders.append(order)
        self._callers.ask(host, CreateOrder(order, steps, priority), request_id=f"order-{order}")
        if self._rng.random() < CHANGED_SHARE:
            change = ChangeOrder(order, priority=self._rng.randint(1, 5), deadline_ns=self._rng.choice((None, 1)))
            self._ask_soon(host, change)
        if self._rng.random() < HELD_SHARE:
            hold = HoldOrder(order, hold=True, reason="its customer has to be asked")
            self._ask_soon(host, hold, partial(self._held, host, order))

    def _held(self, host: str, order: str, reply: Reply) -> None:
        if reply.accepted:
            self.held += 1
            self._ask_soon(host, HoldOrder(order, hold=False))

    def _ask_soon(self, host: str, request: Request, done: Done = heard) -> None:
        def ask() -> None:
            self._callers.ask(host, request, done)

        self._timeline.after(self._rng.randint(1, 60) * SECOND, ask)


def _host(order: str) -> str:
    return order.partition("-")[0]
