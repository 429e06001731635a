"""A seeded stream of orders from two hosts: a WMS that ships totes and has them decanted, a shop in a hurry.

Each load is really put into a rack of the plant, announced, and ordered, through the channels' folders, as a host
would do it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from gateway.demo.simulators import Simulators
from gateway.dispatch.state import State

INTERVAL_S = 1.2
"""Mean time between two orders at speed 1."""
CITIES = ("BERLIN", "HAMBURG", "MUNICH", "COLOGNE", "LEIPZIG")
RACKS = ("RACK-1", "RACK-2", "RACK-3", "RACK-4")
RACK_SHARE = 0.75
"""The stream fills a rack only so far: what comes back from the robot cell needs room, too."""
ROOM_WAIT_S = 0.2


def steps_for(rng: random.Random, load: str, host: str) -> list[dict[str, Any]]:
    """What one order asks for: shipped as it is, picked from first, or decanted by the robot and put away."""
    city = rng.choice(CITIES)
    picked = rng.random() < (0.5 if host == "shop" else 0.15)
    if host == "shop" and not picked:
        return [{"step": "ship", "kind": "sort", "load": load, "to": "EXPRESS"}]
    if host == "shop":
        return [
            {"step": "pick", "kind": "work", "load": load, "to": "", "skill": "pick"},
            {"step": "ship", "kind": "sort", "load": load, "to": "EXPRESS", "after": ["pick"]},
        ]
    if rng.random() < 0.15:
        recipe = rng.choice(("small", "large"))
        return [
            {"step": "decant", "kind": "work", "load": load, "to": "RC1", "skill": "decant", "recipe": recipe},
            {"step": "store", "kind": "move", "load": load, "to": rng.choice(RACKS), "after": ["decant"]},
        ]
    if picked:
        return [
            {"step": "pick", "kind": "work", "load": load, "to": "", "skill": "pick"},
            {"step": "ship", "kind": "sort", "load": load, "to": city, "after": ["pick"]},
        ]
    return [{"step": "ship", "kind": "sort", "load": load, "to": city}]


class Stream:
    """Sends `count` orders (0: for ever) at the demo's speed and remembers what the gateway answered."""

    def __init__(
        self, count: int, seed: int, speed: float, inbox: Path, plant: Simulators, state: Callable[[], State]
    ) -> None:
        self._count = count
        self._rng = random.Random(seed)
        self._speed = speed
        self._inbox = inbox
        self._plant = plant
        self._state = state
        self.sent = 0
        self.done = False
        self.loads: list[str] = []

    async def run(self) -> None:
        """Send all orders, then end."""
        number = 0
        while not self._count or number < self._count:
            number += 1
            await self._send(number)
            await asyncio.sleep(self._rng.expovariate(self._speed / INTERVAL_S))
        self.done = True

    async def _send(self, number: int) -> None:
        rng = self._rng
        host = "shop" if rng.random() < 0.35 else "wms"
        load, code = f"T{number:05d}", f"0034012345{number:08d}"
        rack = await self._rack_with_room(rng.randrange(len(RACKS)))
        await self._plant.ask("put", load=load, barcodes=[code], location=rack)
        self.loads.append(load)
        order = {
            "type": "create_order", "order": f"{host.upper()}-{number:05d}", "priority": 1 if host == "shop" else 3,
            "steps": steps_for(rng, load, host),
        }  # fmt: skip
        announce = {"type": "announce_load", "load": load, "location": rack, "barcodes": [code]}
        # One file, two requests: the gateway takes them in this order.
        envelopes = [
            {"request_id": f"load-{number}", "request": announce},
            {"request_id": f"order-{number}", "request": order},
        ]
        await asyncio.to_thread(self._drop, host, number, msgspec.json.encode(envelopes))
        self.sent = number

    def _drop(self, host: str, number: int, content: bytes) -> None:
        folder = self._inbox / host
        part = folder / f".{number:06d}.part"
        part.write_bytes(content)
        part.replace(folder / f"{number:06d}.json")

    async def _rack_with_room(self, first: int) -> str:
        """The next rack that is not too full; waits for one."""
        while True:
            state = self._state()
            for i in range(len(RACKS)):
                rack = RACKS[(first + i) % len(RACKS)]
                if len(state.standing.get(rack, {})) < 40 * RACK_SHARE:
                    return rack
            await asyncio.sleep(ROOM_WAIT_S)


def answers(inbox: Path, host: str) -> dict[str, tuple[bool, str]]:
    """What the gateway answered to a host: request id → accepted, reason."""
    found: dict[str, tuple[bool, str]] = {}
    for path in sorted((inbox / host / "done").glob("*.reply.json")):
        for answer in msgspec.json.decode(path.read_bytes()):
            found[answer["request_id"]] = (answer["accepted"], answer["reason"])
    return found
