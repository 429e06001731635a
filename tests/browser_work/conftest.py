"""The worker's page in a real browser, before the real API over the real runtime of the demo site."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog

from gateway.contract import AnnounceLoad, CreateOrder, Request, StepRequest
from gateway.dispatch.state import State
from gateway.host.access import ROLES, Access
from gateway.host.api import SCHEMA, Parts, Server, build
from gateway.host.plans import Plans
from gateway.host.store import Store
from gateway.kernel import Kernel
from gateway.shell.config import load
from gateway.shell.inbox import Inbox
from gateway.shell.journal.memory import MemoryJournal
from gateway.shell.runtime import Runtime
from gateway.site import HttpSpec

ROOT = Path(__file__).parents[2]
PHONE = {"width": 390, "height": 844}
WAIT_S = 10.0
FAST: dict[str, Any] = {
    "anonymous_read": False,
    "rate": {kind: {"per_s": 100_000, "burst": 1_000_000} for kind in ("reads", "writes", "logins")},
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def missing(reason: str) -> None:
    """Skips, or fails where everything has to be there."""
    if os.environ.get("STELLWERK_TEST_REQUIRE") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Any]:
    """Debian's Chromium; STELLWERK_TEST_CHROMIUM names another one."""
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        missing("playwright is not installed: pip install -e '.[dev]'")
    path = os.environ.get("STELLWERK_TEST_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        missing("there is no Chromium: apt-get install chromium, or name one in STELLWERK_TEST_CHROMIUM")
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
        )
        yield found
        await found.close()


class Wifi:
    """What is between the hand-held and the gateway. `deaf`: requests get through, and the answers are lost."""

    def __init__(self) -> None:
        self.port = 0
        self.lost = 0
        self._state = "up"
        self._target = 0
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, target: int) -> None:
        self._target = target
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def up(self) -> None:
        self._state = "up"

    def deaf(self) -> None:
        self._state = "deaf"

    def down(self) -> None:
        self._state = "down"
        self._cut()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cut(self) -> None:
        for end in self._ends:
            end.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._meet(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._state == "down":
            writer.transport.abort()
            return
        back, to = await asyncio.open_connection("127.0.0.1", self._target)
        self._ends |= {writer, to}
        try:
            await asyncio.gather(self._pass(reader, to), self._pass(back, writer, answers=True))
        finally:
            self._ends -= {writer, to}
            for end in (writer, to):
                end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if answers and self._state != "up":
                    self.lost += 1
                    self._cut()
                    break
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@dataclass
class Hall:
    """A gateway, the Wi-Fi before it, and hand-helds."""

    runtime: Runtime
    access: Access
    keys: dict[str, str]
    wifi: Wifi
    port: int
    browser: Any
    contexts: list[Any] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    _numbers: Any = field(default_factory=itertools.count)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.wifi.port}"

    @property
    def state(self) -> State:
        return self.runtime.kernel.state

    async def ask(self, request: Request) -> None:
        reply = await self.runtime.ask("wms", f"r{next(self._numbers)}", request)
        assert reply.accepted, reply.reason

    async def order(self, name: str, load: str, place: str = "WS1-BENCH", skill: str = "pick", **more: Any) -> None:
        """An order for work on a load that stands at a station already."""
        codes = more.pop("barcodes", ())
        await self.ask(AnnounceLoad(load, place, codes))
        await self.ask(CreateOrder(name, (StepRequest("a", "work", load, "", skill, **more),)))

    def asked(self, client: str = "the-operator") -> list[bool]:
        """Each request of the page that the kernel has decided about, once for each Idempotency-Key: was it taken?"""
        return [answer.accepted for key, answer in self.state.answers.items() if key.startswith(f"{client}\nwork-")]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110 - what is waited for sets no event
                await asyncio.sleep(0.01)

    async def holds(self, page: Any, expression: str) -> None:
        """Until it holds in the page. (Playwright's own wait needs `eval`, which the page's policy forbids.)"""
        async with asyncio.timeout(WAIT_S):
            while not await page.evaluate(expression):  # noqa: ASYNC110 - it is in another process
                await asyncio.sleep(0.02)

    async def hurry(self, page: Any) -> None:
        """What a browser says when the Wi-Fi is back: the page asks now, and not with its next turn."""
        await page.evaluate("void window.dispatchEvent(new Event('online'))")

    async def hand_held(self, role: str = "operator", *, person: str = "", station: str = "WS1", **options: Any) -> Any:
        """A new device with the page open; with a key where `role` is said, with `person` signed on where that is."""
        kept = {}
        if role:
            kept["door"] = {"key": self.keys[role], "name": f"the-{role}", "csrf": ""}
        storage = [{"name": f"stellwerk.work.{name}", "value": json.dumps(value)} for name, value in kept.items()]
        usual = {"viewport": PHONE, "has_touch": True, "locale": "en-GB", "reduced_motion": "reduce"}
        options = {**usual, "service_workers": "block", **options}
        state: Any = {"cookies": [], "origins": [{"origin": self.url, "localStorage": storage}]}
        context = await self.browser.new_context(storage_state=state, **options)
        context.set_default_timeout(WAIT_S * 1_000)
        self.contexts.append(context)
        page = await context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if "Content Security" in said.text else None)
        await page.goto(f"{self.url}/web/work/")
        if person:
            await self.sign_on(page, person, station)
        return page

    async def sign_on(self, page: Any, person: str, station: str = "WS1") -> None:
        await page.locator("#station").select_option(station)
        await page.locator("#badge").fill(person)
        await page.locator("#sign-on").click()
        await self.until(lambda: self.state.people.get(person) == station)
        await page.locator("#who-place").get_by_text(station).wait_for()


