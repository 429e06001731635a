"""A vehicle on the package vda5050-sdk, in a process of its own: a reading of VDA 5050 2.1 that is not ours.

    python vda_vehicle.py --port N [--serial S] [--node N1] [--x M] [--y M] [--map M] [--state-ms N] [--node-ms N]

Connects to the broker on 127.0.0.1, prints "READY …" and runs until stdin is closed; then it signs off. It takes only
messages that fit the official schemas inside the package. Lines on stdin, each answered by one line:

    battery PERCENT   the battery's charge
    print-log         JSON: the orders and instant actions that came, the nodes that were reached
    die               end at once, without signing off
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from importlib import metadata
from typing import Any

from vda5050.client.agv.client import VehicleClient
from vda5050.client.agv.executor import OrderExecutor
from vda5050.config import VehicleConfig
from vda5050.model.common import Action
from vda5050.model.enums import ActionStatus
from vda5050.model.factsheet import Factsheet
from vda5050.model.instant_actions import InstantActions
from vda5050.model.order import Order
from vda5050.model.state import Load

FACTSHEET = {
    "headerId": 0, "timestamp": "2026-01-01T00:00:00.000Z", "version": "2.1.0",
    "manufacturer": "peer", "serialNumber": "peer-1",
    "typeSpecification": {
        "seriesName": "SDK", "agvKinematic": "DIFF", "agvClass": "CARRIER", "maxLoadMass": 50,
        "localizationTypes": ["NATURAL"], "navigationTypes": ["AUTONOMOUS"],
    },
    "physicalParameters": {
        "speedMin": 0.01, "speedMax": 1.5, "accelerationMax": 0.8, "decelerationMax": 1.2,
        "heightMax": 0.4, "width": 0.6, "length": 0.9,
    },
    "protocolLimits": {
        "maxStringLens": {}, "maxArrayLens": {}, "timing": {"minOrderInterval": 0.05, "minStateInterval": 0.01},
    },
    "protocolFeatures": {
        "optionalParameters": [],
        "agvActions": [
            {"actionType": "pick", "actionScopes": ["NODE"]},
            {"actionType": "drop", "actionScopes": ["NODE"]},
            {"actionType": "cancelOrder", "actionScopes": ["INSTANT"]},
            {"actionType": "stateRequest", "actionScopes": ["INSTANT"]},
            {"actionType": "factsheetRequest", "actionScopes": ["INSTANT"]},
        ],
    },
    "agvGeometry": {},
    "loadSpecification": {},
}  # fmt: skip


class Peer:
    """The package's client and executor, put together as its own test double does."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.log: dict[str, list[Any]] = {"orders": [], "instant": [], "nodes": []}
        config = VehicleConfig(
            broker_url=f"mqtt://127.0.0.1:{options.port}",
            manufacturer="peer",
            serial_number=options.serial,
            keepalive=options.keepalive_s,
            state_interval=options.state_ms / 1000,
            validate_messages=True,
        )
        self.client = VehicleClient(config, factsheet_provider=lambda: Factsheet.model_validate(FACTSHEET))
        self.client.on_order(self.order)
        self.client.on_instant_actions(self.instant_actions)
        self._driving: asyncio.Task[Any] | None = None

    async def start(self) -> None:
        await self.client.connect()
        publisher, options = self.client.publisher, self.options
        publisher.update_position(x=options.x, y=options.y, theta=0.0, map_id=options.map)
        publisher.mark_node_traversed(options.node, 0)
        publisher.set_new_base_request(False)
        publisher.set_loads([])
        await self.client.publish_state()

    def order(self, order: Order) -> None:
        """The package calls this within its reading loop: driving has to be a task of its own."""
        self.log["orders"].append([order.order_id, order.order_update_id, len(order.nodes)])
        self._halt()
        self._driving = asyncio.create_task(self._drive(order))

    async def _drive(self, order: Order) -> None:
        executor = Executor(self.client, self.options.node_ms / 1000, self.log["nodes"])
        await executor.run(order)

    def instant_actions(self, message: InstantActions) -> None:
        self.log["instant"] += [action.action_type for action in message.actions]
        if any(action.action_type == "cancelOrder" for action in message.actions):
            self._halt()

    def _halt(self) -> None:
        if self._driving is not None:
            self._driving.cancel()
            self._driving = None

    async def stop(self) -> None:
        self._halt()
        await self.client.disconnect()

    def obey(self, line: str) -> str:
        word, _, rest = line.partition(" ")
        if word == "print-log":
            return json.dumps(self.log)
        if word == "battery":
            publisher = self.client.publisher
            publisher.set_battery(publisher.battery.model_copy(update={"battery_charge": float(rest)}))
            return "OK"
        if word == "die":
            os._exit(9)
        return f"? {word}"


class Executor(OrderExecutor):
    """The package's reference executor, with a deck that a pick fills and a drop empties."""

    def __init__(self, client: VehicleClient, node_s: float, reached: list[Any]) -> None:
        super().__init__(
            client.publisher,
            node_delay=node_s,
            action_delay=node_s,
            on_node_arrived=lambda node: reached.append(node.node_id),
        )
        self._client = client

    async def run_action(self, action: Action, **where: Any) -> None:
        await super().run_action(action, **where)
        if self._client.publisher.action_status(action.action_id) is not ActionStatus.FINISHED:
            return
        named = {parameter.key: parameter.value for parameter in action.action_parameters or []}
        if action.action_type == "pick":
            self._client.set_loads([Load(load_id=str(named.get("loadId", "")))])
        elif action.action_type == "drop":
            self._client.set_loads([])


async def obey_stdin(peer: Peer) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    with contextlib.closing(transport):
        while line := await reader.readline():
            sys.stdout.write(peer.obey(line.decode().strip()) + "\n")
            sys.stdout.flush()


async def run(options: argparse.Namespace) -> None:
    peer = Peer(options)
    await peer.start()
    sys.stdout.write(f"READY vda5050-sdk {metadata.version('vda5050-sdk')}\n")
    sys.stdout.flush()
    await obey_stdin(peer)
    await peer.stop()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--serial", default="peer-1")
    parser.add_argument("--node", default="N1")
    parser.add_argument("--x", type=float, default=0.0)
    parser.add_argument("--y", type=float, default=0.0)
    parser.add_argument("--map", default="floor")
    parser.add_argument("--state-ms", type=int, default=300)
    parser.add_argument("--node-ms", type=int, default=150)
    parser.add_argument("--keepalive-s", type=int, default=2)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
