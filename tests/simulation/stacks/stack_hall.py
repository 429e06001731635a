"""The hall of a run: its site, the plant, and the production servers that put the plant's PLCs on the net in memory."""

from __future__ import annotations

import asyncio
import random
from functools import cache
from pathlib import Path

from stack_loop import PlantLoop
from stack_net import Line

from gateway.shell.config import load
from gateway.site import Site
from plc_simulators import layout as layouts
from plc_simulators.plant import Plant
from plc_simulators.servers.modbus import ModbusServer
from plc_simulators.servers.opcua import OpcuaServer

SITE = Path(__file__).parent / "site"
STEP_S = 0.05
"""How often the plant is stepped and pushed; its own scans are 10 ms all the same."""
NO_READ_SHARE = 0.02
EMPTYING_NS = 8_000_000_000
FIRST_PORT = 60_000
DEVICES = ("C1", "C2", "S1", "RC1")
"""In the order in which their servers are opened, and so of their ports."""


@cache
def site() -> Site:
    """The YAML beside this module, with the ports that the loop gives to the first servers."""
    ports = {device: FIRST_PORT + number for number, device in enumerate(DEVICES)}
    environment = {f"STELLWERK_{device}_PORT": str(port) for device, port in ports.items()}
    environment |= {f"STELLWERK_{device}_URL": f"opc.tcp://127.0.0.1:{port}/" for device, port in ports.items()}
    loaded = load(SITE, env=environment)
    assert loaded.site is not None, loaded.problems
    return loaded.site


class Hall:
    """Plant time is the loop's time. `close` and `open` of one device cut its server off and bring it back."""

    def __init__(self, loop: PlantLoop, seed: object) -> None:
        self.plant = Plant(layouts.read(SITE, {}), random.Random(f"{seed} plant").random, boot_id=7)
        self.plant.emptying_ns = EMPTYING_NS
        self.servers: dict[str, ModbusServer | OpcuaServer] = {}
        self._loop = loop
        self._steps: asyncio.Task[None] | None = None
        for sorter in self.plant.sorters.values():
            sorter.no_read_share = NO_READ_SHARE

    def line(self, device: str) -> Line:
        """The cable to a device's server."""
        return self._loop.line(FIRST_PORT + DEVICES.index(device))

    async def start(self) -> None:
        """All servers listen, and the plant runs."""
        for device in DEVICES:
            await self._serve(device)
            assert self.servers[device].port == FIRST_PORT + DEVICES.index(device)
        self._steps = asyncio.create_task(self._run(), name="plant")

    async def stop(self) -> None:
        """End for good. Raises what stopped the plant if it stopped by itself."""
        assert self._steps is not None, "the hall has not been started"
        self._steps.cancel()
        await asyncio.gather(self._steps, return_exceptions=True)
        for device in DEVICES:
            await self._end(device)
        if not self._steps.cancelled():
            self._steps.result()

    async def restart(self, device: str, down_s: float) -> None:
        """The PLC and its server go off, and come back after `down_s` knowing what a PLC keeps over a restart."""
        await self._end(device)
        await asyncio.sleep(down_s)
        self.plant.fault("plc_restart", device)
        await self._serve(device)

    async def _serve(self, device: str) -> None:
        plant, loop = self.plant, self._loop
        loop.reopens = self.servers[device].port if device in self.servers else 0
        if device in plant.conveyors:
            server: ModbusServer | OpcuaServer = ModbusServer(
                plant.conveyors[device], lambda: plant.now_ns, loop.now_ns
            )
        else:
            equipment = (plant.sorters | plant.cells)[device]
            server = OpcuaServer(equipment, lambda: plant.now_ns, loop.now_ns)
        self.servers[device] = server
        await server.open()
        await server.flush()

    async def _end(self, device: str) -> None:
        server = self.servers[device]
        await (server.stop() if isinstance(server, OpcuaServer) else server.close())

    async def _run(self) -> None:
        """Step the plant and push what changed, for ever."""
        while True:
            await asyncio.sleep(STEP_S)
            self.plant.life(self._loop.now_ns())
            self.plant.advance(self._loop.now_ns())
            for server in list(self.servers.values()):
                await server.flush()
