"""Faults on a timetable: `KIND:DEVICE[:NUMBER]@START[+SECONDS]`, such as `jam:C1:5@20+15`, `agv_failure:AGV3@30+20`.

The simulated plant has the fault; an operator who comes when it is over resets what has to be reset.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import msgspec

from gateway.contract import Reply, Request, ResetDevice
from gateway.demo.simulators import Simulators

FORM = re.compile(r"(?P<kind>[a-z_]+):(?P<device>[\w.\-]+)(?::(?P<number>\d+))?@(?P<start>\d+)(?:\+(?P<length>\d+))?")
LENGTH_S = 15
NUMBER_NAME = {
    "jam": "zone", "sensor_stuck": "zone", "lane_full": "lane", "lane_disabled": "lane", "slow_plc": "delay_ms",
    "low_battery": "percent",
}  # fmt: skip

Ask = Callable[[str, str, Request], Awaitable[Reply]]


class Fault(msgspec.Struct, frozen=True):
    """One entry of the timetable; times in seconds of real time from the demo's start."""

    kind: str
    device: str
    number: int
    start_s: int
    length_s: int


def parse(text: str) -> Fault:
    """Raises ValueError with the form that is wanted."""
    found = FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"fault {text!r}: write KIND:DEVICE[:NUMBER]@START[+SECONDS], for instance jam:C1:5@20+15")
    number, length = found["number"], found["length"]
    return Fault(found["kind"], found["device"], int(number or 0), int(found["start"]), int(length or LENGTH_S))


async def keep(fault: Fault, plant: Simulators, ask: Ask) -> None:
    """Switch the fault on and off in time. Raises RuntimeError when the plant does not know it."""
    where = {NUMBER_NAME[fault.kind]: fault.number} if fault.kind in NUMBER_NAME else {}
    await asyncio.sleep(fault.start_s)
    await plant.ask("fault", kind=fault.kind, device=fault.device, on=True, **where)
    await asyncio.sleep(fault.length_s)
    await plant.ask("fault", kind=fault.kind, device=fault.device, on=False, **where)
    if fault.kind in ("jam", "sensor_stuck"):
        request_id = f"reset-{fault.device}-{fault.number}-{fault.start_s}"
        await ask("people", request_id, ResetDevice(fault.device, fault.number))
