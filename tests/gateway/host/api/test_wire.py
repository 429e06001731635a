"""The API on a real socket: hostile peers, the live feed's door, stopping, ports that are taken, TLS."""

from __future__ import annotations

import asyncio
import json
import resource
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.host.api import BadCertificate, PortTaken, Server, wire
from gateway.host.api import call as call_module
from gateway.site import HttpSpec

MIB = 1024 * 1024


async def said(port: int, data: bytes, *, end: bool = False) -> tuple[int, bytes]:
    """Status and body of the answer to raw bytes; (0, b"") when the connection is closed without one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        with suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
            if end:
                writer.write_eof()
        async with asyncio.timeout(20):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return 0, b""
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            return int(head.split()[1]), await reader.readexactly(int(fields.get(b"content-length", b"0")))
    finally:
        writer.close()


def posted(key: str, body: bytes, *more: bytes, length: int | None = None) -> bytes:
    lines = [
        b"POST /api/v1/orders HTTP/1.1", b"Host: x", b"Authorization: Bearer " + key.encode(),
        b"Content-Length: %d" % (len(body) if length is None else length), *more,
    ]  # fmt: skip
    if not any(line.lower().startswith(b"content-type") for line in more):
        lines.append(b"Content-Type: application/json")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


BODIES: dict[str, tuple[bytes, int]] = {
    "empty": (b"", 422),
    "no JSON": (b"{", 400),
    "not one document": (b"{} {}", 400),
    "UTF-16": ('{"order": "O1"}'.encode("utf-16"), 400),
    "a byte order mark": (b"\xef\xbb\xbf{}", 400),
    "bytes that are no text": (b'{"order": "\xff\xfe"}', 400),
    "half a character": (rb'{"order": "\ud800", "steps": []}', 400),
    "a name twice": (b'{"order": "O1", "order": "O2"}', 400),
    "NaN": (b'{"priority": NaN}', 400),
    "deep": (b"[" * 100_000 + b"]" * 100_000, 400),
    "rather deep": (b'{"order": ' * 40 + b"1" + b"}" * 40, 400),
    "a huge number": (b'{"priority": ' + b"9" * 5_000 + b"}", 400),
    "a large number": (b'{"order": "O", "priority": 1e999, "steps": []}', 422),
    "a number beyond 64 bits": (b'{"order": "O", "priority": 99999999999999999999, "steps": []}', 422),
    "a scalar": (b"7", 422),
    "nothing": (b"null", 422),
    "an empty list": (b"[]", 422),
    "too many orders": (json.dumps([{}] * 1_001).encode(), 422),
    "wrong types all over": (b'{"order": {}, "steps": "x", "priority": [], "deadline": 1}', 422),
    "zero characters": (rb'{"order": "\u0000", "steps": [{"step": "a", "kind": "move", "load": "L", "to": "x"}]}', 422),
}


async def test_hostile_bodies_are_refused_for_what_they_are(served: tuple[Any, int]) -> None:
    house, port = served
    wrong = {}
    for name, (body, status) in BODIES.items():
        found, answer = await said(port, posted(house.keys["operator"], body))
        problem = json.loads(answer)
        if (found, problem["status"]) != (status, status) or not problem["next"]:
            wrong[name] = (found, answer[:200])
    assert wrong == {}
    assert house.runtime.kernel.state.orders == {}


async def test_hostile_heads_are_refused(served: tuple[Any, int]) -> None:
    house, port = served
    key = house.keys["operator"]
    fine = b'{"order": "O1", "steps": []}'
    for name, data, expected in (
        ("another type", posted(key, fine, b"Content-Type: text/plain"), {415}),
        ("another charset", posted(key, fine, b"Content-Type: application/json; charset=latin-1"), {415}),
        ("compressed", posted(key, fine, b"Content-Encoding: gzip"), {415}),
        ("no HTTP", b"\x16\x03\x01\x02\x00hello\r\n\r\n", {400}),
        ("a bad length", posted(key, fine, b"Content-Length: -1"), {400}),
        ("two lengths", posted(key, fine, b"Content-Length: 3"), {400}),
        ("length and chunks", posted(key, fine, b"Transfer-Encoding: chunked"), {400}),
        ("HTTP/9", b"GET / HTTP/9.9\r\n\r\n", {400}),
        ("a bad escape", b"GET /api/v1/orders/%ff%zz HTTP/1.1\r\nHost: x\r\n\r\n", {401}),
        ("a path of bytes", b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}),
        ("a star", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}),
        ("a tunnel", b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}),
        ("many headers", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", {431}),
        ("a large header", b"GET / HTTP/1.1\r\na: " + b"x" * 40_000 + b"\r\n\r\n", {431}),
        ("a header without end", b"GET / HTTP/1.1\r\na: " + b"x" * 300_000, {431, 0}),
        ("a line without end", b"GET /" + b"x" * 300_000, {400, 431, 0}),
    ):
        status, answer = await said(port, data)
        assert status in expected, (name, status, answer)
        if status:
            assert json.loads(answer)["code"], name


async def test_a_body_beyond_the_limit_is_refused_however_it_comes(served: tuple[Any, int]) -> None:
    house, port = served
    key = house.keys["operator"]
    status, answer = await said(port, posted(key, b"x" * (MIB + 1)))
    assert (status, json.loads(answer)["code"]) == (413, "too_large")
    head = posted(key, b"", b"Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    status, answer = await said(port, head + chunk * 20)
    assert (status, json.loads(answer)["code"]) == (413, "too_large")


async def test_whoever_is_slow_or_breaks_off_holds_nothing_up(
    served: tuple[Any, int], monkeypatch: pytest.MonkeyPatch, wait: Any
) -> None:
    house, port = served
    monkeypatch.setattr(call_module, "BODY_S_MAX", 0.2)
    monkeypatch.setattr(wire, "HEAD_S_MAX", 0.2)
    key = house.keys["operator"]
    status, answer = await said(port, posted(key, b"{", length=100))
    assert (status, json.loads(answer)["code"]) == (408, "timeout")
    status, answer = await said(port, b"GET /api/v1/orders HTTP/1.1\r\nHost:")
    assert (status, json.loads(answer)["code"]) == (408, "timeout")
    assert (await said(port, b""))[0] == 408
    await said(port, posted(key, b'{"order": "O1"', length=100), end=True)
    for data in (posted(key, b"{", length=100), b"GET /api", b""):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        await writer.drain()
        writer.transport.abort()
    assert (await said(port, b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 200
    assert house.runtime.kernel.state.orders == {}
    assert [call for call in house.log.calls if call.method_name == "error"] == []


async def test_a_flood_of_hostile_requests_leaves_memory_as_it_was(served: tuple[Any, int]) -> None:
    house, port = served
    bodies = [body for body, _ in BODIES.values() if len(body) < 10_000]

    async def flood(count: int) -> set[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        found = set()
        for n in range(count):
            writer.write(posted(house.keys["operator"], bodies[n % len(bodies)]))
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
            await reader.readexactly(int(length.split(b":")[1]))
            found.add(int(head.split()[1]))
        writer.close()
        return found

    await asyncio.gather(*(flood(25) for _ in range(10)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    statuses = set().union(*await asyncio.gather(*(flood(175) for _ in range(10))))
    assert statuses == {400, 422}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


class Feed:
    """Says once what it was asked for."""

    async def serve(self, websocket: WebSocket, after: int | None) -> None:
        await websocket.send_text(f"after {after}")
        await websocket.close()


class Echo:
    """Says the same again, for as long as it is asked to."""

    async def serve(self, websocket: WebSocket, after: int | None) -> None:
        async for text in websocket.iter_text():
            await websocket.send_text(text)


async def test_a_feed_is_not_held_to_the_time_of_a_request_s_head(
    house_of: Any, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "HEAD_S_MAX", 0.2)
    house = await house_of(live=Echo())
    server = Server(house.app, HttpSpec(port=0), house.parts.log)
    task = asyncio.create_task(server.run())
    await wait(lambda: server.port > 0)
    began_s, times = asyncio.get_running_loop().time(), 0
    try:
        async with connect(f"ws://127.0.0.1:{server.port}/api/v1/live") as feed:
            while asyncio.get_running_loop().time() < began_s + 1.0:
                await feed.send("still there")
                assert await feed.recv() == "still there"
                times += 1
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert times > 5


async def test_the_live_feed_is_for_whoever_may_look_on(house_of: Any, wait: Any) -> None:
    house = await house_of({"anonymous_read": False, "cors": ["https://hall.example"]}, live=Feed())
    server = Server(house.app, HttpSpec(port=0), house.parts.log)
    task = asyncio.create_task(server.run())
    await wait(lambda: server.port > 0)
    url = f"ws://127.0.0.1:{server.port}/api/v1/live"
    key = {"Authorization": f"Bearer {house.keys['viewer']}"}
    try:
        for origin in (None, "https://hall.example", f"http://127.0.0.1:{server.port}"):
            async with connect(f"{url}?after=7", additional_headers=key, origin=origin) as feed:  # type: ignore[arg-type]
                assert await feed.recv() == "after 7"
        for headers, origin, query, status in (
            ({}, None, "", 401), (key, "https://evil.example", "", 403), (key, None, "?after=x", 422),
        ):  # fmt: skip
            with pytest.raises(InvalidStatus) as refused:
                await connect(url + query, additional_headers=headers, origin=origin)  # type: ignore[arg-type]
            assert refused.value.response.status_code == status
            assert msgspec.json.decode(refused.value.response.body)["next"]
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_port_that_is_taken_is_named(served: tuple[Any, int]) -> None:
    house, port = served
    with pytest.raises(PortTaken, match=f"127.0.0.1:{port} is taken: stop whatever listens there"):
        await Server(house.app, HttpSpec(port=port), house.parts.log).run()


async def test_what_is_being_done_at_a_stop_is_answered(served: tuple[Any, int], house_of: Any, wait: Any) -> None:
    house = await house_of()
    server = Server(house.app, HttpSpec(port=0), house.parts.log)
    task = asyncio.create_task(server.run())
    await wait(lambda: server.port > 0)
    url, key = f"http://127.0.0.1:{server.port}", {"Authorization": f"Bearer {house.keys['operator']}"}
    async with httpx.AsyncClient(base_url=url, headers=key) as client:
        assert (await client.get("/api/v1/orders")).status_code == 200
        asked = asyncio.create_task(client.put("/api/v1/loads/L1", json={"location": "RACK-1"}))
        await wait(lambda: "L1" in house.runtime.kernel.state.loads or asked.done())
        task.cancel()
        assert (await asked).status_code == 200
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(httpx.ConnectError):
            await client.get("/api/v1/orders")


async def test_tls_is_spoken_with_the_sites_certificate(house: Any, tmp_path: Path, wait: Any) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=gateway "
        "-addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out cert.pem"
    )
    await asyncio.to_thread(subprocess.run, make.split(), cwd=tmp_path, check=True, capture_output=True)
    server = Server(house.app, HttpSpec(port=0, tls={"cert_file": str(cert), "key_file": str(key)}), house.parts.log)  # type: ignore[arg-type]
    task = asyncio.create_task(server.run())
    await wait(lambda: server.port > 0)
    try:
        async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=str(cert))) as client:
            answer = await client.get(f"https://127.0.0.1:{server.port}/api/v1/health")
        assert answer.json() == {"status": "alive"}
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    missing = HttpSpec(port=0, tls={"cert_file": str(cert), "key_file": str(tmp_path / "none.pem")})  # type: ignore[arg-type]
    with pytest.raises(BadCertificate, match="PEM files are wanted"):
        await Server(house.app, missing, house.parts.log).run()
