"""The bench of the host interface: it would see a server that stalls, a refused order, and a lost one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httptools
import pytest

from bench import host
from bench.host_clients import Connection, Orders
from bench.host_gateway import missing, operating, state_on_disk
from bench.host_load import offered

STALL_S = 0.3
PER_S = 100.0
CREATED, TOO_MANY = 201, 429
Answer = Callable[[int], tuple[int, float]]


class Server(asyncio.Protocol):
    """Answers the nth request with a status after so many seconds; nothing else is done meanwhile."""

    def __init__(self, answer: Answer, count: list[int]) -> None:
        self._answer = answer
        self._count = count

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._count[0] += 1
        status, after_s = self._answer(self._count[0])
        asyncio.get_running_loop().call_later(after_s, self._send, status)

    def _send(self, status: int) -> None:
        assert isinstance(self._transport, asyncio.Transport)
        if status == 0:
            self._transport.abort()
        else:
            self._transport.write(b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\n\r\n" % status)


@contextlib.asynccontextmanager
async def asking(answer: Answer) -> AsyncIterator[Orders]:
    """One connection to such a server."""
    loop, count = asyncio.get_running_loop(), [0]
    server = await loop.create_server(lambda: Server(answer, count), "127.0.0.1", 0)
    orders = Orders("/api/v1/orders", "o-", "none")
    port = server.sockets[0].getsockname()[1]
    _, connection = await loop.create_connection(lambda: Connection(orders), "127.0.0.1", port)
    try:
        yield orders
    finally:
        connection.close()
        server.close()
        await server.wait_closed()


async def test_one_stall_is_seen_in_all_requests_that_were_planned_meanwhile() -> None:
    async with asking(lambda n: (CREATED, STALL_S if n == 5 else 0.0)) as orders:
        await orders.offer(PER_S, 0.6)
    assert orders.statuses == {CREATED: 60}
    late = [ms for ms in orders.times_ms if ms > STALL_S * 1e3 / 2]
    # A request is planned every 10 ms, so half of those 30 that were planned during the stall were as late as that.
    assert len(late) >= 0.5 * STALL_S * PER_S - 1
    assert orders.problem == ""


async def test_what_was_refused_is_told_and_its_time_is_not_counted() -> None:
    async with asking(lambda n: (TOO_MANY if n % 3 == 0 else CREATED, 0.0)) as orders:
        await orders.offer(PER_S, 0.09)
    assert orders.statuses == {CREATED: 6, TOO_MANY: 3}
    assert orders.refused == [2, 5, 8]
    assert len(orders.times_ms) == 6


async def test_a_connection_that_breaks_is_told() -> None:
    async with asking(lambda n: (0 if n == 3 else CREATED, 0.0)) as orders:
        await orders.offer(PER_S, 0.09)
        assert orders.answers == 2
        assert "closed" in orders.problem


async def test_acknowledged_orders_are_looked_for_in_the_journal(tmp_path: Path) -> None:
    async with operating(tmp_path / "gateway") as hosted:
        result = await offered(hosted, "o-", PER_S, 0.5)
    assert (result.asked, len(result.acknowledged), result.statuses) == (50, 50, {"201": 50})
    state = await state_on_disk(tmp_path / "gateway")
    assert missing(state, result.acknowledged) == []
    assert (hosted.told["events"], hosted.told["violations"], hosted.told["doubled"]) == (64, 0, 0)
    del state.orders["o-7"]
    assert missing(state, result.acknowledged) == ["o-7"]


@pytest.mark.parametrize("lost", ["orders.paced.lost", "orders.flat_out.lost", "outbox.lost"])
def test_one_loss_is_enough(lost: str) -> None:
    numbers = {"orders_per_s": 1.0, "orders.paced.lost": 0.0, "orders.flat_out.lost": 0.0, "outbox.lost": 0.0}
    assert not host.anything_lost(numbers)
    assert host.anything_lost({**numbers, lost: 1.0})
