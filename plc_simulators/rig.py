"""The whole plant on the real wire, in the running loop: models, servers, broker, control channel."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType

from plc_simulators import layout, operations
from plc_simulators.plant import Plant
from plc_simulators.servers.broker import EmbeddedBroker
from plc_simulators.servers.control import ControlServer
from plc_simulators.servers.modbus import ModbusServer
from plc_simulators.servers.opcua import OpcuaServer
from plc_simulators.servers.tasks import end
from plc_simulators.servers.vda5050 import VehicleClient

STEP_S = 0.005
"""How often the plant is stepped, in real time."""
CATCH_UP_NS = 200_000_000
"""Plant time done in one step at most: where the machine can't keep up, plant time slips."""


class Rig:
    """`async with Rig(site) as rig`: everything listens on free loopback ports and the plant runs.

    Plant time is real time × `speed`. `environment` names the addresses as the site's YAML asks for them. With
    `mqtt_port` the vehicles use that broker on 127.0.0.1 instead of an embedded one.
    """

    def __init__(self, site: Path, *, seed: int = 1, speed: float = 1.0, mqtt_port: int | None = None) -> None:
        if not 0 < speed <= 100:
            raise ValueError(f"speed {speed} is not within 0 to 100")
        # The boot number comes from the clock, so that a restarted process is seen as restarted PLCs.
        boot_id = int(time.time()) % 2**16
        self.plant = Plant(layout.read(site), random.Random(seed).random, boot_id=boot_id)
        self.speed = speed
        self.mqtt_port = mqtt_port
        self.environment: dict[str, str] = {}
        self.control_port = 0
        self.stop_asked = asyncio.Event()
        self.vehicles: dict[str, VehicleClient] = {}
        self._stack = AsyncExitStack()
        self._plant_clock: asyncio.Task[None] | None = None
        plant = self.plant
        self.modbus = {
            name: ModbusServer(line, self._clock, time.monotonic_ns) for name, line in plant.conveyors.items()
        }
        self.opcua = {
            name: OpcuaServer(line, self._clock, time.monotonic_ns)
            for name, line in (plant.sorters | plant.cells).items()
        }

    def _clock(self) -> int:
        return self.plant.now_ns

    async def __aenter__(self) -> Rig:
        async with AsyncExitStack() as stack:
            for name, modbus in self.modbus.items():
                stack.push_async_callback(modbus.close)
                await modbus.open()
                self.environment[f"STELLWERK_{name}_PORT"] = modbus.address
            for name, opcua in self.opcua.items():
                stack.push_async_callback(opcua.stop)
                await opcua.open()
                self.environment[f"STELLWERK_{name}_URL"] = opcua.address
            await self._open_vehicles(stack)
            control = ControlServer(partial(operations.answer, self))
            stack.push_async_callback(control.close)
            await control.open()
            self.control_port = control.port
            self._plant_clock = asyncio.create_task(self._run(), name="plant clock")
            stack.push_async_callback(end, self._plant_clock)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        clock = self._plant_clock
        if kind is None and clock is not None and not clock.cancelled():
            # A plant that stopped by itself must not look like one that merely had nothing to do.
            clock.result()

    async def finished(self) -> None:
        """Wait until somebody asks for the end; raises what stopped the plant if it stopped by itself."""
        assert self._plant_clock is not None, "the rig has not been entered"
        asked = asyncio.create_task(self.stop_asked.wait(), name="stop asked")
        await asyncio.wait((asked, self._plant_clock), return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if self._plant_clock.done():
            self._plant_clock.result()

    async def _open_vehicles(self, stack: AsyncExitStack) -> None:
        port = self.mqtt_port
        if port is None:
            broker = EmbeddedBroker()
            stack.push_async_callback(broker.close)
            await broker.open()
            port = self.mqtt_port = broker.port
        self.environment["STELLWERK_MQTT_PORT"] = str(port)
        for name, agv in self.plant.vehicles.items():
            vehicle = VehicleClient(agv, self.plant.layout.map_id, port, version=agv.layout.vda_version)
            stack.push_async_callback(vehicle.stop)
            self.vehicles[name] = vehicle
        await asyncio.gather(*(vehicle.start() for vehicle in self.vehicles.values()))

    async def fault(self, kind: str, device: str, on: bool = True, **where: object) -> None:
        """Switch a fault on or off. Raises plc_simulators.faults.FaultError for one that makes no sense."""
        self.plant.fault(kind, device, on, **where)
        if kind == "link_drop":
            links: dict[str, ModbusServer | OpcuaServer | VehicleClient] = {
                **self.modbus,
                **self.opcua,
                **self.vehicles,
            }
            await (links[device].close() if on else links[device].open())

    async def _run(self) -> None:
        """Step the plant and push what changed, for ever."""
        before_ns, target_ns = time.monotonic_ns(), self.plant.now_ns
        while True:
            await asyncio.sleep(STEP_S)
            real_ns = time.monotonic_ns()
            target_ns += min(int((real_ns - before_ns) * self.speed), CATCH_UP_NS)
            before_ns = real_ns
            self.plant.life(real_ns)
            self.plant.advance(target_ns)
            for server in self.opcua.values():
                await server.flush()
            for vehicle in self.vehicles.values():
                vehicle.flush(real_ns)
