"""What `python -m plc_simulators playback FILE` starts: the device that a capture's link was recorded from."""

from __future__ import annotations

import argparse
from pathlib import Path

from plc_simulators.playback import record
from plc_simulators.playback.modbus import ModbusPlayback
from plc_simulators.playback.opcua import OpcuaPlayback
from plc_simulators.playback.record import CaptureError
from plc_simulators.playback.vda5050 import VdaPlayback

Playback = ModbusPlayback | OpcuaPlayback | VdaPlayback


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="a capture, one JSON object a line")
    parser.add_argument("--link", default=None, help="which link of the capture, where it has several")
    parser.add_argument("--port", type=int, default=0, help="Modbus and OPC UA: listen here (default: a free port)")
    parser.add_argument("--speed", type=float, default=1.0, help="recorded seconds per second (default 1)")
    parser.add_argument("--delays", action="store_true", help="Modbus: answer as slowly as then, not at once")
    parser.add_argument("--broker", default=None, metavar="HOST:PORT", help="VDA 5050: publish at this broker")


def playback_of(arguments: argparse.Namespace) -> Playback:
    """The device, not started yet. Raises OSError, CaptureError, ValueError for what makes no sense."""
    if not 0 < arguments.speed <= 1000:
        raise ValueError(f"speed {arguments.speed} is not within 0 to 1000")
    records = record.read(arguments.file, arguments.link)
    protocol = records[0].protocol
    if protocol == "modbus":
        return ModbusPlayback(records, port=arguments.port, delays=arguments.delays, speed=arguments.speed)
    if protocol == "opcua":
        return OpcuaPlayback(records, port=arguments.port, speed=arguments.speed)
    if protocol == "vda5050":
        host, _, port = (arguments.broker or "").rpartition(":")
        if not host or not port.isdigit():
            raise ValueError("vehicles are played back through a broker: name it with --broker HOST:PORT")
        return VdaPlayback(records, host=host, port=int(port), speed=arguments.speed)
    raise CaptureError(f"{arguments.file}: protocol {protocol!r} can't be played back: modbus, opcua and vda5050 can")
