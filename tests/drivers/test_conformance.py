"""One suite for every driver: the cases of `conformance.py` against each protocol's own equipment on a real wire."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

# Test folders are no packages: what several of them share is imported by its own name.
sys.path.insert(0, str(Path(__file__).parent))

from conformance import CASES, EXEMPT, Stage
from conformance_attack import hostile_frames, replies_that_trip_the_library
from conformance_endings import ENDINGS
from rig_device import Rig
from rig_plc import ModbusRig, OpcuaRig
from rig_vda import VdaRig

from drivers.loopback import LoopbackDriver
from gateway.contract import Command, NotWritten
from gateway.devices.conveyor import Induct

RIGS: dict[str, Callable[[Callable[[], int]], Rig]] = {
    "modbus": lambda _: ModbusRig(),
    "opcua": lambda _: OpcuaRig(),
    "vda5050-amqtt": lambda _: VdaRig(),
    "vda5050-outside": lambda outside_broker: VdaRig(outside_broker()),
}
"""The rigs by name. A Modbus RTU rig would stand here, with a pty in place of the proxy."""

ALL_CASES = (*CASES, *ENDINGS, replies_that_trip_the_library, hostile_frames)


@pytest.fixture(params=RIGS)
async def rig(request: pytest.FixtureRequest, outside_broker: Callable[[], int]) -> AsyncIterator[Rig]:
    rig = RIGS[request.param](outside_broker)
    await rig.start()
    yield rig
    await rig.stop()


@pytest.fixture
def stage(rig: Rig, sink: Any, until: Any, running: Any) -> Stage:
    return Stage(rig, sink, until, running)


@pytest.mark.parametrize("case", ALL_CASES, ids=lambda case: case.__name__)
async def test_conformance(case: Callable[[Stage], Any], stage: Stage) -> None:
    reason = EXEMPT.get((case.__name__, stage.rig.name))
    if reason is not None:
        pytest.skip(reason)
    await case(stage)
    stage.require_orderly()


async def test_the_loopback_keeps_the_contract_too(sink: Any, running: Any) -> None:
    """It has no wire, so that of all cases those about what may be sent when are left."""
    driver = LoopbackDriver("L1", sink)
    run = running(driver)
    command: Command[Any] = Command("c1", "L1", 1, 1, 2**62, Induct(1, 1))

    async def refused() -> NotWritten:
        with pytest.raises(NotWritten) as raised:
            await driver.send(command)
        return raised.value

    assert (await refused()).certain, "before up"
    driver.connect()
    await driver.send(command)
    driver.fail_next_send(certain=False)
    assert not (await refused()).certain
    driver.disconnect("unplugged")
    assert (await refused()).certain, "while down"
    driver.connect()
    driver.connect()
    await driver.safe_stop()
    assert (await refused()).certain, "after safe_stop"
    assert sink.links("L1") == ["up", "down", "up"]
    assert len(driver.sent) == 2
    assert not run.done()
