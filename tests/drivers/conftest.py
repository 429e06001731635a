"""What the driver tests share: a recording sink, one waiting function, the shipped profiles, small wire servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import yaml

from gateway.contract import LinkChanged, Notice, Report, Scalar, ShellAlarm
from gateway.site import Profile

ROOT = Path(__file__).resolve().parents[2]


class RecordingSink:
    """A `contract.Sink` that keeps everything in order."""

    def __init__(self) -> None:
        self.posts: list[Any] = []
        self.live: list[tuple[str, dict[str, Scalar]]] = []
        self.bad: list[tuple[str, str, object, str]] = []

    def post(self, body: Report[Any] | Notice[Any] | LinkChanged | ShellAlarm) -> None:
        self.posts.append(body)

    def telemetry(self, device: str, values: Mapping[str, Scalar]) -> None:
        self.live.append((device, dict(values)))

    def bad_value(self, device: str, signal: str, value: object, problem: str) -> None:
        self.bad.append((device, signal, value, problem))

    def links(self, device: str) -> list[str]:
        return [p.state for p in self.posts if isinstance(p, LinkChanged) and p.device == device]

    def reason(self, device: str) -> str:
        return [p.reason for p in self.posts if isinstance(p, LinkChanged) and p.device == device][-1]

    def reports(self, device: str) -> list[Any]:
        return [p.data for p in self.posts if isinstance(p, Report) and p.device == device]

    def notices(self, device: str) -> list[Notice[Any]]:
        return [p for p in self.posts if isinstance(p, Notice) and p.device == device]

    def alarms(self) -> list[ShellAlarm]:
        return [p for p in self.posts if isinstance(p, ShellAlarm)]


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    async def wait(condition: Callable[[], object], what: str = "", limit_s: float = 10.0) -> None:
        """Wait until the condition holds; fails with `what` after `limit_s`."""
        end_s = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end_s, f"not within {limit_s} s: {what}"
            await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def profile() -> Callable[..., Profile]:
    def load(name: str, **handshake: Any) -> Profile:
        """A shipped profile, with its handshake times as the test wants them."""
        data = yaml.safe_load((ROOT / "config" / "profiles" / f"{name}.yaml").read_text("utf-8"))
        data["handshake"] = {**data.get("handshake", {}), **handshake}
        return Profile.model_validate(data)

    return load


def _is_ours(task: asyncio.Task[Any]) -> bool:
    """A task of the drivers or of their client libraries; servers in the same loop have tasks of their own."""
    frame = getattr(task.get_coro(), "cr_frame", None)
    owner = frame.f_locals.get("self") if frame is not None else None
    if isinstance(owner, aiomqtt.Client) and not owner.identifier.startswith("stellwerk-"):
        return False  # a vehicle of the test or of the simulator
    code = getattr(task.get_coro(), "cr_code", None)
    file = Path(code.co_filename).as_posix() if code is not None else ""
    return (ROOT / "drivers").as_posix() in file or any(
        part in file for part in ("/pymodbus/client", "/pymodbus/trans", "/asyncua/client/", "/aiomqtt/")
    )


@pytest.fixture
async def running() -> AsyncIterator[Callable[[Any], asyncio.Task[None]]]:
    """Starts drivers' `run` and cancels them at the end; a driver that ended by itself, or left a task, fails."""
    before = asyncio.all_tasks()
    tasks: list[asyncio.Task[None]] = []

    def start(driver: Any) -> asyncio.Task[None]:
        tasks.append(asyncio.create_task(driver.run()))
        return tasks[-1]

    yield start
    for task in tasks:
        ended = task.done() and not task.cancelled()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert not ended, "run() ended without cancellation"
    leaked = {task for task in asyncio.all_tasks() - before if _is_ours(task)}
    if leaked:
        await asyncio.wait(leaked, timeout=1.0)
    assert not [t for t in leaked if not t.done()]


@pytest.fixture
def vda_schemas() -> Path:
    """The folder of the official VDA 5050 2.1.0 schemas."""
    named = os.environ.get("STELLWERK_VDA5050_SCHEMAS")
    folder = Path(named) if named else ROOT.parent / "shared" / "vda5050" / "2.1.0"
    if not (folder / "order.schema").exists():
        pytest.skip(f"no VDA 5050 schemas at {folder}: set STELLWERK_VDA5050_SCHEMAS to their folder")
    return folder


class ModbusPlc:
    """A Modbus TCP server that can misbehave; `requests` keeps (function, address, words)."""

    def __init__(self) -> None:
        self.registers = [0] * 2000
        self.requests: list[tuple[int, int, list[int]]] = []
        self.exception: dict[int, int] = {}
        """Exception code by function."""
        self.short = False
        self.mute = False
        self.hold = asyncio.Event()
        self.hold.set()
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    def put_u32(self, address: int, value: int) -> None:
        self.registers[address : address + 2] = [value >> 16, value & 0xFFFF]

    def writes(self, address: int) -> list[list[int]]:
        return [words for function, start, words in self.requests if function in (6, 16) and start == address]

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                tid, _, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
                pdu = await reader.readexactly(length - 1)
                answer = self._answer(pdu)
                await self.hold.wait()
                if not self.mute:
                    writer.write(struct.pack(">HHHB", tid, 0, len(answer) + 1, unit) + answer)
        self._writers.discard(writer)
        writer.close()

    def _answer(self, pdu: bytes) -> bytes:
        function, address = struct.unpack(">BH", pdu[:3])
        words: list[int] = []
        if function == 6:
            words = list(struct.unpack(">H", pdu[3:5]))
        elif function == 16:
            words = list(struct.unpack(f">{pdu[5] // 2}H", pdu[6:]))
        self.requests.append((function, address, words))
        if function in self.exception:
            return struct.pack(">BB", function | 0x80, self.exception[function])
        if function == 3:
            (count,) = struct.unpack(">H", pdu[3:5])
            shown = self.registers[address : address + count - (1 if self.short else 0)]
            return struct.pack(f">BB{len(shown)}H", 3, 2 * len(shown), *shown)
        self.registers[address : address + len(words)] = words
        return pdu[:5]


@pytest.fixture
async def modbus_plc() -> AsyncIterator[ModbusPlc]:
    plc = ModbusPlc()
    await plc.start()
    yield plc
    plc.hold.set()
    await plc.stop()
