"""Fixtures for the simulators: plants without a wire, and a hand that writes commands into a mailbox."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plc_simulators import layout
from plc_simulators.models.mailbox import Offer
from plc_simulators.plant import Plant

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "config" / "demo"
SECOND_NS = 1_000_000_000


class Hand:
    """Works a plant as a gateway would: numbers its commands, and lets time pass."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.seq = 0
        self.run(2)  # power-on: lines come to Execute, the cell to Idle

    def run(self, seconds: float) -> None:
        self.plant.advance(self.plant.now_ns + int(seconds * SECOND_NS))

    def until(self, true: Callable[[], bool], seconds_max: float = 120) -> None:
        """Let plant time pass until something is so; fail where it does not come to be."""
        end_ns = self.plant.now_ns + int(seconds_max * SECOND_NS)
        while not true():
            assert self.plant.now_ns < end_ns, f"not so within {seconds_max} s of plant time: {self.plant.loads()}"
            self.plant.advance(self.plant.now_ns + 10_000_000)

    def send(self, device: str, code: int, *, seq: int = 0, epoch: int = 1, **values: int | str) -> int:
        """Write a command and return its number."""
        self.seq = seq or self.seq + 1
        offer = Offer(self.seq, epoch, code, values)
        self.plant.controllers()[device].mailbox.offer(offer, self.plant.now_ns)
        return self.seq

    def command(self, device: str, code: int, **values: int | str) -> int:
        """Write a command, wait until it is done and return its result."""
        seq = self.send(device, code, **values)
        box = self.plant.controllers()[device].mailbox
        self.until(lambda: box.done_seq == seq)
        return box.result


@pytest.fixture
def demo() -> Path:
    return DEMO


@pytest.fixture
def plant() -> Plant:
    made = Plant(layout.read(DEMO, {}), random.Random(7).random)
    made.sorters["S1"].no_read_share = 0.0
    return made


@pytest.fixture
def hand(plant: Plant) -> Hand:
    return Hand(plant)


@pytest.fixture(scope="session")
def schemas() -> Path:
    """The folder with the official VDA 5050 2.1.0 JSON schemas."""
    named = os.environ.get("STELLWERK_VDA5050_SCHEMAS")
    folder = Path(named) if named else ROOT.parent / "shared" / "vda5050" / "2.1.0"
    if not (folder / "state.schema").is_file():
        pytest.skip(f"no VDA 5050 schemas in {folder}: set STELLWERK_VDA5050_SCHEMAS to their folder")
    return folder


async def eventually(true: Callable[[], Any], seconds_max: float = 10.0) -> Any:
    """Wait in real time until `true()` (or what it returns, awaited) is truthy and return that."""
    async with asyncio.timeout(seconds_max):
        while True:
            found = true()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return found
            await asyncio.sleep(0.01)


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    return eventually
