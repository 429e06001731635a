"""The wire: a profile that fits its device, and no two devices at one address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address

from gateway.site.checks_finding import Finding, Path
from gateway.site.checks_ids import Ids
from gateway.site.model import (
    AgvSpec,
    ConveyorSpec,
    DeviceSpec,
    ModbusSerial,
    RobotCellSpec,
    Site,
    SorterSpec,
    VdaConnection,
    WorkstationSpec,
)

_PROTOCOL = {"modbus": "modbus", "opcua": "opcua", "vda5050": "vda5050"}
"""Driver → the protocol that its profiles are written for; the loopback driver takes any."""
_URL = re.compile(r"opc\.tcp://(\[[^\]]*\]|[^/:]*)(?::(\d+))?(/.*)?\Z")
_OPCUA_PORT = "4840"


def check_wire(site: Site, ids: Ids) -> Iterator[Finding]:
    yield from _profiles_fit(site, ids)
    yield from _addresses(site)
    yield from _lines(site)
    yield from _brokers(site)


def _profiles_fit(site: Site, ids: Ids) -> Iterator[Finding]:
    for number, device in enumerate(site.devices):
        if isinstance(device, WorkstationSpec):
            continue
        profile = ids.profiles.get(device.profile)
        if profile is None:
            continue
        path: Path = ("devices", number, "profile")
        who = f"{device.type} {device.id}"
        if profile.device_type != device.type:
            message = f"the profile '{profile.profile}' of {who} is written for a {profile.device_type}"
            yield Finding(path, message, f"name a profile for a {device.type}")
        elif _PROTOCOL.get(device.driver, profile.protocol) != profile.protocol:
            message = f"the profile '{profile.profile}' of {who} speaks {profile.protocol}, its driver {device.driver}"
            yield Finding(path, message, f"name a profile for {device.driver}, or another driver")


def _addresses(site: Site) -> Iterator[Finding]:
    first: dict[tuple[str | int, ...], tuple[Path, str]] = {}
    for number, device in enumerate(site.devices):
        found = _address(device)
        if found is None:
            continue
        key, shown, step = found
        path: Path = ("devices", number, "connection", step)
        known = first.setdefault(key, (path, device.id))
        if known[0] is not path:
            message = f"{device.type} {device.id} and {known[1]} have the same address {shown}"
            yield Finding(path, message, "each device has an address of its own", known[0])


def _lines(site: Site) -> Iterator[Finding]:
    """All devices on one serial line speak it alike."""
    first: dict[str, tuple[Path, str, ModbusSerial]] = {}
    for number, device in enumerate(site.devices):
        if not isinstance(device, ConveyorSpec) or device.driver == "loopback" or device.connection.serial is None:
            continue
        line = device.connection.serial
        path: Path = ("devices", number, "connection", "serial")
        known_path, known_id, known = first.setdefault(line.device, (path, device.id, line))
        if line != known:
            message = (
                f"{device.type} {device.id} speaks {_speech(line)} on {line.device}, {known_id} {_speech(known)}: "
                "one line has one baud rate, parity and number of stop bits"
            )
            yield Finding(path, message, "set all units on the line alike", known_path)


def _speech(line: ModbusSerial) -> str:
    return f"{line.baudrate} baud, parity {line.parity}, {line.stop_bits} stop"


def _brokers(site: Site) -> Iterator[Finding]:
    """Vehicles over the network are encrypted or say that they are not; all behind one broker reach it alike."""
    first: dict[tuple[str, int], tuple[Path, str, VdaConnection]] = {}
    for number, device in enumerate(site.devices):
        if not isinstance(device, AgvSpec) or device.driver == "loopback":
            continue
        vda = device.connection
        path: Path = ("devices", number, "connection", "host")
        if vda.tls is None and not _is_loopback(vda.host):
            message = f"agv {device.id} reaches the broker {vda.host}:{vda.port} over the network without TLS"
            yield Finding(path, message, "give `tls: {ca_file: …}`, or waive it for this device with `tls: waived`")
        known_path, known_id, known = first.setdefault((vda.host, vda.port), (path, device.id, vda))
        unlike = [key for key in ("tls", "user", "password_file") if getattr(vda, key) != getattr(known, key)]
        if unlike:
            message = (
                f"agv {device.id} and {known_id} reach the broker {vda.host}:{vda.port} with different "
                f"{' and '.join(f'`{key}`' for key in unlike)}"
            )
            yield Finding(path, message, "one connection serves all vehicles of a broker: set them alike", known_path)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(_host(host)).is_loopback
    except ValueError:
        return False


def _address(device: DeviceSpec) -> tuple[tuple[str | int, ...], str, str] | None:
    """What identifies the device on its wire: a key to compare, the text to show, the YAML key to point at."""
    if device.driver in ("loopback", "people"):
        return None
    if isinstance(device, ConveyorSpec):
        modbus = device.connection
        if modbus.serial is not None:
            line = modbus.serial.device
            return ("serial", line, modbus.unit), f"{line} unit {modbus.unit}", "serial"
        shown = f"{modbus.host}:{modbus.port} unit {modbus.unit}"
        return ("modbus", _host(modbus.host), modbus.port, modbus.unit), shown, "port"
    if isinstance(device, SorterSpec | RobotCellSpec):
        match = _URL.match(device.connection.url)
        host, port, rest = (match[1], match[2], match[3]) if match else (device.connection.url, None, None)
        key = ("opcua", _host(host), int(port or _OPCUA_PORT), (rest or "").rstrip("/"))
        return key, device.connection.url, "url"
    if isinstance(device, AgvSpec):
        vda = device.connection
        shown = f"{vda.manufacturer}/{vda.serial} on {vda.host}:{vda.port}"
        return ("vda5050", _host(vda.host), vda.port, vda.manufacturer, vda.serial), shown, "serial"
    return None


def _host(name: str) -> str:
    low = name.lower()
    return "127.0.0.1" if low == "localhost" else low
