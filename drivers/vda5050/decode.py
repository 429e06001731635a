"""From a vehicle's messages to the records of `gateway.devices.agv`. Pure; raises msgspec.DecodeError."""

from __future__ import annotations

from typing import Literal

import msgspec

from drivers.vda5050 import messages as wire
from gateway.contract import Scalar
from gateway.devices.agv import ActionState, AgvError, AgvFactsheet, AgvReport, PathState

_STATE = msgspec.json.Decoder(wire.State)
_CONNECTION = msgspec.json.Decoder(wire.Connection)
_VISUALIZATION = msgspec.json.Decoder(wire.Visualization)
_FACTSHEET = msgspec.json.Decoder(wire.Factsheet)
PAYLOAD_BYTES_MAX = 262_144
"""Far above any real state message; a larger one is refused unread."""
_PERCENT_MAX = 100.0
_DISTANCE_M_MAX = 1_000_000.0
ConnectionState = Literal["ONLINE", "OFFLINE", "CONNECTIONBROKEN"]


def state(payload: bytes, serial: str) -> tuple[AgvReport, dict[str, Scalar]]:
    """The report and the telemetry in a state message of vehicle `serial`."""
    _limit(payload)
    message = _STATE.decode(payload)
    _same(message.serial_number, serial)
    charge = message.battery_state.battery_charge
    if not 0.0 <= charge <= _PERCENT_MAX:
        raise msgspec.ValidationError(f"batteryCharge is {charge} %, 0 to 100 is possible - at `$.batteryState`")
    report = AgvReport(
        drive_id=message.order_id,
        update_id=message.order_update_id,
        last_node=message.last_node_id,
        last_sequence_id=message.last_node_sequence_id,
        path=tuple(
            PathState(node.node_id, node.sequence_id, node.released)
            for node in sorted(message.node_states, key=lambda n: n.sequence_id)
        ),
        edges_left=len(message.edge_states),
        actions=tuple(
            ActionState(a.action_id, a.action_status, a.result_description or "") for a in message.action_states
        ),
        driving=message.driving,
        paused=bool(message.paused),
        new_base_request=bool(message.new_base_request),
        operating_mode=message.operating_mode,
        battery_permille=round(charge * 10),
        charging=message.battery_state.charging,
        e_stop=message.safety_state.e_stop,
        field_violation=message.safety_state.field_violation,
        errors=tuple(_error(error) for error in message.errors),
        loads=None if message.loads is None else tuple(load.load_id or "" for load in message.loads),
        localised=message.agv_position is None or message.agv_position.position_initialized,
    )
    return report, _telemetry(message.agv_position, message.velocity)


def connection(payload: bytes, serial: str) -> ConnectionState:
    """What the vehicle says; a last will's timestamp and headerId are stale by nature and not read."""
    _limit(payload)
    message = _CONNECTION.decode(payload)
    _same(message.serial_number, serial)
    return message.connection_state


def visualization(payload: bytes) -> dict[str, Scalar]:
    """Telemetry: x_mm, y_mm, theta_mrad, map, speed_mm_s, as far as the vehicle sends them."""
    _limit(payload)
    message = _VISUALIZATION.decode(payload)
    return _telemetry(message.agv_position, message.velocity)


def factsheet(payload: bytes, serial: str) -> AgvFactsheet:
    """What the vehicle says of itself."""
    _limit(payload)
    message = _FACTSHEET.decode(payload)
    _same(message.serial_number, serial)
    physical = message.physical_parameters
    return AgvFactsheet(
        series=message.type_specification.series_name,
        actions=tuple(action.action_type for action in message.protocol_features.agv_actions),
        speed_max_mm_s=_milli(physical.speed_max, "speedMax"),
        length_mm=_milli(physical.length, "length"),
        width_mm=_milli(physical.width, "width"),
    )


def _limit(payload: bytes) -> None:
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise msgspec.ValidationError(f"{len(payload)} bytes, at most {PAYLOAD_BYTES_MAX} are read")


def _same(found: str, expected: str) -> None:
    if found != expected:
        raise msgspec.ValidationError(f"serialNumber is {found!r} on the topic of {expected!r} - at `$.serialNumber`")


def _milli(value: float, field: str) -> int:
    # The comparison also refuses what JSON's 1e999 becomes: infinity has no integer.
    if not -_DISTANCE_M_MAX <= value <= _DISTANCE_M_MAX:
        raise msgspec.ValidationError(f"{field} is {value}, beyond ±{_DISTANCE_M_MAX:.0f}")
    return round(value * 1000)


def _error(error: wire.ErrorState) -> AgvError:
    references = error.error_references or ()
    drive_id = next((r.reference_value for r in references if r.reference_key == "orderId"), "")
    return AgvError(error.error_type, error.error_level, error.error_description or "", drive_id)


def _telemetry(position: wire.AgvPosition | None, velocity: wire.Velocity | None) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {}
    if position is not None:
        values["x_mm"] = _milli(position.x, "agvPosition.x")
        values["y_mm"] = _milli(position.y, "agvPosition.y")
        values["theta_mrad"] = _milli(position.theta, "agvPosition.theta")
        values["map"] = position.map_id
    if velocity is not None:
        vx_mm_s, vy_mm_s = _milli(velocity.vx, "velocity.vx"), _milli(velocity.vy, "velocity.vy")
        values["speed_mm_s"] = round((vx_mm_s**2 + vy_mm_s**2) ** 0.5)
    return values
