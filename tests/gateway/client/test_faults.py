"""The line is cut and the gateway is killed in the middle of a call: what was asked for is done once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from gateway.client import AsyncClient, NewOrder, NotReached, Refused, Retries, Step

GO = (Step("a", "move", "L1", "RACK-2"),)


async def test_an_answer_that_is_lost_is_asked_for_again_and_nothing_is_done_twice(gateway: Any) -> None:
    async with gateway.loop_client() as client:
        await client.loads.announce("L1", "RACK-1")
        gateway.line.swallow = 3
        done = await client.orders.create("O1", GO)
        assert (done.id, done.repeated, gateway.line.swallowed) == ("O1", True, 3)
        assert gateway.state.tally.orders_accepted == 1
        version = (await client.orders.get("O1")).version
        gateway.line.swallow = 1
        await client.orders.change("O1", priority=1, version=version)
        # Done a second time it would be another version by now, and refused.
        assert (await client.orders.get("O1")).version == version + 1
        gateway.line.swallow = 1
        many = await client.orders.create_many([NewOrder("O2", GO), NewOrder("O3", GO)])
        assert (many.accepted, gateway.state.tally.orders_accepted) == (2, 3)
        gateway.line.swallow = 1
        assert (await client.orders.get("O3")).order == "O3"


async def test_the_gateway_is_killed_in_the_middle_of_a_call_and_comes_back(gateway: Any, wait: Any) -> None:
    async with gateway.loop_client() as client:
        await client.loads.announce("L1", "RACK-1")
        # The order is in the journal; before the answer is out there is no gateway any more.
        gateway.line.swallow, gateway.line.on_cut = 1, gateway.kill
        call = asyncio.create_task(client.orders.create("O1", GO))
        await wait(lambda: gateway.line.swallowed == 1)
        assert gateway.state.tally.orders_accepted == 1
        await gateway.stopped()
        tried = gateway.line.connections
        await wait(lambda: gateway.line.connections > tried + 2)
        assert not call.done()
        await gateway.start()
        done = await call
        assert done.repeated
        assert gateway.state.tally.orders_accepted == 1


async def test_a_program_that_waits_comes_through_a_restart_as_well(gateway: Any, wait: Any) -> None:
    def work() -> bool:
        with gateway.client() as client:
            return client.orders.create("O1", GO).repeated

    await gateway.house.load("L1")
    gateway.line.swallow, gateway.line.on_cut = 1, gateway.kill
    call = asyncio.create_task(asyncio.to_thread(work))
    await wait(lambda: gateway.line.swallowed == 1)
    await gateway.stopped()
    tried = gateway.line.connections
    await wait(lambda: gateway.line.connections > tried + 2)
    await gateway.start()
    assert await call
    assert gateway.state.tally.orders_accepted == 1


async def test_a_gateway_that_stays_away_is_told_with_whether_it_may_be_done(gateway: Any) -> None:
    few = Retries(tries_max=3, first_s=0.01, wait_s_max=0.02)
    async with gateway.loop_client(retries=few) as client:
        await client.loads.announce("L1", "RACK-1")
        gateway.line.swallow = 3
        with pytest.raises(NotReached) as lost:
            await client.orders.create("O1", GO)
        assert (lost.value.may_be_done, gateway.state.tally.orders_accepted) == (True, 1)
        # With the key of the call that got no answer it is told what became of it.
        assert (await client.orders.create("O1", GO, key=lost.value.key)).repeated
        gateway.line.is_up = False
        gateway.line.cut()
        with pytest.raises(NotReached) as away:
            await client.orders.get("O1")
        assert (away.value.may_be_done, away.value.key) == (False, "")
    await gateway.stopped()
    async with AsyncClient(gateway.direct, retries=few) as refused:
        with pytest.raises(NotReached) as closed:
            await refused.orders.create("O2", GO)
        assert not closed.value.may_be_done


async def test_a_key_that_stood_for_something_else_is_refused(gateway: Any) -> None:
    async with gateway.loop_client() as client:
        await client.loads.announce("L1", "RACK-1")
        await client.orders.create("O1", GO, key="k")
        with pytest.raises(Refused) as refused:
            await client.orders.create("O2", GO, key="k")
        assert (refused.value.code, refused.value.status) == ("reused", 422)


async def test_many_calls_at_once_on_a_bad_line_are_each_done_once(gateway: Any) -> None:
    async with gateway.loop_client() as client:
        await client.loads.announce("L1", "RACK-1")
        gateway.line.swallow = 15
        await asyncio.gather(*(client.orders.create(f"O{n}", GO) for n in range(40)))
        assert gateway.line.swallowed == 15
        assert gateway.state.tally.orders_accepted == 40


async def test_a_call_can_be_cancelled_at_any_moment(gateway: Any, wait: Any) -> None:
    async with gateway.loop_client(retries=Retries(tries_max=1_000, wait_s_max=0.02, total_s_max=60)) as client:
        gateway.line.is_up = False
        call = asyncio.create_task(client.orders.get("O1"))
        await wait(lambda: gateway.line.connections > 3)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call
        assert call.cancelled()
