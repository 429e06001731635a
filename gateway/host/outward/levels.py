"""What is so now at devices and alarms, as SCADA and dashboards are shown it."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.contract import DeviceId, Scalar
from gateway.dispatch.state import Device, State
from gateway.host.outward.event import utc

TEXT_LENGTH_MAX = 2_000


def devices(state: State) -> Iterator[tuple[DeviceId, Device]]:
    """Every device of the site with its record."""
    for group in (state.conveyors, state.sorters, state.cells, state.agvs, state.stations):
        yield from group.items()


def of_device(device: Device) -> dict[str, str]:
    """The levels that every device has. `held` is the reason, "" where nobody holds it."""
    health = device.health
    return {"state": device.state, "mode": health.mode, "held": cut(health.held), "link": health.link}


def of_alarms(state: State) -> dict[str, dict[str, Scalar]]:
    """The alarm list (ISA-18.2): what is active, or gone and not acknowledged yet, by its id."""
    return {
        alarm.alarm: {
            "source": alarm.source,
            "code": alarm.code,
            "text": cut(alarm.text),
            "active": alarm.active,
            "acknowledged": alarm.acknowledged,
            "shelved": alarm.shelved_until_ns > state.now_ns,
            "count": alarm.count,
            "raised": utc(alarm.raised_ns),
        }
        for alarm in state.alarms.values()
    }


def cut(text: str) -> str:
    """A text that fits into a message, whatever a person has typed."""
    return text.encode("utf-8", "replace").decode()[:TEXT_LENGTH_MAX]
