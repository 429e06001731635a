"""The real processes: plant, gateway and demo as an operator starts them, and none of them left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.dispatch.state import State
from gateway.shell.config import load
from gateway.shell.journal.sqlite import SqliteJournal
from gateway.shell.recovery import restore

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "config" / "demo"
STELLWERK = Path(sys.executable).with_name("stellwerk")
DEVICES_AWAY = {
    "STELLWERK_C1_PORT": "2",
    "STELLWERK_C2_PORT": "3",
    "STELLWERK_S1_URL": "opc.tcp://127.0.0.1:4/",
    "STELLWERK_RC1_URL": "opc.tcp://127.0.0.1:5/",
    "STELLWERK_MQTT_PORT": "6",
}
"""Addresses where nobody listens: ports of that kind belong to nothing that is still in use."""


async def eventually(true: Callable[[], Any], limit_s: float = 30.0, what: str = "") -> Any:
    """Wait until `true()` (or what it returns, awaited) is truthy and return that; fail at the limit."""
    try:
        async with asyncio.timeout(limit_s):
            while True:
                found = true()
                if isinstance(found, Awaitable):
                    found = await found
                if found:
                    return found
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not so within {limit_s} s: {what or true}") from None


class House:
    """Starts processes, each in a session of its own, and ends every one of them whatever the test does."""

    stellwerk = STELLWERK
    demo_site = DEMO
    devices_away = DEVICES_AWAY

    def __init__(self) -> None:
        self._started: list[asyncio.subprocess.Process] = []

    async def start(self, *arguments: str | Path, env: Mapping[str, str] | None = None, **streams: Any) -> Any:
        process = await asyncio.create_subprocess_exec(
            *map(str, arguments),
            cwd=ROOT,
            env={**os.environ, "STELLWERK_HTTP_PORT": "0", **(env or {})},
            start_new_session=True,
            **streams,
        )
        self._started.append(process)
        return process

    async def run(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        """A command to its end: exit code, stdout, stderr."""
        pipe = asyncio.subprocess.PIPE
        process = await self.start(*arguments, env=env, stdout=pipe, stderr=pipe)
        out, said = await asyncio.wait_for(process.communicate(), 60)
        return process.returncode, out.decode(), said.decode()

    async def end(self) -> None:
        for process in self._started:
            if process.returncode is None:
                process.kill()
            await process.wait()


class Plant:
    """`python -m plc_simulators` and its control channel; tests share one while it is at rest."""

    def __init__(self) -> None:
        """Start it, and wait until it is ready."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "plc_simulators", DEMO, "--seed", "1", "--speed", "20"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        self.environment: dict[str, str] = ready["environment"]
        self._port: int = ready["control_port"]

    def end(self) -> None:
        """As its parent's end would, or by force."""
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    async def ask(self, op: str, **arguments: Any) -> dict[str, Any]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**22)
        try:
            writer.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(await reader.readline())
        finally:
            writer.close()
        assert answer["ok"], answer
        return answer

    async def on(self, place: str) -> list[str]:
        """Loads whose place begins like that."""
        return [load for load, at in (await self.ask("loads"))["loads"].items() if at.startswith(place)]

    async def repeated(self) -> int:
        stats = (await self.ask("stats"))["stats"]
        return sum(device.get("repeated", 0) for device in stats.values())

    async def is_at_rest(self) -> bool:
        """Nothing that an earlier test may have left under way: no fault, no load but in racks and lanes."""
        if self._process.poll() is not None or (await self.ask("faults"))["faults"]:
            return False
        places = (await self.ask("loads"))["loads"].values()
        return all(place.startswith(("RACK-", "LANE-")) and place != "LANE-R" for place in places)


