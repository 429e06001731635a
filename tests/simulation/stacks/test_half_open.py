"""A PLC that is still there and says nothing: noticed in time, given up whole, and taken up again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from stack_asyncua import on_virtual_time
from stack_gateway import Gateway
from stack_hall import DEVICES, FIRST_PORT
from stack_run import Options, Run

NOTICED_S = {"C1": 1.5, "C2": 1.5, "S1": 4.5, "RC1": 4.5}
"""Modbus has a time limit for each answer; over OPC UA the heartbeat has to stand still for 3 s first."""
BACK_S = 25.0
"""A connection that has not been refused is tried anew after at most 10 s, and has to show a heartbeat."""


def with_gateway(story: Callable[[Run, Gateway], Coroutine[Any, Any, None]]) -> None:
    """Hall and gateway without people or orders, everything up; nothing may be left when the story has been told."""
    run = Run(1, Options(kinds=()))

    async def tell() -> None:
        await run.gateway.disk.prepare()
        await run.hall.start()
        run.gateway.start()
        await asyncio.sleep(8.0)
        try:
            assert [link(run, device) for device in DEVICES] == ["up"] * 4
            await story(run, run.gateway)
        finally:
            await run._end()

    with on_virtual_time(run.loop.time):
        run.loop.run_until_complete(tell())
    run.loop.close()
    assert run.watch.violation is None, run.watch.violation


def link(run: Run, device: str) -> str:
    assert run.gateway.runtime is not None
    known = run.gateway.runtime.kernel.state.device(device)
    assert known is not None
    return str(known.health.link)


async def until(condition: Callable[[], bool], limit_s: float) -> None:
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("state", ["held", "deaf"])
@pytest.mark.parametrize("device", ["C1", "S1"])
def test_silence_is_noticed_in_time_and_leaves_no_connection_behind(device: str, state: Any) -> None:
    async def story(run: Run, gateway: Gateway) -> None:
        for _ in range(2):
            run.hall.line(device).become(state)
            await until(lambda: link(run, device) != "up", NOTICED_S[device])
            await asyncio.sleep(20.0)
            run.hall.line(device).become("open")
            await until(lambda: link(run, device) == "up", BACK_S)
        gateway.look()
        assert gateway.process is not None
        port = FIRST_PORT + DEVICES.index(device)
        mine = [t for t in gateway.process.transports if t.get_extra_info("peername")[1] == port]
        assert len([t for t in mine if not t.is_closing()]) == 1

    with_gateway(story)


@pytest.mark.parametrize(("device", "after_s"), [("C1", 0.5), ("C1", 3.0), ("S1", 0.1), ("S1", 2.5), ("S1", 5.5)])
def test_a_gateway_that_is_stopped_while_a_plc_is_silent_leaves_nothing_open(device: str, after_s: float) -> None:
    async def story(run: Run, gateway: Gateway) -> None:
        run.hall.line(device).become("held")
        await asyncio.sleep(after_s)
        await gateway.stop()
        run.hall.line(device).become("open")

    with_gateway(story)
