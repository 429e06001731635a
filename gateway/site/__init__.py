"""The typed site model: all that the YAML says, immutable while in force, and its cross-checks."""

from gateway.site.model import (
    AgvSpec,
    ChannelSpec,
    ConveyorSpec,
    DeviceSpec,
    EdgeSpec,
    LocationSpec,
    MapSpec,
    MetricsSpec,
    ModbusConnection,
    NodeSpec,
    OpcuaConnection,
    OpcuaSecurity,
    PersonSpec,
    PolicySpec,
    RobotCellSpec,
    RunSpec,
    Site,
    SiteInfo,
    SorterLaneSpec,
    SorterSpec,
    SortPlanSpec,
    VdaConnection,
    WorkstationSpec,
)
from gateway.site.profile import Profile, SignalSpec


def encode_site(site: Site) -> str:
    """The whole site as JSON, defaults written out: what was in force stays so under a later version's defaults."""
    return site.model_dump_json(by_alias=True)


def decode_site(text: str) -> Site:
    """Raises ValueError for what is no site of this version."""
    return Site.model_validate_json(text)


__all__ = [
    "AgvSpec",
    "ChannelSpec",
    "ConveyorSpec",
    "DeviceSpec",
    "EdgeSpec",
    "LocationSpec",
    "MapSpec",
    "MetricsSpec",
    "ModbusConnection",
    "NodeSpec",
    "OpcuaConnection",
    "OpcuaSecurity",
    "PersonSpec",
    "PolicySpec",
    "Profile",
    "RobotCellSpec",
    "RunSpec",
    "SignalSpec",
    "Site",
    "SiteInfo",
    "SortPlanSpec",
    "SorterLaneSpec",
    "SorterSpec",
    "VdaConnection",
    "WorkstationSpec",
    "decode_site",
    "encode_site",
]
