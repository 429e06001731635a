"""The feed over a real uvicorn socket, with the websockets client."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from gateway.contract import AnnounceLoad, CancelOrder, CreateOrder, HoldDevice, LinkChanged, SignOn, StepRequest
from gateway.host.live import Live
from gateway.shell.runtime import Runtime

Wait = Callable[[Callable[[], bool]], Any]
HIGH_WATER_BYTES = 64 * 1024


@asynccontextmanager
async def following(url: str) -> AsyncIterator[ClientConnection]:
    async with connect(url, compression=None, close_timeout=1) as connection:
        yield connection


async def take_until(connection: ClientConnection, screen: Any, condition: Callable[[], bool]) -> list[dict[str, Any]]:
    """Do with each message as a client does, until `condition` holds."""
    frames = []
    async with asyncio.timeout(10):
        while not condition():
            frames.append(screen.take(await connection.recv()))
    return frames


@asynccontextmanager
async def fed(live: Live) -> AsyncIterator[Live]:
    task = asyncio.create_task(live.run())
    try:
        yield live
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def live(running: Runtime) -> AsyncIterator[Live]:
    async with fed(Live(running, running.now_ns, version="9.9")) as live:
        yield live


async def order(running: Runtime, name: str, load: str) -> None:
    step = StepRequest("a", "move", load, "RACK-2")
    assert (await running.ask("wms", f"order {name}", CreateOrder(name, (step,)))).accepted


async def test_first_the_whole_and_then_what_changes(running: Runtime, live: Live, served: Any, screen: Any) -> None:
    seen = screen()
    async with served(live) as server, following(server.url()) as client:
        await take_until(client, seen, lambda: seen.is_whole)
        kinds = {entry["type"] for entry in seen.maps["devices"].values()}
        assert kinds == {"conveyor", "sorter", "robot_cell", "agv", "workstation"}
        assert seen.maps["gateway"]["status"] == "healthy"
        assert seen.maps["gateway"]["version"] == "9.9"
        assert seen.maps["gateway"]["epoch"] == running.kernel.state.epoch
        assert seen.maps["zones"]["C1.12"] == {"state": "empty", "occupied": False, "load": ""}
        assert seen.maps["lanes"]["S1.9"]["state"] == "open"
        assert seen.maps["site"]["map"]["nodes"]["T2"] == {"x_mm": 2000, "y_mm": 5500}
        assert seen.maps["site"]["devices"]["AGV1"]["home"] == "H1"
        assert "passes" not in seen.maps
        assert "password" not in json.dumps(seen.maps["site"])

        await running.ask("wms", "1", AnnounceLoad("T1", "RACK-1", ("376123",)))
        await order(running, "O1", "T1")
        running.inbox.telemetry("AGV1", {"x_mm": 1200, "y_mm": -3, "theta_mrad": 1571, "map": "hall"})
        running.inbox.post(LinkChanged("C1", "down", "cable"))
        await running.ask("wms", "2", SignOn("anna", "WS1"))
        await running.ask("wms", "3", HoldDevice("AGV2", True, "cleaning"))
        frames = await take_until(
            client,
            seen,
            lambda: (
                "O1" in seen.maps["orders"]
                and bool(seen.maps["orders"]["O1"]["why"])
                and "AGV1" in seen.maps["positions"]
                and seen.maps["devices"]["AGV2"]["held"] == "cleaning"
                and "C1/link" in seen.maps["alarms"]
            ),
        )
        assert {frame["type"] for frame in frames} == {"diff"}
        assert [frame["seq"] for frame in frames] == sorted({frame["seq"] for frame in frames})
        assert seen.maps["loads"]["T1"]["location"] == "RACK-1"
        assert seen.maps["loads"]["T1"]["barcodes"] == ["376123", "T1"]
        assert seen.maps["positions"]["AGV1"]["theta_mrad"] == 1571
        assert seen.maps["people"]["anna"]["station"] == "WS1"
        assert seen.maps["alarms"]["C1/link"]["first_out"] is True
        assert seen.maps["tally"]["orders_accepted"] == 1
        told = next(frame["devices"]["AGV2"] for frame in frames if "AGV2" in frame.get("devices", {}))
        assert told.keys() <= {"held", "why", "link_reason"}  # what is as before is not said again

        await running.ask("wms", "4", CancelOrder("O1"))
        frames = await take_until(client, seen, lambda: "O1" not in seen.maps["orders"])
        assert frames[-1]["orders"] == {"O1": None}


async def test_who_comes_back_gets_what_was_missed(running: Runtime, live: Live, served: Any, screen: Any) -> None:
    seen, other = screen(), screen()
    async with served(live) as server:
        async with following(server.url()) as client:
            await take_until(client, seen, lambda: seen.is_whole)
        async with following(server.url()) as second:
            await running.ask("wms", "1", AnnounceLoad("T1", "RACK-1"))
            await order(running, "O1", "T1")
            await take_until(second, other, lambda: other.is_whole and "O1" in other.maps["orders"])
            async with following(server.url(f"?after={seen.seq}")) as client:
                frames = await take_until(client, seen, lambda: "O1" in seen.maps["orders"])
                assert frames[0] == {"type": "resumed", "seq": frames[0]["seq"]}
                assert {frame["type"] for frame in frames[1:]} == {"diff"}
                assert seen.snapshots == 1
        # From a time that is too long ago, or of another process.
        for after in (0, seen.seq - 1_000_000, seen.seq + 1_000_000):
            back = screen()
            async with following(server.url(f"?after={max(after, 0)}")) as client:
                frames = await take_until(client, back, lambda back=back: back.is_whole)
                assert frames[0]["type"] == "snapshot"
                assert frames[0]["begins"] is True
                assert frames[0]["epoch"] == running.kernel.state.epoch


async def test_a_client_may_go_back_within_a_connection(running: Runtime, live: Live, served: Any, screen: Any) -> None:
    seen = screen()
    async with served(live) as server, following(server.url("?topics=loads")) as client:
        await take_until(client, seen, lambda: seen.is_whole)
        early = seen.seq
        await running.ask("wms", "1", AnnounceLoad("T1", "RACK-1"))
        await take_until(client, seen, lambda: "T1" in seen.maps["loads"])
        seen.maps["loads"].clear()
        await client.send(json.dumps({"type": "resume", "after": early}))
        frames = await take_until(client, seen, lambda: "T1" in seen.maps["loads"])
        assert {"type": "resumed", "seq": early} in frames
        assert seen.snapshots == 1


async def test_topics_are_chosen_and_chosen_anew(
    running: Runtime, live: Live, served: Any, screen: Any, wait: Wait
) -> None:
    seen = screen()
    async with served(live) as server, following(server.url("?topics=people,alarms")) as client:
        await take_until(client, seen, lambda: seen.is_whole)
        assert set(seen.maps) == {"gateway", "people", "alarms"}
        running.inbox.telemetry("AGV1", {"x_mm": 1})
        await running.ask("wms", "1", SignOn("anna", "WS1"))
        frames = await take_until(client, seen, lambda: "anna" in seen.maps["people"])
        assert not any("positions" in frame for frame in frames)
        await client.send(json.dumps({"type": "subscribe", "topics": ["positions", "reservations"]}))
        await take_until(client, seen, lambda: seen.snapshots == 2 and seen.is_whole)
        assert set(seen.maps) == {"gateway", "positions", "passes", "room"}
        assert seen.maps["positions"]["AGV1"]["x_mm"] == 1
    # What it followed first is followed by nobody any more: all is at rest.
    await wait(lambda: live.clients == 0)
    left = live.feed.ring.seq
    running.inbox.telemetry("AGV1", {"x_mm": 2})
    await running.ask("wms", "2", SignOn("ben", "WS2"))
    live.feed.turn()
    assert live.feed.ring.seq == left


WRONG: list[tuple[str | bytes, str]] = [
    ("hello", "not resume, subscribe or ping"),
    ('{"type":"order","load":"T1"}', "not resume, subscribe or ping"),
    ('{"type":"resume"}', "missing required field `after`"),
    ('{"type":"resume","after":-1}', "not resume, subscribe or ping"),
    ('{"type":"resume","after":1,"more":2}', "unknown field `more`"),
    ('{"type":"subscribe","topics":["fleet"]}', "no topic 'fleet'"),
    ('{"type":"subscribe","topics":' + json.dumps(["loads"] * 33) + "}", "length"),
    ("[" * 1_000, "not resume"),
    ("x" * 2_000, "a message of 2000 characters: 1024 at most"),
    (b"{}", "binary"),
]


async def test_anything_else_ends_the_connection(live: Live, served: Any, screen: Any, wait: Wait) -> None:
    async with served(live) as server:
        for said, reason in WRONG:
            async with following(server.url("?topics=alarms")) as client:
                await client.send(said)
                with pytest.raises(ConnectionClosed) as ended:
                    await take_until(client, screen(), lambda: False)
                assert ended.value.rcvd is not None
                assert ended.value.rcvd.code == 1008, said
                assert reason in ended.value.rcvd.reason, said
        await wait(lambda: live.clients == 0)


async def test_pings_are_answered_and_too_many_end_the_connection(live: Live, served: Any, screen: Any) -> None:
    seen = screen()
    async with served(live) as server, following(server.url("?topics=alarms")) as client:
        await client.send('{"type":"ping"}')
        pongs: list[dict[str, Any]] = []
        async with asyncio.timeout(5):
            while not pongs:
                pongs += [f for f in [seen.take(await client.recv())] if f["type"] == "pong"]
        for _ in range(30):
            await client.send('{"type":"ping"}')
        with pytest.raises(ConnectionClosed) as ended:
            await take_until(client, seen, lambda: False)
        assert ended.value.rcvd is not None
        assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1008, "more than 30 messages in 10 s")


async def test_there_is_room_for_so_many_and_an_unknown_topic_is_named(
    running: Runtime, served: Any, screen: Any, wait: Wait
) -> None:
    live = Live(running, running.now_ns, clients_max=1)
    async with fed(live), served(live) as server:
        async with following(server.url("?topics=alarms")):
            await wait(lambda: live.clients == 1)
            async with following(server.url()) as second:
                with pytest.raises(ConnectionClosed) as ended:
                    await second.recv()
                assert ended.value.rcvd is not None
                assert ended.value.rcvd.code == 1013
                assert "1 clients follow already" in ended.value.rcvd.reason
        await wait(lambda: live.clients == 0)
        async with following(server.url("?topics=alarms,fleet")) as third:
            with pytest.raises(ConnectionClosed) as ended:
                await third.recv()
            assert ended.value.rcvd is not None
            assert ended.value.rcvd.code == 1008
            assert "no topic 'fleet': there are gateway" in ended.value.rcvd.reason


async def test_a_gateway_that_stops_says_so(live: Live, served: Any, screen: Any, wait: Wait) -> None:
    async with served(live) as server, following(server.url()) as client:
        seen = screen()
        await take_until(client, seen, lambda: seen.is_whole)
        server.stop()
        with pytest.raises(ConnectionClosed) as ended:
            await take_until(client, seen, lambda: False)
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1012
        await wait(lambda: live.clients == 0)


async def test_nothing_is_computed_while_nobody_follows(
    running: Runtime, live: Live, served: Any, screen: Any, wait: Wait
) -> None:
    assert live.feed.ring.covers(live.feed.ring.seq)
    begun = live.feed.ring.seq
    await running.ask("wms", "1", AnnounceLoad("T1", "RACK-1"))
    assert live.feed.ring.seq == begun
    seen = screen()
    async with served(live) as server:
        async with following(server.url()) as client:
            await take_until(client, seen, lambda: seen.is_whole)
            assert "T1" in seen.maps["loads"]
        await wait(lambda: live.clients == 0)
        left = live.feed.ring.seq
        await running.ask("wms", "2", AnnounceLoad("T2", "RACK-1"))
        assert live.feed.ring.seq == left


class Deaf:
    """A client that shakes hands and then reads nothing until it is told to."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.setblocking(False)
        self._port = port

    async def shake_hands(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._socket, ("127.0.0.1", self._port))
        lines = [
            "GET /api/v1/live?topics=positions HTTP/1.1", "Host: here", "Upgrade: websocket", "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13", "", "",
        ]  # fmt: skip
        await loop.sock_sendall(self._socket, "\r\n".join(lines).encode())

    async def read(self, size: int) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self._socket, size)

    def close(self) -> None:
        self._socket.close()


