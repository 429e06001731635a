"""Inputs and state as bytes: MessagePack with tagged unions, so that a journal names what it holds."""

from __future__ import annotations

import msgspec

from gateway.contract import (
    HostRequest,
    Input,
    LinkChanged,
    Notice,
    Report,
    Request,
    SendFailed,
    ShellAlarm,
    SiteChanged,
    Started,
    Tick,
)
from gateway.devices.agv import AgvFactsheet, AgvReport
from gateway.devices.conveyor import ConveyorReport
from gateway.devices.robot_cell import CellReport
from gateway.devices.sorter import SorterEvent, SorterReport
from gateway.dispatch.state import State

DeviceReport = ConveyorReport | SorterReport | CellReport | AgvReport
DeviceNotice = SorterEvent | AgvFactsheet
Body = (
    Report[DeviceReport]
    | Notice[DeviceNotice]
    | LinkChanged
    | HostRequest
    | SendFailed
    | Started
    | ShellAlarm
    | SiteChanged
    | Tick
)

_encoder = msgspec.msgpack.Encoder()
_body = msgspec.msgpack.Decoder(Body)
_state: msgspec.msgpack.Decoder[State] = msgspec.msgpack.Decoder(State)
_request: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


def encode_body(body: object) -> bytes:
    return _encoder.encode(body)


def decode_body(data: bytes) -> object:
    """Raises msgspec.DecodeError or ValidationError for bytes that are no input."""
    return _body.decode(data)


def encode_state(state: State) -> bytes:
    return _encoder.encode(state)


def decode_state(data: bytes) -> State:
    return _state.decode(data)


def encode_request(request: Request) -> bytes:
    return _encoder.encode(request)


def decode_request(data: bytes | str) -> Request:
    """A request from JSON; raises msgspec.ValidationError with the path of what is wrong."""
    return _request.decode(data)


def stamp(seq: int, at_ns: int, data: bytes) -> Input:
    """An input as the journal gives it back."""
    return Input(seq, at_ns, decode_body(data))
