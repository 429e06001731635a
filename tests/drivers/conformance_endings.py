"""The conformance cases of the end: wherever `run` is cancelled, no task and no socket of the driver is left."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import aiomqtt
import psutil
from conformance import LOST_SLACK_S, SLACK, Stage
from tcp_proxy import BlackHole

PARTS = ("/pymodbus/client", "/pymodbus/trans", "/asyncua/client/", "/asyncua/common/utils", "/aiomqtt/")
Pieces = tuple[bytes, ...]
ANSWERED_S = 6.0
"""So soon `run` ends where nobody has to be waited for; three times the longest time-out in the rigs, and more."""
REPLIES, TURNS = 8, 3
"""The first so many replies, and turns of the loop between a reply's delivery and the cancellation."""
DRIVERS = (Path(__file__).resolve().parents[2] / "drivers").as_posix()


def driver_tasks() -> set[asyncio.Task[Any]]:
    """Tasks of our drivers and of their client libraries, but for the simulated vehicle's."""
    found = set()
    for task in asyncio.all_tasks():
        code = getattr(task.get_coro(), "cr_code", None)
        frame = getattr(task.get_coro(), "cr_frame", None)
        owner = frame.f_locals.get("self") if frame is not None else None
        file = Path(code.co_filename).as_posix() if code is not None else ""
        is_vehicle = isinstance(owner, aiomqtt.Client) and not owner.identifier.startswith("stellwerk-")
        if not is_vehicle and (DRIVERS in file or any(part in file for part in PARTS)):
            found.add(task)
    return found


def sockets_to(port: int) -> list[Any]:
    """Sockets of this process that were opened towards a port and not closed since."""
    return [c for c in psutil.Process().net_connections("tcp") if c.raddr and c.raddr.port == port and c.fd >= 0]


async def ended(
    stage: Stage, run: asyncio.Task[None], port: int, before: set[asyncio.Task[Any]], limit_s: float = 0.0
) -> None:
    """Cancel `run`: it ends soon, and nothing of it is left. `limit_s`: where the peer answers."""
    limit_s = limit_s or SLACK * max(stage.rig.connect_s, 2 * stage.rig.timeout_ms / 1000) + LOST_SLACK_S
    if not run.cancelling():  # a second cancellation could hide that the first one was lost
        run.cancel()
    begun_s = time.monotonic()
    await asyncio.wait([run], timeout=limit_s)
    assert run.cancelled(), f"run() has not ended {time.monotonic() - begun_s:.1f} s after its cancellation"
    await stage.until(lambda: not driver_tasks() - before, "no task of the driver is left", 2.0)
    await stage.until(lambda: not sockets_to(port), "no socket of the driver is left", 2.0)


async def cancelled_while_connecting_to_a_black_hole(stage: Stage) -> None:
    hole = BlackHole()
    try:
        before, fillers = driver_tasks(), len(sockets_to(hole.port))
        run = stage.running(stage.rig.driver(stage.sink, port=hole.port))
        await stage.until(lambda: len(sockets_to(hole.port)) > fillers, "it tries to connect")
        limit_s = SLACK * stage.rig.connect_s + LOST_SLACK_S
        run.cancel()
        await asyncio.wait([run], timeout=limit_s)
        assert run.cancelled()
        await stage.until(lambda: len(sockets_to(hole.port)) == fillers, "no socket of the driver is left", 2.0)
        assert not driver_tasks() - before
    finally:
        hole.close()


async def cancelled_while_connected(stage: Stage) -> None:
    before = driver_tasks()
    driver = stage.rig.driver(stage.sink)
    run = stage.running(driver)
    await stage.comes_up()
    assert len(sockets_to(stage.rig.proxy.port)) == 1
    await ended(stage, run, stage.rig.proxy.port, before)
    await stage.until(lambda: stage.rig.proxy.open == 0, "the proxy sees it closed")
    await stage.refuses(driver, 1)
    assert not stage.rig.received


async def cancelled_while_frozen(stage: Stage) -> None:
    before = driver_tasks()
    run = stage.running(stage.rig.driver(stage.sink))
    await stage.comes_up()
    stage.rig.proxy.freeze()
    if stage.rig.timeout_ms:
        await stage.until(lambda: stage.rig.proxy.held, "a request waits for its answer")
    await ended(stage, run, stage.rig.proxy.port, before)


async def cancelled_while_frozen_at_connect(stage: Stage) -> None:
    before = driver_tasks()
    stage.rig.proxy.freeze()
    run = stage.running(stage.rig.driver(stage.sink))
    await stage.until(lambda: stage.rig.proxy.held, "its first words wait for an answer")
    await ended(stage, run, stage.rig.proxy.port, before)


async def cancelled_while_backing_off(stage: Stage) -> None:
    before = driver_tasks()
    stage.rig.away()
    run = stage.running(stage.rig.driver(stage.sink))
    await stage.until(lambda: stage.links == ["down"], "refused")
    await ended(stage, run, stage.rig.proxy.port, before)


async def cancelled_at_many_points(stage: Stage) -> None:
    """In the middle of connecting, of the first reads, and of what comes after."""
    before = driver_tasks()
    for wait_ms in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256):
        run = asyncio.create_task(stage.rig.driver(stage.sink).run())
        await asyncio.sleep(wait_ms / 1000)
        await ended(stage, run, stage.rig.proxy.port, before, ANSWERED_S)
    await stage.until(lambda: stage.rig.proxy.open == 0, "the proxy sees all closed")
    stage.sink.posts.clear()
    await stage.works(await stage.begin(), 1)


async def cancelled_as_a_reply_comes(stage: Stage) -> None:
    """`asyncio.wait_for` of Python 3.11 loses a cancellation that comes in the same turn of the loop as its result."""
    before, proxy, loop = driver_tasks(), stage.rig.proxy, asyncio.get_running_loop()
    for number in range(1, REPLIES + 1):
        for turns in range(TURNS + 1):
            seen: list[bytes] = []
            run = asyncio.create_task(stage.rig.driver(stage.sink).run())

            def cancel_in(turns: int, run: asyncio.Task[None] = run) -> None:
                if turns:
                    loop.call_soon(cancel_in, turns - 1, run)
                else:
                    run.cancel()

            def count(piece: bytes, number: int = number, turns: int = turns, seen: list[bytes] = seen) -> Pieces:
                seen.append(piece)
                if len(seen) == number:
                    cancel_in(turns)
                return (piece,)

            proxy.on_reply = count
            await stage.until(lambda number=number, seen=seen: len(seen) >= number, f"reply {number}")
            await ended(stage, run, proxy.port, before, ANSWERED_S)
    proxy.on_reply = None
    stage.sink.posts.clear()
    await stage.works(await stage.begin(), 1)


ENDINGS = (
    cancelled_as_a_reply_comes,
    cancelled_while_connecting_to_a_black_hole,
    cancelled_while_connected,
    cancelled_while_frozen,
    cancelled_while_frozen_at_connect,
    cancelled_while_backing_off,
    cancelled_at_many_points,
)
