"""`python -m plc_simulators playback FILE` as a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient

ROOT = Path(__file__).resolve().parents[2]
HEAD = {"link": "C1 plc:502", "protocol": "modbus"}
LINES: list[dict[str, Any]] = [
    {"at_ns": 0, **HEAD, "way": "out", "frame": "000100000006010300000001"},
    {"at_ns": 1, **HEAD, "way": "in", "frame": "000100000005010302002a"},
]


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    path = tmp_path / "capture.jsonl"
    path.write_text("\n".join(map(json.dumps, LINES)) + "\n")
    return path


@pytest.fixture
def vehicles(tmp_path: Path) -> Path:
    path = tmp_path / "vehicles.jsonl"
    lines = [{**line, "protocol": "vda5050", "topic": "a/b", "payload": "{}"} for line in LINES]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


async def launch(*arguments: str | Path) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    argv = [sys.executable, "-m", "plc_simulators", "playback", *map(str, arguments)]
    return await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe, cwd=ROOT)


async def ready(process: asyncio.subprocess.Process) -> int:
    """The port that it listens on."""
    assert process.stdout is not None
    told = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
    assert told["ready"] is True
    return int(told["address"].rpartition(":")[2])


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    _, said = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, said.decode()


@pytest.mark.parametrize("how", ["stdin", "SIGTERM"])
async def test_it_answers_and_ends_in_order(capture: Path, how: str) -> None:
    process = await launch(capture)
    port = await ready(process)
    async with AsyncModbusTcpClient("127.0.0.1", port=port) as client:
        assert (await client.read_holding_registers(0, count=1)).registers == [42]
        if how == "SIGTERM":
            process.send_signal(signal.SIGTERM)
        else:
            assert process.stdin is not None
            process.stdin.close()
        assert await ended(process) == (0, "")


async def test_what_can_not_be_played_back_is_said_without_a_traceback(capture: Path, vehicles: Path) -> None:
    code, said = await ended(await launch(capture, "--link", "C2"))
    assert (code, said) == (2, f"{capture}: no link 'C2' in it; there are 'C1 plc:502' (modbus, 2 lines)\n")
    code, said = await ended(await launch(capture.parent / "none.jsonl"))
    assert (code, said.count("\n")) == (2, 1)
    code, said = await ended(await launch(vehicles))
    assert (code, said) == (2, "vehicles are played back through a broker: name it with --broker HOST:PORT\n")
    code, said = await ended(await launch(vehicles, "--broker", "127.0.0.1:1"))
    assert code == 2
    assert "Traceback" not in said
