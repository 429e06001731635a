"""Simulated people: they sign on at their stations and confirm the work that the gateway gives them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from gateway.contract import ConfirmWork, Reply, Request, SignOn
from gateway.dispatch.state import State

SHIFTS = {"WS1": "anna", "WS2": "ben", "CLR": "cleo"}
WORK_S = (4.0, 9.0)
"""How long a piece of work takes at speed 1, least and most."""
LOOK_S = 0.1

Ask = Callable[[str, str, Request], Awaitable[Reply]]


class People:
    """Everybody on shift."""

    def __init__(self, ask: Ask, state: Callable[[], State], seed: int, speed: float) -> None:
        self._ask = ask
        self._state = state
        self._rng = random.Random(seed + 1)
        self._speed = speed

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for station, person in SHIFTS.items():
                group.create_task(self._work(person, station))

    async def _work(self, person: str, station: str) -> None:
        await self._ask("people", f"on-{person}", SignOn(person, station))
        while True:
            task = self._state().stations[station].task
            if not task:
                await asyncio.sleep(LOOK_S)
                continue
            await asyncio.sleep(self._rng.uniform(*WORK_S) / self._speed)
            await self._ask("people", f"done-{task}", ConfirmWork(task, person))
