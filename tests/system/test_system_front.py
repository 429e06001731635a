"""The host interface of the real process: what was acknowledged over HTTP, and whom others are told of, over kills."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

NO_ACCOUNT = "nobody has an account yet: make the first one at this address, which is good once"
SECRET = base64.b64encode(b"a secret of the test, long enough").decode()


class Receiver:
    """A host that is told of events by webhooks. It remembers them, and answers 503 while it is not `open`."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.open = True
        self.port = 0
        self._server: Any = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                headers = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                if self.open:
                    self.events += body if isinstance(body, list) else [body]
                status = "204 No Content" if self.open else "503 Service Unavailable"
                writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def end(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    def versions(self, order: str) -> list[int]:
        """Of the order's events, each as it came first."""
        found: list[int] = []
        for event in self.events:
            data = event["data"]
            if event["type"].startswith("order") and data.get("order") == order and data["version"] not in found:
                found.append(data["version"])
        return found


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    yield made
    await made.end()


@pytest.fixture
def site(tmp_path: Path, receiver: Receiver, house: Any) -> Path:
    """The demo's site with a webhook."""
    folder = tmp_path / "site"
    shutil.copytree(house.demo_site, folder)
    (tmp_path / "secret").write_text(f"whsec_{SECRET}\n", "utf-8")
    hook = {"id": "host", "url": f"http://127.0.0.1:{receiver.port}/", "secret_file": str(tmp_path / "secret")}
    (folder / "outward.yaml").write_text(json.dumps({"outward": {"webhooks": [hook]}}), "utf-8")
    return folder


async def api_of(gateway: Any, wait_for: Callable[..., Any], key: str) -> httpx.AsyncClient:
    offered = await wait_for(lambda: gateway.logged("API offered"))
    url = offered[-1]["url"].removesuffix("/docs")
    return httpx.AsyncClient(base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {key}"}, timeout=20)


async def test_what_was_acknowledged_outlives_kills_and_is_told_in_order(
    house: Any, new_gateway: Any, site: Path, receiver: Receiver, wait_for: Callable[..., Any]
) -> None:
    gateway = new_gateway({})
    await gateway.begin(site)
    await wait_for(lambda: gateway.logged(NO_ACCOUNT, url="/first/"))
    code, out, _ = await house.run(
        house.stellwerk, "access", "key-add", "wms", "--role", "operator", "--data", gateway.data
    )
    key = next(word for word in out.split() if word.startswith("swk_"))
    assert code == 0
    acknowledged: list[str] = []
    for kill in range(3):
        async with await api_of(gateway, wait_for, key) as api:
            load = {"location": "RACK-1", "barcodes": [f"0034{kill}"]}

            async def announced(api: httpx.AsyncClient = api, kill: int = kill, load: Any = load) -> bool:
                """A key that was made beside the gateway is known to it within a second."""
                return (await api.put(f"/loads/L{kill}", json=load)).is_success

            await wait_for(announced)

            async def order(number: int, api: httpx.AsyncClient = api, kill: int = kill) -> None:
                name = f"K{kill}-{number}"
                step = {"step": "ship", "kind": "sort", "load": f"L{kill}", "to": "BERLIN"}
                answer = await api.post("/orders", json={"order": name, "steps": [step]})
                assert answer.status_code == 201, answer.text
                acknowledged.append(name)
                await api.post(f"/orders/{name}/cancel", json={"reason": "not wanted"})

            orders = [asyncio.create_task(order(number)) for number in range(40)]
            await wait_for(lambda kill=kill: len(acknowledged) >= 15 * (kill + 1))
            receiver.open = kill != 1
            await gateway.kill()
            await asyncio.gather(*orders, return_exceptions=True)
        await gateway.begin(site)
    receiver.open = True
    async with await api_of(gateway, wait_for, key) as api:
        for name in acknowledged:
            found = (await api.get(f"/orders/{name}")).json()
            wanted = list(range(1, found["version"] + 1))
            await wait_for(lambda name=name, wanted=wanted: receiver.versions(name) == wanted, what=name)
        late = (await api.post("/orders", json={"order": acknowledged[0], "steps": []})).json()
        assert late["status"] in (409, 422)
        assert late["next"]
    assert await gateway.stop() == 0
    assert gateway.complaints() == ""


async def test_two_gateways_on_one_port_say_so(house: Any, new_gateway: Any, wait_for: Callable[..., Any]) -> None:
    first = new_gateway({}, "one")
    await first.begin()
    url = (await wait_for(lambda: first.logged("API offered")))[0]["url"]
    port = url.split(":")[2].split("/")[0]
    second = new_gateway({"STELLWERK_HTTP_PORT": port}, "two")
    await second.begin()
    told = await wait_for(lambda: second.logged("part failed and is started again", part="api"))
    assert f"127.0.0.1:{port} is taken: stop whatever listens there" in str(told[0])
    await first.stop()
    await wait_for(lambda: second.logged("API offered"))
    assert await second.stop() == 0
