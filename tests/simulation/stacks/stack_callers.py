"""Whoever asks the gateway for something keeps a request until it has an answer, and asks again with the same id."""

from __future__ import annotations

import asyncio
import random

import msgspec
from stack_gateway import Gateway

from gateway.contract import AnnounceLoad, CancelOrder, CreateOrder, Effect, Reply, Request, StepRequest
from gateway.simulation.checkers import OrdersEnd
from gateway.simulation.checkers_plant import RightLane
from gateway.simulation.watch import Watch
from plc_simulators.plant import PutError

ANSWER_S = 5.0
"""So long a host waits for an answer before it asks again."""
TRIES_MAX = 200
LOST_SHARE = 0.03
TWICE_SHARE = 0.05
NOT_DECIDED = ("ask again", "nothing stored")
"""What a refusal says that is none: the request has not been decided."""


class Callers:
    """The network between the outside and the gateway, and what has not been answered yet."""

    def __init__(self, gateway: Gateway, watch: Watch, orders: OrdersEnd, rng: random.Random) -> None:
        self.gateway = gateway
        self.unanswered: dict[tuple[str, str], Request] = {}
        self.retries = 0
        self.twice = 0
        self._watch = watch
        self._orders = orders
        self._rng = rng
        self._number = 0
        gateway.heard = self._released

    def _released(self, effect: Effect) -> None:
        """What leaves the gateway is durable, so from here on the order may not be lost, whether or not it is heard."""
        self._watch.released(effect)
        if isinstance(effect, Reply) and effect.accepted:
            request = self.unanswered.get((effect.client, effect.request_id))
            if isinstance(request, CreateOrder):
                self._orders.acknowledged.add(request.order)

    async def ask(self, client: str, request: Request, request_id: str = "") -> Reply:
        """The gateway's decision, asked for until there is one."""
        self._number += 1
        key = (client, request_id or f"{client}-{self._number}")
        self.unanswered[key] = request
        for tries in range(TRIES_MAX):
            self.retries += tries > 0
            reply = await self._once(key, request)
            if reply is not None:
                del self.unanswered[key]
                return reply
        self._watch.fail("answers", f"{key} has had no answer in {TRIES_MAX} tries: {request}")
        raise AssertionError(f"{key} has had no answer")

    async def _once(self, key: tuple[str, str], request: Request) -> Reply | None:
        """One try; None where no decision has come back."""
        runtime, process = self.gateway.runtime, self.gateway.process
        if runtime is None or process is None:
            await asyncio.sleep(1.0)
            return None
        twice = self._rng.random() < TWICE_SHARE
        lost = self._rng.random() < LOST_SHARE
        try:
            async with asyncio.timeout(ANSWER_S):
                if twice:
                    self.twice += 1
                    first, reply = await asyncio.gather(runtime.ask(*key, request), runtime.ask(*key, request))
                    if process.dead is False and first != reply and not _undecided(first) and not _undecided(reply):
                        self._watch.fail("answers", f"{key} asked twice at once got {first} and {reply}")
                else:
                    reply = await runtime.ask(*key, request)
        except TimeoutError:
            return None
        if process.dead or lost or _undecided(reply):
            await asyncio.sleep(self._rng.uniform(0.2, ANSWER_S))
            return None
        return reply


def _undecided(reply: Reply) -> bool:
    return not reply.accepted and any(words in reply.reason for words in NOT_DECIDED)


class Host:
    """Puts loads on the way in, announces them, orders something for each, and cancels some of that."""

    CITIES = ("BERLIN", "HAMBURG", "MUNICH")

    def __init__(self, name: str, callers: Callers, lanes: RightLane, rng: random.Random, mean_s: float) -> None:
        self.orders: list[str] = []
        self.cancelled = 0
        self._name = name
        self._callers = callers
        self._plant = callers.gateway.hall.plant
        self._lanes = lanes
        self._rng = rng
        self._mean_s = mean_s
        self._loads = 0

    async def send_until(self, until_s: float) -> None:
        """Order at random, once in `mean_s` on average."""
        loop = asyncio.get_running_loop()
        while loop.time() < until_s:
            await asyncio.sleep(self._rng.expovariate(1 / self._mean_s))
            if self._plant.places["IN"].room() > 0:
                await self._next()

    async def _next(self) -> None:
        self._loads += 1
        load = f"{self._name}{self._loads:03d}"
        codes = (f"00340{self._name}{self._loads:06d}",)
        try:
            self._plant.put(load, codes, "IN")
        except PutError:
            return  # somebody was quicker
        while not (await self._callers.ask(self._name, AnnounceLoad(load, "IN", codes))).accepted:
            await asyncio.sleep(2.0)
            if load not in self._plant.barcodes:
                return  # somebody has taken it away meanwhile
        steps = self._steps(load)
        order = f"{self._name}-{load}"
        self._lanes.ordered(steps)
        self.orders.append(order)
        await asyncio.sleep(self._rng.uniform(0.0, 1.0))
        await self._callers.ask(self._name, CreateOrder(order, steps, self._rng.randint(1, 5)), f"order-{order}")
        if self._rng.random() < 0.08:
            await asyncio.sleep(self._rng.uniform(0.0, 20.0))
            self.cancelled += 1
            await self._callers.ask(self._name, CancelOrder(order, "no longer wanted"))
        if self._rng.random() < 0.08:
            await self._use_id_again(order, steps)

    async def _use_id_again(self, order: str, steps: tuple[StepRequest, ...]) -> None:
        """The same again is answered the same; another order under the same id is refused."""
        other = CreateOrder(f"{order}-again", steps)
        reply = await self._callers.ask(self._name, other, f"order-{order}")
        if reply.accepted:
            self._callers.gateway.watch.fail("answers", f"order-{order} was used again for another order: {reply}")

    def _steps(self, load: str) -> tuple[StepRequest, ...]:
        ship = StepRequest("ship", "sort", load, self._rng.choice(self.CITIES))
        chance = self._rng.random()
        if chance < 0.55:
            return (ship,)
        if chance < 0.8:
            return (StepRequest("decant", "work", load, "RC1-IN", "decant", self._rng.choice(("small", "large"))),)
        pick = StepRequest("pick", "work", load, "BENCH", "pick")
        return (pick, msgspec.structs.replace(ship, after=("pick",)))