class Gateway:
    """`stellwerk run config/demo` with its data folder; `begin` again after an end goes on with the same data."""

    def __init__(self, house: House, data: Path, environment: Mapping[str, str]) -> None:
        self.data = data
        self.environment = {**DEVICES_AWAY, "STELLWERK_HTTP_PORT": "0", **environment}
        self.process: Any = None
        self._house = house
        self._log = data / "gateway.log"
        self._begun_at = 0

    async def begin(self, site: Path = DEMO, *options: str | Path) -> None:
        """Start, and wait until the kernel has been told so."""
        self.data.mkdir(parents=True, exist_ok=True)
        self._begun_at = self._log.stat().st_size if self._log.exists() else 0
        with (self.data / "stderr.log").open("ab") as errors:
            self.process = await self._house.start(
                STELLWERK, "run", site, "--data", self.data, "--log-file", self._log, *options,
                env=self.environment, stderr=errors,
            )  # fmt: skip
        await eventually(lambda: self.logged("started") or self.process.returncode is not None, 30, "started")
        assert self.process.returncode is None, self.complaints()

    async def kill(self) -> None:
        """As a power cut would."""
        self.process.kill()
        await self.process.wait()

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit code."""
        self.process.send_signal(number)
        code: int = await asyncio.wait_for(self.process.wait(), 15)
        return code

    def logged(self, event: str, *, since_begun: bool = True, **values: Any) -> list[dict[str, Any]]:
        """The log's lines of that event whose values hold what is given."""
        content = self._log.read_bytes() if self._log.exists() else b""
        lines = content[self._begun_at if since_begun else 0 :].split(b"\n")[:-1]
        found = [json.loads(line) for line in lines]
        return [
            line for line in found
            if line["event"] == event and all(text in str(line.get(key, "")) for key, text in values.items())
        ]  # fmt: skip

    def complaints(self) -> str:
        """What went to stderr, and what the log calls an error: of an ordinary run nothing."""
        content = self._log.read_text("utf-8") if self._log.exists() else ""
        bad = [line for line in content.splitlines() if json.loads(line)["level"] in ("error", "critical")]
        return (self.data / "stderr.log").read_text("utf-8") + "\n".join(bad)

    def drop(self, name: str, content: object, channel: str = "wms") -> None:
        """A file for the channel, appearing whole, as a host writes it. Bytes go as they are, else as JSON."""
        folder = self.data / "inbox" / channel
        part = folder / f".{name}.part"
        part.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        part.replace(folder / f"{name}.json")

    def reply(self, name: str, channel: str = "wms") -> list[dict[str, Any]] | None:
        """What was answered to a file, None while nothing was."""
        path = self.data / "inbox" / channel / "done" / f"{name}.reply.json"
        return json.loads(path.read_bytes()) if path.exists() else None

    def ended(self) -> dict[str, list[str]]:
        """Order → how it ended, over all starts; a sound order has exactly one entry."""
        found: dict[str, list[str]] = {}
        for state in ("finished", "failed", "cancelled"):
            for line in self.logged("order", since_begun=False, state=state):
                found.setdefault(line["order"], []).append(state)
        return found

    async def state(self) -> State:
        """The kernel's memory as the journal gives it back; the gateway must have ended."""
        site = load(DEMO, self.environment).site
        assert site is not None
        journal = SqliteJournal.open(self.data / "journal", site.site.id)
        try:
            return restore(site, journal).kernel.state
        finally:
            await journal.close()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    made = House()
    try:
        yield made
    finally:
        await made.end()


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    return eventually


@pytest.fixture(scope="session")
def plants() -> Iterator[list[Plant]]:
    """The one that runs now, if any."""
    running: list[Plant] = []
    yield running
    for plant in running:
        plant.end()


@pytest.fixture
async def plant(plants: list[Plant]) -> Plant:
    """A plant at rest: that of the test before, which to a new journal is what a real plant is, or a new one."""
    if plants and not await plants[0].is_at_rest():
        await asyncio.to_thread(plants.pop().end)
    if not plants:
        plants.append(await asyncio.to_thread(Plant))
    return plants[0]


@pytest.fixture
def new_gateway(house: House, tmp_path: Path) -> Callable[..., Gateway]:
    def new(environment: Mapping[str, str], name: str = "data") -> Gateway:
        return Gateway(house, tmp_path / name, environment)

    return new


@pytest.fixture
def sort_order() -> Callable[..., list[dict[str, Any]]]:
    """Announcement and order for one load, as one file's content."""

    def compose(number: int, to: str = "BERLIN", rack: str = "RACK-1") -> list[dict[str, Any]]:
        load, code = f"L{number}", f"00340{number:06d}"
        announce = {"type": "announce_load", "load": load, "location": rack, "barcodes": [code]}
        step = {"step": "ship", "kind": "sort", "load": load, "to": to}
        order = {"type": "create_order", "order": f"O{number}", "steps": [step]}
        return [
            {"request_id": f"load-{number}", "request": announce},
            {"request_id": f"order-{number}", "request": order},
        ]

    return compose
