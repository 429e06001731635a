"""The simulators as a process of their own: ready line, control channel, and every way to its end."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

SITE = """
locations:
  - {id: C1-IN, kind: transfer}
  - {id: OUT, kind: rack, capacity: 9}
devices:
  - {id: C1, type: conveyor, zones: 3, runs: [{from: C1-IN, to: OUT, zone_first: 1, zone_last: 3}]}
"""
ROOT = Path(__file__).resolve().parents[2]


class Process:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ready(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), 30)
        found = json.loads(line)
        assert found["ready"] is True
        return dict(found)

    async def ask(self, port: int, request: dict[str, Any]) -> dict[str, Any]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(json.dumps(request).encode() + b"\n")
        answer = json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
        return dict(answer)

    async def ended(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and what was said on stderr."""
        _, said = await asyncio.wait_for(self.process.communicate(), 15)
        assert self.process.returncode is not None
        return self.process.returncode, said.decode()


async def launch(*arguments: str) -> Process:
    pipe = asyncio.subprocess.PIPE
    return Process(
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "plc_simulators", *arguments, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT
        )
    )


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Process]:
    (tmp_path / "site.yaml").write_text(SITE)
    process = await launch(str(tmp_path), "--seed", "3", "--speed", "10")
    yield process
    if process.process.returncode is None:
        process.process.kill()
        await process.process.wait()


async def test_it_says_ready_takes_a_load_and_ends_with_its_parent(running: Process) -> None:
    ready = await running.ready()
    assert set(ready["environment"]) == {"STELLWERK_C1_PORT", "STELLWERK_MQTT_PORT"}
    port = ready["control_port"]
    put = {"op": "put", "load": "L1", "barcodes": ["A"], "location": "C1-IN"}
    assert await running.ask(port, put) == {"ok": True}
    assert (await running.ask(port, {"op": "loads"}))["loads"] == {"L1": "C1/zone 1"}
    assert running.process.stdin is not None
    running.process.stdin.close()
    assert await running.ended() == (0, "")


@pytest.mark.parametrize("way", ["stop", "SIGTERM"])
async def test_it_ends_when_asked_to(running: Process, way: str) -> None:
    ready = await running.ready()
    if way == "stop":
        assert await running.ask(ready["control_port"], {"op": "stop"}) == {"ok": True}
    else:
        running.process.send_signal(signal.SIGTERM)
    assert await running.ended() == (0, "")


async def test_a_folder_without_a_site_is_refused_in_one_line(tmp_path: Path) -> None:
    process = await launch(str(tmp_path))
    code, said = await process.ended()
    assert code == 2
    assert said.splitlines() == [f"{tmp_path}: no *.yaml file there; give the folder of a site"]


async def test_a_broker_that_is_not_there_is_named(tmp_path: Path) -> None:
    vehicle = "{id: AGV1, type: agv, home: A, connection: {manufacturer: stellwerk, serial: agv-1}}"
    (tmp_path / "site.yaml").write_text(f"map: {{nodes: [{{id: A, x_mm: 0, y_mm: 0}}]}}\ndevices: [{vehicle}]\n")
    holder = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = holder.sockets[0].getsockname()[1]
    process = await launch(str(tmp_path), "--mqtt-port", str(port))
    code, said = await process.ended()
    holder.close()
    assert code == 2
    assert f"AGV1: no broker answers on 127.0.0.1:{port}" in said.splitlines()[-1]
