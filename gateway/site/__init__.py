"""The typed site model: all that the YAML says, immutable while in force, and its cross-checks."""

from gateway.site.channels import ChannelSpec
from gateway.site.http import HttpSpec
from gateway.site.model import (
    AgvSpec,
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
from gateway.site.mqtt import BrokerSpec, MqttTls
from gateway.site.outward import OutwardSpec
from gateway.site.profile import Profile, SignalSpec
from gateway.site.spec import Spec


def encode_site(site: Site) -> str:
    """The whole site as JSON, defaults written out: what was in force stays so under a later version's defaults."""
    return site.model_dump_json(by_alias=True)


def decode_site(text: str) -> Site:
    """Raises ValueError for what is no site of this version."""
    return Site.model_validate_json(text)


__all__ = [
    "AgvSpec",
    "BrokerSpec",
    "ChannelSpec",
    "ConveyorSpec",
    "DeviceSpec",
    "EdgeSpec",
    "HttpSpec",
    "LocationSpec",
    "MapSpec",
    "MetricsSpec",
    "ModbusConnection",
    "MqttTls",
    "NodeSpec",
    "OpcuaConnection",
    "OpcuaSecurity",
    "OutwardSpec",
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
    "Spec",
    "VdaConnection",
    "WorkstationSpec",
    "decode_site",
    "encode_site",
]
