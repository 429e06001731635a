"""Peers that are not ours: servers and a vehicle on other people's libraries, each in a process of its own.

| peer | what it needs |
|---|---|
| conveyor on libmodbus, `tests/peers/modbus_server.c` | gcc and Debian's libmodbus-dev |
| sorter on node-opcua, `tests/peers/opcua` | Node and `npm ci --prefix tests/peers/opcua` |
| vehicle on vda5050-sdk, `tests/peers/vda_vehicle.py` | the package, from the extra `dev` |
| Mosquitto | STELLWERK_TEST_MQTT=127.0.0.1:1883 |

A test names the peer that it has met with `met`; `peers_report` prints the list at the end of the run. A peer that is
not there skips its tests with the command that brings it, and fails them where STELLWERK_TEST_REQUIRE=1.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import aiomqtt
import pytest

from drivers.signals import bind
from gateway.site import Profile

FOLDER = Path(__file__).resolve().parents[1] / "peers"
START_S = 20.0
ANSWER_S = 10.0
LOOK_S = 0.02
ROUND = "ROUND "
MET = "peer"
MISSING = "peer missing"


def met(item: pytest.Item, name: str) -> None:
    """Note for the summary that this test talks to `name`."""
    if (MET, name) not in item.user_properties:
        item.user_properties.append((MET, name))


def missing(item: pytest.Item, name: str, how: str) -> NoReturn:
    """End this test because a peer is not there; `how` is what to do about it."""
    item.user_properties.append((MISSING, f"{name}: {how}"))
    if os.environ.get("STELLWERK_TEST_REQUIRE") == "1":
        pytest.fail(f"{name} is not there: {how}", pytrace=False)
    pytest.skip(f"{name} is not there: {how}")


class Peer:
    """One process that prints a first line when it is ready, answers each line on stdin and ends with it.

    It belongs to no event loop, so that several tests may share one.
    """

    def __init__(self, *argv: str | Path) -> None:
        self.argv = [str(part) for part in argv]
        self.name = ""
        """The library and its version, as the process says them."""
        self.port = 0
        self.rounds_us: list[int] = []
        """From setting Scan to receiving Divert, as far as the load generator's lines have been read."""
        self._process: subprocess.Popen[str] | None = None

    async def start(self, *more: str) -> None:
        """Start it and wait until it is ready; `more` arguments win over earlier ones."""
        self._spawn(*more)
        word, *rest = (await self._line(START_S)).split()
        if word == "PORT":
            self.port = int(rest.pop(0))
        self.name = " ".join(rest)

    async def ask(self, line: str) -> str:
        """Send one line and give the answer to it."""
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(f"{line}\n")
        return await self._line(ANSWER_S)

    async def log(self) -> dict[str, Any]:
        log: dict[str, Any] = json.loads(await self.ask("print-log"))
        return log

    async def log_when(self, fits: Callable[[dict[str, Any]], object], what: str) -> dict[str, Any]:
        """The log as soon as it is as wanted; fails with `what` where it never is."""
        for _ in range(int(ANSWER_S / LOOK_S)):
            log = await self.log()
            if fits(log):
                return log
            await asyncio.sleep(LOOK_S)
        pytest.fail(f"{self.name}: not within {ANSWER_S} s: {what}")

    def freeze(self) -> None:
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it at once; the kernel closes its sockets."""
        process, self._process = self._running(), None
        process.kill()
        await asyncio.to_thread(process.communicate)

    async def stop(self) -> None:
        """End it, running, frozen or dead. One that does not follow the end of its stdin is killed, and that fails."""
        await asyncio.to_thread(self.end)

    def end(self) -> None:
        """`stop` for a place without an event loop."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        try:
            process.communicate(timeout=ANSWER_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            pytest.fail(f"{self.argv[:2]} did not end with its stdin")

    def _spawn(self, *more: str) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([*self.argv, *more], stdin=pipe, stdout=pipe, text=True, bufsize=1)

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the peer has not been started"
        return self._process

    async def _line(self, limit_s: float) -> str:
        """The next line that is none of the load generator's own."""
        process = self._running()
        assert process.stdout is not None
        try:
            async with asyncio.timeout(limit_s):
                while (line := await asyncio.to_thread(process.stdout.readline)).startswith(ROUND):
                    self.rounds_us.append(int(line.removeprefix(ROUND)))
        except TimeoutError:
            process.kill()  # so that the thread which waits for the line ends, too
            pytest.fail(f"{self.argv[:2]} said nothing for {limit_s} s")
        if not line:
            pytest.fail(f"{self.argv[:2]} ended: {process.wait()}")
        return line.strip()


def modbus_binary(item: pytest.Item, folder: Path) -> Path:
    """The server on libmodbus, compiled into `folder` if it is not there yet."""
    binary = folder / "modbus_server"
    if binary.exists():
        return binary
    name, how = "libmodbus", "apt-get install gcc libmodbus-dev"
    compiler = shutil.which("gcc")
    if compiler is None:
        missing(item, name, how)
    probe = [compiler, "-E", "-include", "modbus/modbus.h", "-x", "c", os.devnull]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        missing(item, name, how)
    source = FOLDER / "modbus_server.c"
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", binary, source, "-lmodbus"], check=True)
    return binary


def modbus_peer(binary: Path, *options: str) -> Peer:
    return Peer(binary, "--beat-ms", "100", *options)


def opcua_peer(item: pytest.Item, profile: Profile, folder: Path, *options: str, lanes: int = 0) -> Peer:
    """The server on node-opcua with the nodes of a profile, plain and encrypted; `folder` is for its files.

    Its certificate is made where there is none yet, which takes seconds: several peers may have the same folder.
    """
    nodes = folder / "nodes.json"
    nodes.write_text(json.dumps(node_list(profile, lanes)))
    return Peer(*node_server(item), "--nodes", nodes, "--pki", folder / "pki-of-peer", "--beat-ms", "100", *options)


def opcua_load(item: pytest.Item, *, tags: int, changing: int, every_ms: int) -> Peer:
    """The server on node-opcua as a source of changes."""
    numbers = {"--tags": tags, "--changing": changing, "--every-ms": every_ms}
    return Peer(*node_server(item), *(part for name, number in numbers.items() for part in (name, str(number))))


def node_server(item: pytest.Item) -> tuple[str, str]:
    """Node and the script that it is to run."""
    node = shutil.which("node")
    if node is None:
        missing(item, "node-opcua", "install Node 20 or later")
    if not (FOLDER / "opcua" / "node_modules" / "node-opcua-server").is_dir():
        missing(item, "node-opcua", "npm ci --prefix tests/peers/opcua")
    return node, str(FOLDER / "opcua" / "server.js")


def node_list(profile: Profile, lanes: int) -> list[dict[str, Any]]:
    """What the OPC UA peer has to have: identifiers without `s=`, types in the profile's words."""
    signals = bind(profile, lanes=lanes).values()
    return [{"node": s.node.removeprefix("s="), "type": s.type, "writable": s.writable} for s in signals]


def vehicle_peer(item: pytest.Item, port: int, *options: str) -> Peer:
    """The vehicle on vda5050-sdk behind the broker on 127.0.0.1:`port`."""
    if importlib.util.find_spec("vda5050") is None:
        missing(item, "vda5050-sdk", "pip install vda5050-sdk, or the extra 'dev'")
    return Peer(sys.executable, FOLDER / "vda_vehicle.py", "--port", str(port), *options)


def outside_broker(item: pytest.Item) -> int:
    """The port of a broker that is not ours on this machine."""
    address = os.environ.get("STELLWERK_TEST_MQTT", "")
    if not address:
        missing(item, "Mosquitto", "STELLWERK_TEST_MQTT=127.0.0.1:1883 says where it is")
    return int(address.rpartition(":")[2])


async def broker_name(port: int) -> str:
    """What the broker on 127.0.0.1:`port` calls itself; "an outside MQTT broker" where it does not."""
    async with aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe("$SYS/broker/version")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                async for message in client.messages:
                    return bytes(message.payload).decode()
    return "an outside MQTT broker"


async def forget_retained(port: int, root: str) -> None:
    """Take a vehicle's retained messages from the broker, so that the next run does not find them."""
    async with aiomqtt.Client("127.0.0.1", port) as client:
        for kind in ("connection", "factsheet"):
            await client.publish(f"{root}/{kind}", b"", qos=1, retain=True)
