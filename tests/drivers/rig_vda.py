"""The conformance rig of the VDA 5050 driver: the simulators' vehicle at a broker, the driver behind a proxy to it."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from rig_device import Hasty, Rig
from rig_frames import forged, forged_json, mutate, publish
from rig_plc import profile
from rig_tricks import MQTT_TRICKS

from drivers.vda5050.driver import VdaDriver
from gateway.devices.agv import Drive, DriveNode
from gateway.site import AgvSpec
from plc_simulators.layout import VehicleLayout
from plc_simulators.models.agv import Agv
from plc_simulators.models.deck import World
from plc_simulators.models.vda_order import Order
from plc_simulators.servers.broker import EmbeddedBroker
from plc_simulators.servers.vda5050 import VehicleClient

NODES = {"H1": (1000, 2000), "H2": (5000, 2000)}
PERMILLE_MAX = 1000
RAW_SHARE = 0.04
"""So much of the hostile frames is no MQTT at all; each ends the connection."""


class HeardAgv(Agv):
    """The vehicle as it is, with an ear for its orders."""

    heard: Callable[[Order], None]

    def order(self, order: Order) -> None:
        self.heard(order)
        super().order(order)


class VdaRig(Rig):
    """One vehicle. `broker_port`: of a broker that is not ours, 0 for the embedded one."""

    name = "vda5050"
    device = "AGV1"
    timeout_ms = 0
    silent_s = 1.75
    connect_s = 5.0
    heads = (b"\x30\x20\0\x05", b"\x90\x03\0\x01", b"\xd0\0", b"\x20\2\0\0", b"\x32\x40", b"\x40\2", b"\xf0")
    openers = (b"\x20",)
    early_share = 0.02
    tricks = MQTT_TRICKS

    def __init__(self, broker_port: int = 0) -> None:
        super().__init__()
        self.serial = f"v-{uuid.uuid4().hex[:12]}"
        self._outside = broker_port
        self._broker = EmbeddedBroker()
        self._good: dict[str, bytes] = {}
        """A message of each kind, for the hostile ones to be made of."""
        self.agv = self._new_agv("H1")
        self.vehicle: VehicleClient

    def _new_agv(self, home: str) -> HeardAgv:
        agv = HeardAgv(VehicleLayout(self.device, "stellwerk", self.serial, home), World(nodes=NODES))
        agv.heard = self._heard
        return agv

    def _heard(self, order: Order) -> None:
        whole = order.update_id == 0 and len(order.nodes) == 1 and order.nodes[0].seq == 0
        self.took(int(order.id.removeprefix("D")), is_whole=whole)

    def peer_port(self) -> int:
        return self._outside or self._broker.port

    async def start_peer(self) -> None:
        if not self._outside:
            await self._broker.open()
        self.vehicle = VehicleClient(self.agv, "floor", self.peer_port())
        await self.vehicle.start()

    async def stop_peer(self) -> None:
        await self.vehicle.stop()
        await self._broker.close()

    async def step(self, hurried_ns: int) -> None:
        self.agv.step()
        if self.beating:
            self.vehicle.flush(hurried_ns)

    def driver(
        self, sink: Any, *, port: int | None = None, stale_ms: int | None = None, hasty: bool = False,
        read_only: bool = False,
    ) -> VdaDriver:  # fmt: skip
        spec = AgvSpec.model_validate(
            {
                "id": self.device, "type": "agv", "driver": "vda5050", "profile": "vda5050-2.1", "home": "H1",
                "connection": {
                    "port": port or self.proxy.port, "manufacturer": "stellwerk", "serial": self.serial,
                },
            }
        )  # fmt: skip
        profiles = {"vda5050-2.1": profile("vda5050-2.1", stale_ms=stale_ms or self.stale_ms)}
        rng = Hasty() if hasty else random.Random()  # the client's identifier comes from it: a broker wants it unique
        return VdaDriver([spec], profiles, sink, time.time_ns, _utc_now, rng=rng)

    def action(self, seq: int) -> Drive:
        node = self.agv.last_node
        return Drive(f"D{seq}", 0, "floor", (DriveNode(node, 0, True, *NODES[node]),), ())

    async def restart(self) -> Callable[[Any], bool]:
        """The vehicle is switched off where it stands and on again somewhere else, all its memory gone."""
        await self.vehicle.stop()
        home = "H2" if self.agv.layout.home == "H1" else "H1"
        self.agv = self._new_agv(home)
        self.vehicle = VehicleClient(self.agv, "floor", self.peer_port())
        await self.vehicle.start()
        return lambda report: bool(report.last_node == home)

    async def settle(self) -> None:
        """The vehicle signs off and on: the broker has confirmed its last word, so it has the ones before."""
        await self.vehicle.stop()
        self.vehicle = VehicleClient(self.agv, "floor", self.peer_port())
        await self.vehicle.start()

    def show(self, level: int) -> None:
        self.agv.battery_percent = float(level)
        self.agv.version += 1

    def level(self, report: Any) -> int:
        return int(report.battery_permille // 10)

    def notify(self, number: int) -> None:
        self.agv.factsheet_requests += 1
        self.agv.version += 1

    async def bad(self, *, on: bool) -> None:
        self.show(250 if on else 60)

    def is_valid(self, report: Any) -> bool:
        return 0 <= report.battery_permille <= PERMILLE_MAX and super().is_valid(report)

    def frame(self, rng: random.Random, seeds: Sequence[bytes]) -> bytes:
        if rng.random() < RAW_SHARE:
            return forged(rng, seeds, self.heads)
        kind = rng.choice(("state", "state", "state", "connection", "factsheet", "visualization"))
        good = self._good.get(kind)
        if good is None:
            messages = self.vehicle._messages
            good = messages.connection("ONLINE") if kind == "connection" else getattr(messages, kind)()
            self._good[kind] = good
        topic = f"uagv/v2/stellwerk/{self.serial}/{kind}"
        if rng.random() < 0.05:
            topic = mutate(rng, topic.encode()).decode("latin-1")
        return publish(topic, forged_json(rng, good))


def _utc_now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