async def scan(page: Any, code: str, gap_ms: int = 8) -> None:
    """What a wedge does: keys on the wire, stamped so many milliseconds apart, and Enter."""
    session = await page.context.new_cdp_session(page)
    stamp = time.time()
    sent = []
    for number, each in enumerate([*code, "Enter"]):
        text = "\r" if each == "Enter" else each
        when = stamp + number * gap_ms / 1000
        for kind in ("keyDown", "keyUp"):
            keys = {"text": text} if kind == "keyDown" else {}
            virtual = {"windowsVirtualKeyCode": 13} if each == "Enter" else {}
            event = {"type": kind, "key": each, "timestamp": when, **keys, **virtual}
            sent.append(session.send("Input.dispatchKeyEvent", event))
    await asyncio.gather(*sent)
    await session.detach()


@pytest.fixture
def wedge() -> Any:
    return scan


@asynccontextmanager
async def operated() -> AsyncIterator[Runtime]:
    loaded = load(ROOT / "config" / "demo", env={})
    assert loaded.site is not None, loaded.problems
    log = structlog.testing.CapturingLogger()
    runtime = Runtime(Kernel(loaded.site), MemoryJournal(), Inbox(log), {}, log)  # type: ignore[arg-type]
    task = asyncio.create_task(runtime.run("test"))
    try:
        while runtime.kernel.state.epoch == 0 and not task.done():  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.01)
        yield runtime
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest_asyncio.fixture(loop_scope="session")
async def hall(browser: Any, tmp_path: Path) -> AsyncIterator[Hall]:
    http = HttpSpec(port=0, **FAST)
    log: Any = structlog.testing.CapturingLogger()
    async with operated() as runtime:
        store = await Store.open(tmp_path / "host.db", Access.SCHEMA, Plans.SCHEMA, SCHEMA)
        access = await Access.open(store, http, runtime.now_ns)
        keys = {role: await access.keys.add(f"the-{role}", role) for role in ROLES}
        app = build(Parts(runtime, access, store, Plans(store, runtime), http, log, "Demo", "0.1"))
        server = Server(app, http, log)
        serving = asyncio.create_task(server.run())
        wifi = Wifi()
        made = Hall(runtime, access, keys, wifi, 0, browser)
        await made.until(lambda: server.port > 0 or serving.done())
        made.port = server.port
        await wifi.open(server.port)
        try:
            yield made
            assert made.errors == []
        finally:
            for context in made.contexts:
                await context.close()
            await wifi.close()
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving
            await store.close()