def move(running: Runtime, number: int) -> None:
    """A fleet of 100 that has all moved."""
    for vehicle in range(100):
        place = {"x_mm": number * 100 + vehicle, "y_mm": -number, "theta_mrad": number % 6283, "map": f"{number:0500}"}
        running.inbox.telemetry(f"V{vehicle}", place)


@pytest.mark.parametrize(("diffs_max", "turns"), [(20, 2_000), (600, 250)], ids=["past the ring", "far behind"])
async def test_a_client_that_does_not_read_costs_nothing_and_delays_nobody(
    running: Runtime, served: Any, screen: Any, wait: Wait, diffs_max: int, turns: int
) -> None:
    """60 kB a diff, up to 2,000 diffs: 120 MB that one client does not take."""
    live = Live(running, running.now_ns, diffs_max=diffs_max)
    seen = screen()
    async with served(live) as server, following(server.url("?topics=positions")) as client:
        deaf = Deaf(server.port)
        await deaf.shake_hands()
        await wait(lambda: live.clients == 2)
        await take_until(client, seen, lambda: seen.is_whole)
        rss_bytes, waited_most = 0, 0
        for number in range(turns):
            move(running, number)
            live.feed.turn()
            # The other one has this diff before the next is made.
            await take_until(client, seen, lambda: seen.seq == live.feed.ring.seq)
            waited_most = max(waited_most, server.waiting_bytes)
            if number == turns // 10:
                rss_bytes = psutil.Process().memory_info().rss
        assert seen.snapshots == 1
        assert seen.maps["positions"]["V99"]["x_mm"] == (turns - 1) * 100 + 99
        frame_bytes = len(live.feed.ring.frame(live.feed.ring.seq, frozenset({"positions"})))
        assert HIGH_WATER_BYTES < waited_most < HIGH_WATER_BYTES + 2 * frame_bytes
        assert psutil.Process().memory_info().rss - rss_bytes < 16 * 2**20

        # It reads at last: what had been sent before, and then a new snapshot instead of two thousand diffs.
        read = bytearray()
        async with asyncio.timeout(10):
            while b'"begins":true' not in read[HIGH_WATER_BYTES:]:
                read += await deaf.read(65_536)
        newest = read.rindex(b'"type":"snapshot"')
        assert f'"seq":{live.feed.ring.seq},'.encode() in read[newest : newest + 100]
        assert len(read) < 2**24
        deaf.close()
        await wait(lambda: live.clients == 1)


async def test_a_client_that_has_stalled_makes_room(running: Runtime, served: Any, wait: Wait) -> None:
    live = Live(running, running.now_ns, stall_s=0.2)
    async with served(live) as server:
        deaf = Deaf(server.port)
        await deaf.shake_hands()
        await wait(lambda: live.clients == 1)
        turns = 0
        async with asyncio.timeout(10):
            while live.clients:
                move(running, turns)
                live.feed.turn()
                turns += 1
                await asyncio.sleep(0.001)
        assert turns > 1
        deaf.close()
