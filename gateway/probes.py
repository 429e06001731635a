"""Which probe looks at which device; beside `app` the only file that names drivers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from drivers.modbus import probe as modbus
from drivers.opcua import probe as opcua
from drivers.probe import Examination, Found
from drivers.vda5050 import probe as vda5050
from gateway.contract import DeviceId
from gateway.site import AgvSpec, ConveyorSpec, Profile, RobotCellSpec, Site, SorterSpec


@dataclass(frozen=True, slots=True)
class Probe:
    """How to look at one device. `address`: what it may share with others."""

    address: str
    examine: Callable[[], Awaitable[Examination]]
    browse: Callable[[], Awaitable[list[Found]]]


def probes_for(site: Site) -> dict[DeviceId, Probe]:
    """A probe for every device that has a wire; people and `loopback` have none."""
    profiles: dict[str, Profile] = {p.profile: p for p in site.profiles}
    found: dict[DeviceId, Probe] = {}
    for spec in site.devices:
        match spec:
            case ConveyorSpec(driver="modbus"):
                profile = profiles[spec.profile]
                found[spec.id] = Probe(
                    spec.connection.address,
                    partial(modbus.examine, spec, profile),
                    partial(modbus.browse, spec, profile),
                )
            case SorterSpec(driver="opcua") | RobotCellSpec(driver="opcua"):
                profile = profiles[spec.profile]
                found[spec.id] = Probe(
                    spec.connection.url, partial(opcua.examine, spec, profile), partial(opcua.browse, spec, profile)
                )
            case AgvSpec(driver="vda5050"):
                profile = profiles[spec.profile]
                found[spec.id] = Probe(
                    f"{spec.connection.host}:{spec.connection.port}",
                    partial(vda5050.examine, spec, profile),
                    partial(vda5050.browse, spec, profile),
                )
            case _:
                pass
    return found
