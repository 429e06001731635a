"""The ground that the campaign stands on: virtual time, cables, and a process that dies at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from stack_loop import PlantLoop
from stack_process import Process, task_factory

PORT = 7000


@pytest.fixture
def loop() -> Iterator[PlantLoop]:
    loop = PlantLoop("test")
    loop.set_task_factory(task_factory)
    yield loop
    assert not asyncio.all_tasks(loop)
    loop.close()


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


async def connected(handler: Handler = echo) -> tuple[asyncio.Server, asyncio.StreamReader, asyncio.StreamWriter]:
    server = await asyncio.start_server(handler, "127.0.0.1", PORT)
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    return server, reader, writer


async def over(server: asyncio.Server, writer: asyncio.StreamWriter) -> None:
    """Close both, and let what was under way arrive."""
    writer.close()
    server.close()
    await asyncio.sleep(1.0)


def test_an_hour_passes_at_once_and_a_wait_that_is_almost_over_ends(loop: PlantLoop) -> None:
    async def run() -> int:
        await asyncio.sleep(3600.0)
        until_s, turns = loop.time() + 1e-9, 0
        while loop.time() < until_s:
            turns += 1
            await asyncio.sleep(0.0)
        return turns

    assert loop.run_until_complete(run()) < 3
    assert 3600.0 < loop.time() < 3600.1


def test_bytes_take_a_while_and_keep_their_order(loop: PlantLoop) -> None:
    async def run() -> tuple[bytes, float]:
        server, reader, writer = await connected()
        began_s = loop.time()
        for number in range(200):
            writer.write(bytes([number]))
        got = await reader.readexactly(200)
        took_s = loop.time() - began_s
        await over(server, writer)
        return got, took_s

    got, took_s = loop.run_until_complete(run())
    assert got == bytes(range(200))
    assert 0.0004 <= took_s < 0.5


@pytest.mark.parametrize("state", ["held", "deaf"])
def test_what_was_sent_over_a_pulled_cable_arrives_when_it_is_back(loop: PlantLoop, state: Any) -> None:
    async def run() -> float:
        server, reader, writer = await connected()
        loop.line(PORT).become(state)
        writer.write(b"late")
        await asyncio.sleep(20.0)
        loop.line(PORT).become("open")
        began_s = loop.time()
        assert await reader.readexactly(4) == b"late"
        await over(server, writer)
        return loop.time() - began_s

    assert loop.run_until_complete(run()) < 2.0


def test_nobody_connects_over_a_pulled_cable_and_everybody_to_a_server_that_hangs(loop: PlantLoop) -> None:
    async def run() -> None:
        server, _, writer = await connected()
        loop.line(PORT).become("held")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5.0):
                await asyncio.open_connection("127.0.0.1", PORT)
        loop.line(PORT).become("deaf")
        _, second = await asyncio.open_connection("127.0.0.1", PORT)
        second.close()
        loop.line(PORT).become("open")
        await over(server, writer)

    loop.run_until_complete(run())


def test_a_reset_ends_the_connection_at_both_ends_and_loses_what_was_under_way(loop: PlantLoop) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    async def run() -> None:
        server, reader, writer = await connected(listen)
        writer.write(b"lost")
        loop.line(PORT).reset()
        assert await reader.read(100) == b""
        await over(server, writer)

    loop.run_until_complete(run())
    assert heard == [b""]


async def killed_while(work: Callable[[list[str]], Coroutine[Any, Any, None]], after_s: float) -> list[str]:
    """What `work` has said when it was killed after a while, and everything had time to say more."""
    said: list[str] = []
    process = Process()
    task = process.start(work(said), "victim")
    await asyncio.sleep(after_s)
    process.kill()
    await asyncio.sleep(60.0)
    assert task.cancelled()
    assert not process.left()
    assert not process.last_words
    return said


def test_a_killed_process_says_no_more(loop: PlantLoop) -> None:
    async def child(said: list[str]) -> None:
        try:
            while True:
                await asyncio.sleep(1.0)
                said.append("child")
        finally:
            for _ in range(3):
                await asyncio.sleep(0.1)
            said.append("never")

    async def work(said: list[str]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(child(said))
                await asyncio.sleep(100.0)
        finally:
            await asyncio.sleep(0.1)
            said.append("never")

    assert loop.run_until_complete(killed_while(work, 2.5)) == ["child", "child"]


def test_a_killed_process_can_neither_write_nor_connect_and_its_peer_finds_it_closed(loop: PlantLoop) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            heard.append(data)
        heard.append(b"closed")
        writer.close()

    async def work(said: list[str]) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", PORT)
        try:
            writer.write(b"hello")
            await asyncio.sleep(100.0)
        finally:
            writer.write(b"goodbye")
            asyncio.get_running_loop().create_task(asyncio.open_connection("127.0.0.1", PORT))

    async def run() -> None:
        server = await asyncio.start_server(listen, "127.0.0.1", PORT)
        await killed_while(work, 5.0)
        server.close()

    loop.run_until_complete(run())
    assert heard == [b"hello", b"closed"]


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
def test_a_process_can_die_at_any_of_its_steps(loop: PlantLoop, steps: int) -> None:
    said: list[str] = []

    async def work() -> None:
        while True:
            said.append("step")
            await asyncio.sleep(0.01)

    async def run() -> None:
        process = Process()
        process.start(work(), "victim")
        process.kill(steps)
        await asyncio.sleep(5.0)
        assert process.dead
        assert not process.left()

    loop.run_until_complete(run())
    assert said == ["step"] * steps
